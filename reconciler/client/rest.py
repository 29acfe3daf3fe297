"""
The one HTTP file: verbs over `ResourceType`, raw bytes in and out, refusals as exceptions.

A 429 that names a time (`Retry-After`) is waited out, for single requests, lists and watches alike: the server sends
it when it is overloaded, and for a moment right after a CustomResourceDefinition is established. A 429 was not
executed, so this holds for writes too. Nothing else is repeated: a POST whose answer was lost is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType

from reconciler.api import ObjectKey, ResourceType
from reconciler.client.statuses import api_error, parse_status
from reconciler.client.transport import HttpRequest, HttpResponse, Transport
from reconciler.errors import ApiError, TooManyRequestsError

__all__ = ["RestClient"]

_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_READ_HEADERS: Mapping[str, str] = MappingProxyType({"Accept": _JSON, "User-Agent": "reconciler"})
_CONTENT_TYPES = MappingProxyType({"PATCH": _MERGE_PATCH})
_ERROR_LINES_MAX = 10_000


class RestClient:
    """
    Talks HTTP to one API server.

    Args:
        transport: Carries the requests; `aclose` closes it.
        timeout_seconds: For each request, from its start to the last byte.
        waits_max: How often one request waits out a 429.
        wait_seconds_max: A longer `Retry-After` is not waited out but raised.

    Raises, all verbs:
        ApiError: The server refused; the subclass says how.
        ConnectionFailedError: No answer; whether a write happened is unknown.
        ValueError: The key does not fit the kind (a namespaced kind without a namespace, or the reverse).
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout_seconds: float = 30.0,
        waits_max: int = 10,
        wait_seconds_max: float = 30.0,
    ) -> None:
        self._transport = transport
        self._timeout_seconds = timeout_seconds
        self._waits_max = waits_max
        self._wait_seconds_max = wait_seconds_max

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    async def get(self, resource: ResourceType, key: ObjectKey) -> bytes:
        """Return one object."""
        response = await self._send(f"get {resource} {key}", "GET", _path(resource, key))
        return response.body

    async def list_page(
        self,
        resource: ResourceType,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = None,
        continue_token: str | None = None,
        resource_version: str | None = None,
        resource_version_match: str | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """
        Return one page of a list, which is the whole list without `limit`.

        Args:
            resource: What to list.
            namespace: None or empty means all namespaces.
            label_selector: As in kubectl's `-l`.
            field_selector: As in kubectl's `--field-selector`.
            limit: Objects a page.
            continue_token: `metadata.continue` of the page before.
            resource_version: None asks for the latest; `"0"` for anything that the server has at hand.
            resource_version_match: `NotOlderThan` or `Exact`.
            timeout_seconds: Instead of the client's; a large list may take long.
        """
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=limit,
            resourceVersion=resource_version,
            resourceVersionMatch=resource_version_match,
            **{"continue": continue_token},
        )
        path = _collection_path(resource, namespace)
        response = await self._send(
            _list_words("list", resource, namespace), "GET", path, query=query, timeout_seconds=timeout_seconds
        )
        return response.body

    async def create(self, resource: ResourceType, namespace: str, body: bytes) -> HttpResponse:
        """Create the object in `body`; `namespace` is empty for cluster-scoped kinds."""
        _check_namespace(resource, namespace)
        doing = _list_words("create", resource, namespace)
        return await self._send(doing, "POST", resource.path(namespace), body=body)

    async def update(
        self, resource: ResourceType, key: ObjectKey, body: bytes, *, subresource: str = ""
    ) -> HttpResponse:
        """Replace the object, or one subresource of it."""
        return await self._send(
            _words("update", resource, key, subresource), "PUT", _path(resource, key, subresource), body=body
        )

    async def patch(
        self, resource: ResourceType, key: ObjectKey, body: bytes, *, subresource: str = ""
    ) -> HttpResponse:
        """Apply a JSON merge patch to the object, or to one subresource of it."""
        return await self._send(
            _words("patch", resource, key, subresource), "PATCH", _path(resource, key, subresource), body=body
        )

    async def delete(self, resource: ResourceType, key: ObjectKey, body: bytes | None = None) -> HttpResponse:
        """Delete the object; `body` holds `DeleteOptions`. The answer holds the object or a `Status`."""
        return await self._send(f"delete {resource} {key}", "DELETE", _path(resource, key), body=body)

    def watch(
        self,
        resource: ResourceType,
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
        timeout_seconds: int | None = None,
        allow_bookmarks: bool = False,
        label_selector: str | None = None,
        field_selector: str | None = None,
        idle_seconds: float | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """
        Open a watch; the context yields its lines, one JSON event each, until the server ends it.

        Entering raises `ExpiredError` where the server says 410 at once; a 410 inside the stream is an event of type
        `ERROR`, and is passed on as it is.

        Args:
            resource: What to watch.
            namespace: None or empty means all namespaces.
            resource_version: Changes after this one; None or empty begins with everything that is there.
            timeout_seconds: After which the server ends the watch; None leaves it to the server.
            allow_bookmarks: Whether to send `BOOKMARK` events, mostly one a minute.
            label_selector: As in kubectl's `-l`.
            field_selector: As in kubectl's `--field-selector`.
            idle_seconds: The longest silence; then `ConnectionFailedError`. None bears any.
        """
        query = _query(
            watch="true",
            resourceVersion=resource_version,
            timeoutSeconds=timeout_seconds,
            allowWatchBookmarks="true" if allow_bookmarks else None,
            labelSelector=label_selector,
            fieldSelector=field_selector,
        )
        path = _collection_path(resource, namespace)
        request = HttpRequest("GET", path, query, _READ_HEADERS, timeout_seconds=idle_seconds)
        return self._stream(_list_words("watch", resource, namespace), request)

    @asynccontextmanager
    async def _stream(self, doing: str, request: HttpRequest) -> AsyncGenerator[AsyncIterator[bytes], None]:
        waits = 0
        while True:
            async with self._transport.stream(request) as stream:
                if stream.status == 200:
                    yield stream.lines
                    return
                body = await _first_lines(stream.lines)
            error = api_error(parse_status(body, code=stream.status, headers=stream.headers), doing)
            await self._wait_out(error, waits)
            waits += 1

    async def _send(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        query: tuple[tuple[str, str], ...] = (),
        body: bytes | None = None,
        timeout_seconds: float | None = None,
    ) -> HttpResponse:
        headers = _READ_HEADERS
        if body is not None:
            headers = {**headers, "Content-Type": _CONTENT_TYPES.get(method, _JSON)}
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        request = HttpRequest(method, path, query, headers, body, seconds)
        waits = 0
        while True:
            response = await self._transport.send(request)
            if 200 <= response.status < 300:
                return response
            error = api_error(parse_status(response.body, code=response.status, headers=response.headers), doing)
            await self._wait_out(error, waits)
            waits += 1

    async def _wait_out(self, error: ApiError, waits: int) -> None:
        seconds = error.status.retry_after_seconds
        if not isinstance(error, TooManyRequestsError) or seconds is None:
            raise error
        if waits >= self._waits_max or seconds > self._wait_seconds_max:
            raise error
        await asyncio.sleep(seconds)


async def _first_lines(lines: AsyncIterator[bytes]) -> bytes:
    taken: list[bytes] = []
    async for line in lines:
        taken.append(line)
        if len(taken) >= _ERROR_LINES_MAX:
            break
    return b"\n".join(taken)


def _query(**parameters: str | int | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in parameters.items() if value is not None and value != "")


def _path(resource: ResourceType, key: ObjectKey, subresource: str = "") -> str:
    _check_namespace(resource, key.namespace)
    if not key.name:
        raise ValueError(f"{resource}: an object has a name, the key has none")
    return resource.path(key.namespace, key.name, subresource)


def _collection_path(resource: ResourceType, namespace: str | None) -> str:
    if namespace:
        _check_namespace(resource, namespace)
    return resource.path(namespace or "")


def _check_namespace(resource: ResourceType, namespace: str) -> None:
    if resource.is_namespaced and not namespace:
        raise ValueError(f"{resource} live in namespaces, and none is given")
    if namespace and not resource.is_namespaced:
        raise ValueError(f"{resource} live in no namespace, but {namespace!r} is given")


def _words(verb: str, resource: ResourceType, key: ObjectKey, subresource: str) -> str:
    of = f" {subresource} of" if subresource else ""
    return f"{verb}{of} {resource} {key}"


def _list_words(verb: str, resource: ResourceType, namespace: str | None) -> str:
    return f"{verb} {resource} in {namespace}" if namespace else f"{verb} {resource}"
