"""Update, patch and apply, of whole objects and of one part of them."""

from __future__ import annotations

from typing import TypeVar, Unpack, cast, overload

from reconciler.api import KubeObject, ObjectKey, ResourceType
from reconciler.client.codec import decode_object, resource_of
from reconciler.client.contract import JsonObject, WriteOptions
from reconciler.client.patches import Patch
from reconciler.client.rest import words
from reconciler.client.writes import Writes

__all__ = ["Changes"]

ObjectT = TypeVar("ObjectT", bound=KubeObject)


class Changes:
    """Changes whole objects, or the one subresource `part` of them, which takes and returns whole objects too."""

    def __init__(self, writes: Writes, part: str = "") -> None:
        self._writes = writes
        self._part = part

    @overload
    async def update(self, obj: ObjectT, **options: Unpack[WriteOptions]) -> ObjectT: ...
    @overload
    async def update(
        self, obj: JsonObject, *, resource: ResourceType, **options: Unpack[WriteOptions]
    ) -> JsonObject: ...
    async def update(
        self, obj: ObjectT | JsonObject, *, resource: ResourceType | None = None, **options: Unpack[WriteOptions]
    ) -> ObjectT | JsonObject:
        """
        Replace the object, only if nobody wrote since `obj` was read; return it as stored.

        Fields that the kind's schema does not know are dropped by the server without an error, unless
        `field_validation="Strict"`; the log and the record name them.

        Raises:
            ConflictError: Somebody wrote since; read again and re-apply.
        """
        return cast("ObjectT | JsonObject", await self._writes.update(obj, resource, self._part, options))

    @overload
    async def patch(
        self, kind: type[ObjectT], key: ObjectKey, patch: Patch, **options: Unpack[WriteOptions]
    ) -> ObjectT: ...
    @overload
    async def patch(
        self, kind: ResourceType, key: ObjectKey, patch: Patch, **options: Unpack[WriteOptions]
    ) -> JsonObject: ...
    async def patch(
        self, kind: type[ObjectT] | ResourceType, key: ObjectKey, patch: Patch, **options: Unpack[WriteOptions]
    ) -> ObjectT | JsonObject:
        """
        Patch the object; return it as stored.

        A mapping is a JSON merge patch: None removes a field, lists are replaced. With `metadata.resourceVersion` in
        it the patch is refused (`ConflictError`) if somebody wrote since; an empty one is a `ValueError`. `JsonPatch`
        and `StrategicMergePatch` are the other forms.
        """
        resource = resource_of(kind)
        answer = await self._writes.patch(resource, key, patch, self._part, options)
        return decode_object(kind, answer, doing=words("patch", resource, key, self._part))

    @overload
    async def apply(self, obj: ObjectT, *, force: bool = False, **options: Unpack[WriteOptions]) -> ObjectT: ...
    @overload
    async def apply(
        self, obj: JsonObject, *, resource: ResourceType, force: bool = False, **options: Unpack[WriteOptions]
    ) -> JsonObject: ...
    async def apply(
        self,
        obj: ObjectT | JsonObject,
        *,
        resource: ResourceType | None = None,
        force: bool = False,
        **options: Unpack[WriteOptions],
    ) -> ObjectT | JsonObject:
        """
        Make the fields in `obj` so, and own them (server-side apply); create the object where there is none.

        What the same owner applied before and left out now is removed. A typed object applies every field that is not
        None, defaults of the model included: a dictionary says exactly what to own.

        Args:
            obj: The fields to own, with name and namespace.
            resource: For a dictionary.
            force: Take fields that others own, instead of `ConflictError`.
            options: `field_owner` is needed, here or as an argument of the client.

        Raises:
            ConflictError: Others own some of the fields with other values; `status.causes` name fields and owners.

        Mirrors: controller-runtime `client.Client.Apply`, `client.ForceOwnership`.
        """
        return cast("ObjectT | JsonObject", await self._writes.apply(obj, resource, self._part, options, force=force))
