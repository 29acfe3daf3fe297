"""
Two naive queues: plain lists that are searched and sorted at each step. Slow, and easy to believe.

They answer what the cores answer about keys and times; verdicts and causes are the property tests' own matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class _Wish:
    key: str
    at: int
    priority: int
    counter: int
    is_ready: bool


@dataclass
class NaivePriority:
    """Controller-runtime's priority queue."""

    now: int = 0
    wishes: list[_Wish] = field(default_factory=list[_Wish])
    locked: list[str] = field(default_factory=list[str])
    waiters: list[int] = field(default_factory=list[int])
    counter: int = 0
    is_shut_down: bool = False

    def add(self, key: str, at: int, priority: int | None) -> None:
        if self.is_shut_down:
            return
        wanted = priority or 0
        for wish in self.wishes:
            if wish.key == key:
                if wanted > wish.priority:
                    wish.priority, wish.counter = wanted, self._next()
                if not wish.is_ready:
                    wish.at = min(wish.at, at)
                    wish.is_ready = wish.at <= self.now
                return
        self.wishes.append(_Wish(key, at, wanted, self._next(), at <= self.now))

    def advance(self, now: int) -> None:
        if self.is_shut_down:
            return
        self.now = now
        due = [wish for wish in self.wishes if not wish.is_ready and wish.at <= now]
        for wish in sorted(due, key=lambda wish: (wish.at, -wish.priority, wish.counter)):
            wish.is_ready, wish.counter = True, self._next()

    def take(self) -> str | None:
        free = [wish for wish in self.wishes if wish.is_ready and wish.key not in self.locked]
        if self.is_shut_down or not free:
            return None
        first = min(free, key=lambda wish: (-wish.priority, wish.counter))
        self.wishes.remove(first)
        self.locked.append(first.key)
        return first.key

    def done(self, key: str) -> None:
        if key in self.locked:
            self.locked.remove(key)

    def shut_down(self) -> None:
        self.is_shut_down = True
        self.waiters = []

    def length(self) -> int:
        return sum(wish.is_ready for wish in self.wishes)

    def next_ready_at(self) -> int | None:
        return None if self.is_shut_down else min((w.at for w in self.wishes if not w.is_ready), default=None)

    def _next(self) -> int:
        self.counter += 1
        return self.counter


@dataclass
class NaiveClassic:
    """Client-go's queue, with `container/heap` swapped step by step."""

    now: int = 0
    line: list[str] = field(default_factory=list[str])
    dirty: list[str] = field(default_factory=list[str])
    processing: list[str] = field(default_factory=list[str])
    heap: list[list[int | str]] = field(default_factory=list[list[int | str]])
    waiters: list[int] = field(default_factory=list[int])
    is_shut_down: bool = False

    def add(self, key: str, at: int, priority: int | None) -> None:
        del priority
        if self.is_shut_down:
            return
        if at > self.now:
            self._wait(key, at)
        elif key not in self.dirty:
            self.dirty.append(key)
            if key not in self.processing:
                self.line.append(key)

    def _wait(self, key: str, at: int) -> None:
        for index, (_, waiting) in enumerate(self.heap):
            if waiting == key:
                if at < self._time(index):
                    self.heap[index][0] = at
                    if not self._down(index, len(self.heap)):
                        self._up(index)
                return
        self.heap.append([at, key])
        self._up(len(self.heap) - 1)

    def advance(self, now: int) -> None:
        if self.is_shut_down:
            return
        self.now = now
        while self.heap and self._time(0) <= now:
            last = len(self.heap) - 1
            self.heap[0], self.heap[last] = self.heap[last], self.heap[0]
            self._down(0, last)
            _, key = self.heap.pop()
            self.add(str(key), now, None)

    def take(self) -> str | None:
        if not self.line:
            return None
        key = self.line.pop(0)
        if key in self.dirty:
            self.dirty.remove(key)
        if key not in self.processing:
            self.processing.append(key)
        return key

    def done(self, key: str) -> None:
        if key in self.processing:
            self.processing.remove(key)
        if key in self.dirty:
            self.line.append(key)
        elif not self.processing and not self.line and self.waiters:
            self.waiters.append(self.waiters.pop(0))

    def shut_down(self) -> None:
        self.is_shut_down = True
        self.waiters = []

    def length(self) -> int:
        return len(self.line)

    def next_ready_at(self) -> int | None:
        return None if self.is_shut_down or not self.heap else self._time(0)

    def _time(self, index: int) -> int:
        return int(self.heap[index][0])

    def _swap(self, i: int, j: int) -> None:
        self.heap[i], self.heap[j] = self.heap[j], self.heap[i]

    def _up(self, j: int) -> None:
        while j > 0 and self._time(j) < self._time((j - 1) // 2):
            self._swap(j, (j - 1) // 2)
            j = (j - 1) // 2

    def _down(self, start: int, end: int) -> bool:
        i = start
        while 2 * i + 1 < end:
            j = 2 * i + 1
            if j + 1 < end and self._time(j + 1) < self._time(j):
                j += 1
            if self._time(j) >= self._time(i):
                break
            self._swap(i, j)
            i = j
        return i > start
