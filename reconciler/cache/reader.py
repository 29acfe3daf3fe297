"""
A `Reader` that reads from the cache.

Answers cost no request, and may be behind: behind the server, and, unless `after_own_writes` is asked for, behind the
writes of the very pass that reads. To read past it, take the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable
from datetime import timedelta
from typing import TypeVar, overload

from reconciler.api import (
    EncodedObject,
    KubeObject,
    ObjectKey,
    ResourceType,
    field_selector_text,
    label_selector_text,
)
from reconciler.cache.cache import Cache
from reconciler.cache.handle import InformerHandle
from reconciler.cache.informer import Informer
from reconciler.cache.last_writes import LastWrites
from reconciler.cache.selection import FIELDS_OF_THE_KEY
from reconciler.cache.selector import FieldRequirement, parse_field_selector, parse_label_selector
from reconciler.client import Client, FieldSelection, JsonObject, LabelSelection, ObjectList, decode_object
from reconciler.errors import (
    ApiStatus,
    CacheNotSyncedError,
    ConfigurationError,
    MalformedObjectError,
    NotFoundError,
)
from reconciler.journal import current_cause

__all__ = ["CachedReader"]

O = TypeVar("O", bound=KubeObject)  # noqa: E741


class CachedReader:
    """
    Reads objects from the informers of a cache; everything that it returns is decoded anew and belongs to the caller.

    The first read of a kind makes its informer. While the first list is not complete, a read waits for it, if the
    cache runs; a cache that does not run would never be synced, so there the read fails at once. Where a cache follows
    some namespaces, a read of one of them waits for that one alone. An informer that a read made ends again if that
    read fails while its list fails, and nobody else uses it.

    Args:
        cache: Whose informers to read.
        sync_timeout: How long a read waits for the first list; None waits for ever.
        client: Whose writes `after_own_writes` waits for; it must write to the API server that the cache reads.
            `follow` adds others.
        own_writes_timeout: How long such a read waits.

    Raises, all verbs:
        CacheNotSyncedError: The first list is not complete, or failed with what waiting does not mend, or an own write
            was not seen in time; names the kind, its scope and what went wrong last.
        ConfigurationError: `after_own_writes` was asked for, and no client is followed.
        MalformedObjectError: The object does not fit the model, or (see the verbs) could not be read into the cache.
        ValueError: The namespace does not fit the kind, or the cache holds another one only, or a model was asked for
            where it holds the metadata only.

    Mirrors: controller-runtime's `CacheReader`.
    Differs: the wait for a kind that is not synced is bounded by default. Two API servers are two readers, each with
    its own client.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        sync_timeout: timedelta | None = timedelta(seconds=30),
        client: Client | None = None,
        own_writes_timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        self._cache = cache
        self._sync_timeout = sync_timeout
        self._own_writes_timeout = own_writes_timeout
        self._known: dict[ResourceType, Informer] = {}
        # Those that this reader made, and its hold on them.
        self._made: dict[ResourceType, Informer] = {}
        self._holds: dict[ResourceType, InformerHandle] = {}
        self._last_writes: LastWrites | None = None
        if client is not None:
            self.follow(client)

    def follow(self, client: Client) -> None:
        """Let `after_own_writes` wait for the writes of one more client of the same API server, from now on."""
        if self._last_writes is None:
            self._last_writes = LastWrites()
        client.subscribe(self._last_writes.take)

    @overload
    async def get(self, kind: type[O], key: ObjectKey, *, after_own_writes: bool = False) -> O: ...
    @overload
    async def get(self, kind: ResourceType, key: ObjectKey, *, after_own_writes: bool = False) -> JsonObject: ...
    async def get(
        self, kind: type[O] | ResourceType, key: ObjectKey, *, after_own_writes: bool = False
    ) -> O | JsonObject:
        """
        Return one object.

        Args:
            kind: Of which kind.
            key: Which one.
            after_own_writes: First wait until the cache has seen this controller's last write of the object.

        Raises:
            NotFoundError: The cache knows none of that name.
            MalformedObjectError: Also where the cache could never read the object, or, with `after_own_writes`, not
                its present state; a plain read returns the last state that could be read.
        """
        resource = _resource(kind)
        if resource.is_namespaced != bool(key.namespace):
            raise ValueError(f"{resource}: the key {key} has {'a' if key.namespace else 'no'} namespace")
        informer = await self._synced(kind, key.namespace)
        if after_own_writes:
            await self._wait_for_own_writes(informer, key=key)
        found = informer.store.get(key)
        if found is None or after_own_writes:
            _check_readable(informer, {key})
        if found is None:
            message = f'{resource} "{key.name}" not found'
            details = {"name": key.name, "group": resource.group, "kind": resource.plural}
            status = ApiStatus(404, "NotFound", message, details=details)
            raise NotFoundError(status, f"get {resource} {key} from the cache")
        return _decode(kind, found)

    @overload
    async def list(
        self,
        kind: type[O],
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        index: str | None = None,
        value: str | None = None,
        after_own_writes: bool = False,
    ) -> ObjectList[O]: ...
    @overload
    async def list(
        self,
        kind: ResourceType,
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        index: str | None = None,
        value: str | None = None,
        after_own_writes: bool = False,
    ) -> ObjectList[JsonObject]: ...
    async def list(
        self,
        kind: type[O] | ResourceType,
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        index: str | None = None,
        value: str | None = None,
        after_own_writes: bool = False,
    ) -> ObjectList[O] | ObjectList[JsonObject]:
        """
        Return all objects that fit, in order of their names, as of one moment.

        Args:
            kind: What to list.
            namespace: None or empty means all that the cache holds.
            label_selector: A `LabelSelector`, text as in kubectl's `-l`, or labels that must be equal.
            field_selector: A `FieldSelector`, text, or fields that must be equal; over `metadata.name`,
                `metadata.namespace` and the names of the kind's indexes (`Cache.index_field`), with `=` or `!=`. One
                `=` over an index spares the look at every object.
            index: Only what has `value` in this index (`Informer.add_index`).
            value: See `index`; both or none.
            after_own_writes: First wait until the cache has seen this controller's last write of each object of the
                kind in `namespace`.

        Raises:
            MalformedObjectError: Also, with `after_own_writes`, where the cache could not read what this controller
                wrote. Other objects that cannot be read are there in their last readable state, or left out.
            ValueError: A selector cannot be parsed, or names a field that the cache cannot select by, or there is no
                such index.

        Mirrors: controller-runtime `CacheReader.List`.
        Differs: any number of field requirements, also `!=`.
        """
        labels = label_selector_text(label_selector)
        fields = parse_field_selector(field_selector_text(field_selector))
        has_labels = parse_label_selector(labels)
        if (index is None) is not (value is None):
            raise ValueError("index and value go together: give both or none")
        informer = await self._synced(kind, namespace or "", fields)
        if after_own_writes:
            await self._wait_for_own_writes(informer, namespace=namespace or "")
            mine = self._may_be_unreadable(informer, namespace or "")
            by_index = index is not None or any(each.field not in FIELDS_OF_THE_KEY for each in fields)
            _check_readable(informer, mine, by_index=by_index)
        if index is not None and value is not None:
            candidates: Iterable[EncodedObject] = informer.by_index(index, value)
        else:
            candidates = _candidates(informer, fields)
        found = sorted(
            (
                item
                for item in candidates
                if (not namespace or item.key.namespace == namespace)
                and all(_fits(informer, item.key, field) for field in fields)
                and (not labels or has_labels(item.metadata.labels))
            ),
            key=lambda item: item.key,
        )
        return _decode_all(kind, found)

    @overload
    async def by_index(
        self, kind: type[O], index: str, value: str, *, namespace: str | None = None, after_own_writes: bool = False
    ) -> ObjectList[O]: ...
    @overload
    async def by_index(
        self,
        kind: ResourceType,
        index: str,
        value: str,
        *,
        namespace: str | None = None,
        after_own_writes: bool = False,
    ) -> ObjectList[JsonObject]: ...
    async def by_index(
        self,
        kind: type[O] | ResourceType,
        index: str,
        value: str,
        *,
        namespace: str | None = None,
        after_own_writes: bool = False,
    ) -> ObjectList[O] | ObjectList[JsonObject]:
        """Return what has `value` in the index, in order of the names; `list` has the arguments and errors."""
        if isinstance(kind, ResourceType):
            return await self.list(
                kind, namespace=namespace, index=index, value=value, after_own_writes=after_own_writes
            )
        return await self.list(kind, namespace=namespace, index=index, value=value, after_own_writes=after_own_writes)

    async def _wait_for_own_writes(
        self, informer: Informer, *, key: ObjectKey | None = None, namespace: str = ""
    ) -> None:
        if self._last_writes is None:
            raise ConfigurationError("after_own_writes needs a CachedReader that was given the client")
        cause = current_cause.get()
        scope, unseen = cause.scope if cause else "", ""
        try:
            async with asyncio.timeout(self._own_writes_timeout.total_seconds()):
                while unseen := self._last_writes.unseen(informer, scope, key=key, namespace=namespace):
                    if not informer.is_synced_in(key.namespace if key else namespace):
                        break
                    await self._cache.news.wait()
        except TimeoutError:
            within = f"{self._own_writes_timeout.total_seconds():g} s"
            raise CacheNotSyncedError(f"{informer.describe()}; within {within} it has not seen {unseen}") from None
        if not informer.is_synced_in(key.namespace if key else namespace):
            # It was released meanwhile, or its cache ended: what the store holds answers nothing.
            raise CacheNotSyncedError(informer.describe())

    def _may_be_unreadable(self, informer: Informer, namespace: str) -> Container[ObjectKey]:
        """Return what this controller wrote, as far as it is not known to be readable."""
        cause = current_cause.get()
        if self._last_writes is None or not informer.store.unreadable:
            return ()
        return self._last_writes.keys(informer.resource, cause.scope if cause else "", namespace)

    async def _synced(
        self, kind: type[KubeObject] | ResourceType, namespace: str, fields: tuple[FieldRequirement, ...] = ()
    ) -> Informer:
        informer = self._known.get(_resource(kind))
        if informer is None or informer.has_ended:
            return await self._first_synced(kind, namespace, fields)
        _check(kind, informer, namespace, fields)
        if not informer.is_synced:
            await self._wait_for_sync(informer, namespace)
        return informer

    async def _first_synced(
        self, kind: type[KubeObject] | ResourceType, namespace: str, fields: tuple[FieldRequirement, ...]
    ) -> Informer:
        handle = self._acquire(kind)
        informer = handle.informer
        try:
            _check(kind, informer, namespace, fields)
            await self._wait_for_sync(informer, namespace)
            self._keep(handle)
            self._known[informer.resource] = informer
        except (CacheNotSyncedError, asyncio.CancelledError):
            # A list that only takes long goes on for the next read.
            if informer.status().problem is None:
                self._keep(handle)
            raise
        finally:
            if self._holds.get(informer.resource) is not handle:
                handle.release()
        return informer

    def _acquire(self, kind: type[KubeObject] | ResourceType) -> InformerHandle:
        """Hold the informer for the time of a read, so that the last of those that fail ends it."""
        resource = _resource(kind)
        if any(informer.resource == resource for informer in self._cache.informers):
            # As anybody who asks for it without a handle: it stays, unless somebody holds it.
            self._cache.informer(kind)
            return self._cache.acquire(kind)
        handle = self._cache.acquire(kind)
        self._made[resource] = handle.informer
        return handle

    def _keep(self, handle: InformerHandle) -> None:
        """Let an informer that this reader made stay, until `Cache.release`."""
        resource = handle.informer.resource
        if self._made.get(resource) is not handle.informer:
            return
        before = self._holds.get(resource)
        self._holds[resource] = handle
        if before is not None:
            before.release()

    async def _wait_for_sync(self, informer: Informer, namespace: str) -> None:
        if informer.is_synced_in(namespace):
            return
        if not self._cache.is_running:
            raise CacheNotSyncedError(informer.describe())
        await informer.wait_for_sync(self._sync_timeout, namespace=namespace)


