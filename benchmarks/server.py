"""
The one server that answers every informer over loopback HTTP, from bytes that were made before.

It serves ConfigMaps of 2 KiB: their list, whole or in pages, a watch that changes each of them, and the discovery that
kopf and controller-runtime ask for first. Of namespaces and CRDs, which kopf watches too, there are none.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from aiohttp import web

__all__ = ["OBJECT_BYTES", "serving"]

OBJECT_BYTES = 2048
EVENTS_A_WRITE = 64

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def _resource(kind: str, plural: str, *, namespaced: bool) -> dict[str, object]:
    singular = kind.lower()
    return {"name": plural, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": _VERBS}


_EXTENSIONS = {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
_CRDS = _resource("CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
_DISCOVERY: dict[str, dict[str, object]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "apiextensions.k8s.io", "versions": [_EXTENSIONS], "preferredVersion": _EXTENSIONS}],
    },
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            _resource("ConfigMap", "configmaps", namespaced=True),
            _resource("Namespace", "namespaces", namespaced=False),
        ],
    },
    "/apis/apiextensions.k8s.io/v1": {
        "kind": "APIResourceList",
        "groupVersion": "apiextensions.k8s.io/v1",
        "resources": [_CRDS],
    },
}
# kopf waits for the lists of these before it begins, and then watches them; there are none.
_EMPTY = ("/api/v1/namespaces", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")


def config_map(number: int, version: int) -> bytes:
    """Return an object of 2 KiB."""
    metadata = {
        "name": f"object-{number:06}",
        "namespace": f"namespace-{number % 50}",
        "uid": f"00000000-0000-0000-0000-{number:012}",
        "resourceVersion": str(version),
        "creationTimestamp": "2024-01-01T00:00:00Z",
        "labels": {"app": f"app-{number % 100}", "tier": "back"},
        "annotations": {"example.com/owner": "team-a"},
    }
    data = {f"key-{each}": f"value {each} of {number} " * 3 for each in range(20)}
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    data["padding"] = "x" * max(0, OBJECT_BYTES - len(json.dumps(whole)) - 15)
    return json.dumps(whole).encode()


class Server:
    """Answers lists and watches. The events of a watch begin when they are asked for."""

    def __init__(self, objects: int, events: int) -> None:
        """Make the bytes; the version of an object is its number and one, that of an event goes on from there."""
        self._items = [config_map(number, number + 1) for number in range(objects)]
        lines = [
            b'{"type":"MODIFIED","object":' + config_map(number % objects, objects + number + 1) + b"}\n"
            for number in range(events)
        ]
        self._chunks = [b"".join(lines[at : at + EVENTS_A_WRITE]) for at in range(0, events, EVENTS_A_WRITE)]
        self._watches: list[asyncio.Event] = []
        self._opened = asyncio.Event()

    async def read(self, request: web.Request) -> web.StreamResponse:
        """Answer a list or a watch."""
        if request.query.get("sendInitialEvents"):
            # As a server without streaming lists; client-go lists in one piece then.
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}
            return web.json_response(status, status=422)
        if request.query.get("watch"):
            return await self._watch(request)
        first = int(request.query.get("continue") or 0)
        after = first + int(request.query.get("limit") or len(self._items))
        token = f'"continue":"{after}",' if after < len(self._items) else ""
        head = (
            f'{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{{token}"resourceVersion":"{len(self._items)}"}},'
        )
        body = head.encode() + b'"items":[' + b",".join(self._items[first:after]) + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        begin = asyncio.Event()
        self._watches.append(begin)
        self._opened.set()
        try:
            await begin.wait()
            for chunk in self._chunks:
                await response.write(chunk)
            await asyncio.Event().wait()  # until the client goes away
        finally:
            self._watches.remove(begin)
        return response

    async def begin(self, request: web.Request) -> web.Response:
        """Let the newest watch bring its events, as soon as there is one."""
        del request
        while not self._watches:
            self._opened.clear()
            await self._opened.wait()
        self._watches[-1].set()
        return web.Response()

    async def discovery(self, request: web.Request) -> web.Response:
        """Say which kinds there are."""
        return web.json_response(_DISCOVERY[request.path])

    async def empty(self, request: web.Request) -> web.StreamResponse:
        """Answer a list with no object, and a watch with no event."""
        if not request.query.get("watch"):
            return web.json_response(
                {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}
            )
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await asyncio.Event().wait()  # until the client goes away
        return response


async def _serve(objects: int, events: int, tell: Connection) -> None:
    server = Server(objects, events)
    application = web.Application()
    application.router.add_get("/api/v1/configmaps", server.read)
    application.router.add_post("/begin", server.begin)
    for path in _DISCOVERY:
        application.router.add_get(path, server.discovery)
    for path in _EMPTY:
        application.router.add_get(path, server.empty)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tell.send(runner.addresses[0][1])
    await asyncio.Event().wait()


def _run(objects: int, events: int, tell: Connection) -> None:
    asyncio.run(_serve(objects, events, tell))


@contextmanager
def serving(objects: int, events: int) -> Generator[str]:
    """Serve in a process of its own, and give its URL; the process ends with the block."""
    context = multiprocessing.get_context("spawn")
    hear, tell = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(objects, events, tell), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{hear.recv()}"
    finally:
        process.terminate()
        process.join()
