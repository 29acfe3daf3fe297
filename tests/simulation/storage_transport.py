"""
The smallest API server that a controller can live on: the embedded server's storage behind the client's transport.

It has one namespace, and the verbs that the scenario needs: list, watch, get, create, a status update that demands the
version it was made from. No schema, no defaults, no rendering: those have their own tests, and would cost more than
everything that is looked at here.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from random import Random
from typing import Any

import msgspec

from reconciler.apiserver.storage import Entry, Storage
from reconciler.client import HttpRequest, HttpResponse, HttpStream
from reconciler.clock import LoopWallClock

BOOKMARK_SECONDS = 60.0


class StorageTransport:
    """
    Answers the client's requests from a storage.

    Args:
        seed: The same seed gives the same uids.
    """

    def __init__(self, seed: int) -> None:
        self.storage = Storage()
        self._rng = Random(f"uids {seed}")

    async def send(self, request: HttpRequest) -> HttpResponse:
        bucket, name, subresource = _parts(request.path)
        match request.method, name, subresource:
            case "GET", "", "":
                return self._list(bucket)
            case "GET", _, "":
                entry = self.storage.get(bucket, name)
                return _answer(200, entry) if entry else _refusal(404, "NotFound", name)
            case "POST", "", "":
                return self._create(bucket, msgspec.json.decode(request.body or b""))
            case "PUT", _, "status":
                return self._update_status(bucket, name, msgspec.json.decode(request.body or b""))
            case _:
                raise AssertionError(f"the scenario has no {request.method} {request.path}")

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        query = dict(request.query)
        bucket, _, _ = _parts(request.path)
        async with aclosing(
            self._watch(bucket, int(query["resourceVersion"]), float(query["timeoutSeconds"]))
        ) as lines:
            yield HttpStream(200, {}, lines)

    async def aclose(self) -> None:
        """Close nothing."""

    def touch(self, bucket: str, name: str) -> None:
        """Change an annotation, as some other client may."""
        obj = self._present(bucket, name).obj
        self.storage.put(
            bucket,
            name,
            {**obj, "metadata": {**obj["metadata"], "annotations": {"touched": str(self.storage.revision)}}},
        )

    def _present(self, bucket: str, name: str) -> Entry:
        entry = self.storage.get(bucket, name)
        assert entry is not None
        return entry

    def _list(self, bucket: str) -> HttpResponse:
        items = b",".join(entry.json for _, entry in self.storage.list(bucket))
        body = b'{"metadata":{"resourceVersion":"%d"},"items":[%s]}' % (self.storage.revision, items)
        return HttpResponse(200, {}, body)

    def _create(self, bucket: str, obj: dict[str, Any]) -> HttpResponse:
        name = obj["metadata"]["name"]
        if self.storage.get(bucket, name):
            return _refusal(409, "AlreadyExists", name)
        metadata = {
            **obj["metadata"],
            "uid": str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
            "creationTimestamp": LoopWallClock().now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "generation": 1,
        }
        fresh = {key: value for key, value in obj.items() if key != "status"}
        return _answer(201, self.storage.put(bucket, name, {**fresh, "metadata": metadata}))

    def _update_status(self, bucket: str, name: str, wanted: dict[str, Any]) -> HttpResponse:
        entry = self._present(bucket, name)
        if wanted["metadata"]["resourceVersion"] != str(entry.revision):
            return _refusal(409, "Conflict", name)
        if wanted.get("status") == entry.obj.get("status"):
            return _answer(200, entry)
        return _answer(200, self.storage.put(bucket, name, {**entry.obj, "status": wanted["status"]}))

    async def _watch(self, bucket: str, place: int, timeout_seconds: float) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        ends_at = loop.time() + timeout_seconds
        stop_listening = self.storage.listen(bucket, woken.set)
        try:
            while loop.time() < ends_at:
                woken.clear()
                for change in self.storage.since(bucket, place):
                    place = change.revision
                    yield b'{"type":"%s","object":%s}' % (change.type.value.encode(), change.entry.json)
                try:
                    async with asyncio.timeout_at(min(ends_at, loop.time() + BOOKMARK_SECONDS)):
                        await woken.wait()
                except TimeoutError:
                    version = self.storage.revision
                    yield b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d"}}}' % version
        finally:
            stop_listening()


def _parts(path: str) -> tuple[str, str, str]:
    """Return the collection's path, which is the bucket, and name and subresource, empty where there are none."""
    parts = path.strip("/").split("/")
    collection = parts.index("namespaces") + 3
    name, subresource, *_ = [*parts[collection:], "", ""]
    return "/".join(parts[:collection]), name, subresource


def _answer(status: int, entry: Entry) -> HttpResponse:
    return HttpResponse(status, {}, entry.json)


def _refusal(code: int, reason: str, name: str) -> HttpResponse:
    status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": name}
    return HttpResponse(code, {}, msgspec.json.encode(status))
