"""
The delayed asks of the classic queue: a heap by time alone, in which equal times come out in the heap's own order.

That order is Go's (`container/heap`: push, up; pop: swap first with last, down), and controllers can see it: a, b and
c, asked for at one time in this order, come out as a, c, b. Python's `heapq` sifts differently, so this is a port.

Mirrors: client-go `util/workqueue/delaying_queue.go` `waitForPriorityQueue`, with `container/heap`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import msgspec

from reconciler.instant import Instant
from reconciler.workqueue.answers import CAUSES_MAX

__all__ = ["Delay", "Delays"]

K = TypeVar("K", bound=Hashable)


class Delay(msgspec.Struct, Generic[K], gc=False):
    """One delayed ask; `index` is its place in the heap, `held` are the causes of quiet events that wait with it."""

    key: K
    ready_at: Instant
    ask: int
    causes: tuple[int, ...]
    number: int
    index: int = -1
    held: tuple[int, ...] = ()

    def unite(self, causes: tuple[int, ...]) -> None:
        """Carry these causes as well."""
        if causes:
            self.causes = tuple(dict.fromkeys(self.causes + causes))[-CAUSES_MAX:]

    def hold(self, causes: tuple[int, ...]) -> None:
        """Let these causes wait as well; the next pass sees them, be it this ask's own or a sooner one."""
        self.held = tuple(dict.fromkeys(self.held + causes))[-CAUSES_MAX:]

    def release(self) -> tuple[int, ...]:
        """Give out what was held, once."""
        held, self.held = self.held, ()
        return held


class Delays(Generic[K]):
    """At most one delayed ask for each key. Whoever is in a hurry looks at `heap`; only this class changes it."""

    __slots__ = ("_by_key", "heap")

    def __init__(self) -> None:
        self.heap: list[Delay[K]] = []
        self._by_key: dict[K, Delay[K]] = {}

    def get(self, key: K) -> Delay[K] | None:
        """Return the delayed ask for `key`."""
        return self._by_key.get(key)

    def first(self) -> Delay[K] | None:
        """Return the one that `pop` would take."""
        return self.heap[0] if self.heap else None

    def push(self, delay: Delay[K]) -> None:
        """Put in a delayed ask for a key that has none."""
        self._by_key[delay.key] = delay
        delay.index = len(self.heap)
        self.heap.append(delay)
        self._up(delay.index)

    def pop(self) -> Delay[K]:
        """Take out the soonest; among equals, the one on top."""
        last = len(self.heap) - 1
        self._swap(0, last)
        self._down(0, last)
        return self._drop_last()

    def remove(self, delay: Delay[K]) -> None:
        """Take out one from anywhere. Mirrors: `heap.Remove`."""
        index, last = delay.index, len(self.heap) - 1
        if index != last:
            self._swap(index, last)
            if not self._down(index, last):
                self._up(index)
        self._drop_last()

    def sooner(self, delay: Delay[K], ready_at: Instant) -> None:
        """Move one to a sooner time. Mirrors: `heap.Fix`."""
        delay.ready_at = ready_at
        if not self._down(delay.index, len(self.heap)):
            self._up(delay.index)

    def __len__(self) -> int:
        return len(self.heap)

    def __iter__(self) -> Iterator[Delay[K]]:
        return iter(self.heap)

    def _drop_last(self) -> Delay[K]:
        delay = self.heap.pop()
        del self._by_key[delay.key]
        return delay

    def _swap(self, i: int, j: int) -> None:
        heap = self.heap
        heap[i], heap[j] = heap[j], heap[i]
        heap[i].index, heap[j].index = i, j

    # Both sifts move the others into the gap and write the sifted one once: the same order as swapping step by step.

    def _up(self, index: int) -> None:
        heap = self.heap
        delay = heap[index]
        ready_at = delay.ready_at
        while index > 0:
            above = (index - 1) // 2
            parent = heap[above]
            if ready_at >= parent.ready_at:
                break
            heap[index] = parent
            parent.index = index
            index = above
        heap[index] = delay
        delay.index = index

    def _down(self, start: int, end: int) -> bool:
        """Sift down within the first `end` places; return whether it moved."""
        heap = self.heap
        delay = heap[start]
        ready_at = delay.ready_at
        index = start
        while (below := 2 * index + 1) < end:
            child = heap[below]
            if below + 1 < end and heap[below + 1].ready_at < child.ready_at:
                below += 1
                child = heap[below]
            if child.ready_at >= ready_at:
                break
            heap[index] = child
            child.index = index
            index = below
        heap[index] = delay
        delay.index = index
        return index > start
