"""
A `Reader` that reads from the cache.

Answers cost no request, and may be behind: behind the server, and, unless `after_own_writes` is asked for, behind the
writes of the very pass that reads. To read past it, take the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TypeVar, overload

from reconciler.api import EncodedObject, KubeObject, ObjectKey, ResourceType
from reconciler.cache.cache import Cache
from reconciler.cache.informer import Informer
from reconciler.cache.last_writes import LastWrites
from reconciler.cache.selector import FieldRequirement, parse_field_selector, parse_label_selector
from reconciler.client import JsonObject, ObjectList, decode_object
from reconciler.errors import ApiStatus, CacheNotSyncedError, ConfigurationError, NotFoundError
from reconciler.journal import Journal, current_cause

__all__ = ["CachedReader"]

O = TypeVar("O", bound=KubeObject)  # noqa: E741

_OF_THE_KEY: Mapping[str, Callable[[ObjectKey], str]] = MappingProxyType({
    "metadata.name":      lambda key: key.name,
    "metadata.namespace": lambda key: key.namespace,
})  # fmt: skip


class CachedReader:
    """
    Reads objects from the informers of a cache; everything that it returns is decoded anew and belongs to the caller.

    The first read of a kind makes its informer. While the first list is not complete, a read waits for it, if the
    cache runs; a cache that does not run would never be synced, so there the read fails at once.

    Args:
        cache: Whose informers to read.
        sync_timeout: How long a read waits for the first list; None waits for ever.
        journal: That of the client that writes; tells `after_own_writes` of each write.
        own_writes_timeout: How long such a read waits.

    Raises, all verbs:
        CacheNotSyncedError: The first list is not complete, or failed with what waiting does not mend, or an own write
            was not seen in time; names the kind, its scope and what went wrong last.
        ConfigurationError: `after_own_writes` was asked for, and there is no journal.
        MalformedObjectError: The object does not fit the model.
        ValueError: The namespace does not fit the kind, or the cache holds another one only, or a model was asked for
            where it holds the metadata only.

    Mirrors: controller-runtime's `CacheReader`.
    Differs: the wait for a kind that is not synced is bounded by default.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        sync_timeout: timedelta | None = timedelta(seconds=30),
        journal: Journal | None = None,
        own_writes_timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        self._cache = cache
        self._sync_timeout = sync_timeout
        self._own_writes_timeout = own_writes_timeout
        self._last_writes: LastWrites | None = None
        if journal is not None:
            self._last_writes = LastWrites(lambda: cache.informers)
            self._last_writes.follow(journal)

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
        """
        informer = await self._synced(kind)
        if informer.resource.is_namespaced != bool(key.namespace):
            raise ValueError(f"{informer.resource}: the key {key} has {'a' if key.namespace else 'no'} namespace")
        _check_namespace(informer, key.namespace)
        if after_own_writes:
            await self._wait_for_own_writes(informer, key=key)
        found = informer.store.get(key)
        if found is None:
            resource = informer.resource
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
        label_selector: object = None,
        field_selector: object = None,
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
        label_selector: object = None,
        field_selector: object = None,
        index: str | None = None,
        value: str | None = None,
        after_own_writes: bool = False,
    ) -> ObjectList[JsonObject]: ...
    async def list(
        self,
        kind: type[O] | ResourceType,
        *,
        namespace: str | None = None,
        label_selector: object = None,
        field_selector: object = None,
        index: str | None = None,
        value: str | None = None,
        after_own_writes: bool = False,
    ) -> ObjectList[O] | ObjectList[JsonObject]:
        """
        Return all objects that fit, in order of their names, as of one moment.

        Args:
            kind: What to list.
            namespace: None or empty means all that the cache holds.
            label_selector: As in kubectl's `-l`, as text or as anything whose `str()` is that.
            field_selector: The same, over `metadata.name`, `metadata.namespace` and the names of the kind's indexes
                (`Cache.index_field`), with `=` or `!=`. One `=` over an index spares the look at every object.
            index: Only what has `value` in this index (`Informer.add_index`).
            value: See `index`; both or none.
            after_own_writes: First wait until the cache has seen this controller's last write of each object of the
                kind in `namespace`.

        Raises:
            ValueError: A selector cannot be parsed, or names a field that the cache cannot select by, or there is no
                such index.

        Mirrors: controller-runtime `CacheReader.List`.
        Differs: any number of field requirements, also `!=`.
        """
        labels, fields = _text(label_selector), parse_field_selector(_text(field_selector))
        has_labels = parse_label_selector(labels)
        if (index is None) is not (value is None):
            raise ValueError("index and value go together: give both or none")
        informer = self._cache.informer(kind)
        _check_fields(informer, fields)
        await self._synced(kind)
        if namespace:
            _check_namespace(informer, namespace)
        if after_own_writes:
            await self._wait_for_own_writes(informer, namespace=namespace or "")
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
            raise ConfigurationError("after_own_writes needs a CachedReader that was given the client's journal")
        cause = current_cause.get()
        scope, unseen = cause.scope if cause else "", ""
        try:
            async with asyncio.timeout(self._own_writes_timeout.total_seconds()):
                while unseen := self._last_writes.unseen(informer, scope, key=key, namespace=namespace):
                    await self._cache.news.wait()
        except TimeoutError:
            within = f"{self._own_writes_timeout.total_seconds():g} s"
            raise CacheNotSyncedError(f"{informer.describe()}; within {within} it has not seen {unseen}") from None

    async def _synced(self, kind: type[KubeObject] | ResourceType) -> Informer:
        informer = self._cache.informer(kind)
        if informer.options.metadata_only and not isinstance(kind, ResourceType):
            raise ValueError(
                f"the cache holds the metadata of {informer.resource} only: read it by its ResourceType, or the whole "
                "object with the client"
            )
        if not informer.is_synced:
            if not self._cache.is_running:
                raise CacheNotSyncedError(f"{informer.describe()}: the cache does not run")
            await informer.wait_for_sync(self._sync_timeout)
        return informer


def _text(selector: object) -> str:
    return "" if selector is None else str(selector)


def _check_namespace(informer: Informer, namespace: str) -> None:
    if namespace and not informer.resource.is_namespaced:
        raise ValueError(f"{informer.resource} live in no namespace, but {namespace!r} is given")
    if informer.namespaces and namespace not in informer.namespaces:
        held = ", ".join(map(repr, informer.namespaces))
        raise ValueError(f"the cache holds {informer.resource} of namespace {held} only, not of {namespace!r}")


def _check_fields(informer: Informer, fields: Iterable[FieldRequirement]) -> None:
    for required in fields:
        if required.field not in _OF_THE_KEY and not informer.store.has_index(required.field):
            raise ValueError(
                f"field selector over {required.field!r}: the cache selects {informer.resource} by metadata.name and "
                "metadata.namespace, and by fields with an index (Cache.index_field)"
            )


def _candidates(informer: Informer, fields: Iterable[FieldRequirement]) -> Iterable[EncodedObject]:
    for required in fields:
        if required.is_equal and required.field not in _OF_THE_KEY:
            return informer.by_index(required.field, required.value)
    return informer.store


def _fits(informer: Informer, key: ObjectKey, required: FieldRequirement) -> bool:
    if of_the_key := _OF_THE_KEY.get(required.field):
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
