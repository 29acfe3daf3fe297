"""
The store: the last known state of each object of one kind, as bytes. Pure.

It decides what a change means for those who listen: a create, an update, a delete, or nothing.

Invariants (checked by the property tests against a model of the server):
    S1  After a `Replaced`, the store holds exactly its objects, and of those that could not be read the last state
        that could. With a namespace, this holds for that namespace alone.
    S2  The events of a delta, applied in order to what a listener knew before, give what the store holds after.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from reconciler.api import EncodedObject, ObjectKey
from reconciler.cache.indexer import Index, KeyFunction
from reconciler.errors import ConfigurationError
from reconciler.event import CreateEvent, DeleteEvent, Event, UpdateEvent

__all__ = ["Delta", "Put", "Removed", "Replaced", "Snapshot", "Store", "Unread", "Unreadable"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """
    An object that the cache could not take in.

    Attributes:
        key: Which one; without a name where even that could not be read.
        reason: Why, without any value of the object.
        is_held: Whether the store holds its present state all the same, and only an index lacks it.
    """

    key: ObjectKey
    reason: str
    is_held: bool = False

    def __str__(self) -> str:
        return f"{self.key if self.key.name else '(no name)'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Replaced:
    """
    These are all objects that there are: the result of a whole list.

    Attributes:
        objects: Those that could be read.
        unreadable: Those that could not.
        namespace: What was listed; empty for all namespaces.
    """

    objects: tuple[EncodedObject, ...]
    unreadable: tuple[Unreadable, ...] = ()
    namespace: str = ""


class Put(msgspec.Struct, frozen=True, gc=False):
    """The object has this state now."""

    object: EncodedObject


class Removed(msgspec.Struct, frozen=True, gc=False):
    """The object is gone; this was its state then."""

    object: EncodedObject


@dataclass(frozen=True, slots=True)
class Unread:
    """The object changed, or is gone, and what it is now could not be read."""

    unreadable: Unreadable
    is_gone: bool


Delta = Replaced | Put | Removed | Unread


class Snapshot:
    """
    A store as it was in one moment; nothing changes it.

    Attributes:
        objects: By key.
    """

    __slots__ = ("objects",)

    def __init__(self, objects: Mapping[ObjectKey, EncodedObject]) -> None:
        """Take a copy of what a store holds."""
        self.objects: Mapping[ObjectKey, EncodedObject] = MappingProxyType(dict(objects))

    def get(self, key: ObjectKey) -> EncodedObject | None:
        """Return the object, or None."""
        return self.objects.get(key)

    def __iter__(self) -> Iterator[EncodedObject]:
        """Yield the objects, in no particular order."""
        return iter(self.objects.values())

    def __len__(self) -> int:
        return len(self.objects)

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self)} objects>"


class Store:
    """
    Objects of one kind by key, and by the values of its indexes.

    Mirrors: client-go `cache.Indexer` together with `DeltaFIFO`'s decisions.
    Differs: has no queue: a delta is applied at once, and its events are returned.
    """

    __slots__ = ("_bytes", "_indexes", "_listed", "_objects", "_unreadable")

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, EncodedObject] = {}
        self._indexes: dict[str, Index] = {}
        self._unreadable: dict[ObjectKey, Unreadable] = {}
        self._listed: set[str] = set()
        self._bytes = 0

    @property
    def bytes_held(self) -> int:
        """How many bytes of JSON the objects are, without what is kept beside it."""
        return self._bytes

    @property
    def has_unreadable(self) -> bool:
        """Whether there is any of `unreadable`."""
        return bool(self._unreadable)

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The objects whose present state could not be read, or not be put into an index."""
        return tuple(self._unreadable.values())

    def apply(self, delta: Delta) -> list[Event]:
        """
        Take a delta, and return what it means, in order.

        The first `Replaced` gives creates marked as initial. A later one gives an update for every object that was
        known, also where its version is the same (as in Go), and a delete with `is_final_state_known=False` for each
        that is missing. An object that cannot be read keeps the last state that could, until it is gone.
        """
        match delta:
            case Put():
                return [self._put(delta.object)]
            case Replaced():
                return self._replace(delta)
            case Removed():
                known = self._drop(delta.object.key)
                return [] if known is None else [DeleteEvent(delta.object)]
            case Unread():
                return self._miss(delta)

    def get(self, key: ObjectKey) -> EncodedObject | None:
        """Return the object, or None."""
        return self._objects.get(key)

    def add_index(self, name: str, function: KeyFunction) -> None:
        """
        Keep an index from now on, beginning with what is there.

        Raises:
            ConfigurationError: There is one of that name.
        """
        if name in self._indexes:
            raise ConfigurationError(f"there is an index named {name!r} already; give one another name")
        self._indexes[name] = Index(function)
        for item in self._objects.values():
            if why := self._indexes[name].put(item):
                self._is_not_in(name, item.key, why)

    def has_index(self, name: str) -> bool:
        """Whether there is an index of that name."""
        return name in self._indexes

    def by_index(self, name: str, value: str) -> list[EncodedObject]:
        """
        Return the objects that have `value` in the index, in no particular order.

        Raises:
            ValueError: There is no such index.
        """
        return [self._objects[key] for key in self._index(name).keys(value)]

    def index_values(self, name: str, key: ObjectKey) -> tuple[str, ...]:
        """
        Return the values of one object in an index.

        Raises:
            ValueError: There is no such index.
        """
        return self._index(name).values_of(key)

    def snapshot(self) -> Snapshot:
        """Return what the store holds now; it costs a copy of its keys, not of its objects."""
        return Snapshot(self._objects)

    def clear(self) -> None:
        """Forget every object, as if nothing had ever been listed. Indexes stay; nobody is told."""
        self._objects.clear()
        self._unreadable.clear()
        self._listed.clear()
        self._bytes = 0
        for index in self._indexes.values():
            index.clear()

    def __iter__(self) -> Iterator[EncodedObject]:
        """Yield the objects of this moment, in no particular order; changes meanwhile do not disturb it."""
        return iter(tuple(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"<Store {len(self)} objects, {self._bytes} bytes>"

    def _index(self, name: str) -> Index:
        index = self._indexes.get(name)
        if index is None:
            there = ", ".join(map(repr, self._indexes)) or "none"
            raise ValueError(f"no index is named {name!r}; there are: {there}")
        return index

    def _put(self, new: EncodedObject, is_initial: bool = False) -> Event:
        key = new.key
        old = self._objects.get(key)
        self._objects[key] = new
        if self._unreadable:
            self._unreadable.pop(key, None)
        for name, index in self._indexes.items():
            if why := index.put(new):
                self._is_not_in(name, new.key, why)
        if old is None:
            self._bytes += len(new.body)
            return CreateEvent(new, is_initial)
        self._bytes += len(new.body) - len(old.body)
        return UpdateEvent(old, new)

    def _is_not_in(self, name: str, key: ObjectKey, why: str) -> None:
        self._unreadable[key] = Unreadable(key, f"not in index {name!r}: {why}", is_held=True)

    def _drop(self, key: ObjectKey) -> EncodedObject | None:
        self._unreadable.pop(key, None)
        known = self._objects.pop(key, None)
        if known is not None:
            self._bytes -= len(known.body)
            for index in self._indexes.values():
                index.remove(key)
        return known

    def _miss(self, delta: Unread) -> list[Event]:
        key = delta.unreadable.key
        if not delta.is_gone:
            self._unreadable[key] = delta.unreadable
            return []
        known = self._drop(key)
        return [] if known is None else [DeleteEvent(known, is_final_state_known=False)]

    def _missing_from(self, whole: Replaced, unread: Container[ObjectKey]) -> list[EncodedObject]:
        present = {new.key for new in whole.objects}
        return [
            old
            for key, old in self._objects.items()
            if key not in present and key not in unread and (not whole.namespace or key.namespace == whole.namespace)
        ]

    def _replace(self, whole: Replaced) -> list[Event]:
        is_initial = whole.namespace not in self._listed
        self._listed.add(whole.namespace)
        unread = {item.key: item for item in whole.unreadable}
        gone = self._missing_from(whole, unread) if self._objects else []
        self._unreadable = {
            key: item for key, item in self._unreadable.items() if whole.namespace and key.namespace != whole.namespace
        }
        events = [self._put(new, is_initial) for new in whole.objects]
        self._unreadable |= unread
        for old in gone:
            self._drop(old.key)
        return [*events, *(DeleteEvent(old, is_final_state_known=False) for old in gone)]
