"""
The lines of the priority queue: entries, and the order in which they stand.

A line finds its first entry at once, however many there are; one that moves or leaves costs nothing but a dead place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar

import msgspec

from reconciler.instant import Instant
from reconciler.workqueue.answers import CAUSES_MAX, Row, Standing

__all__ = ["DEAD_PLACES_MAX", "Entry", "Line"]

K = TypeVar("K", bound=Hashable)

DEAD_PLACES_MAX = 64
"""Dead places that a line may hold beyond the number of its entries before it is cleaned."""

# Two lines may be at their bound.
_DEAD_PLACES_BEFORE_CLEANING = DEAD_PLACES_MAX // 2


class Entry(msgspec.Struct, Generic[K], gc=False):
    """
    What stands for a key.

    Attributes:
        number: Tells the entries of a key apart.
        counter: Its place among equals.
        is_ready: Whether its time has come; else it waits for `ready_at`.
        is_quiet: Whether only quiet asks made it while its key is in work.
        ticket: That of its place in a line, 0 in no line; other places of it are dead.
    """

    key: K
    number: int
    counter: int
    priority: int
    ready_at: Instant
    ask: int
    causes: tuple[int, ...]
    is_ready: bool
    is_quiet: bool
    ticket: int = 0

    def unite(self, causes: tuple[int, ...]) -> None:
        """Carry these causes as well."""
        if len(causes) == 1 and causes[0] not in self.causes:
            self.causes = self.causes[1 - CAUSES_MAX :] + causes
        elif causes:
            self.causes = tuple(dict.fromkeys(self.causes + causes))[-CAUSES_MAX:]

    def row(self, standing: Standing, *, is_locked: bool) -> Row[K]:
        """Return it as a snapshot shows it."""
        return Row(
            self.key,
            standing,
            self.ready_at,
            self.priority,
            self.ask,
            self.causes,
            is_locked,
            self.number,
            self.is_quiet,
        )


class Line(Generic[K]):
    """
    Entries in their order. One that moves or leaves leaves a dead place behind, which is skipped later.

    A place is a tuple that sorts, with ticket and entry at its end. Mostly places come in their order already: those
    are a run, and cost the same however many there are; the others are a heap. The line is empty if both are, which
    whoever is in a hurry looks at directly; only `Line` changes them.
    """

    __slots__ = ("dead_places", "heap", "run")

    def __init__(self) -> None:
        self.run: deque[tuple[Any, ...]] = deque()
        self.heap: list[tuple[Any, ...]] = []
        self.dead_places = 0

    def __bool__(self) -> bool:
        return len(self.run) + len(self.heap) > self.dead_places

    def put(self, entry: Entry[K], place: tuple[Any, ...]) -> None:
        """Take in an entry; if it stands in this line, it moves."""
        former, entry.ticket = entry.ticket, place[-2]
        if former:
            self._bury()
        run = self.run
        if not run or place > run[-1]:
            run.append(place)
        else:
            heappush(self.heap, place)

    def put_newest(self, entry: Entry[K], place: tuple[int, int, Entry[K]]) -> None:
        """Take in an entry that stands in no line, and whose counter is the highest: `put`, but faster."""
        entry.ticket = place[1]
        run = self.run
        if not run or run[-1][0] <= place[0]:
            run.append(place)
        else:
            heappush(self.heap, place)

    def remove(self, entry: Entry[K]) -> None:
        """Let an entry leave this line."""
        entry.ticket = 0
        self._bury()

    def first(self) -> Entry[K] | None:
        """Return the first entry."""
        run, heap = self.run, self.heap
        while run and run[0][-1].ticket != run[0][-2]:
            run.popleft()
            self.dead_places -= 1
        while heap and heap[0][-1].ticket != heap[0][-2]:
            heappop(heap)
            self.dead_places -= 1
        if run and (not heap or run[0] < heap[0]):
            entry: Entry[K] = run[0][-1]
            return entry
        return heap[0][-1] if heap else None

    def pop(self) -> Entry[K] | None:
        """Take out the first entry."""
        run, heap = self.run, self.heap
        if run and not heap and not self.dead_places:
            entry: Entry[K] = run.popleft()[-1]
            entry.ticket = 0
            return entry
        while run or heap:
            place = heappop(heap) if heap and (not run or heap[0] < run[0]) else run.popleft()
            entry = place[-1]
            if entry.ticket == place[-2]:
                entry.ticket = 0
                self._clean_if_worth_it()
                return entry
            self.dead_places -= 1
        return None

    def _bury(self) -> None:
        self.dead_places += 1
        self._clean_if_worth_it()

    def _clean_if_worth_it(self) -> None:
        # Without this, a key that asks for 30 s and is woken each millisecond would leave 30,000 places behind.
        live = len(self.run) + len(self.heap) - self.dead_places
        if self.dead_places > live + _DEAD_PLACES_BEFORE_CLEANING:
            self.run = deque(place for place in self.run if place[-1].ticket == place[-2])
            self.heap = [place for place in self.heap if place[-1].ticket == place[-2]]
            heapify(self.heap)
            self.dead_places = 0
