from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.instant import Instant
from reconciler.workqueue import (
    CAUSES_MAX,
    ClassicCore,
    Item,
    Placed,
    PriorityCore,
    Promotion,
    QueueSnapshot,
    Verdict,
    check,
)

KEYS = st.sampled_from("abcd")
DELAYS = st.integers(min_value=-2, max_value=12)
PRIORITIES = st.none() | st.sampled_from([-100, 0, 3, 7])


class PriorityCoreMachine(RuleBasedStateMachine):
    """
    Drives the core with everything a shell may do, and keeps books of what each verdict promised.

    `promised` is built from the verdicts alone: an ask stands until it is named as the loser, taken back or handed out.
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

    @rule(key=KEYS, delay=DELAYS, priority=PRIORITIES, quiet=st.booleans())
    def add(self, key: str, delay: int, priority: int | None, quiet: bool) -> None:
        self.last_ask += 1
        placed = self.core.add(
            key,
            now=self.now,
            ready_at=Instant(self.now + delay),
            priority=priority,
            ask=self.last_ask,
            causes=(self.last_ask,),
            quiet=quiet,
        )
        self._book(placed)
        self._serve()

    @rule(key=KEYS, delay=DELAYS)
    def hold(self, key: str, delay: int) -> None:
        self.last_ask += 1
        until = Instant(self.now + delay)
        before = self.promised.get(key)
        placed = self.core.hold(key, now=self.now, ready_at=until, ask=self.last_ask, causes=(self.last_ask,))
        if placed.verdict is Verdict.HELD:
            assert before == {placed.standing_ask: placed.ready_at}
        else:
            assert not before or self.core.is_shut_down
            self._book(placed)
        self._serve()

    @rule(key=KEYS)
    def withdraw(self, key: str) -> None:
        quiet = [row.causes for row in self.core.snapshot().rows if row.key == key and row.is_quiet]
        causes = self.core.withdraw(key)
        assert ([] if causes is None else [causes]) == quiet
        if causes is not None:
            self.promised[key] = {}
        assert self.core.withdraw(key) is None

    @rule(key=KEYS, other=st.booleans())
    def cancel(self, key: str, other: bool) -> None:
        ask, at = next(iter(self.promised.get(key, {}).items()), (self.last_ask, 0))
        if other:
            assert not self.core.cancel(key, ask + 1)
            return
        is_delayed = at > self.core.snapshot().at
        assert self.core.cancel(key, ask) == is_delayed
        if is_delayed:
            self.promised[key] = {}

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
        assert placed.verdict is not Verdict.PARKED or placed.key in self.held or placed.key in self.given_back

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
TestPriorityCore.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@dataclass
class _Books:
    """
    What the classic core promised for one key, built from its answers alone; `*_causes` are what they will bring.

    `has_come_due` says that a delayed ask alone made the mark, while the key was in work.
    """

    mark: dict[int, int] = field(default_factory=dict[int, int])
    delay: dict[int, int] = field(default_factory=dict[int, int])
    mark_causes: set[int] = field(default_factory=set[int])
    delay_causes: set[int] = field(default_factory=set[int])
    held_causes: set[int] = field(default_factory=set[int])
    is_quiet: bool = False
    has_come_due: bool = False


class ClassicCoreMachine(RuleBasedStateMachine):
    """
    The same for the classic core, where a mark and a delayed ask stand beside each other.

    An ask stands until it is named as the loser, taken back, promoted into a mark that stands, or handed out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.core: ClassicCore[str] = ClassicCore()
        self.now = Instant(0)
        self.last_ask = 0
        self.last_number = 0
        self.books = {key: _Books() for key in "abcd"}
        self.held: dict[str, tuple[Item[str], set[int]]] = {}
        self.waiting_consumers: list[int] = []
        self.waiting_drains: set[int] = set()
        self.before: QueueSnapshot[str] | None = None

    @rule(key=KEYS, delay=DELAYS, quiet=st.booleans())
    def add(self, key: str, delay: int, quiet: bool) -> None:
        self.last_ask += 1
        ask, ready_at = self.last_ask, Instant(self.now + delay)
        placed = self.core.add(key, now=self.now, ready_at=ready_at, ask=ask, causes=(ask,), quiet=quiet)
        self._book(placed, quiet=quiet)
        self._serve()

    def _book(self, placed: Placed[str], *, quiet: bool = False) -> None:
        books = self.books[placed.key]
        if placed.verdict is Verdict.SHUT_DOWN:
            assert (placed.lost_ask, placed.standing_ask) == (placed.ask, 0)
            return
        if placed.asked_for <= self.now:
            self._book_mark(books, placed.key, placed.ask, placed.at, placed.verdict, quiet=quiet)
            books.mark_causes.add(placed.ask)
            assert (placed.lost_ask, placed.lost_at) == (0, None)
            assert books.mark == {placed.standing_ask: placed.ready_at}
            return
        assert (placed.verdict is Verdict.DELAYED) == (not books.delay)
        if placed.verdict is not Verdict.FOLDED:
            books.delay[placed.ask] = placed.asked_for
        if placed.lost_ask:
            assert books.delay.pop(placed.lost_ask) == placed.lost_at
        books.delay_causes.add(placed.ask)
        assert books.delay == {placed.standing_ask: placed.ready_at}

    def _book_mark(self, books: _Books, key: str, ask: int, at: int, verdict: Verdict, *, quiet: bool) -> None:
        if books.mark:
            assert verdict is Verdict.FOLDED
            books.is_quiet = books.is_quiet and quiet
            books.has_come_due = False
        else:
            assert verdict is (Verdict.PARKED if key in self.held else Verdict.QUEUED)
            books.mark = {ask: at}
            books.is_quiet = quiet and key in self.held

    @rule(key=KEYS, delay=DELAYS)
    def hold(self, key: str, delay: int) -> None:
        self.last_ask += 1
        ask, until = self.last_ask, Instant(self.now + delay)
        placed = self.core.hold(key, now=self.now, ready_at=until, ask=ask, causes=(ask,))
        books = self.books[key]
        if placed.verdict is Verdict.HELD:
            assert (books.mark or books.delay) == {placed.standing_ask: placed.ready_at}
            (books.mark_causes if books.mark else books.held_causes).add(ask)
        else:
            assert self.core.is_shut_down or not (books.mark or books.delay)
            self._book(placed)
        self._serve()

    @rule(key=KEYS)
    def withdraw(self, key: str) -> None:
        books, causes = self.books[key], self.core.withdraw(key)
        assert (causes is not None) == books.is_quiet
        if causes is not None:
            self._assert_causes(causes, books.mark_causes)
            books.mark, books.mark_causes, books.is_quiet = {}, set(), False

    @rule(key=KEYS, which=st.sampled_from(["delay", "mark", "none"]))
    def cancel(self, key: str, which: str) -> None:
        books = self.books[key]
        asks: dict[int, int] = {"delay": books.delay, "mark": books.mark, "none": {}}[which]
        ask = next(iter(asks), self.last_ask + 1)
        is_alone = ask in books.mark and books.has_come_due
        assert self.core.cancel(key, ask) == (ask in books.delay or is_alone)
        if ask in books.delay:
            books.delay, books.delay_causes, books.held_causes = {}, set(), set()
        elif is_alone:
            books.mark, books.mark_causes, books.has_come_due = {}, set(), False

    @rule(step=st.integers(min_value=1, max_value=9))
    def wait(self, step: int) -> None:
        self.now = Instant(self.now + step)
        promotions = self.core.advance(self.now)
        assert [promotion.at for promotion in promotions] == sorted(promotion.at for promotion in promotions)
        for promotion in promotions:
            self._book_promotion(promotion)
        due = [books for books in self.books.values() if any(at <= self.now for at in books.delay.values())]
        assert not due or self.core.is_shut_down
        self._serve()

    def _book_promotion(self, promotion: Promotion[str]) -> None:
        books = self.books[promotion.key]
        assert books.delay == {promotion.ask: promotion.at}
        self._book_mark(books, promotion.key, promotion.ask, promotion.at, promotion.verdict, quiet=False)
        books.has_come_due = promotion.verdict is Verdict.PARKED
        books.mark_causes |= books.delay_causes | books.held_causes
        books.delay, books.delay_causes, books.held_causes = {}, set(), set()

    @rule()
    def take(self) -> None:
        item = self.core.take(now=self.now)
        if item is not None:
            assert not self.waiting_consumers
            self._book_hand_out(item)

    @rule()
    def join(self) -> None:
        self.last_number += 1
        self.core.join(self.last_number)
        if not self.core.is_shut_down:
            self.waiting_consumers.append(self.last_number)
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
        if not self.held and not self.books[key].mark:
            self._rotate()
        self.books[key].is_quiet = self.books[key].has_come_due = False
        self.core.done(key)
        self._serve()

    @rule(key=KEYS)
    def stray_done(self, key: str) -> None:
        if key not in self.held and not self.books[key].mark:
            before = self.core.snapshot()
            self.core.done(key)
            if not self.held:
                self._rotate()
            assert self.core.snapshot().rows == before.rows

    def _rotate(self) -> None:
        if self.waiting_consumers and not len(self.core):
            self.waiting_consumers.append(self.waiting_consumers.pop(0))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        item, causes = self.held.pop(key)
        self.core.give_back(key)
        books = self.books[key]
        # Both asks stand as one: it is the later ask, ready since the earlier one was.
        books.mark = dict.fromkeys(books.mark or [item.ask], item.ready_at)
        books.mark_causes |= causes
        books.is_quiet = books.has_come_due = False
        self._serve()

    @precondition(lambda self: self.now > 60)
    @rule(drains=st.booleans())
    def shut_down(self, drains: bool) -> None:
        if drains:
            self.last_number += 1
            self.waiting_drains.add(self.last_number)
            assert list(self.core.drain(self.last_number)) == self.waiting_consumers
            if not self.held:
                assert set(self.core.drained()) == self.waiting_drains
                self.waiting_drains = set()
        else:
            assert list(self.core.shut_down()) == self.waiting_consumers
            assert set(self.core.drained()) == self.waiting_drains
            self.waiting_drains = set()
        self.waiting_consumers = []

    @precondition(lambda self: self.waiting_drains)
    @rule(data=st.data())
    def leave_drain(self, data: st.DataObject) -> None:
        drain = data.draw(st.sampled_from(sorted(self.waiting_drains)))
        self.waiting_drains.remove(drain)
        self.core.leave_drain(drain)

    def _serve(self) -> None:
        while (handed := self.core.hand_out()) is not None:
            consumer, item = handed
            assert consumer == self.waiting_consumers.pop(0)
            self._book_hand_out(item)

    def _book_hand_out(self, item: Item[str]) -> None:
        assert item.key not in self.held
        assert item.ready_at <= self.now
        books = self.books[item.key]
        assert books.mark == {item.ask: item.ready_at}
        causes = books.mark_causes | books.held_causes
        self._assert_causes(item.causes, causes)
        self.held[item.key] = (item, set(item.causes))
        books.mark, books.mark_causes, books.held_causes = {}, set(), set()

    def _assert_causes(self, causes: tuple[int, ...], promised: set[int]) -> None:
        assert len(set(causes)) == len(causes) <= CAUSES_MAX
        assert set(causes) == promised or (set(causes) < promised and len(causes) == CAUSES_MAX)

    @invariant()
    def drains_end_when_nothing_is_in_work(self) -> None:
        drained = self.core.drained()
        assert len(set(drained)) == len(drained)
        assert set(drained) <= self.waiting_drains
        assert not drained or not self.held
        self.waiting_drains -= set(drained)

    @invariant()
    def the_numbered_invariants_hold(self) -> None:
        after = self.core.snapshot()
        check(after, before=self.before)
        self.before = after

    @invariant()
    def what_is_ready_and_in_work_is_what_was_promised(self) -> None:
        assert all(self.core.is_held(key) == (key in self.held) for key in self.books)
        assert len(self.core) == sum(1 for key, books in self.books.items() if books.mark and key not in self.held)


TestClassicCore = ClassicCoreMachine.TestCase
TestClassicCore.settings = TestPriorityCore.settings
