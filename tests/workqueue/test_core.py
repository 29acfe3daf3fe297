from __future__ import annotations

import pytest

from reconciler.instant import Instant
from reconciler.workqueue import Item, Placed, PriorityCore, Standing, Verdict, check


def ask(
    core: PriorityCore[str], key: str, at: int, *, now: int, ask: int = 0, priority: int | None = None
) -> Placed[str]:
    core.advance(Instant(now))
    return core.add(key, now=Instant(now), ready_at=Instant(at), ask=ask, priority=priority)


def take(core: PriorityCore[str], now: int) -> str | None:
    core.advance(Instant(now))
    item = core.take(now=Instant(now))
    return None if item is None else item.key


def drain(core: PriorityCore[str], now: int) -> str:
    return "".join(iter(lambda: take(core, now) or "", ""))


NOW = 10

# An earlier ask at 0 for the first time, then one at 10 for the second: the verdict on the second.
#   first, second -> verdict, ready_at, standing ask, lost_at, lost ask
VERDICTS = [
    pytest.param(0, 10, (Verdict.FOLDED, 0, 1, None, 0), id="now meets ready"),
    pytest.param(0, 39, (Verdict.KEPT_SOONER, 0, 1, 39, 2), id="later meets ready"),
    pytest.param(30, 10, (Verdict.MADE_READY, 10, 2, 30, 1), id="now meets waiting"),
    pytest.param(30, 5, (Verdict.MADE_READY, 10, 2, 30, 1), id="the past meets waiting"),
    pytest.param(30, 20, (Verdict.SOONER, 20, 2, 30, 1), id="sooner meets waiting"),
    pytest.param(30, 40, (Verdict.KEPT_SOONER, 30, 1, 40, 2), id="later meets waiting"),
    pytest.param(30, 30, (Verdict.FOLDED, 30, 1, None, 0), id="the same time meets waiting"),
    pytest.param(10, 10, (Verdict.FOLDED, 10, 1, None, 0), id="now meets what falls due now"),
    pytest.param(10, 11, (Verdict.KEPT_SOONER, 10, 1, 11, 2), id="later meets what falls due now"),
    pytest.param(11, 10, (Verdict.MADE_READY, 10, 2, 11, 1), id="now comes one nanosecond before the wake-up"),
]


@pytest.mark.parametrize(("first", "second", "expected"), VERDICTS)
def test_a_second_ask_is_told_who_won_and_which_wake_up_lost(
    first: int, second: int, expected: tuple[Verdict, int, int, int | None, int]
) -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", first, now=0, ask=1)

    placed = ask(core, "a", second, now=NOW, ask=2)

    assert (placed.verdict, placed.ready_at, placed.standing_ask, placed.lost_at, placed.lost_ask) == expected
    assert (placed.ask, placed.at, placed.asked_for) == (2, NOW, max(second, NOW))
    check(core.snapshot())


def test_a_first_ask_costs_nothing_and_stands() -> None:
    core: PriorityCore[str] = PriorityCore()

    ready = ask(core, "a", 5, now=5, ask=1)
    later = ask(core, "b", 6, now=5, ask=2)

    assert (ready.verdict, ready.ready_at, ready.standing_ask, ready.lost_ask) == (Verdict.QUEUED, 5, 1, 0)
    assert (later.verdict, later.ready_at, later.standing_ask, later.lost_ask) == (Verdict.DELAYED, 6, 2, 0)


def test_an_event_during_the_work_runs_first_and_names_the_delay_that_lost() -> None:
    # Given a key in a worker's hands,
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 0, now=0, ask=1)
    assert take(core, 0) == "a"
    # when an event comes, and then the worker asks for later,
    ask(core, "a", 5, now=5, ask=2)
    late = ask(core, "a", 39, now=9, ask=3)
    core.done("a")
    # then the event runs, the verdict says what became of the delay, and nothing comes at 39.
    assert late.verdict is Verdict.KEPT_SOONER
    assert (late.lost_at, late.lost_ask, late.standing_ask) == (39, 3, 2)
    assert take(core, 9) == "a"
    core.done("a")
    assert core.next_ready_at() is None
    assert take(core, 39) is None


def test_an_event_after_the_work_destroys_the_wake_up_and_names_it() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 30, now=0, ask=1)

    event = ask(core, "a", 15, now=15, ask=2)

    assert event.verdict is Verdict.MADE_READY
    assert (event.lost_at, event.lost_ask, event.standing_ask) == (30, 1, 2)
    assert take(core, 15) == "a"
    core.done("a")
    assert take(core, 30) is None


