"""
The store: the last known state of each object of one kind, as bytes. Pure.

It decides what a change means for those who listen: a create, an update, a delete, or nothing.

Invariants (checked by the property tests against a model of the server):
    S1  After a `Replaced`, the store holds exactly its objects.
    S2  The events of a delta, applied in order to what a listener knew before, give what the store holds after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.api import EncodedObject, ObjectKey
from reconciler.event import CreateEvent, DeleteEvent, Event, UpdateEvent

__all__ = ["Delta", "Put", "Removed", "Replaced", "Store"]


@dataclass(frozen=True, slots=True)
class Replaced:
    """These are all objects that there are: the result of a whole list."""

    objects: tuple[EncodedObject, ...]


@dataclass(frozen=True, slots=True)
class Put:
    """The object has this state now."""

    object: EncodedObject


@dataclass(frozen=True, slots=True)
class Removed:
    """The object is gone; this was its state then."""

    object: EncodedObject


Delta = Replaced | Put | Removed


class Store:
    """
    Objects of one kind by key.

    Mirrors: client-go `cache.Store` together with `DeltaFIFO`'s decisions.
    Differs: has no queue: a delta is applied at once, and its events are returned.
    """

    __slots__ = ("_has_list", "_objects")

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, EncodedObject] = {}
        self._has_list = False

    def apply(self, delta: Delta) -> list[Event]:
        """
        Take a delta, and return what it means, in order.

        The first `Replaced` gives creates marked as initial. A later one gives an update for every object that was
        known, also where its version is the same (as in Go), and a delete with `is_final_state_known=False` for each
        that is missing.
        """
        match delta:
            case Replaced():
                return self._replace(delta.objects)
            case Put():
                return [self._put(delta.object)]
            case Removed():
                known = self._objects.pop(delta.object.key, None)
                return [] if known is None else [DeleteEvent(delta.object)]

    def get(self, key: ObjectKey) -> EncodedObject | None:
        """Return the object, or None."""
        return self._objects.get(key)

    def __iter__(self) -> Iterator[EncodedObject]:
        """Yield the objects of this moment, in no particular order; changes meanwhile do not disturb it."""
        return iter(tuple(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"<Store {len(self)} objects>"

    def _put(self, new: EncodedObject, *, is_initial: bool = False) -> Event:
        old = self._objects.get(new.key)
        self._objects[new.key] = new
        return CreateEvent(new, is_initial) if old is None else UpdateEvent(old, new)

    def _replace(self, objects: tuple[EncodedObject, ...]) -> list[Event]:
        is_initial = not self._has_list
        self._has_list = True
        present = {new.key for new in objects}
        gone = [old for key, old in self._objects.items() if key not in present]
        events = [self._put(new, is_initial=is_initial) for new in objects]
        for old in gone:
            del self._objects[old.key]
        return [*events, *(DeleteEvent(old, is_final_state_known=False) for old in gone)]
