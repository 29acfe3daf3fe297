"""
The one HTTP file: verbs over `ResourceType`, raw bytes in and out, refusals as exceptions.

A 429 that names a time (`Retry-After`) is waited out, for single requests, lists and watches alike: the server sends
it when it is overloaded, and for a moment right after a CustomResourceDefinition is established. A 429 was not
executed, so this holds for writes too. Nothing else is repeated: a POST whose answer was lost is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType

from reconciler.api import ObjectKey, ResourceType
from reconciler.client.contract import FieldValidation
from reconciler.client.statuses import api_error, parse_status
from reconciler.client.transport import HttpRequest, HttpResponse, Transport
from reconciler.client.warnings import ServerWarning, Warnings
from reconciler.errors import ApiError, TooManyRequestsError

__all__ = ["MERGE_PATCH", "RestClient"]

MERGE_PATCH = "application/merge-patch+json"

_JSON = "application/json"
_READ_HEADERS: Mapping[str, str] = MappingProxyType({"Accept": _JSON, "User-Agent": "reconciler"})
_ERROR_LINES_MAX = 10_000


class RestClient:
    """
    Talks HTTP to one API server.

    Args:
        transport: Carries the requests; `aclose` closes it.
        timeout_seconds: For each request, from its start to the last byte.
        waits_max: How often one request waits out a 429.
        wait_seconds_max: A longer `Retry-After` is not waited out but raised.
        on_warning: Is given each warning of the server; must not raise. Each text is logged once in any case.

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
        on_warning: Callable[[ServerWarning], None] | None = None,
    ) -> None:
        self._transport = transport
        self._timeout_seconds = timeout_seconds
        self._waits_max = waits_max
        self._wait_seconds_max = wait_seconds_max
        self._warnings = Warnings(on_warning)

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    async def get(self, resource: ResourceType, key: ObjectKey, *, subresource: str = "") -> bytes:
        """Return one object, or one subresource of it."""
        doing = _words("get", resource, key, subresource)
        response = await self._send(doing, "GET", _path(resource, key, subresource))
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
        accept: str = _JSON,
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
            accept: The form of the objects, such as metadata alone.
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
        doing = _list_words("list", resource, namespace)
        response = await self._send(doing, "GET", path, query=query, accept=accept, timeout_seconds=timeout_seconds)
        return response.body

    async def create(
        self,
        resource: ResourceType,
        namespace: str,
        body: bytes,
        *,
        name: str = "",
        subresource: str = "",
        field_owner: str | None = None,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> HttpResponse:
        """
        Create the object in `body`; `namespace` is empty for cluster-scoped kinds.

        With `name` and `subresource` the body goes to that subresource of that object, such as `eviction`.
        """
        _check_namespace(resource, namespace)
        query = _write_query(field_owner, field_validation, dry_run=dry_run)
        if not subresource:
            doing = _list_words("create", resource, namespace)
            return await self._send(doing, "POST", resource.path(namespace), query=query, body=body)
        key = ObjectKey(namespace, name)
        doing = _words("create", resource, key, subresource)
        return await self._send(doing, "POST", _path(resource, key, subresource), query=query, body=body)

    async def update(
        self,
        resource: ResourceType,
        key: ObjectKey,
        body: bytes,
        *,
        subresource: str = "",
        field_owner: str | None = None,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> HttpResponse:
        """Replace the object, or one subresource of it."""
        query = _write_query(field_owner, field_validation, dry_run=dry_run)
        doing = _words("update", resource, key, subresource)
        return await self._send(doing, "PUT", _path(resource, key, subresource), query=query, body=body)

    async def patch(
        self,
        resource: ResourceType,
        key: ObjectKey,
        body: bytes,
        *,
        subresource: str = "",
        content_type: str = MERGE_PATCH,
        field_owner: str | None = None,
        force: bool = False,
        dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> HttpResponse:
        """
        Patch the object, or one subresource of it; the form of the patch is its content type.

        `force` is for server-side apply alone: it takes fields that others own.
        """
        query = _write_query(field_owner, field_validation, dry_run=dry_run)
        if force:
            query = (*query, ("force", "true"))
        doing = _words("patch", resource, key, subresource)
        path = _path(resource, key, subresource)
        return await self._send(doing, "PATCH", path, query=query, body=body, content_type=content_type)

    async def delete(self, resource: ResourceType, key: ObjectKey, body: bytes | None = None) -> HttpResponse:
        """Delete the object; `body` holds `DeleteOptions`. The answer holds the object or a `Status`."""
        return await self._send(f"delete {resource} {key}", "DELETE", _path(resource, key), body=body)

    async def delete_collection(
        self,
        resource: ResourceType,
        namespace: str,
        body: bytes | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> HttpResponse:
        """Delete every object that fits; `namespace` is empty for cluster-scoped kinds, `body` as for `delete`."""
        _check_namespace(resource, namespace)
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        doing = _list_words("delete all", resource, namespace)
        return await self._send(doing, "DELETE", resource.path(namespace), query=query, body=body)

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
        send_initial_events: bool = False,
        accept: str = _JSON,
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
            send_initial_events: Whether to begin with everything that is there, at least as new as the resource
                version; a bookmark marks its end.
            accept: The form of the objects, such as metadata alone.
        """
        query = _query(
            watch="true",
            resourceVersion=resource_version,
            timeoutSeconds=timeout_seconds,
            allowWatchBookmarks="true" if allow_bookmarks else None,
            sendInitialEvents="true" if send_initial_events else None,
            resourceVersionMatch="NotOlderThan" if send_initial_events else None,
            labelSelector=label_selector,
            fieldSelector=field_selector,
        )
        path = _collection_path(resource, namespace)
        headers = _READ_HEADERS if accept == _JSON else {**_READ_HEADERS, "Accept": accept}
        request = HttpRequest("GET", path, query, headers, timeout_seconds=idle_seconds)
        return self._stream(_list_words("watch", resource, namespace), request)

    @asynccontextmanager
    async def _stream(self, doing: str, request: HttpRequest) -> AsyncGenerator[AsyncIterator[bytes], None]:
        waits = 0
        while True:
            async with self._transport.stream(request) as stream:
                self._warnings.take(doing, stream.headers)
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
        content_type: str = _JSON,
        accept: str = _JSON,
        timeout_seconds: float | None = None,
    ) -> HttpResponse:
        headers = _READ_HEADERS if accept == _JSON else {**_READ_HEADERS, "Accept": accept}
        if body is not None:
            headers = {**headers, "Content-Type": content_type}
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        request = HttpRequest(method, path, query, headers, body, seconds)
        waits = 0
        while True:
            response = await self._transport.send(request)
            self._warnings.take(doing, response.headers)
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


def _write_query(
    field_owner: str | None, field_validation: FieldValidation | None, *, dry_run: bool
) -> tuple[tuple[str, str], ...]:
    return _query(fieldManager=field_owner, fieldValidation=field_validation, dryRun="All" if dry_run else None)


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
