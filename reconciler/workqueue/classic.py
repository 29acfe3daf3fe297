"""
The classic queue's decisions, with no clock and no loop: client-go's rate-limited delaying queue.

Three places, which know nothing of each other: the line of ready keys (first in, first out), the marks of keys that
must be worked on (`dirty`), and the delayed asks. A key that is asked for while it is in work is only marked, and joins
the end of the line when it is done. A delayed ask is no more than an ask in the future: an event never costs it, and
when its time comes it asks like any other, which changes nothing if the key is marked already.

Surprises, all Go's: equal times come out in the heap's order (delays.py); `done` that leaves nothing in work sends the
first waiting consumer to the end of the line of consumers; `done` of a key that nobody holds queues a ready key twice;
after a shutdown what is queued is still handed out.

Invariants (see check.py):
    C1  A key has at most one mark and at most one delayed ask; it is in nobody's hands twice.
    C2  A marked key is in the line, or in work; every key in the line is marked, except after a stray `done`.
    C3  The time of a delayed ask never moves later.
    C4  The time of a delayed ask lies ahead; a mark's does not.
    C5  No consumer waits while the line has a key.
    C6  The length is the number of keys in the line: not those in work, marked or not, and not the delayed ones.
    C7  The next key handed out is the first in the line.
    C8  The next ready time is the soonest among the delayed asks.
    C9  A mark and a delayed ask carry at most `CAUSES_MAX` causes.
    C10 Once shut down, no consumer waits; before, nothing drains.
    C11 A quiet mark belongs to a key in work.

Mirrors: client-go `util/workqueue` `Typed`, `delayingType` and `rateLimitingType`.
Differs: asks are applied at once; what became of each is an answer (`Placed`); consumers can leave; quiet asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from itertools import takewhile
from typing import TypeVar

from reconciler.instant import Instant
from reconciler.workqueue.answers import (
    CAUSES_MAX,
    Discipline,
    Item,
    Placed,
    Promotion,
    QueueSnapshot,
    Row,
    Standing,
    Verdict,
)
from reconciler.workqueue.consumers import Consumers
from reconciler.workqueue.delays import Delay, Delays

__all__ = ["ClassicCore"]

K = TypeVar("K", bound=Hashable)

# On the hot path the class attribute costs a lookup more.
_QUEUED, _PARKED, _FOLDED = Verdict.QUEUED, Verdict.PARKED, Verdict.FOLDED


class ClassicCore(Consumers[K]):
    """
    A line of ready keys, marks, and delayed asks.

    Consumers and drains are numbers that the caller chooses. After `add`, `done`, `give_back`, `advance` and `join`,
    the caller asks `hand_out` until it answers None: each answer names the consumer that is served.
    """

    discipline: Discipline = "classic"

    def __init__(self) -> None:
        super().__init__()
        self._line: deque[K] = deque()
        # A mark is what will be handed out.
        self._marks: dict[K, Item[K]] = {}
        self._quiet: set[K] = set()
        # Marks of keys in work that a delayed ask made, and nobody else joined.
        self._come_due: set[K] = set()
        self._held: dict[K, Item[K]] = {}
        # For each key given back: those that were handed out after it, and stand behind it should they come back.
        self._given_back: dict[K, frozenset[K]] = {}
        self._delays: Delays[K] = Delays()
        self._drains: dict[int, None] = {}
        self._drained: list[int] = []
        self._numbers = 0
        self._is_holding = False
        self._is_draining = False

    def add(
        self,
        key: K,
        *,
        now: Instant,
        ready_at: Instant,
        priority: int | None = None,
        ask: int = 0,
        causes: tuple[int, ...] = (),
        quiet: bool = False,
    ) -> Placed[K]:
        """
        Ask for `key` at `ready_at`, and return what became of that.

        A `ready_at` that is not after `now` asks for now. `priority` has no meaning here. If only quiet asks made a
        mark while its key is in work, `withdraw` can undo it.

        Raises:
            InvariantError: Something is due before `now`, and was not made ready by `advance`.
        """
        if now > self._now:
            self._move_to(now)
        if self._is_shut_down:
            asked_for = max(ready_at, now)
            return Placed(key, Verdict.SHUT_DOWN, ask, now, asked_for, asked_for, 0, causes, 0, asked_for, ask)
        if ready_at > now:
            return self._delay(key, now, ready_at, ask, causes)
        mark = self._marks.get(key)
        if mark is None:
            self._marks[key] = Item(key, 0, causes[-CAUSES_MAX:] if causes else causes, now, ask)
            if key in self._held:
                if quiet:
                    self._quiet.add(key)
                return Placed(key, _PARKED, ask, now, now, now, 0, causes, ask)
            self._line.append(key)
            return Placed(key, _QUEUED, ask, now, now, now, 0, causes, ask)
        self._unite(mark, causes)
        self._come_due.discard(key)
        if not quiet:
            self._quiet.discard(key)
        return Placed(key, _FOLDED, ask, now, now, mark.ready_at, 0, causes, mark.ask)

    def hold(self, key: K, *, now: Instant, ready_at: Instant, ask: int, causes: tuple[int, ...]) -> Placed[K]:
        """
        Let a quiet event wait with `key` for the owed time `ready_at`: causes are united, nothing else changes.

        A key that is neither marked nor delayed gets a delayed ask for `ready_at`.
        """
        if now > self._now:
            self._move_to(now)
        mark, delay = self._marks.get(key), self._delays.get(key)
        if mark is not None and not self._is_shut_down:
            self._unite(mark, causes)
            return Placed(key, Verdict.HELD, ask, now, ready_at, mark.ready_at, 0, causes, mark.ask)
        if delay is not None and not self._is_shut_down:
            delay.hold(causes)
            self._is_holding = True
            return Placed(key, Verdict.HELD, ask, now, ready_at, delay.ready_at, 0, causes, delay.ask)
        return self.add(key, now=now, ready_at=ready_at, ask=ask, causes=causes)

    def withdraw(self, key: K) -> tuple[int, ...] | None:
        """Take back the mark that only quiet asks made while `key` is in work; return its causes, None without one."""
        if key not in self._quiet:
            return None
        self._quiet.remove(key)
        return self._marks.pop(key).causes

    def cancel(self, key: K, ask: int) -> bool:
        """
        Take back the delayed ask `ask`, and return whether it was there: marks and other asks stay.

        One whose time came while the key is in work is still there, if it alone made the mark.
        """
        delay = self._delays.get(key)
        if delay is not None and delay.ask == ask:
            self._delays.remove(delay)
            return True
        if key in self._come_due and self._marks[key].ask == ask:
            self._come_due.remove(key)
            del self._marks[key]
            return True
        return False

    def advance(self, now: Instant) -> Sequence[Promotion[K]]:
        """Let what is due at `now` ask, and return what became of each, in order. Once shut down, time stands still."""
        if now <= self._now or self._is_shut_down:
            return ()
        self._now = now
        if not self._delays.heap:
            return ()
        promotions: list[Promotion[K]] = []
        while (first := self._delays.first()) is not None and first.ready_at <= now:
            delay = self._delays.pop()
            delay.unite(delay.release())
            key, verdict = delay.key, _FOLDED
            mark = self._marks.get(key)
            if mark is not None:
                self._unite(mark, delay.causes)
                self._quiet.discard(key)
                self._come_due.discard(key)
            else:
                self._marks[key] = Item(key, 0, delay.causes, delay.ready_at, delay.ask)
                verdict = _PARKED if key in self._held else _QUEUED
                if verdict is _QUEUED:
                    self._line.append(key)
                else:
                    self._come_due.add(key)
            promotions.append(Promotion(delay.key, delay.ask, delay.ready_at, verdict))
        return promotions

    def give_back(self, key: K) -> None:
        """
        Take back a key whose consumer left before it looked at it: it stands where it stood before.

        If the key was asked for in between, it stands there once, for both asks.
        """
        held = tuple(self._held)
        self._given_back[key] = frozenset(held[held.index(key) + 1 :])
        item = self._held.pop(key)
        mark = self._marks.get(key)
        if mark is not None:
            causes = tuple(dict.fromkeys(item.causes + mark.causes))[-CAUSES_MAX:]
            item = Item(key, 0, causes, item.ready_at, mark.ask)
            self._quiet.discard(key)
            self._come_due.discard(key)
        self._marks[key] = item
        before = takewhile(lambda other: key in self._given_back.get(other, ()), self._line)
        self._line.insert(sum(1 for _ in before), key)
        if not self._held:
            self.signal_drain()

    def done(self, key: K) -> None:
        """
        Release `key`; if it is marked, it joins the end of the line.

        As in Go, a ready key that nobody holds joins the line a second time.
        """
        self._held.pop(key, None)
        if key in self._marks:
            self._quiet.discard(key)
            self._come_due.discard(key)
            self._line.append(key)
        elif self._held:
            return
        elif self._consumers and not self._line:
            # Go signals whoever waits. A consumer finds nothing, and waits again: behind the others.
            consumer = next(iter(self._consumers))
            del self._consumers[consumer]
            self._consumers[consumer] = None
        if self._drains:
            self.signal_drain()

    def is_held(self, key: K) -> bool:
        """Whether `key` is in somebody's hands."""
        return key in self._held

    def next_ready_at(self) -> Instant | None:
        """Return when the next delayed ask is due; None if none will be."""
        first = None if self._is_shut_down else self._delays.first()
        return None if first is None else first.ready_at

    @property
    def has_delayed(self) -> bool:
        """Whether a delayed ask waits for its time."""
        return bool(self._delays)

    def shut_down(self) -> tuple[int, ...]:
        """Ignore asks from now on, and drain no more; return the consumers that waited, longest first."""
        self._is_draining = False
        return self._shut_down()

    def drain(self, drain: int) -> tuple[int, ...]:
        """
        Ignore asks from now on, and let `drain` wait until nothing is in work; return the consumers that waited.

        `drained` says when it is over. What is still in the line does not hold it up.
        """
        self._is_draining = True
        left = self._shut_down()
        if self._held:
            # The call wakes those that drained before; they find work, and wait again: behind this one.
            self._drains = {drain: None} | self._drains
        else:
            # The call wakes those that drained before, and they find nothing in work either.
            self._drained += [*self._drains, drain]
            self._drains.clear()
        return left

    def drained(self) -> tuple[int, ...]:
        """Return the drains that are over, each once."""
        drained = tuple(self._drained)
        self._drained.clear()
        return drained

    def leave_drain(self, drain: int) -> None:
        """Let `drain` wait no longer; one that does not wait is ignored."""
        self._drains.pop(drain, None)

    def signal_drain(self) -> None:
        """Wake the drain that is first: it ends if nothing is in work, else it waits again, behind the others."""
        if not self._drains:
            return
        drain = next(iter(self._drains))
        del self._drains[drain]
        if self._held:
            self._drains[drain] = None
        else:
            self._drained.append(drain)

    def __len__(self) -> int:
        return len(self._line)

    def __repr__(self) -> str:
        shut = ", shut down" if self._is_shut_down else ""
        counts = f"{len(self._line)} ready, {len(self._delays)} waiting, {len(self._held)} held"
        return f"<ClassicCore {counts}, {len(self._consumers)} consumers{shut}>"

    def snapshot(self) -> QueueSnapshot[K]:
        """Return everything there is to see, at the latest moment that the core was told of."""
        waiting = sorted(self._delays, key=lambda delay: (delay.ready_at, delay.index))
        numbers = {key: number for number, key in enumerate(self._marks, start=1)}
        in_line = [self._row(key, numbers.get(key, 0), is_locked=False) for key in self._line]
        lined = set(self._line)
        parked = [self._row(key, number, is_locked=True) for key, number in numbers.items() if key not in lined]
        held = [
            Row(key, Standing.HELD, item.ready_at, 0, item.ask, item.causes, False, 0)
            for key, item in self._held.items()
        ]
        delayed = [
            Row(delay.key, Standing.WAITING, delay.ready_at, 0, delay.ask, delay.causes, False, delay.number)
            for delay in waiting
        ]
        return QueueSnapshot(
            at=self._now,
            rows=(*held, *in_line, *parked, *delayed),
            length=len(self._line),
            up_next=in_line[0].number if in_line else None,
            next_ready_at=self.next_ready_at(),
            consumers=len(self._consumers),
            dead_places=0,
            is_shut_down=self._is_shut_down,
            discipline="classic",
            drains=len(self._drains),
        )

    def _row(self, key: K, number: int, *, is_locked: bool) -> Row[K]:
        mark = self._marks.get(key)
        if mark is None:  # a second place in the line, after a stray done
            return Row(key, Standing.READY, self._now, 0, 0, (), is_locked, 0)
        is_quiet = key in self._quiet
        return Row(key, Standing.READY, mark.ready_at, 0, mark.ask, mark.causes, is_locked, number, is_quiet)

    def _unite(self, mark: Item[K], causes: tuple[int, ...]) -> None:
        if causes:
            united = tuple(dict.fromkeys(mark.causes + causes))[-CAUSES_MAX:]
            self._marks[mark.key] = Item(mark.key, 0, united, mark.ready_at, mark.ask)

    def _delay(self, key: K, now: Instant, ready_at: Instant, ask: int, causes: tuple[int, ...]) -> Placed[K]:
        delay = self._delays.get(key)
        if delay is None:
            self._numbers += 1
            self._delays.push(Delay(key, ready_at, ask, causes[-CAUSES_MAX:], self._numbers))
            return Placed(key, Verdict.DELAYED, ask, now, ready_at, ready_at, 0, causes, ask)
        delay.unite(causes)
        was_at, was = delay.ready_at, delay.ask
        if ready_at == was_at:
            return Placed(key, _FOLDED, ask, now, ready_at, was_at, 0, causes, was)
        if ready_at > was_at:
            return Placed(key, Verdict.KEPT_SOONER, ask, now, ready_at, was_at, 0, causes, was, ready_at, ask)
        delay.ask = ask
        self._delays.sooner(delay, ready_at)
        return Placed(key, Verdict.SOONER, ask, now, ready_at, ready_at, 0, causes, ask, was_at, was)

    def _take_first(self) -> Item[K] | None:
        if not self._line:
            return None
        key = self._line.popleft()
        if self._given_back:
            self._given_back.pop(key, None)
        if self._is_holding and (delay := self._delays.get(key)) is not None and key in self._marks:
            self._unite(self._marks[key], delay.release())
        item = self._marks.pop(key, None)
        if item is None:  # a second place in the line, after a stray done
            item = Item(key, 0, (), self._now, 0)
        self._held[key] = item
        return item

    def _shut_down(self) -> tuple[int, ...]:
        self._is_shut_down = True
        if not self._is_draining:
            self._drained += self._drains
            self._drains.clear()
        return self._send_home()
