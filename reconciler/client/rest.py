"""
The one HTTP file: verbs over `ResourceType`, raw bytes in and out, refusals as exceptions.

A 429 that names a time (`Retry-After`) is waited out, for single requests, lists and watches alike: the server sends
it when it is overloaded, and for a moment right after a CustomResourceDefinition is established. So is a 5xx with that
header, for reads and writes, as in client-go: the server asks for it. Nothing else is repeated: a POST whose answer was
lost is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType

from reconciler.api import ObjectKey, ResourceType, pinned_namespace
from reconciler.client.contract import FieldValidation
from reconciler.client.patches import APPLY, MERGE_PATCH
from reconciler.client.statuses import api_error, parse_status
from reconciler.client.transport import HttpRequest, HttpResponse, Transport
from reconciler.client.useragent import checked_user_agent
from reconciler.client.waiting import check_timeout, wait_out
from reconciler.client.warnings import ServerWarning, Warnings
from reconciler.errors import ConnectionFailedError

__all__ = ["RestClient", "list_words", "words"]

_JSON = "application/json"
_READ_HEADERS: Mapping[str, str] = MappingProxyType({"Accept": _JSON})
_ERROR_LINES_MAX = 10_000


class RestClient:
    """
    Talks HTTP to one API server.

    Args:
        transport: Carries the requests; `aclose` closes it.
        timeout_seconds: For each request, from its start to the last byte; of a watch, until it is open. One client
            for requests that take long can share the transport of another one.
        waits_max: How often one request waits out a 429, or a 5xx with `Retry-After`. Each try has its own time-out,
            which the waits are no part of: a call ends within `waits_max * wait_seconds_max` and
            `(waits_max + 1) * timeout_seconds` at most.
        wait_seconds_max: A longer `Retry-After` is not waited out but raised.
        on_warning: Is given each warning of the server. Each text is logged once in any case. An exception that it
            raises is logged by its type, and changes nothing: the write has happened.
        user_agent: Instead of the transport's; the server takes the part before the `/` for the owner of fields that
            name none.

    Raises, all verbs:
        ApiError: The server refused; the subclass says how.
        ConnectionFailedError: No answer; whether a write happened is unknown, unless `is_unsent`. That is True only
            where no try can have been executed: not after a 5xx that was waited out.
        ValueError: The key does not fit the kind (a namespaced kind without a namespace, or the reverse), or is no name
            (empty, `.`, `..`, with `/` or `%` in it). Nothing is sent then.

    Mirrors: client-go `rest.RESTClient`, its `Retry-After` too.
    Differs: a wait of more than `wait_seconds_max` is raised.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout_seconds: float = 30.0,
        waits_max: int = 10,
        wait_seconds_max: float = 30.0,
        on_warning: Callable[[ServerWarning], None] | None = None,
        user_agent: str | None = None,
    ) -> None:
        check_timeout(timeout_seconds)
        self._transport = transport
        self._timeout_seconds = timeout_seconds
        self._waits_max = waits_max
        self._wait_seconds_max = wait_seconds_max
        self._warnings = Warnings(on_warning)
        agent = {} if user_agent is None else {"User-Agent": checked_user_agent(user_agent)}
        self._headers: Mapping[str, str] = MappingProxyType({**_READ_HEADERS, **agent})

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    async def get(
        self, resource: ResourceType, key: ObjectKey, *, subresource: str = "", resource_version: str | None = None
    ) -> bytes:
        """
        Return one object, or one subresource of it.

        `resource_version` asks for a state at least as new as that, which the server may have at hand; `"0"` takes any.
        """
        doing = words("get", resource, key, subresource)
        path, query = _path(resource, key, subresource), _query(resourceVersion=resource_version)
        response = await self._send(doing, "GET", path, query=query)
        return response.body

    async def read(self, path: str, *, doing: str, accept: str = _JSON) -> bytes:
        """Return what stands at a path that is no resource's, such as `/apis`; `doing` names the request in words."""
        return (await self._send(doing, "GET", path, accept=accept)).body

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
        namespace = _scope(resource, namespace, field_selector)
        path = _collection_path(resource, namespace)
        doing = list_words("list", resource, namespace)
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
        Create the object in `body`; `namespace` is empty for cluster-scoped kinds, `name` is for messages alone.

        With `name` and `subresource` the body goes to that subresource of that object, such as `eviction`.
        """
        _check_namespace(resource, namespace)
        query = _write_query(field_owner, field_validation, dry_run=dry_run)
        key = ObjectKey(namespace, name)
        doing = words("create", resource, key, subresource) if name else list_words("create", resource, namespace)
        if not subresource:
            return await self._send(doing, "POST", resource.path(namespace), query=query, body=body)
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
        doing = words("update", resource, key, subresource)
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
        doing = words("apply" if content_type == APPLY else "patch", resource, key, subresource)
        path = _path(resource, key, subresource)
        return await self._send(doing, "PATCH", path, query=query, body=body, content_type=content_type)

    async def delete(self, resource: ResourceType, key: ObjectKey, body: bytes | None = None) -> HttpResponse:
        """Delete the object; `body` holds `DeleteOptions`. The answer holds the object or a `Status`."""
        return await self._send(words("delete", resource, key), "DELETE", _path(resource, key), body=body)

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
        doing = list_words("delete all", resource, namespace)
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
            idle_seconds: The longest silence once it is open; then `ConnectionFailedError`. None bears any.
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
        namespace = _scope(resource, namespace, field_selector)
        path = _collection_path(resource, namespace)
        headers = self._headers if accept == _JSON else {**self._headers, "Accept": accept}
        doing = list_words("watch", resource, namespace)
        request = HttpRequest(
            "GET", path, query, headers, None, idle_seconds, doing, opening_seconds=self._timeout_seconds
        )
        return self._stream(request)

    @asynccontextmanager
    async def _stream(self, request: HttpRequest) -> AsyncGenerator[AsyncIterator[bytes], None]:
        doing, waits = request.doing, 0
        while True:
            # A watch is a read: whether an earlier try was executed makes no difference, as it does in `_send`.
            async with self._transport.stream(request) as stream:
                self._warnings.take(doing, stream.headers)
                if stream.status == 200:
                    yield stream.lines
                    return
                body = await self._refusal_in(stream.lines, doing)
            error = api_error(parse_status(body, code=stream.status, headers=stream.headers), doing)
            await wait_out(error, waits, waits_max=self._waits_max, seconds_max=self._wait_seconds_max)
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
        headers = self._headers if accept == _JSON else {**self._headers, "Accept": accept}
        if body is not None:
            headers = {**headers, "Content-Type": content_type}
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        request = HttpRequest(method, path, query, headers, body, seconds, doing)
        waits, unclear_code = 0, 0
        while True:
            try:
                response = await self._transport.send(request)
            except ConnectionFailedError as failed:
                if not (unclear_code and failed.is_unsent):
                    raise
                raise _after_unclear_try(failed, unclear_code) from None
            self._warnings.take(doing, response.headers)
            if 200 <= response.status < 300:
                return response
            error = api_error(parse_status(response.body, code=response.status, headers=response.headers), doing)
            await wait_out(error, waits, waits_max=self._waits_max, seconds_max=self._wait_seconds_max)
            waits += 1
            # Only a 429 is certain to have done nothing.
            unclear_code = unclear_code if response.status == 429 else response.status

    async def _refusal_in(self, lines: AsyncIterator[bytes], doing: str) -> bytes:
        # A stream bears silence, and this is not one any more.
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await _first_lines(lines)
        except TimeoutError as error:
            seconds = self._timeout_seconds
            raise ConnectionFailedError(f"the server's refusal did not end within {seconds:g} s", doing) from error


def _after_unclear_try(failed: ConnectionFailedError, code: int) -> ConnectionFailedError:
    """Return what to raise where the last try was not sent, and an earlier one may have been executed."""
    what = str(failed).removeprefix(f"{failed.doing}: ")
    return ConnectionFailedError(f"{what}; an earlier try was answered {code} and may have been executed", failed.doing)


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


def _scope(resource: ResourceType, namespace: str | None, field_selector: str | None) -> str | None:
    """
    Return the namespace whose path is asked: the one given, or else the only one that the field selector allows.

    At the path of all namespaces a kube-apiserver repeats objects from page to page, and demands rights in all of them.
    """
    if namespace or not resource.is_namespaced:
        return namespace
    return pinned_namespace(field_selector or "") or None


def _collection_path(resource: ResourceType, namespace: str | None) -> str:
    if namespace:
        _check_namespace(resource, namespace)
    return resource.path(namespace or "")


def _check_namespace(resource: ResourceType, namespace: str) -> None:
    if resource.is_namespaced and not namespace:
        raise ValueError(f"{resource} live in namespaces, and none is given")
    if namespace and not resource.is_namespaced:
        raise ValueError(f"{resource} live in no namespace, but {namespace!r} is given")


def words(verb: str, resource: ResourceType, key: ObjectKey, subresource: str = "") -> str:
    """Return in words what is done to one object; every error of the request begins with them."""
    of = f" {subresource} of" if subresource else ""
    return f"{verb}{of} {resource} {key}"


def list_words(verb: str, resource: ResourceType, namespace: str | None) -> str:
    """Return in words what is done to all objects of a kind, of a namespace where one is given."""
    return f"{verb} {resource} in {namespace}" if namespace else f"{verb} {resource}"
