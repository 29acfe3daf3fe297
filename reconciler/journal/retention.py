"""
What the journal keeps: a ring of records for each key, and the order in which keys leave. Pure.

Invariants:
    R1  A key is evicted whole only if no key of an earlier class is there: deleted objects; settled keys, for which
        nothing stands; ready keys; keys in work or waiting for a time. Within a class the longest silent goes first.
    R2  A ring that shrinks keeps the evidence of what stands for its key, as far as its bound allows, and always its
        newest record.

What stands for a key is looked at only when something must go, since a look costs more than a record.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from heapq import heapify, heappop, heappush

import msgspec

from reconciler.errors import InvariantError
from reconciler.journal.present import Present
from reconciler.journal.records import Record

__all__ = ["Leavers", "Ring"]

_SLACK = 64
"""Dead places that a line may hold beyond twice its live ones before it is cleaned."""


class Ring(msgspec.Struct, eq=False, gc=False):
    """
    The newest records of one key.

    Attributes:
        scope: The controller.
        key: The queue's key.
        records: The newest last.
        evicted: Older records that are gone.
        pinned: How many of the first records are older than what is gone.
        is_gone: Whether the object was deleted.
        is_aside: Whether `Leavers` has looked at it and found that something stands; until its next record.
        has_left: Whether the key was evicted.
    """

    scope: str
    key: Hashable
    records: list[Record] = []
    evicted: int = 0
    pinned: int = 0
    is_gone: bool = False
    is_aside: bool = False
    has_left: bool = False
    # Made at the first look: most keys are never looked at.
    _present: Present | None = None
    _followed: int = 0

    def __lt__(self, other: Ring) -> bool:
        # Lines compare rings only where two records have the same id: then any order will do.
        return False

    @property
    def last_id(self) -> int:
        """The id of the newest record; rises with time."""
        return self.records[-1].id

    def present(self) -> Present:
        """Return what stands after the newest record."""
        present = self._present
        if present is None:
            present = self._present = Present()
        present.follow(self.records[self._followed :])
        self._followed = len(self.records)
        return present

    def shrink(self, at_most: int) -> int:
        """Drop about a quarter of the records, the oldest, at most `at_most`; return how many went. See R2."""
        records = self.records
        evidence = self.present().evidence()
        first = min(max(len(records) // 4, 2 * len(evidence), 1), at_most, len(records) - 1)
        pinned = self._pinned(first, evidence)
        while len(pinned) == first < len(records) - 1:
            first += 1
            pinned = self._pinned(first, evidence)
        if len(pinned) == first:
            del pinned[0]
        records[:first] = pinned
        self.evicted += first - len(pinned)
        self.pinned = len(pinned)
        self._followed = len(records)
        return first - len(pinned)

    def _pinned(self, first: int, evidence: tuple[int, ...]) -> list[Record]:
        return [record for record in self.records[:first] if record.id in evidence]


class Leavers:
    """The keys in the order in which they leave."""

    __slots__ = ("_asleep", "_deleted", "_ready", "_unjudged")

    def __init__(self, rings: Iterable[Ring]) -> None:
        """Begin with the rings that are there, each with a record."""
        self._unjudged = _Line()
        self._deleted = _Line()
        self._ready = _Line()
        self._asleep = _Line()
        for ring in rings:
            self.enter(ring)
            if ring.is_gone:
                self.deleted(ring)

    def enter(self, ring: Ring) -> None:
        """Take in a ring with its first record, or one that was aside and has a new record."""
        ring.is_aside = False
        self._unjudged.put(ring)

    def deleted(self, ring: Ring) -> None:
        """Let a ring whose object was deleted leave before all others."""
        self._deleted.put(ring)

    def next(self) -> Ring:
        """Return the ring that leaves next; there must be one. See R1."""
        ring = self._first_deleted() or self._first_settled() or self._ready.pop() or self._asleep.pop()
        if ring is None:
            raise InvariantError("R1: the journal has keys, and none that can leave")
        ring.has_left = True
        return ring

    def _first_deleted(self) -> Ring | None:
        while (ring := self._deleted.pop(moves=True)) is not None:
            if ring.is_gone:
                return ring
        return None

    def _first_settled(self) -> Ring | None:
        while (ring := self._unjudged.pop(moves=True)) is not None:
            present = ring.present()
            if not present.has_pending:
                return ring
            ring.is_aside = True
            (self._asleep if present.is_asleep else self._ready).put(ring)
        return None


class _Line:
    """
    Rings by the id of the last record that they had when they came in: the longest silent first.

    The place of a ring that has a newer record since is stale.
    """

    __slots__ = ("_heap", "_limit")

    def __init__(self) -> None:
        self._heap: list[tuple[int, Ring]] = []
        self._limit = _SLACK

    def put(self, ring: Ring) -> None:
        # Here and in `pop` not `last_id`, which is a call: six for each new key once another one must leave for it, 0.3
        # of 5 microseconds.
        heappush(self._heap, (ring.records[-1].id, ring))
        if len(self._heap) > self._limit:
            # Once for each doubling: what stale places cost is bounded by what the live ones do.
            self._heap = [place for place in self._heap if not place[1].has_left]
            heapify(self._heap)
            self._limit = 2 * len(self._heap) + _SLACK

    def pop(self, *, moves: bool = False) -> Ring | None:
        """Take out the first ring. A stale place is put where it belongs if it `moves`, else it is dropped."""
        heap = self._heap
        while heap:
            last_id, ring = heappop(heap)
            if ring.has_left:
                continue
            newest_id = ring.records[-1].id
            if newest_id == last_id:
                return ring
            if moves:
                heappush(heap, (newest_id, ring))
        return None
