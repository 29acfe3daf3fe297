"""`Reads`: gets, lists and watches at the API server, typed and untyped. Nothing is cached here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, TypedDict, TypeVar, Unpack, cast, overload

import msgspec

from reconciler.api import (
    KubeObject,
    ObjectKey,
    ResourceType,
    field_selector_text,
    label_selector_text,
)
from reconciler.client.codec import UNREADABLE, decode_object, resource_of
from reconciler.client.contract import (
    FieldSelection,
    JsonObject,
    LabelSelection,
    ObjectList,
    ResourceVersionMatch,
    WatchEvent,
)
from reconciler.client.pages import PagedList
from reconciler.client.rest import RestClient, list_words, words
from reconciler.client.statuses import api_error, parse_status
from reconciler.errors import ExpiredError, MalformedObjectError

__all__ = ["Reads"]

ObjectT = TypeVar("ObjectT", bound=KubeObject)

_PAGE_LIMIT = 500


class _PageOptions(TypedDict, total=False):
    namespace: str | None
    label_selector: LabelSelection
    field_selector: FieldSelection
    limit: int
    restart_when_expired: bool


class Reads:
    """The reading half of `Client`; a `Reader`."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest

    @property
    def rest(self) -> RestClient:
        """The same server, without models and records."""
        return self._rest

    @overload
    async def get(self, kind: type[ObjectT], key: ObjectKey, *, resource_version: str | None = None) -> ObjectT: ...
    @overload
    async def get(self, kind: ResourceType, key: ObjectKey, *, resource_version: str | None = None) -> JsonObject: ...
    async def get(
        self, kind: type[ObjectT] | ResourceType, key: ObjectKey, *, resource_version: str | None = None
    ) -> ObjectT | JsonObject:
        """
        Return one object as it is now.

        Args:
            kind: What it is.
            key: Its name.
            resource_version: A state at least as new as this one will do, from the server's own cache; `"0"` takes any.

        Raises:
            NotFoundError: There is none of that name.
        """
        resource = resource_of(kind)
        body = await self._rest.get(resource, key, resource_version=resource_version)
        return decode_object(kind, body, doing=words("get", resource, key))

    @overload
    async def list(
        self,
        kind: type[ObjectT],
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        limit: int | None = _PAGE_LIMIT,
        resource_version: str | None = None,
        resource_version_match: ResourceVersionMatch | None = None,
    ) -> ObjectList[ObjectT]: ...
    @overload
    async def list(
        self,
        kind: ResourceType,
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        limit: int | None = _PAGE_LIMIT,
        resource_version: str | None = None,
        resource_version_match: ResourceVersionMatch | None = None,
    ) -> ObjectList[JsonObject]: ...
    async def list(
        self,
        kind: type[ObjectT] | ResourceType,
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        limit: int | None = _PAGE_LIMIT,
        resource_version: str | None = None,
        resource_version_match: ResourceVersionMatch | None = None,
    ) -> ObjectList[ObjectT] | ObjectList[JsonObject]:
        """
        Return the whole list, as it was at one moment.

        Args:
            kind: What to list.
            namespace: None means all namespaces.
            label_selector: A `LabelSelector`, text as in kubectl's `-l`, or labels that must be equal.
            field_selector: A `FieldSelector`, text as in kubectl's `--field-selector`, or fields that must be equal.
            limit: Objects a request; it does not shorten the list. None asks for all at once.
            resource_version: A moment like this one will do; `"0"` takes any that the server has at hand. None asks for
                the latest.
            resource_version_match: How it is meant; None is `NotOlderThan` for most servers and requests, but say it.

        A list whose pages outlive the server's history is asked for once more, in one piece.

        Mirrors: client-go `tools/pager`.
        """
        resource = resource_of(kind)
        pages = PagedList(
            self._rest,
            resource,
            namespace,
            label_selector_text(label_selector),
            field_selector_text(field_selector),
            resource_version,
            resource_version_match,
        )
        try:
            items, version = await pages.whole(limit)
        except ExpiredError:
            items, version = await pages.whole(None)
        decoded = tuple(decode_object(kind, memoryview(item), doing=pages.doing) for item in items)
        return cast("ObjectList[ObjectT] | ObjectList[JsonObject]", ObjectList(decoded, version))

    @overload
    def pages(
        self, kind: type[ObjectT], **options: Unpack[_PageOptions]
    ) -> AsyncGenerator[ObjectList[ObjectT], None]: ...
    @overload
    def pages(
        self, kind: ResourceType, **options: Unpack[_PageOptions]
    ) -> AsyncGenerator[ObjectList[JsonObject], None]: ...
    async def pages(
        self,
        kind: type[ObjectT] | ResourceType,
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        limit: int = _PAGE_LIMIT,
        restart_when_expired: bool = False,
    ) -> AsyncGenerator[ObjectList[Any], None]:
        """
        Yield a list page by page, each as it is asked for; all pages show the moment of the first.

        Args:
            kind: What to list.
            namespace: None means all namespaces.
            label_selector: A `LabelSelector`, text as in kubectl's `-l`, or labels that must be equal.
            field_selector: A `FieldSelector`, text as in kubectl's `--field-selector`, or fields that must be equal.
            limit: Objects a page.
            restart_when_expired: Whether a fresh list may take over where the server has forgotten the moment. It goes
                on after the last object yielded, by the server's order, and its pages carry its own resource version:
                each object comes at most once, but not all as they were at one moment.

        Raises:
            ExpiredError: The server forgot the moment between two pages (a kube-apiserver after 5 minutes). Raised
                with `restart_when_expired` too where a fresh list brought nothing new before it expired.

        Mirrors: client-go `tools/pager` `ListPager.EachListItem`.
        Differs: Go hides the expiry by a full list.
        """
        listed = PagedList(
            self._rest,
            resource_of(kind),
            namespace,
            label_selector_text(label_selector),
            field_selector_text(field_selector),
        )
        async with aclosing(listed.pages(limit, restart_when_expired=restart_when_expired)) as pages:
            async for page in pages:
                items = tuple(decode_object(kind, memoryview(item), doing=listed.doing) for item in page.items or ())
                yield ObjectList(items, page.metadata.resource_version)

    @overload
    def iterate(self, kind: type[ObjectT], **options: Unpack[_PageOptions]) -> AsyncGenerator[ObjectT, None]: ...
    @overload
    def iterate(self, kind: ResourceType, **options: Unpack[_PageOptions]) -> AsyncGenerator[JsonObject, None]: ...
    async def iterate(
        self,
        kind: type[ObjectT] | ResourceType,
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        limit: int = _PAGE_LIMIT,
        restart_when_expired: bool = False,
    ) -> AsyncGenerator[Any, None]:
        """Yield the objects of a list one by one, holding one page at a time; arguments and errors as in `pages`."""
        listed = PagedList(
            self._rest,
            resource_of(kind),
            namespace,
            label_selector_text(label_selector),
            field_selector_text(field_selector),
        )
        async with aclosing(listed.pages(limit, restart_when_expired=restart_when_expired)) as pages:
            async for page in pages:
                for item in page.items or ():
                    yield decode_object(kind, memoryview(item), doing=listed.doing)

    @overload
    def watch(
        self,
        kind: type[ObjectT],
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        timeout_seconds: int | None = None,
        idle_seconds: float | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[ObjectT]]]: ...
    @overload
    def watch(
        self,
        kind: ResourceType,
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        timeout_seconds: int | None = None,
        idle_seconds: float | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[JsonObject]]]: ...
    @asynccontextmanager
    async def watch(
        self,
        kind: type[ObjectT] | ResourceType,
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        timeout_seconds: int | None = None,
        idle_seconds: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[WatchEvent[Any]], None]:
        """
        Open a watch for one look at what changes; it ends when the server ends it. A cache goes on by itself.

        Args:
            kind: What to watch.
            namespace: None means all namespaces.
            resource_version: Changes after this one, such as a list's; None begins with all that is there, as ADDED.
            label_selector: A `LabelSelector`, text as in kubectl's `-l`, or labels that must be equal.
            field_selector: A `FieldSelector`, text as in kubectl's `--field-selector`, or fields that must be equal.
            timeout_seconds: After which the server ends the watch.
            idle_seconds: The longest silence; then `ConnectionFailedError`.

        Raises:
            ExpiredError: The resource version is too old; list again.
        """
        resource = resource_of(kind)
        async with (
            self._rest.watch(
                resource,
                namespace=namespace,
                resource_version=resource_version,
                timeout_seconds=timeout_seconds,
                label_selector=label_selector_text(label_selector),
                field_selector=field_selector_text(field_selector),
                idle_seconds=idle_seconds,
            ) as lines,
            aclosing(_events(kind, lines, list_words("watch", resource, namespace))) as events,
        ):
            yield events


class _EventLine(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


_event_decoder = msgspec.json.Decoder(_EventLine)


async def _events(kind: Any, lines: AsyncIterator[bytes], doing: str) -> AsyncGenerator[WatchEvent[Any], None]:
    async for line in lines:
        try:
            event = _event_decoder.decode(line)
        except UNREADABLE as error:
            raise MalformedObjectError(f"a line is not an event: {error}", doing) from None
        if event.type == "ERROR":
            raise api_error(parse_status(bytes(event.object)), doing)
        yield WatchEvent(event.type, decode_object(kind, memoryview(event.object), doing=doing))