def test_a_wake_up_that_is_due_is_never_lost_even_if_nobody_looked_yet() -> None:
    # Given a wake-up due at 30, and nobody who looked at the clock since,
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 30, now=0, ask=1)
    # when an event comes late,
    event = ask(core, "a", 35, now=35, ask=2)
    # then it is folded into the wake-up, which was ready since 30.
    assert event.verdict is Verdict.FOLDED
    core.advance(Instant(35))
    assert core.take(now=Instant(35)) == Item("a", 0, (), Instant(30), 1)


def test_a_chain_of_losses_names_each_loser_once() -> None:
    core: PriorityCore[str] = PriorityCore()
    asks = [30, 40, 20, 25, 0]

    placed = [ask(core, "a", at, now=0, ask=number) for number, at in enumerate(asks, start=1)]

    assert [(one.lost_ask, one.lost_at) for one in placed] == [(0, None), (2, 40), (1, 30), (4, 25), (3, 20)]
    assert core.take(now=Instant(0)) == Item("a", 0, (), Instant(0), 5)


def test_once_shut_down_an_ask_is_lost_and_time_stands_still() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "ready", 0, now=0)
    ask(core, "waiting", 10, now=0)

    core.shut_down()

    placed = ask(core, "b", 5, now=0, ask=7)
    assert (placed.verdict, placed.lost_ask, placed.lost_at, placed.standing_ask) == (Verdict.SHUT_DOWN, 7, 5, 0)
    core.advance(Instant(20))
    assert len(core) == 1
    assert core.next_ready_at() is None
    assert take(core, 20) is None
    check(core.snapshot())


def test_an_ask_for_a_ready_key_raises_its_priority_whatever_its_verdict() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 0, now=0, priority=-100)
    ask(core, "b", 0, now=0)

    late = ask(core, "a", 30, now=0, priority=7)

    assert (late.verdict, late.priority) == (Verdict.KEPT_SOONER, 7)
    assert drain(core, 0) == "ab"


def test_a_plain_ask_lifts_a_low_priority_to_zero_and_never_lowers_one() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 0, now=0, priority=-100)
    ask(core, "b", 0, now=0, priority=3)

    assert ask(core, "a", 0, now=0).priority == 0
    assert ask(core, "b", 0, now=0).priority == 3


def test_an_event_for_a_waiting_key_overtakes_keys_that_were_asked_for_before_it() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 30, now=0)
    ask(core, "b", 0, now=0)
    ask(core, "c", 0, now=0)
    ask(core, "a", 0, now=0)
    assert drain(core, 0) == "abc"


def test_the_causes_of_merged_asks_are_handed_out_together_without_repeats() -> None:
    core: PriorityCore[str] = PriorityCore()
    core.add("a", now=Instant(0), ready_at=Instant(30), causes=(1, 2))
    placed = core.add("a", now=Instant(0), ready_at=Instant(40), causes=(2, 3))
    core.add("a", now=Instant(0), ready_at=Instant(0))

    item = core.take(now=Instant(0))

    assert placed.causes == (2, 3)
    assert item is not None
    assert item.causes == (1, 2, 3)


def test_of_too_many_causes_the_newest_stay() -> None:
    core: PriorityCore[str] = PriorityCore()
    core.add("b", now=Instant(0), ready_at=Instant(0), causes=tuple(range(40)))
    for cause in range(40):
        core.add("a", now=Instant(0), ready_at=Instant(30), causes=(cause,))
    check(core.snapshot())
    assert {row.key: row.causes for row in core.snapshot().rows} == dict.fromkeys("ab", tuple(range(24, 40)))


def test_a_new_ask_during_the_work_has_causes_of_its_own() -> None:
    core: PriorityCore[str] = PriorityCore()
    core.add("a", now=Instant(0), ready_at=Instant(0), causes=(1,))
    core.take(now=Instant(0))
    core.add("a", now=Instant(0), ready_at=Instant(0), causes=(2,))
    core.done("a")
    item = core.take(now=Instant(0))
    assert item is not None
    assert item.causes == (2,)


