"""
The shapes of reading and writing: `Reader`, `Writer`, `StatusWriter`, and what they return.

A reconciler that takes a `Reader` works with the cache and with the API server alike. Every verb has two forms: with a
subclass of `KubeObject` it takes and returns instances, with a `ResourceType` plain dictionaries as JSON gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypedDict, TypeVar, Unpack, overload

from reconciler.api import FieldSelector, KubeObject, LabelSelector, ObjectKey, ResourceType
from reconciler.client.patches import Patch

__all__ = [
    "FieldSelection",
    "FieldValidation",
    "JsonObject",
    "LabelSelection",
    "ObjectList",
    "Propagation",
    "Reader",
    "ResourceVersionMatch",
    "StatusWriter",
    "WatchEvent",
    "WriteOptions",
    "Writer",
]

JsonObject = dict[str, Any]
"""An untyped object, as JSON gives it."""

FieldValidation = Literal["Strict", "Warn", "Ignore"]
"""What the server does about fields that it does not know: refuse (422 or 400), warn (its default), say nothing."""

Propagation = Literal["Background", "Foreground", "Orphan"]
"""What becomes of the objects that a deleted one owns: deleted after it, deleted before it, left alone."""


ResourceVersionMatch = Literal["NotOlderThan", "Exact"]
"""How a list's `resource_version` is meant: that moment or a later one, or that very moment."""


class WriteOptions(TypedDict, total=False):
    """
    Options that every create, update, patch and apply takes as keyword arguments.

    Attributes:
        field_owner: Under which name the server keeps the fields that were written; None takes the client's.
        dry_run: Everything is done but storing. It leaves no link in the own-write ledger.
        field_validation: `Strict`, `Warn` or `Ignore`; None takes the client's, else the server's, which is `Warn`.

    Mirrors: controller-runtime `client.FieldOwner`, `client.DryRunAll`, `client.FieldValidation`.
    """

    field_owner: str | None
    dry_run: bool
    field_validation: FieldValidation | None


LabelSelection = str | LabelSelector | Mapping[str, str] | None
"""What selects by labels: a `LabelSelector`, text as in kubectl's `-l`, labels that must be equal, or None for all."""

FieldSelection = str | FieldSelector | Mapping[str, str] | None
"""What selects by fields: a `FieldSelector`, text, fields that must be equal, or None for all."""


T = TypeVar("T")
ObjectT = TypeVar("ObjectT", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class ObjectList(Generic[T]):
    """
    What a list returned, in the server's order.

    `resource_version` is the moment that the list shows: a watch from there misses nothing. It is empty where the
    reader cannot name one moment.
    """

    items: tuple[T, ...]
    resource_version: str = ""

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class WatchEvent(NamedTuple, Generic[T]):
    """One change: `type` is `ADDED`, `MODIFIED` or `DELETED`, `object` what the object is (or was) then."""

    type: str
    object: T


class Reader(Protocol):
    """
    Reads objects, from the API server or from a cache.

    Mirrors: controller-runtime `client.Reader`.
    Differs: objects are returned, not filled in.
    """

    @overload
    async def get(self, kind: type[ObjectT], key: ObjectKey) -> ObjectT: ...
    @overload
    async def get(self, kind: ResourceType, key: ObjectKey) -> JsonObject: ...
    async def get(self, kind: type[ObjectT] | ResourceType, key: ObjectKey) -> ObjectT | JsonObject:
        """
        Return one object; it belongs to the caller.

        Raises:
            NotFoundError: There is none of that name.
        """
        ...

    @overload
    async def list(
        self,
        kind: type[ObjectT],
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
    ) -> ObjectList[ObjectT]: ...
    @overload
    async def list(
        self,
        kind: ResourceType,
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
    ) -> ObjectList[JsonObject]: ...
    async def list(
        self,
        kind: type[ObjectT] | ResourceType,
        *,
        namespace: str | None = None,
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
    ) -> ObjectList[ObjectT] | ObjectList[JsonObject]:
        """
        Return the whole list.

        Args:
            kind: What to list.
            namespace: None means all namespaces.
            label_selector: A `LabelSelector`, text as in kubectl's `-l`, or labels that must be equal.
            field_selector: A `FieldSelector`, text as in kubectl's `--field-selector`, or fields that must be equal.
        """
        ...


class ObjectWriter(Protocol):
    """
    Changes objects that are there, or one part of them: what `Client` and its `status` have in common.

    Mirrors: controller-runtime `client.Writer` and `client.SubResourceWriter`, as far as they are the same.
    """

    @overload
    async def update(self, obj: ObjectT, **options: Unpack[WriteOptions]) -> ObjectT: ...
    @overload
    async def update(
        self, obj: JsonObject, *, resource: ResourceType, **options: Unpack[WriteOptions]
    ) -> JsonObject: ...
    async def update(
        self, obj: ObjectT | JsonObject, *, resource: ResourceType | None = None, **options: Unpack[WriteOptions]
    ) -> ObjectT | JsonObject:
        """Replace the object, only if nobody wrote since `obj` was read."""
        ...

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
        Patch the object. A mapping is a JSON merge patch: None removes a field, lists are replaced.

        With `metadata.resourceVersion` in it the patch is refused if somebody wrote since; without, it always wins.
        """
        ...

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

        Raises:
            ConflictError: Others own some of the fields with other values; `force` takes them instead.
        """
        ...


class StatusWriter(ObjectWriter, Protocol):
    """
    Writes the status subresource: everything but `status` is ignored by the server.

    Mirrors: controller-runtime `client.SubResourceWriter`.
    """


class Writer(ObjectWriter, Protocol):
    """
    Writes objects. Every write returns what the server stored, as a new object; the one given stays as it was.

    An untyped object needs its `resource`, since a plural cannot be told from a kind.

    Raises, all of them:
        ConflictError: Somebody wrote since the resource version that the write carried.
        InvalidError: The object breaks its schema.
        ConnectionFailedError: No answer; whether the write happened is unknown.

    Mirrors: controller-runtime `client.Writer`.
    Differs: Go fills in the object given.
    """

    @property
    def status(self) -> StatusWriter:
        """The status subresource."""
        ...

    @overload
    async def create(self, obj: ObjectT, **options: Unpack[WriteOptions]) -> ObjectT: ...
    @overload
    async def create(
        self, obj: JsonObject, *, resource: ResourceType, **options: Unpack[WriteOptions]
    ) -> JsonObject: ...
    async def create(
        self, obj: ObjectT | JsonObject, *, resource: ResourceType | None = None, **options: Unpack[WriteOptions]
    ) -> ObjectT | JsonObject:
        """Create the object. Raises `AlreadyExistsError` where the name is taken."""
        ...

    async def delete(
        self,
        kind: type[KubeObject] | ResourceType,
        key: ObjectKey,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> None:
        """
        Ask for the object's deletion; with finalizers it stays until they are gone.

        Args:
            kind: What to delete.
            key: Its name.
            uid: Only if the object still is this one (`ConflictError` otherwise).
            resource_version: Only if nobody wrote since.
            propagation: What becomes of the objects that it owns; None leaves that to the kind.
            grace_period_seconds: How long a Pod may take to end; 0 is at once.
            dry_run: Everything is done but deleting.
        """
        ...

    async def delete_collection(
        self,
        kind: type[KubeObject] | ResourceType,
        *,
        namespace: str = "",
        label_selector: LabelSelection = None,
        field_selector: FieldSelection = None,
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> None:
        """Ask for the deletion of every object that fits, of a namespaced kind in one namespace; arguments as above."""
        ...