def _resource(kind: type[KubeObject] | ResourceType) -> ResourceType:
    return kind if isinstance(kind, ResourceType) else kind.resource


def _check(
    kind: type[KubeObject] | ResourceType, informer: Informer, namespace: str, fields: tuple[FieldRequirement, ...]
) -> None:
    if informer.options.metadata_only and not isinstance(kind, ResourceType):
        raise ValueError(
            f"the cache holds the metadata of {informer.resource} only: read it by its ResourceType, or the whole "
            "object with the client"
        )
    if namespace:
        _check_namespace(informer, namespace)
    if fields:
        _check_fields(informer, fields)


def _check_readable(informer: Informer, keys: Container[ObjectKey], *, by_index: bool = False) -> None:
    """Raise where the store does not hold the present state of one of `keys`, or an index that is asked lacks it."""
    for item in informer.store.unreadable:
        if item.key in keys and (by_index or not item.is_held):
            raise MalformedObjectError(f"the cache could not read it: {item.reason}", f"{informer.resource} {item.key}")


def _check_namespace(informer: Informer, namespace: str) -> None:
    if namespace and not informer.resource.is_namespaced:
        raise ValueError(f"{informer.resource} live in no namespace, but {namespace!r} is given")
    if informer.namespaces and namespace not in informer.namespaces:
        held = ", ".join(map(repr, informer.namespaces))
        raise ValueError(f"the cache holds {informer.resource} of namespace {held} only, not of {namespace!r}")