def test_consumers_are_served_in_the_order_they_came_and_before_those_that_do_not_wait() -> None:
    core: PriorityCore[str] = PriorityCore()
    core.join(1)
    core.join(2)
    ask(core, "a", 0, now=0)
    ask(core, "b", 0, now=0, priority=5)

    assert take(core, 0) is None
    served = [core.hand_out(), core.hand_out(), core.hand_out()]

    assert [handed and (handed[0], handed[1].key) for handed in served] == [(1, "b"), (2, "a"), None]


def test_a_consumer_that_left_is_not_served() -> None:
    core: PriorityCore[str] = PriorityCore()
    core.join(1)
    core.join(2)
    core.leave(1)
    core.leave(3)
    ask(core, "a", 0, now=0)
    handed = core.hand_out()
    assert handed is not None
    assert handed[0] == 2
    assert not core.has_consumers


def test_a_shut_down_names_the_consumers_to_wake_in_their_order() -> None:
    core: PriorityCore[str] = PriorityCore()
    core.join(2)
    core.join(1)
    assert core.shut_down() == (2, 1)
    assert core.shut_down() == ()
    core.join(3)
    assert not core.has_consumers


def test_a_key_given_back_stands_where_it_stood_and_folds_asks_again() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 0, now=0)
    ask(core, "b", 0, now=0)
    assert take(core, 0) == "a"

    core.give_back("a")

    assert len(core) == 2
    assert not core.is_held("a")
    assert ask(core, "a", 0, now=0).verdict is Verdict.FOLDED
    assert drain(core, 0) == "ab"


def test_a_key_given_back_costs_no_wake_up_that_was_granted_in_between() -> None:
    # Given a key handed out, and a delay granted before it came back,
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 0, now=0, ask=1)
    assert take(core, 0) == "a"
    assert ask(core, "a", 30, now=0, ask=2).verdict is Verdict.DELAYED
    core.give_back("a")
    check(core.snapshot())
    assert len(core) == 1
    # when it is done without being held, nothing happens; when it is taken and done,
    core.done("a")
    assert take(core, 0) == "a"
    check(core.snapshot())
    assert take(core, 40) is None
    core.done("a")
    # then the delay comes true as it was told.
    core.advance(Instant(40))
    assert core.take(now=Instant(40)) == Item("a", 0, (), Instant(30), 2)


def test_a_delay_in_a_worker_hands_that_falls_due_waits_for_done() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 0, now=0)
    take(core, 0)
    ask(core, "a", 10, now=0)
    core.advance(Instant(20))
    assert len(core) == 1
    assert take(core, 20) is None
    core.done("a")
    assert take(core, 20) == "a"


def test_a_snapshot_shows_held_ready_and_waiting_keys_in_their_order() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "a", 0, now=0, ask=1)
    take(core, 0)
    ask(core, "late", 30, now=0, ask=2)
    ask(core, "soon", 20, now=0, ask=3, priority=4)
    ask(core, "a", 0, now=0, ask=4)
    ask(core, "b", 0, now=0, ask=5, priority=1)

    snapshot = core.snapshot()

    assert [(row.key, row.standing, row.ready_at, row.priority, row.ask, row.is_locked) for row in snapshot.rows] == [
        ("a", Standing.HELD, 0, 0, 1, False),
        ("b", Standing.READY, 0, 1, 5, False),
        ("a", Standing.READY, 0, 0, 4, True),
        ("soon", Standing.WAITING, 20, 4, 3, False),
        ("late", Standing.WAITING, 30, 0, 2, False),
    ]
    assert (snapshot.length, snapshot.next_ready_at, snapshot.consumers) == (2, 20, 0)
    assert repr(core) == "<PriorityCore 2 ready, 2 waiting, 1 held, 0 consumers>"


def test_a_busy_key_with_a_long_delay_leaves_no_garbage_behind() -> None:
    core: PriorityCore[str] = PriorityCore()
    for now in range(5_000):
        ask(core, "a", now + 30_000_000, now=now)
        ask(core, "a", now, now=now)
        assert take(core, now) == "a"
        core.done("a")
        check(core.snapshot())


def test_many_waiting_keys_made_ready_leave_no_garbage_behind() -> None:
    core: PriorityCore[str] = PriorityCore()
    ask(core, "first", 20, now=0)
    for number in range(1_000):
        ask(core, f"{number}", 30 + number, now=0)
    for number in reversed(range(1_000)):
        ask(core, f"{number}", 0, now=0)
        assert take(core, 0) == f"{number}"
        core.done(f"{number}")
        check(core.snapshot())
    assert (len(core), core.next_ready_at()) == (0, 20)
