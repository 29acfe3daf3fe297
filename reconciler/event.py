"""
What a source saw: an object appeared, changed or went; or something outside said "look at it".

An event carries the object as `EncodedObject`: its header costs nothing, the rest is decoded on demand. Whose doing
a change was is not known here: the control loop asks the client's own-write ledger. Pure.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import msgspec

from reconciler.api import EncodedObject, ObjectKey
from reconciler.journal import FIELDS_MAX, Changed

__all__ = [
    "CreateEvent",
    "DeleteEvent",
    "Event",
    "GenericEvent",
    "UpdateEvent",
    "changed_between",
    "fields_changed",
    "is_status_only",
]


# Not dataclasses: one of these is made for each line of a watch, at a fifth of the price.
class CreateEvent(msgspec.Struct, frozen=True, gc=False):
    """
    An object that was not known before.

    Attributes:
        new: The object.
        is_initial: Whether it was there already when the watcher (or this handler) began, rather than made since.

    Mirrors: controller-runtime `event.CreateEvent`.
    """

    verb: ClassVar[Literal["create"]] = "create"
    old: ClassVar[None] = None
    changed: ClassVar[Changed] = Changed.NOTHING

    new: EncodedObject
    is_initial: bool = False

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.new.key

    @property
    def latest(self) -> EncodedObject:
        """The newest known state."""
        return self.new


class UpdateEvent(msgspec.Struct, frozen=True, gc=False):
    """
    An object that has another version now; after a relist possibly the same one, then `changed` is `NOTHING`.

    If deletion and re-creation were both missed, `old` and `new` differ in their UID.

    Mirrors: controller-runtime `event.UpdateEvent`.
    """

    verb: ClassVar[Literal["update"]] = "update"
    is_initial: ClassVar[bool] = False

    old: EncodedObject
    new: EncodedObject

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.new.key

    @property
    def latest(self) -> EncodedObject:
        """The newest known state."""
        return self.new

    @property
    def changed(self) -> Changed:
        """What differs; computed at each call from metadata that is remembered."""
        return changed_between(self.old, self.new)


class DeleteEvent(msgspec.Struct, frozen=True, gc=False):
    """
    An object that is gone.

    Attributes:
        old: Its last known state.
        is_final_state_known: False if the deletion itself was missed and a list showed that the object is gone; then
            `old` may be older than the object's true last state.

    Mirrors: controller-runtime `event.DeleteEvent`.
    Differs: says `is_final_state_known` where Go says `DeleteStateUnknown`.
    """

    verb: ClassVar[Literal["delete"]] = "delete"
    is_initial: ClassVar[bool] = False
    new: ClassVar[None] = None
    changed: ClassVar[Changed] = Changed.NOTHING

    old: EncodedObject
    is_final_state_known: bool = True

    @property
    def key(self) -> ObjectKey:
        """Namespace and name of the object."""
        return self.old.key

    @property
    def latest(self) -> EncodedObject:
        """The newest known state."""
        return self.old


class GenericEvent(msgspec.Struct, frozen=True, gc=False):
    """
    Something that no watch reported: a webhook from outside, a poll, a clock.

    Mirrors: controller-runtime `event.GenericEvent`.
    Differs: needs no object, a key is enough.
    """

    verb: ClassVar[Literal["generic"]] = "generic"
    is_initial: ClassVar[bool] = False
    old: ClassVar[None] = None
    changed: ClassVar[Changed] = Changed.NOTHING

    key: ObjectKey
    new: EncodedObject | None = None

    @property
    def latest(self) -> EncodedObject | None:
        """The object, where the source knew it."""
        return self.new


Event = CreateEvent | UpdateEvent | DeleteEvent | GenericEvent
"""What a source reports: one of the four."""


def changed_between(old: EncodedObject, new: EncodedObject) -> Changed:
    """Return what differs between two versions; `NOTHING` for one and the same version."""
    if old.resource_version == new.resource_version and old.uid == new.uid:
        return Changed.NOTHING
    before, after = old.metadata, new.metadata
    # As a number: one operation on flags costs as much as all the comparisons (0.6 microseconds).
    bits = 0
    if old.uid != new.uid:
        bits |= _UID
    if old.generation != new.generation:
        bits |= _GENERATION
    if old.is_being_deleted != new.is_being_deleted:
        bits |= _DELETION
    if before.labels != after.labels:
        bits |= _LABELS
    if before.annotations != after.annotations:
        bits |= _ANNOTATIONS
    if before.finalizers != after.finalizers:
        bits |= _FINALIZERS
    if before.owner_references != after.owner_references:
        bits |= _OWNERS
    return Changed(bits) if bits else _OTHER


_OTHER = Changed.OTHER
_UID, _GENERATION, _DELETION = int(Changed.UID), int(Changed.GENERATION), int(Changed.DELETION)
_LABELS, _ANNOTATIONS = int(Changed.LABELS), int(Changed.ANNOTATIONS)
_FINALIZERS, _OWNERS = int(Changed.FINALIZERS), int(Changed.OWNERS)


def is_status_only(old: EncodedObject, new: EncodedObject, *, is_whole: bool = True) -> bool:
    """
    Whether something of `status` differs, and nothing else but what the server keeps beside it.

    Two versions that show no difference differ in what the objects do not hold, so nobody knows in what.

    Args:
        old: The object before.
        new: The object after.
        is_whole: Whether the objects hold all that the server has, but for managed fields. Else a generation that did
            not move must show that the rest is the same.
    """
    if old.uid != new.uid:
        return False
    if not (differing := _paths(_bare(old), _bare(new), "")):
        return old.resource_version == new.resource_version
    if not is_whole and not 0 < old.generation == new.generation:
        return False
    return all(path.split(".")[0] == "status" for path in differing)


def fields_changed(old: EncodedObject, new: EncodedObject) -> tuple[str, ...]:
    """Return the paths of the fields that differ, sorted, at most `FIELDS_MAX`: names only, never values."""
    return tuple(sorted(_paths(_bare(old), _bare(new), "")))[:FIELDS_MAX]


# What moves with every write, and says nothing about it.
_BOOKKEEPING = frozenset({"resourceVersion", "managedFields", "generation"})


def _bare(encoded: EncodedObject) -> dict[str, Any]:
    content = encoded.to_dict()
    content["metadata"] = {name: value for name, value in content["metadata"].items() if name not in _BOOKKEEPING}
    return content


def _paths(old: Any, new: Any, path: str) -> set[str]:
    """Return where two JSON values differ; a list of another length, and one with other items, differs as a whole."""
    if old == new:
        return set()
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return {path}
    before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    found: set[str] = set()
    for name in before.keys() | after.keys():
        found |= _paths(before.get(name), after.get(name), f"{path}.{name}" if path else name)
    return found
