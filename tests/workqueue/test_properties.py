from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.instant import Instant
from reconciler.workqueue import CAUSES_MAX, Item, Placed, PriorityCore, QueueSnapshot, Verdict, check

KEYS = st.sampled_from("abcd")
DELAYS = st.integers(min_value=-2, max_value=12)
PRIORITIES = st.none() | st.sampled_from([-100, 0, 3, 7])


class PriorityCoreMachine(RuleBasedStateMachine):
    """
    Drives the core with everything a shell may do, and keeps books of what each verdict promised.

    `promised` is built from the verdicts alone: an ask stands until it is named as the loser, or handed out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.core: PriorityCore[str] = PriorityCore()
        self.now = Instant(0)
        self.last_ask = 0
        self.last_consumer = 0
        self.promised: dict[str, dict[int, int]] = {}
        self.held: dict[str, Item[str]] = {}
        self.given_back: dict[str, Item[str]] = {}
        self.waiting_consumers: list[int] = []
        self.before: QueueSnapshot[str] | None = None

    @rule(key=KEYS, delay=DELAYS, priority=PRIORITIES)
    def add(self, key: str, delay: int, priority: int | None) -> None:
        self.last_ask += 1
        ready_at = Instant(self.now + delay)
        cause = (self.last_ask,)
        placed = self.core.add(key, now=self.now, ready_at=ready_at, priority=priority, ask=self.last_ask, causes=cause)
        self._book(placed)
        self._serve()

    def _book(self, placed: Placed[str]) -> None:
        asks = self.promised.setdefault(placed.key, {})
        if placed.verdict is Verdict.SHUT_DOWN:
            assert placed.lost_ask == placed.ask
            return
        if placed.verdict is not Verdict.FOLDED:
            asks[placed.ask] = placed.asked_for
        if placed.lost_ask:
            assert asks.pop(placed.lost_ask) == placed.lost_at
        assert asks == {placed.standing_ask: placed.ready_at}

    @rule(step=st.integers(min_value=1, max_value=9))
    def wait(self, step: int) -> None:
        self.now = Instant(self.now + step)
        self.core.advance(self.now)
        self._serve()

    @rule()
    def take(self) -> None:
        item = self.core.take(now=self.now)
        if item is not None:
            assert not self.waiting_consumers
            self._book_hand_out(item)

    @rule()
    def join(self) -> None:
        self.last_consumer += 1
        self.core.join(self.last_consumer)
        if not self.core.is_shut_down:
            self.waiting_consumers.append(self.last_consumer)
        self._serve()

    @precondition(lambda self: self.waiting_consumers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        consumer = data.draw(st.sampled_from(self.waiting_consumers))
        self.waiting_consumers.remove(consumer)
        self.core.leave(consumer)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        del self.held[key]
        self.core.done(key)
        self._serve()

    @rule(key=KEYS)
    def stray_done(self, key: str) -> None:
        if key not in self.held:
            before = self.core.snapshot()
            self.core.done(key)
            assert self.core.snapshot() == before

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        item = self.held.pop(key)
        self.core.give_back(key)
        if self.promised[key]:
            self.given_back[key] = item
        else:
            self.promised[key] = {item.ask: item.ready_at}
        self._serve()

    @precondition(lambda self: self.now > 60)
    @rule()
    def shut_down(self) -> None:
        assert list(self.core.shut_down()) == self.waiting_consumers
        self.waiting_consumers = []

    def _serve(self) -> None:
        while (handed := self.core.hand_out()) is not None:
            consumer, item = handed
            assert consumer == self.waiting_consumers.pop(0)
            self._book_hand_out(item)

    def _book_hand_out(self, item: Item[str]) -> None:
        assert not self.core.is_shut_down
        assert item.key not in self.held
        assert item.ready_at <= self.now
        assert item.ask in item.causes or len(item.causes) == CAUSES_MAX
        if self.given_back.pop(item.key, None) != item:
            assert self.promised[item.key] == {item.ask: item.ready_at}
            self.promised[item.key] = {}
        self.held[item.key] = item

    @invariant()
    def the_numbered_invariants_hold(self) -> None:
        after = self.core.snapshot()
        check(after, before=self.before)
        self.before = after

    @invariant()
    def held_keys_are_those_handed_out_and_not_done(self) -> None:
        assert all(self.core.is_held(key) == (key in self.held) for key in "abcd")


TestPriorityCore = PriorityCoreMachine.TestCase
TestPriorityCore.settings = settings(max_examples=150, stateful_step_count=60, deadline=None, derandomize=True)
