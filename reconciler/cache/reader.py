"""
A `Reader` that reads from the cache.

Answers cost no request, and may be behind: behind the server, and behind the writes of the very pass that reads. To
read past it, take the client.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar, overload

from reconciler.api import EncodedObject, KubeObject, ObjectKey, ResourceType
from reconciler.cache.cache import Cache
from reconciler.cache.informer import Informer
from reconciler.cache.selector import parse_field_selector, parse_label_selector
from reconciler.client import JsonObject, ObjectList, decode_object
from reconciler.errors import ApiStatus, CacheNotSyncedError, NotFoundError

__all__ = ["CachedReader"]

O = TypeVar("O", bound=KubeObject)  # noqa: E741


class CachedReader:
    """
    Reads objects from the informers of a cache; everything that it returns is decoded anew and belongs to the caller.

    The first read of a kind makes its informer. While the first list is not complete, a read waits for it, if the
    cache runs; a cache that does not run would never be synced, so there the read fails at once.

    Args:
        cache: Whose informers to read.
        sync_timeout: How long a read waits for the first list; None waits for ever.

    Raises, both verbs:
        CacheNotSyncedError: The first list is not complete; names the kind, its scope and what went wrong last.
        MalformedObjectError: The object does not fit the model.
        ValueError: The namespace does not fit the kind, or the cache holds another one only.

    Mirrors: controller-runtime's `CacheReader`.
    Differs: the wait for a kind that is not synced is bounded by default.
    """

    def __init__(self, cache: Cache, *, sync_timeout: timedelta | None = timedelta(seconds=30)) -> None:
        self._cache = cache
        self._sync_timeout = sync_timeout

    @overload
    async def get(self, kind: type[O], key: ObjectKey) -> O: ...
    @overload
    async def get(self, kind: ResourceType, key: ObjectKey) -> JsonObject: ...
    async def get(self, kind: type[O] | ResourceType, key: ObjectKey) -> O | JsonObject:
        """Return one object. Raises `NotFoundError` where the cache knows none of that name."""
        informer = await self._synced(kind)
        if informer.resource.is_namespaced != bool(key.namespace):
            raise ValueError(f"{informer.resource}: the key {key} has {'a' if key.namespace else 'no'} namespace")
        _check_namespace(informer, key.namespace)
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
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> ObjectList[O]: ...
    @overload
    async def list(
        self,
        kind: ResourceType,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> ObjectList[JsonObject]: ...
    async def list(
        self,
        kind: type[O] | ResourceType,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> ObjectList[O] | ObjectList[JsonObject]:
        """
        Return all objects that fit, in order of their names, as of one moment.

        Args:
            kind: What to list.
            namespace: None or empty means all that the cache holds.
            label_selector: As in kubectl's `-l`.
            field_selector: Only `metadata.name` and `metadata.namespace` with `=` or `!=`.

        Raises:
            ValueError: A selector cannot be parsed, or names a field that the cache cannot select by.
        """
        has_labels = parse_label_selector(label_selector or "")
        has_fields = parse_field_selector(field_selector or "")
        informer = await self._synced(kind)
        if namespace:
            _check_namespace(informer, namespace)
        found = sorted(
            (
                item
                for item in informer.store
                if (not namespace or item.key.namespace == namespace)
                and has_fields(item.key)
                and (not label_selector or has_labels(item.metadata.labels))
            ),
            key=lambda item: item.key,
        )
        return _decode_all(kind, found)

    async def _synced(self, kind: type[KubeObject] | ResourceType) -> Informer:
        informer = self._cache.informer(kind)
        if not informer.is_synced:
            if not self._cache.is_running:
                raise CacheNotSyncedError(f"{informer.describe()}: the cache does not run")
            await informer.wait_for_sync(self._sync_timeout)
        return informer


def _check_namespace(informer: Informer, namespace: str) -> None:
    if namespace and not informer.resource.is_namespaced:
        raise ValueError(f"{informer.resource} live in no namespace, but {namespace!r} is given")
    if informer.namespace and namespace != informer.namespace:
        raise ValueError(
            f"the cache holds {informer.resource} of namespace {informer.namespace!r} only, not of {namespace!r}"
        )


def _decode(kind: type[O] | ResourceType, item: EncodedObject) -> O | JsonObject:
    if isinstance(kind, ResourceType):
        return decode_object(kind, item.body)
    return decode_object(kind, item.body)


def _decode_all(kind: type[O] | ResourceType, items: list[EncodedObject]) -> ObjectList[O] | ObjectList[JsonObject]:
    if isinstance(kind, ResourceType):
        return ObjectList(tuple(decode_object(kind, item.body) for item in items))
    return ObjectList(tuple(decode_object(kind, item.body) for item in items))
