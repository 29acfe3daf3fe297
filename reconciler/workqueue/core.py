"""
The priority queue's decisions, with no clock and no loop.

A key has one entry, and an entry has one time. It is ready, or it waits for that time. Whatever is due at `now` becomes
ready before anything else is decided at `now`; so an ask never destroys a wake-up that is already due.

Order: ready entries go by priority (higher first), then by counter (lower first). Waiting entries become ready by
time, then priority, then counter. A new entry takes the next counter, and so does one that becomes ready because its
time has come, or whose priority rises. One that an ask makes ready keeps its counter, as in Go.

Invariants (see check.py):
    Q1   A key has at most one entry, and beside it at most one that was handed out and is not done.
    Q2   An entry is locked exactly as long as its key is handed out; a locked entry is not handed out.
    Q3   The time of a waiting entry never moves later.
    Q4   The priority of an entry never falls.
    Q5   A waiting entry's time lies ahead; a ready entry's does not.
    Q6   No consumer waits while a key can be handed out.
    Q7   The length is the number of ready entries, locked ones included, waiting ones not.
    Q8   The next key handed out is the first in the order above.
    Q9   The next ready time is the soonest time among the waiting entries.
    Q10  Dead places in the lines are never more than the entries plus `DEAD_PLACES_MAX`.
    Q11  An entry carries at most `CAUSES_MAX` causes.
    Q12  Once shut down, no consumer waits.

Mirrors: controller-runtime `pkg/controller/priorityqueue`.
Differs: asks are applied at once, not buffered; what became of each is an answer (`Placed`); consumers can leave.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from reconciler.instant import Instant
from reconciler.workqueue.answers import Item, Placed, QueueSnapshot, Row, Standing, Verdict

__all__ = ["CAUSES_MAX", "DEAD_PLACES_MAX", "PriorityCore"]

K = TypeVar("K", bound=Hashable)

CAUSES_MAX = 16
"""Causes that one entry keeps; the newest stay."""

DEAD_PLACES_MAX = 64
"""Dead places that a line may hold beyond the number of its entries before it is cleaned."""


class _Entry(Generic[K]):
    __slots__ = ("ask", "causes", "counter", "is_ready", "key", "number", "priority", "ready_at", "ticket")

    def __init__(
        self, key: K, number: int, priority: int, ready_at: Instant, ask: int, causes: tuple[int, ...]
    ) -> None:
        self.key = key
        self.number = number
        self.counter = number
        self.priority = priority
        self.ready_at = ready_at
        self.is_ready = False
        self.ask = ask
        self.causes = causes
        self.ticket = 0  # of its place in a line; 0: in no line

    def unite(self, causes: tuple[int, ...]) -> None:
        if causes:
            self.causes = tuple(dict.fromkeys(self.causes + causes))[-CAUSES_MAX:]

    def item(self) -> Item[K]:
        return Item(self.key, self.priority, self.causes, self.ready_at, self.ask)

    def row(self, standing: Standing, *, is_locked: bool) -> Row[K]:
        return Row(self.key, standing, self.ready_at, self.priority, self.ask, self.causes, is_locked, self.number)


class _Line(Generic[K]):
    """
    Entries in their order: a heap in which an entry that moves or leaves leaves a dead place behind.

    A place is dead if its ticket is not the entry's any more. Both lines of a queue draw from the same tickets.
    """

    __slots__ = ("_entries", "_heap", "_tickets")

    def __init__(self, tickets: Iterator[int]) -> None:
        self._heap: list[tuple[int, int, int, int, _Entry[K]]] = []
        self._entries = 0
        self._tickets = tickets

    def put(self, entry: _Entry[K]) -> None:
        """Place `entry` by what it says now; if it stands in this line, it moves."""
        if not entry.ticket:
            self._entries += 1
        entry.ticket = next(self._tickets)
        time = 0 if entry.is_ready else entry.ready_at
        heappush(self._heap, (time, -entry.priority, entry.counter, entry.ticket, entry))
        self._clean_if_worth_it()

    def remove(self, entry: _Entry[K]) -> None:
        entry.ticket = 0
        self._entries -= 1
        self._clean_if_worth_it()

    def pop(self) -> _Entry[K] | None:
        entry = self.first()
        if entry is not None:
            heappop(self._heap)
            entry.ticket = 0
            self._entries -= 1
        return entry

    def first(self) -> _Entry[K] | None:
        heap = self._heap
        while heap:
            place = heap[0]
            if place[3] == place[4].ticket:
                return place[4]
            heappop(heap)
        return None

    @property
    def dead_places(self) -> int:
        return len(self._heap) - self._entries

    def _clean_if_worth_it(self) -> None:
        # Without this, a key that asks for 30 s and is woken each millisecond would leave 30,000 places behind.
        if len(self._heap) > 2 * self._entries + DEAD_PLACES_MAX // 2:
            self._heap = [place for place in self._heap if place[3] == place[4].ticket]
            heapify(self._heap)


class PriorityCore(Generic[K]):
    """
    One entry for each key; the sooner time wins, and the loser is reported.

    Consumers are numbers that the caller chooses. After `add`, `done`, `give_back`, `advance` and `join`, the caller
    asks `hand_out` until it answers None: each answer names the consumer that is served, first come, first served.
    """

    def __init__(self) -> None:
        tickets = count(1)
        self._entries: dict[K, _Entry[K]] = {}
        self._held: dict[K, _Entry[K]] = {}
        self._ready: _Line[K] = _Line(tickets)
        self._waiting: _Line[K] = _Line(tickets)
        self._consumers: dict[int, None] = {}
        self._counters = count(1)
        self._length = 0
        self._now = Instant(0)
        self._is_shut_down = False

    def add(
        self,
        key: K,
        *,
        now: Instant,
        ready_at: Instant,
        priority: int | None = None,
        ask: int = 0,
        causes: tuple[int, ...] = (),
    ) -> Placed[K]:
        """
        Ask for `key` at `ready_at`, and return what became of that.

        A `ready_at` that is not after `now` asks for now. No priority means 0. An existing entry takes the sooner time
        and the higher priority.
        """
        self.advance(now)
        asked_for = ready_at if ready_at > now else now
        if self._is_shut_down:
            return Placed(
                key, Verdict.SHUT_DOWN, ask, now, asked_for, asked_for, priority or 0, causes, 0, asked_for, ask
            )
        entry = self._entries.get(key)
        if entry is None:
            entry = self._enter(key, now, asked_for, priority or 0, ask, causes)
            verdict = Verdict.QUEUED if entry.is_ready else Verdict.DELAYED
            return Placed(key, verdict, ask, now, asked_for, asked_for, entry.priority, causes, ask)
        entry.unite(causes)
        self._raise_priority(entry, priority or 0)
        verdict, lost_at, lost_ask = self._merge_time(entry, now, asked_for, ask)
        return Placed(
            key, verdict, ask, now, asked_for, entry.ready_at, entry.priority, causes, entry.ask, lost_at, lost_ask
        )

    def advance(self, now: Instant) -> None:
        """Make ready what is due at `now`. Once shut down, time stands still."""
        if self._is_shut_down or now <= self._now:
            return
        self._now = now
        while (entry := self._waiting.first()) is not None and entry.ready_at <= now:
            entry.counter = next(self._counters)
            self._make_ready(entry)

    def take(self, *, now: Instant) -> Item[K] | None:
        """Hand out the first key that can be, unless consumers wait: they come first. None: there is none."""
        self.advance(now)
        return None if self._consumers else self._take_first()

    def join(self, consumer: int) -> None:
        """Let `consumer` wait, behind those that wait already."""
        if not self._is_shut_down:
            self._consumers[consumer] = None

    def leave(self, consumer: int) -> None:
        """Let `consumer` wait no longer; one that does not wait is ignored."""
        self._consumers.pop(consumer, None)

    def hand_out(self) -> tuple[int, Item[K]] | None:
        """Serve the consumer that waits longest, with the first key; None: no consumer, or no key."""
        if not self._consumers:
            return None
        item = self._take_first()
        if item is None:
            return None
        consumer = next(iter(self._consumers))
        del self._consumers[consumer]
        return consumer, item

    def give_back(self, key: K) -> None:
        """
        Take back a key whose consumer left before it looked at it: it stands where it stood before.

        If the key was asked for in between, that entry stays as its `Placed` said, so that no wake-up is lost; it is
        locked until the one given back was handed out again and is done.
        """
        entry = self._held[key]
        if key not in self._entries:
            self._entries[key] = self._held.pop(key)
        self._length += 1
        self._ready.put(entry)

    def done(self, key: K) -> None:
        """Unlock `key`; if it was asked for meanwhile, it can be handed out again. A key nobody holds is ignored."""
        if not self.is_held(key):
            return
        del self._held[key]
        entry = self._entries.get(key)
        if entry is not None and entry.is_ready:
            self._ready.put(entry)

    def is_held(self, key: K) -> bool:
        """Whether `key` is in somebody's hands."""
        entry = self._held.get(key)
        return entry is not None and not entry.ticket

    def next_ready_at(self) -> Instant | None:
        """Return when the next waiting entry becomes ready; None if none will."""
        entry = None if self._is_shut_down else self._waiting.first()
        return None if entry is None else entry.ready_at

    def shut_down(self) -> tuple[int, ...]:
        """Ignore asks and hand out nothing from now on; return the consumers that waited, longest first."""
        self._is_shut_down = True
        left = tuple(self._consumers)
        self._consumers.clear()
        return left

    @property
    def is_shut_down(self) -> bool:
        """Whether `shut_down` was called."""
        return self._is_shut_down

    @property
    def has_consumers(self) -> bool:
        """Whether a consumer waits."""
        return bool(self._consumers)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        waiting = sum(not entry.is_ready for entry in self._entries.values())
        held = sum(map(self.is_held, self._held))
        shut = ", shut down" if self._is_shut_down else ""
        counts = f"{self._length} ready, {waiting} waiting, {held} held, {len(self._consumers)} consumers"
        return f"<PriorityCore {counts}{shut}>"

    def snapshot(self) -> QueueSnapshot[K]:
        """Return everything there is to see, at the latest moment that the core was told of."""
        first = None if self._is_shut_down else self._ready.first()
        held = [entry.row(Standing.HELD, is_locked=False) for entry in self._held.values() if not entry.ticket]
        given_back = [entry for entry in self._held.values() if entry.ticket]
        ready = given_back + [entry for entry in self._entries.values() if entry.is_ready]
        ready.sort(key=lambda entry: (-entry.priority, entry.counter))
        waiting = [entry for entry in self._entries.values() if not entry.is_ready]
        waiting.sort(key=lambda entry: (entry.ready_at, -entry.priority, entry.counter))
        return QueueSnapshot(
            at=self._now,
            rows=(
                *held,
                *(entry.row(Standing.READY, is_locked=not entry.ticket) for entry in ready),
                *(entry.row(Standing.WAITING, is_locked=entry.key in self._held) for entry in waiting),
            ),
            length=self._length,
            up_next=None if first is None else first.number,
            next_ready_at=self.next_ready_at(),
            consumers=len(self._consumers),
            dead_places=self._ready.dead_places + self._waiting.dead_places,
            is_shut_down=self._is_shut_down,
        )

    def _enter(
        self, key: K, now: Instant, ready_at: Instant, priority: int, ask: int, causes: tuple[int, ...]
    ) -> _Entry[K]:
        entry = self._entries[key] = _Entry(key, next(self._counters), priority, ready_at, ask, causes[-CAUSES_MAX:])
        if ready_at <= now:
            self._make_ready(entry)
        else:
            self._waiting.put(entry)
        return entry

    def _raise_priority(self, entry: _Entry[K], priority: int) -> None:
        if priority <= entry.priority:
            return
        entry.priority = priority
        entry.counter = next(self._counters)
        if entry.ticket:  # a locked ready entry is in no line
            (self._ready if entry.is_ready else self._waiting).put(entry)

    def _merge_time(
        self, entry: _Entry[K], now: Instant, asked_for: Instant, ask: int
    ) -> tuple[Verdict, Instant | None, int]:
        """Give `entry` the sooner time; return the verdict, and the time and ask of the wake-up that lost."""
        is_now = asked_for <= now
        if asked_for == entry.ready_at or (is_now and entry.is_ready):
            return Verdict.FOLDED, None, 0
        if entry.is_ready or asked_for > entry.ready_at:
            return Verdict.KEPT_SOONER, asked_for, ask
        lost_at, lost_ask = entry.ready_at, entry.ask
        entry.ready_at, entry.ask = asked_for, ask
        if is_now:
            self._make_ready(entry)
            return Verdict.MADE_READY, lost_at, lost_ask
        self._waiting.put(entry)
        return Verdict.SOONER, lost_at, lost_ask

    def _make_ready(self, entry: _Entry[K]) -> None:
        if entry.ticket:
            self._waiting.remove(entry)
        entry.is_ready = True
        self._length += 1
        if entry.key not in self._held:
            self._ready.put(entry)

    def _take_first(self) -> Item[K] | None:
        entry = None if self._is_shut_down else self._ready.pop()
        if entry is None:
            return None
        self._length -= 1
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self._held[entry.key] = entry
        return entry.item()
