"""Both cores against naive queues: whatever happens, they hand out the same keys in the same order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.instant import Instant
from reconciler.workqueue import ClassicCore, PriorityCore, QueueCore, check

from .model import NaiveClassic, NaivePriority

KEYS = st.sampled_from("abcdefg")


class _Machine(RuleBasedStateMachine):
    core: QueueCore[str]
    model: NaivePriority | NaiveClassic

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.consumers = 0

    @rule(key=KEYS, delay=st.integers(min_value=-1, max_value=6), priority=st.none() | st.sampled_from([-100, 0, 5]))
    def add(self, key: str, delay: int, priority: int | None) -> None:
        at = max(self.now, self.now + delay)
        self.core.add(key, now=Instant(self.now), ready_at=Instant(at), priority=priority)
        self.model.add(key, at, priority)
        self._serve()

    @rule(step=st.integers(min_value=1, max_value=5))
    def wait(self, step: int) -> None:
        for now in range(self.now + 1, self.now + step + 1):
            self.core.advance(Instant(now))
            self.model.advance(now)
            self._serve()
        self.now += step

    @rule()
    def take(self) -> None:
        if not self.model.waiters:
            item = self.core.take(now=Instant(self.now))
            assert (item and item.key) == self.model.take()

    @rule()
    def join(self) -> None:
        self.consumers += 1
        self.core.join(self.consumers)
        if not self.model.is_shut_down:
            self.model.waiters.append(self.consumers)
        self._serve()

    @rule(key=KEYS)
    def done(self, key: str) -> None:  # also of keys that nobody holds
        self.core.done(key)
        self.model.done(key)
        self._serve()

    @rule()
    def shut_down_late(self) -> None:
        if self.now > 40:
            self.core.shut_down()
            self.model.shut_down()

    def _serve(self) -> None:
        while self.model.waiters and (key := self.model.take()) is not None:
            handed = self.core.hand_out()
            assert handed is not None
            assert (handed[0], handed[1].key) == (self.model.waiters.pop(0), key)
        assert self.core.hand_out() is None

    @invariant()
    def they_look_the_same(self) -> None:
        assert len(self.core) == self.model.length()
        assert self.core.next_ready_at() == self.model.next_ready_at()
        check(self.core.snapshot())


class PriorityMachine(_Machine):
    def __init__(self) -> None:
        super().__init__()
        self.core = PriorityCore()
        self.model = NaivePriority()


class ClassicMachine(_Machine):
    def __init__(self) -> None:
        super().__init__()
        self.core = ClassicCore()
        self.model = NaiveClassic()


TestPriorityModel = PriorityMachine.TestCase
TestClassicModel = ClassicMachine.TestCase
_settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestPriorityModel.settings = _settings
TestClassicModel.settings = _settings
