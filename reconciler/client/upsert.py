"""
Create or update, create or patch: bring one object into the state that a function describes.

Both stand on the client's verbs. The object given stays as it was, and a mutation that changes nothing is not written.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar, overload

from reconciler.api import KubeObject, ResourceType
from reconciler.client.client import Client
from reconciler.client.codec import decode_object, encode_object, header_of, resource_of
from reconciler.client.contract import JsonObject, Reader
from reconciler.client.merge import difference, is_same, meaning, merge_from, plain, with_version
from reconciler.client.pruned import status_may_be_lost
from reconciler.client.writes import kind_of
from reconciler.errors import NotFoundError

__all__ = ["OperationResult", "Upserted", "create_or_patch", "create_or_update"]

T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound=KubeObject)


class OperationResult(StrEnum):
    """What became of the object: "it has been ...". Mirrors: controller-runtime `controllerutil.OperationResult`."""

    NONE = "unchanged"
    CREATED = "created"
    UPDATED = "updated"
    UPDATED_STATUS = "updatedStatus"
    """The object and its status."""
    UPDATED_STATUS_ONLY = "updatedStatusOnly"


class Upserted(NamedTuple, Generic[T]):
    """What was done, and the object as it is now: as stored, or as read where nothing was written."""

    result: OperationResult
    object: T


@overload
async def create_or_update(
    client: Client, obj: ObjectT, mutate: Callable[[ObjectT], object], *, reader: Reader | None = None
) -> Upserted[ObjectT]: ...
@overload
async def create_or_update(
    client: Client,
    obj: JsonObject,
    mutate: Callable[[JsonObject], object],
    *,
    resource: ResourceType,
    reader: Reader | None = None,
) -> Upserted[JsonObject]: ...
async def create_or_update(
    client: Client,
    obj: Any,
    mutate: Callable[[Any], object],
    *,
    resource: ResourceType | None = None,
    reader: Reader | None = None,
) -> Upserted[Any]:
    """
    Bring the object into the state that `mutate` describes: read it, change it, then create or replace it.

    Args:
        client: Writes.
        obj: Names the object. Its other fields count only where it is not there yet.
        mutate: Changes the object that it is given: the one read, or a copy of `obj`. It may run more than once in the
            life of an object, so it sets what should be so, and leaves the rest alone.
        resource: Where an untyped `obj` lives in the API.
        reader: Reads, such as a cache; None reads through `client`.

    Raises:
        ConflictError: Somebody wrote between the read and the write.
        AlreadyExistsError: Somebody created it in between, or `reader` does not know it yet.
        ValueError: `obj` has no name, or `mutate` changed the name or the namespace.

    Changes of `status` are ignored by the server where the kind has that subresource. A `mutate` that removes a field
    with a default writes each time. Cancelled while writing: whether it was written is unknown.

    Mirrors: controller-runtime `controllerutil.CreateOrUpdate`.
    Differs: the object is returned, and `mutate` is given it; the one given is not filled in.
    """
    upsert = _Upsert(client, reader or client, obj, mutate, resource)
    found = await upsert.find()
    if found is None:
        return await upsert.create()
    before = upsert.body_of(found)
    upsert.mutate(found)
    # Equal bytes are the common case, and cost a tenth of comparing what two objects mean.
    if before == upsert.body_of(found) or is_same(meaning(upsert.read_again(before)), meaning(found)):
        return Upserted(OperationResult.NONE, found)
    stored = await (client.update(found) if resource is None else client.update(found, resource=resource))
    return Upserted(OperationResult.UPDATED, stored)


@overload
async def create_or_patch(
    client: Client,
    obj: ObjectT,
    mutate: Callable[[ObjectT], object],
    *,
    optimistic_lock: bool = False,
    reader: Reader | None = None,
) -> Upserted[ObjectT]: ...
@overload
async def create_or_patch(
    client: Client,
    obj: JsonObject,
    mutate: Callable[[JsonObject], object],
    *,
    resource: ResourceType,
    optimistic_lock: bool = False,
    reader: Reader | None = None,
) -> Upserted[JsonObject]: ...
async def create_or_patch(
    client: Client,
    obj: Any,
    mutate: Callable[[Any], object],
    *,
    resource: ResourceType | None = None,
    optimistic_lock: bool = False,
    reader: Reader | None = None,
) -> Upserted[Any]:
    """
    Bring the object into the state that `mutate` describes, and send only what it changed: object, then status.

    Args:
        client: Writes.
        obj: Names the object. Its other fields count only where it is not there yet.
        mutate: Changes the object that it is given: the one read, or a copy of `obj`; also its `status`, which is
            written only where the object is there already.
        resource: Where an untyped `obj` lives in the API.
        optimistic_lock: Whether the first patch is refused if somebody wrote since the read. A second one, of the
            status, always is if somebody wrote since the first.
        reader: Reads, such as a cache; None reads through `client`.

    Raises:
        ConflictError: Somebody wrote in between; the first of two patches may have happened.
        AlreadyExistsError: Somebody created it in between, or `reader` does not know it yet.
        ValueError: `obj` has no name, or `mutate` changed the name or the namespace, or `optimistic_lock` and what was
            read has no resource version.

    Cancelled while writing: whether it was written is unknown.

    Mirrors: controller-runtime `controllerutil.CreateOrPatch`.
    Differs: the object is returned, and `mutate` is given it; the one given is not filled in. `optimistic_lock`.
    """
    upsert = _Upsert(client, reader or client, obj, mutate, resource)
    found = await upsert.find()
    if found is None:
        with status_may_be_lost():  # the next pass writes it, as is documented
            return await upsert.create()
    return await upsert.patch(found, optimistic_lock=optimistic_lock)


@dataclass(frozen=True, slots=True)
class _Upsert:
    """One object on its way from a read to a write."""

    client: Client
    reader: Reader
    obj: Any
    change: Callable[[Any], object]
    resource: ResourceType | None

    @property
    def kind(self) -> Any:
        return kind_of(self.obj, self.resource)

    def body_of(self, obj: Any) -> bytes:
        return encode_object(obj, resource_of(self.kind))

    def read_again(self, body: bytes) -> Any:
        return decode_object(self.kind, body)

    async def find(self) -> Any:
        key = header_of(self.obj).key
        if not key.name:
            raise ValueError(f"{resource_of(self.kind)}: the object has no name, so it cannot be looked up")
        try:
            return await self.reader.get(self.kind, key)
        except NotFoundError:
            return None

    def mutate(self, obj: Any) -> None:
        before = header_of(obj).key
        answer = self.change(obj)
        if inspect.iscoroutine(answer):
            answer.close()
            raise TypeError("mutate must be a plain function: read what it needs before")
        if header_of(obj).key != before:
            raise ValueError(f"mutate must not change name or namespace: {before} became {header_of(obj).key}")

    async def create(self) -> Upserted[Any]:
        obj: Any = self.obj.model_copy(deep=True) if isinstance(self.obj, KubeObject) else plain(self.obj)
        self.mutate(obj)
        client, resource = self.client, self.resource
        stored = await (client.create(obj) if resource is None else client.create(obj, resource=resource))
        return Upserted(OperationResult.CREATED, stored)

    async def patch(self, found: Any, *, optimistic_lock: bool) -> Upserted[Any]:
        body, key = self.body_of(found), header_of(found).key
        self.mutate(found)
        if body == self.body_of(found):
            return Upserted(OperationResult.NONE, found)
        old = self.read_again(body)
        before, meant = plain(old), meaning(old)
        after, means = plain(found), meaning(found)
        old_status, new_status = before.pop("status", None), after.pop("status", None)
        patch, status_patch = JsonObject(), JsonObject()
        if not is_same(meant.pop("status", None), means.pop("status", None)):
            status_patch = difference({"status": old_status}, {"status": new_status})
        if not is_same(meant, means):
            patch = merge_from(before, after, optimistic_lock=optimistic_lock)
        stored, version = found, header_of(before).resource_version if optimistic_lock else ""
        result = OperationResult.NONE
        if patch:
            stored = await self.client.patch(self.kind, key, patch)
            result, version = OperationResult.UPDATED, header_of(stored).resource_version
        if status_patch:
            if optimistic_lock and not version:
                raise ValueError("optimistic_lock needs an object with a resource version: one that was read")
            stored = await self.client.status.patch(self.kind, key, with_version(status_patch, version))
            both = result is OperationResult.UPDATED
            result = OperationResult.UPDATED_STATUS if both else OperationResult.UPDATED_STATUS_ONLY
        return Upserted(result, stored)