def _check_fields(informer: Informer, fields: Iterable[FieldRequirement]) -> None:
    for required in fields:
        if required.field not in FIELDS_OF_THE_KEY and not informer.store.has_index(required.field):
            raise ValueError(
                f"field selector over {required.field!r}: the cache selects {informer.resource} by metadata.name and "
                "metadata.namespace, and by fields with an index (Cache.index_field)"
            )


def _candidates(informer: Informer, fields: Iterable[FieldRequirement]) -> Iterable[EncodedObject]:
    for required in fields:
        if required.is_equal and required.field not in FIELDS_OF_THE_KEY:
            return informer.by_index(required.field, required.value)
    return informer.store


def _fits(informer: Informer, key: ObjectKey, required: FieldRequirement) -> bool:
    if of_the_key := FIELDS_OF_THE_KEY.get(required.field):
        return (of_the_key(key) == required.value) is required.is_equal
    return (required.value in informer.store.index_values(required.field, key)) is required.is_equal


def _decode(kind: type[O] | ResourceType, item: EncodedObject) -> O | JsonObject:
    if isinstance(kind, ResourceType):
        return decode_object(kind, item.body)
    return decode_object(kind, item.body)


def _decode_all(kind: type[O] | ResourceType, items: list[EncodedObject]) -> ObjectList[O] | ObjectList[JsonObject]:
    if isinstance(kind, ResourceType):
        return ObjectList(tuple(decode_object(kind, item.body) for item in items))
    return ObjectList(tuple(decode_object(kind, item.body) for item in items))
