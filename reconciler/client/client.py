"""
`Client`: reads and writes objects at the API server, and says in the journal what it wrote.

Every write becomes a `Wrote` record, also one that was refused or never answered, under the pass that caused it; a
write that carried a resource version also goes into the own-write ledger. Names and versions are recorded, contents
never. Nothing is cached here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast, overload

import msgspec

from reconciler.api import KubeObject, ObjectKey, ResourceType
from reconciler.client.codec import Header, decode_list, decode_object, encode, encode_object, read_header, resource_of
from reconciler.client.contract import JsonObject, ObjectList, WatchEvent
from reconciler.client.own_writes import OwnWrites
from reconciler.client.rest import RestClient
from reconciler.client.statuses import api_error, parse_status
from reconciler.client.transport import HttpResponse
from reconciler.clock import LoopClock
from reconciler.errors import ApiError, ExpiredError, MalformedObjectError
from reconciler.instant import Clock
from reconciler.journal import Journal, Wrote, current_cause

__all__ = ["Client", "StatusClient"]

ObjectT = TypeVar("ObjectT", bound=KubeObject)

_PAGE_LIMIT = 500


class Client:
    """
    Reads and writes objects of any kind, typed and untyped; a `Reader` and a `Writer`.

    A subclass of `KubeObject` gives instances, a `ResourceType` gives dictionaries. What a method returns is always a
    new object. Errors: those of `RestClient`, and `MalformedObjectError` where the server's answer does not fit the
    model (a write has happened then).

    Args:
        rest: Makes the requests.
        journal: Takes a `Wrote` record for each write; None records nothing.
        ledger: Learns which versions the writes produced; None keeps no count of them.
        clock: Gives the records their time.

    Mirrors: controller-runtime `client.Client`.
    Differs: returns objects instead of filling them in; `update` of a stale object and a lost answer are recorded.
    """

    def __init__(
        self,
        rest: RestClient,
        *,
        journal: Journal | None = None,
        ledger: OwnWrites | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._rest = rest
        self._writes = _Writes(rest, journal, ledger, clock or LoopClock())
        self._status = StatusClient(self._writes)

    @property
    def rest(self) -> RestClient:
        """The same server, without models and records."""
        return self._rest

    @property
    def status(self) -> StatusClient:
        """The status subresource."""
        return self._status

    @overload
    async def get(self, kind: type[ObjectT], key: ObjectKey) -> ObjectT: ...
    @overload
    async def get(self, kind: ResourceType, key: ObjectKey) -> JsonObject: ...
    async def get(self, kind: type[ObjectT] | ResourceType, key: ObjectKey) -> ObjectT | JsonObject:
        """Return one object as it is now. Raises `NotFoundError` where there is none."""
        return decode_object(kind, await self._rest.get(resource_of(kind), key))

    @overload
    async def list(
        self,
        kind: type[ObjectT],
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = _PAGE_LIMIT,
    ) -> ObjectList[ObjectT]: ...
    @overload
    async def list(
        self,
        kind: ResourceType,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = _PAGE_LIMIT,
    ) -> ObjectList[JsonObject]: ...
    async def list(
        self,
        kind: type[ObjectT] | ResourceType,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = _PAGE_LIMIT,
    ) -> ObjectList[ObjectT] | ObjectList[JsonObject]:
        """
        Return the whole list, as it was at one moment.

        Args:
            kind: What to list.
            namespace: None means all namespaces.
            label_selector: As in kubectl's `-l`.
            field_selector: As in kubectl's `--field-selector`.
            limit: Objects a request; it does not shorten the list. None asks for all at once.

        A list whose pages outlive the server's history is asked for once more, in one piece.

        Mirrors: client-go `tools/pager`.
        """
        resource = resource_of(kind)
        pages = _Pages(self._rest, resource, namespace, label_selector, field_selector)
        try:
            items, version = await pages.read(limit)
        except ExpiredError:
            items, version = await pages.read(None)
        decoded = tuple(decode_object(kind, memoryview(item)) for item in items)
        return cast("ObjectList[ObjectT] | ObjectList[JsonObject]", ObjectList(decoded, version))

    @overload
    def watch(
        self,
        kind: type[ObjectT],
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
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
        label_selector: str | None = None,
        field_selector: str | None = None,
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
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_seconds: int | None = None,
        idle_seconds: float | None = None,
    ) -> AsyncGenerator[AsyncIterator[WatchEvent[Any]], None]:
        """
        Open a watch for one look at what changes; it ends when the server ends it. A cache goes on by itself.

        Args:
            kind: What to watch.
            namespace: None means all namespaces.
            resource_version: Changes after this one, such as a list's; None begins with all that is there, as ADDED.
            label_selector: As in kubectl's `-l`.
            field_selector: As in kubectl's `--field-selector`.
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
                label_selector=label_selector,
                field_selector=field_selector,
                idle_seconds=idle_seconds,
            ) as lines,
            aclosing(_events(kind, lines)) as events,
        ):
            yield events

    @overload
    async def create(self, obj: ObjectT) -> ObjectT: ...
    @overload
    async def create(self, obj: JsonObject, *, resource: ResourceType) -> JsonObject: ...
    async def create(self, obj: ObjectT | JsonObject, *, resource: ResourceType | None = None) -> ObjectT | JsonObject:
        """Create the object; return it as stored. Raises `AlreadyExistsError` where the name is taken."""
        kind, header = _kind_of(obj, resource), _header_of(obj)
        name = header.name or f"{_metadata(obj).get('generateName', '')}*"
        target = _Target("create", resource_of(kind), ObjectKey(header.namespace, name))
        body = encode_object(obj, target.resource)
        answer = await self._writes.make(target, lambda: self._rest.create(target.resource, header.namespace, body))
        return cast("ObjectT | JsonObject", decode_object(kind, answer.body))

    @overload
    async def update(self, obj: ObjectT) -> ObjectT: ...
    @overload
    async def update(self, obj: JsonObject, *, resource: ResourceType) -> JsonObject: ...
    async def update(self, obj: ObjectT | JsonObject, *, resource: ResourceType | None = None) -> ObjectT | JsonObject:
        """
        Replace the object, only if nobody wrote since `obj` was read; return it as stored.

        Fields that the kind's schema does not know are dropped by the server, without an error.

        Raises:
            ConflictError: Somebody wrote since; read again and re-apply.
        """
        return cast("ObjectT | JsonObject", await self._writes.update(obj, resource, ""))

    @overload
    async def patch(self, kind: type[ObjectT], key: ObjectKey, patch: Mapping[str, Any]) -> ObjectT: ...
    @overload
    async def patch(self, kind: ResourceType, key: ObjectKey, patch: Mapping[str, Any]) -> JsonObject: ...
    async def patch(
        self, kind: type[ObjectT] | ResourceType, key: ObjectKey, patch: Mapping[str, Any]
    ) -> ObjectT | JsonObject:
        """
        Merge `patch` into the object (JSON merge patch: None removes a field, lists are replaced).

        With `metadata.resourceVersion` in it the patch is refused (`ConflictError`) if somebody wrote since.
        """
        return cast("ObjectT | JsonObject", await self._writes.patch(kind, key, patch, ""))

    async def delete(
        self,
        kind: type[KubeObject] | ResourceType,
        key: ObjectKey,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """
        Ask for the object's deletion; with finalizers it stays until they are gone.

        Args:
            kind: What to delete.
            key: Its name.
            uid: Only if the object still is this one (`ConflictError` otherwise).
            resource_version: Only if nobody wrote since.
        """
        wanted = {"uid": uid, "resourceVersion": resource_version}
        conditions = {name: value for name, value in wanted.items() if value}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        body = encode(options) if conditions else None
        target = _Target("delete", resource_of(kind), key, old_version=resource_version or "")
        await self._writes.make(target, lambda: self._rest.delete(target.resource, key, body))


class StatusClient:
    """
    Writes the status subresource: the server ignores everything but `status`.

    Mirrors: controller-runtime `client.SubResourceWriter`.
    """

    def __init__(self, writes: _Writes) -> None:
        self._writes = writes

    @overload
    async def update(self, obj: ObjectT) -> ObjectT: ...
    @overload
    async def update(self, obj: JsonObject, *, resource: ResourceType) -> JsonObject: ...
    async def update(self, obj: ObjectT | JsonObject, *, resource: ResourceType | None = None) -> ObjectT | JsonObject:
        """Replace `status`, only if nobody wrote since `obj` was read; return the object as stored."""
        return cast("ObjectT | JsonObject", await self._writes.update(obj, resource, "status"))

    @overload
    async def patch(self, kind: type[ObjectT], key: ObjectKey, patch: Mapping[str, Any]) -> ObjectT: ...
    @overload
    async def patch(self, kind: ResourceType, key: ObjectKey, patch: Mapping[str, Any]) -> JsonObject: ...
    async def patch(
        self, kind: type[ObjectT] | ResourceType, key: ObjectKey, patch: Mapping[str, Any]
    ) -> ObjectT | JsonObject:
        """
        Merge `{"status": {...}}` into the object; return it as stored.

        With `metadata.resourceVersion` in it the patch is refused (`ConflictError`) if somebody wrote since.
        """
        return cast("ObjectT | JsonObject", await self._writes.patch(kind, key, patch, "status"))


@dataclass(frozen=True, slots=True)
class _Target:
    """What a write is aimed at. `old_version` is the resource version that it demands; empty if none."""

    verb: str
    resource: ResourceType
    key: ObjectKey
    subresource: str = ""
    old_version: str = ""
    uid: str = ""

    @property
    def is_linked(self) -> bool:
        # A deletion makes no link: its event is never quiet, whoever caused it.
        return bool(self.old_version) and self.verb != "delete"

    def words(self, header: Header) -> str:
        plural = f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural
        key = self.key if not header.name else ObjectKey(header.namespace, header.name)
        return f"{plural} {key}"


class _Writes:
    """Makes writes, and takes note of each."""

    def __init__(self, rest: RestClient, journal: Journal | None, ledger: OwnWrites | None, clock: Clock) -> None:
        self._rest = rest
        self._journal = journal
        self._ledger = ledger
        self._clock = clock

    async def update(self, obj: Any, resource: ResourceType | None, subresource: str) -> Any:
        kind, header = _kind_of(obj, resource), _header_of(obj)
        key = ObjectKey(header.namespace, header.name)
        target = _Target("update", resource_of(kind), key, subresource, header.resource_version, header.uid)
        body = encode_object(obj, target.resource)
        answer = await self.make(target, lambda: self._rest.update(target.resource, key, body, subresource=subresource))
        return decode_object(kind, answer.body)

    async def patch(self, kind: Any, key: ObjectKey, patch: Mapping[str, Any], subresource: str) -> Any:
        header = _header_of(patch)
        target = _Target("patch", resource_of(kind), key, subresource, header.resource_version, header.uid)
        body = encode(patch)
        answer = await self.make(target, lambda: self._rest.patch(target.resource, key, body, subresource=subresource))
        return decode_object(kind, answer.body)

    async def make(self, target: _Target, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
        """
        Send a write, and take note of what became of it.

        Cancelled: noted as a write without an answer.
        """
        cause = current_cause.get()
        pending = None
        if self._ledger is not None and cause is not None and target.is_linked:
            pending = self._ledger.started(
                cause.scope, target.old_version, uid=target.uid, pass_id=0 if cause.is_over else cause.record_id
            )
        code, header = 0, Header()
        try:
            answer = await send()
            code, header = answer.status, read_header(answer.body)
        except ApiError as error:
            code = error.status.code
            raise
        finally:
            if self._ledger is not None and pending is not None:
                self._ledger.finished(pending, uid=header.uid, new_version=header.resource_version)
            self._note(target, header, code)
        return answer

    def _note(self, target: _Target, header: Header, code: int) -> None:
        if self._journal is None:
            return
        cause = current_cause.get()
        self._journal.append(
            Wrote(
                id=self._journal.new_id(),
                causes=(cause.record_id,) if cause else (),
                at=self._clock.now(),
                scope=cause.scope if cause else "",
                # Outside of passes by the kind: a key for each object written (each Event has a name of its own) would
                # push the histories of sleeping keys out of the journal.
                key=cause.key if cause else target.resource,
                verb=target.verb,
                target=target.words(header),
                old_version=target.old_version,
                new_version=header.resource_version,
                code=code,
                is_late=cause is not None and cause.is_over,
            )
        )


@dataclass(frozen=True, slots=True)
class _Pages:
    """The pages of one list."""

    rest: RestClient
    resource: ResourceType
    namespace: str | None
    label_selector: str | None
    field_selector: str | None

    async def read(self, limit: int | None) -> tuple[list[msgspec.Raw], str]:
        items: list[msgspec.Raw] = []
        token: str | None = None
        while True:
            body = await self.rest.list_page(
                self.resource,
                namespace=self.namespace,
                label_selector=self.label_selector,
                field_selector=self.field_selector,
                limit=limit,
                continue_token=token,
            )
            page = decode_list(self.resource, body)
            items += page.items or ()
            token = page.metadata.continue_
            if not token:
                return items, page.metadata.resource_version


class _EventLine(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


_event_decoder = msgspec.json.Decoder(_EventLine)


async def _events(kind: Any, lines: AsyncIterator[bytes]) -> AsyncGenerator[WatchEvent[Any], None]:
    resource = resource_of(kind)
    async for line in lines:
        try:
            event = _event_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedObjectError(f"watch {resource}: a line is not an event: {error}") from error
        if event.type == "ERROR":
            raise api_error(parse_status(bytes(event.object)), f"watch {resource}")
        yield WatchEvent(event.type, decode_object(kind, memoryview(event.object)))


def _kind_of(obj: Any, resource: ResourceType | None) -> Any:
    if isinstance(obj, KubeObject):
        return type(obj)
    if resource is None:
        raise TypeError("an untyped object needs resource=, which says where in the API it lives")
    return resource


def _metadata(obj: Any) -> Mapping[str, Any]:
    wire = obj.metadata.to_wire() if isinstance(obj, KubeObject) else obj.get("metadata")
    return cast("Mapping[str, Any]", wire) if isinstance(wire, Mapping) else {}


def _header_of(obj: Any) -> Header:
    metadata = _metadata(obj)
    return Header(
        name=metadata.get("name") or "",
        namespace=metadata.get("namespace") or "",
        uid=metadata.get("uid") or "",
        resource_version=metadata.get("resourceVersion") or "",
    )
