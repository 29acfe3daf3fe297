"""What the classic queue decides: each of Go's surprises by hand, with its verdict, asks and causes."""

from __future__ import annotations

import pytest

from reconciler.errors import InvariantError
from reconciler.instant import Instant
from reconciler.workqueue import CAUSES_MAX, ClassicCore, Item, Placed, Promotion, Standing, Verdict, check

NOW = 10


def ask(core: ClassicCore[str], key: str, at: int, *, now: int, ask: int = 0) -> Placed[str]:
    """Ask for a key; the ask's number is its cause, too."""
    core.advance(Instant(now))
    return core.add(key, now=Instant(now), ready_at=Instant(at), ask=ask, causes=(ask,) if ask else ())


def take(core: ClassicCore[str], now: int) -> str | None:
    core.advance(Instant(now))
    item = core.take(now=Instant(now))
    check(core.snapshot())
    return None if item is None else item.key


def drain(core: ClassicCore[str], now: int) -> str:
    return "".join(iter(lambda: take(core, now) or "", ""))


def new(*keys: str) -> ClassicCore[str]:
    """Return a core with these keys in its line."""
    core: ClassicCore[str] = ClassicCore()
    for key in keys:
        ask(core, key, 0, now=0)
    return core


def in_work(*keys: str) -> ClassicCore[str]:
    """Return a core with these keys in workers' hands."""
    core = new(*keys)
    assert drain(core, 0) == "".join(keys)
    return core


# What became of an ask

# An earlier ask at 0 for the first time, then one at 10 for the second: the verdict on the second.
#   first, second -> verdict, ready_at, standing ask, lost_at, lost ask
VERDICTS = [
    pytest.param(0, 10, (Verdict.FOLDED, 0, 1, None, 0), id="now meets ready"),
    pytest.param(0, 39, (Verdict.DELAYED, 39, 2, None, 0), id="later meets ready: both stand"),
    pytest.param(30, 10, (Verdict.QUEUED, 10, 2, None, 0), id="now meets delayed: both stand"),
    pytest.param(30, 5, (Verdict.QUEUED, 10, 2, None, 0), id="the past meets delayed: both stand"),
    pytest.param(30, 20, (Verdict.SOONER, 20, 2, 30, 1), id="sooner meets delayed"),
    pytest.param(30, 40, (Verdict.KEPT_SOONER, 30, 1, 40, 2), id="later meets delayed"),
    pytest.param(30, 30, (Verdict.FOLDED, 30, 1, None, 0), id="the same time meets delayed"),
    pytest.param(10, 10, (Verdict.FOLDED, 10, 1, None, 0), id="now meets what falls due now"),
    pytest.param(10, 11, (Verdict.DELAYED, 11, 2, None, 0), id="later meets what falls due now: both stand"),
    pytest.param(11, 10, (Verdict.QUEUED, 10, 2, None, 0), id="now comes one nanosecond before the wake-up"),
]


@pytest.mark.parametrize(("first", "second", "expected"), VERDICTS)
def test_a_second_ask_is_told_who_won_and_which_wake_up_lost(
    first: int, second: int, expected: tuple[Verdict, int, int, int | None, int]
) -> None:
    core = new()
    ask(core, "a", first, now=0, ask=1)

    placed = ask(core, "a", second, now=NOW, ask=2)

    assert (placed.verdict, placed.ready_at, placed.standing_ask, placed.lost_at, placed.lost_ask) == expected
    assert (placed.ask, placed.at, placed.asked_for, placed.causes) == (2, NOW, max(second, NOW), (2,))
    check(core.snapshot())


# The same, for a key that is in work when the first ask comes. What is ready is the mark.
VERDICTS_IN_WORK = [
    pytest.param([0], [Verdict.PARKED], id="now"),
    pytest.param([0, 0], [Verdict.PARKED, Verdict.FOLDED], id="now, twice"),
    pytest.param([0, 30], [Verdict.PARKED, Verdict.DELAYED], id="now, then later"),
    pytest.param([30, 0], [Verdict.DELAYED, Verdict.PARKED], id="later, then now"),
    pytest.param([30, 20], [Verdict.DELAYED, Verdict.SOONER], id="later, then sooner"),
]


@pytest.mark.parametrize(("times", "verdicts"), VERDICTS_IN_WORK)
def test_an_ask_for_a_key_in_work_parks_or_waits(times: list[int], verdicts: list[Verdict]) -> None:
    core = in_work("a")
    assert [ask(core, "a", at, now=0).verdict for at in times] == verdicts
    assert (len(core), take(core, 0)) == (0, None)
    core.done("a")
    assert take(core, 0) == ("a" if 0 in times else None)


def test_a_parked_key_is_handed_out_with_the_first_parked_ask_and_all_causes() -> None:
    core = in_work("a")
    assert ask(core, "a", 0, now=5, ask=1).standing_ask == 1
    folded = ask(core, "a", 0, now=9, ask=2)
    assert (folded.standing_ask, folded.ready_at, folded.lost_ask) == (1, 5, 0)
    core.done("a")
    assert core.take(now=Instant(9)) == Item("a", 0, (1, 2), Instant(5), 1)


def test_a_priority_has_no_meaning() -> None:
    core = new("a")
    placed = core.add("b", now=Instant(0), ready_at=Instant(0), priority=9)
    assert placed.priority == 0
    assert drain(core, 0) == "ab"


def test_an_event_never_costs_a_delayed_ask_which_folds_into_what_is_ready_at_its_time() -> None:
    core = new()
    ask(core, "a", 30, now=0, ask=1)
    ask(core, "a", 0, now=15, ask=2)
    # Nobody takes it until the delayed ask falls due: the key is worked on once, for both.
    assert core.advance(Instant(30)) == [Promotion("a", 1, Instant(30), Verdict.FOLDED)]
    assert core.take(now=Instant(30)) == Item("a", 0, (2, 1), Instant(15), 2)
    core.done("a")
    assert take(core, 99) is None


def test_after_the_work_that_an_event_caused_the_delayed_ask_still_comes() -> None:
    core = new()
    ask(core, "a", 30, now=0, ask=1)
    ask(core, "a", 0, now=15, ask=2)
    assert core.take(now=Instant(15)) == Item("a", 0, (2,), Instant(15), 2)
    core.done("a")
    assert core.advance(Instant(30)) == [Promotion("a", 1, Instant(30), Verdict.QUEUED)]
    assert core.take(now=Instant(30)) == Item("a", 0, (1,), Instant(30), 1)


def test_a_delayed_ask_that_falls_due_while_its_key_is_in_work_is_parked() -> None:
    core = in_work("a")
    ask(core, "a", 20, now=0, ask=1)
    assert core.advance(Instant(25)) == [Promotion("a", 1, Instant(20), Verdict.PARKED)]
    assert (len(core), core.next_ready_at()) == (0, None)
    core.done("a")
    assert core.take(now=Instant(25)) == Item("a", 0, (1,), Instant(20), 1)


def test_a_delayed_ask_that_falls_due_beside_a_parked_one_folds_into_it() -> None:
    core = in_work("a")
    ask(core, "a", 20, now=0, ask=1)
    ask(core, "a", 0, now=5, ask=2)
    assert core.advance(Instant(20)) == [Promotion("a", 1, Instant(20), Verdict.FOLDED)]
    core.done("a")
    assert core.take(now=Instant(20)) == Item("a", 0, (2, 1), Instant(5), 2)


def test_a_chain_of_delayed_asks_names_each_loser_once_and_unites_their_causes() -> None:
    core = new()
    placed = [ask(core, "a", at, now=0, ask=number) for number, at in enumerate([30, 40, 20, 25, 20], start=1)]
    assert [(one.lost_ask, one.lost_at) for one in placed] == [(0, None), (2, 40), (1, 30), (4, 25), (0, None)]
    core.advance(Instant(20))
    assert core.take(now=Instant(20)) == Item("a", 0, (1, 2, 3, 4, 5), Instant(20), 3)


@pytest.mark.parametrize("at", [0, 30], ids=["a mark", "a delayed ask"])
def test_of_too_many_causes_the_newest_stay(at: int) -> None:
    core = new()
    for number in range(1, 41):
        ask(core, "a", at, now=0, ask=number)
    core.add("b", now=Instant(0), ready_at=Instant(at), causes=tuple(range(1, 41)))
    check(core.snapshot())
    newest = tuple(range(41 - CAUSES_MAX, 41))
    assert {row.key: row.causes for row in core.snapshot().rows} == {"a": newest, "b": newest}


# The line


def test_a_key_asked_for_in_work_goes_behind_keys_that_were_asked_for_later() -> None:
    core = in_work("a")
    ask(core, "a", 0, now=0)
    ask(core, "b", 0, now=1)
    core.done("a")
    assert drain(core, 1) == "ba"


def test_an_event_for_a_delayed_key_goes_to_the_end_of_the_line() -> None:
    core = new()
    ask(core, "a", 30, now=0)
    ask(core, "b", 0, now=0)
    ask(core, "c", 0, now=0)
    ask(core, "a", 0, now=0)
    assert drain(core, 0) == "bca"


@pytest.mark.parametrize(("asked", "comes"), [("ab", "ab"), ("abc", "acb"), ("abcde", "aedcb")])
def test_delayed_asks_for_one_time_come_in_the_order_of_the_heap_of_go(asked: str, comes: str) -> None:
    core = new()
    for key in asked:
        ask(core, key, 30, now=0)
    promotions = core.advance(Instant(30))
    assert "".join(promotion.key for promotion in promotions) == comes == drain(core, 30)


def test_what_is_due_joins_the_line_in_the_order_of_its_times_however_late_it_is_looked_at() -> None:
    core = new()
    for key, at in [("c", 30), ("a", 10), ("b", 20)]:
        ask(core, key, at, now=0)
    assert drain(core, 99) == "abc"


def test_the_length_counts_the_line_alone() -> None:
    core = in_work("a")
    ask(core, "a", 0, now=0)
    ask(core, "b", 0, now=0)
    ask(core, "c", 30, now=0)
    assert len(core) == 1


def test_what_was_not_advanced_to_is_not_passed_over_in_silence() -> None:
    core = new()
    ask(core, "a", 30, now=0)
    for late in (
        lambda: core.add("b", now=Instant(40), ready_at=Instant(40)),
        lambda: core.hold("b", now=Instant(40), ready_at=Instant(50), ask=2, causes=()),
        lambda: core.take(now=Instant(40)),
    ):
        with pytest.raises(InvariantError, match="asked at 40, but not advanced to 30"):
            late()


# Consumers


def hand_out_all(core: ClassicCore[str]) -> list[tuple[int, str]]:
    served = [(consumer, item.key) for consumer, item in iter(core.hand_out, None)]
    check(core.snapshot())
    return served


def test_consumers_are_served_in_the_order_they_came_and_before_those_that_do_not_wait() -> None:
    core = new()
    core.join(1)
    core.join(2)
    core.join(3)
    core.leave(2)
    core.leave(9)
    ask(core, "a", 0, now=0)
    ask(core, "b", 0, now=0)
    assert core.take(now=Instant(0)) is None
    assert hand_out_all(core) == [(1, "a"), (3, "b")]
    assert not core.has_consumers


def test_done_that_leaves_nothing_in_work_sends_the_first_consumer_to_the_end() -> None:
    core = in_work("z")
    for consumer in (1, 2, 3):
        core.join(consumer)
    core.done("z")
    for key in "abc":
        ask(core, key, 0, now=0)
    assert hand_out_all(core) == [(2, "a"), (3, "b"), (1, "c")]


def test_done_that_leaves_a_key_in_work_or_gives_one_out_rotates_nobody() -> None:
    core = in_work("y", "z")
    for consumer in (1, 2, 3):
        core.join(consumer)
    core.done("y")
    ask(core, "z", 0, now=0)
    core.done("z")
    ask(core, "a", 0, now=0)
    assert hand_out_all(core) == [(1, "z"), (2, "a")]


def test_even_a_stray_done_rotates_the_consumers_when_nothing_is_in_work() -> None:
    core = new()
    core.join(1)
    core.join(2)
    core.done("never seen")
    ask(core, "a", 0, now=0)
    assert hand_out_all(core) == [(2, "a")]


# Giving back


def test_a_key_given_back_stands_where_it_stood_and_folds_asks_again() -> None:
    core = new("a", "b")
    item = core.take(now=Instant(0))
    core.give_back("a")
    check(core.snapshot())
    assert (len(core), core.is_held("a")) == (2, False)
    assert ask(core, "a", 0, now=0).verdict is Verdict.FOLDED
    assert core.take(now=Instant(0)) == item
    assert drain(core, 0) == "b"


def test_a_key_given_back_and_asked_for_meanwhile_stands_once_with_the_causes_of_both() -> None:
    core = new()
    ask(core, "a", 0, now=0, ask=1)
    ask(core, "b", 0, now=0)
    assert take(core, 0) == "a"
    assert ask(core, "a", 0, now=5, ask=2).verdict is Verdict.PARKED
    core.give_back("a")
    assert core.take(now=Instant(5)) == Item("a", 0, (1, 2), Instant(0), 2)
    core.done("a")
    assert drain(core, 5) == "b"


def test_a_key_given_back_costs_no_delay_that_was_granted_in_between() -> None:
    core = new()
    ask(core, "a", 0, now=0, ask=1)
    assert take(core, 0) == "a"
    assert ask(core, "a", 30, now=0, ask=2).verdict is Verdict.DELAYED
    core.give_back("a")
    assert take(core, 0) == "a"
    core.done("a")
    core.advance(Instant(30))
    assert core.take(now=Instant(30)) == Item("a", 0, (2,), Instant(30), 2)


def test_of_too_many_causes_of_a_key_given_back_the_newest_stay() -> None:
    core = new()
    core.add("a", now=Instant(0), ready_at=Instant(0), causes=tuple(range(1, 13)))
    take(core, 0)
    core.add("a", now=Instant(0), ready_at=Instant(0), causes=tuple(range(11, 23)))
    core.give_back("a")
    item = core.take(now=Instant(0))
    assert item is not None
    assert item.causes == tuple(range(23 - CAUSES_MAX, 23))


# A stray done


def test_a_stray_done_queues_a_ready_key_twice_and_two_workers_have_it() -> None:
    core = new("a")
    core.done("a")
    check(core.snapshot())
    assert len(core) == 2
    assert core.take(now=Instant(0)) == Item("a", 0, (), Instant(0), 0)
    assert core.take(now=Instant(0)) == Item("a", 0, (), Instant(0), 0)
    # The second place has no mark, so the key can be asked for between the two.
    assert drain(core, 0) == ""


def test_between_the_two_hand_outs_of_a_stray_done_the_key_is_marked_and_not_queued_a_third_time() -> None:
    core = new("a")
    core.done("a")
    take(core, 0)
    assert ask(core, "a", 0, now=0, ask=7).verdict is Verdict.PARKED
    # Go's second hand-out uses up the mark.
    assert core.take(now=Instant(0)) == Item("a", 0, (7,), Instant(0), 7)
    core.done("a")
    assert len(core) == 0


@pytest.mark.parametrize("key", ["waiting", "never seen"])
def test_a_stray_done_of_a_key_that_is_not_ready_changes_nothing(key: str) -> None:
    core = new()
    ask(core, "waiting", 30, now=0)
    before = core.snapshot()
    core.done(key)
    assert core.snapshot() == before


# Shutting down


def test_once_shut_down_what_is_queued_is_handed_out_and_nothing_else_comes() -> None:
    core = in_work("parked")
    ask(core, "parked", 0, now=0)
    ask(core, "a", 0, now=0)
    ask(core, "later", 10, now=0)

    assert core.shut_down() == ()

    placed = ask(core, "b", 5, now=0, ask=7)
    assert (placed.verdict, placed.lost_ask, placed.lost_at, placed.standing_ask) == (Verdict.SHUT_DOWN, 7, 5, 0)
    assert core.advance(Instant(20)) == ()
    assert core.next_ready_at() is None
    assert take(core, 20) == "a"
    core.done("parked")
    assert drain(core, 20) == "parked"


def test_a_shut_down_names_the_consumers_to_wake_in_their_order() -> None:
    core = new()
    core.join(2)
    core.join(1)
    assert core.shut_down() == (2, 1)
    assert core.shut_down() == ()
    core.join(3)
    assert not core.has_consumers
    assert core.is_shut_down


# What there is to see


def test_a_snapshot_shows_held_ready_parked_and_waiting_keys_in_their_order() -> None:
    core = new()
    ask(core, "a", 0, now=0, ask=1)
    take(core, 0)
    ask(core, "late", 30, now=0, ask=2)
    ask(core, "soon", 20, now=0, ask=3)
    core.add("a", now=Instant(0), ready_at=Instant(0), ask=4, quiet=True)
    ask(core, "b", 0, now=0, ask=5)
    ask(core, "a", 40, now=0, ask=6)

    snapshot = core.snapshot()

    rows = [(row.key, row.standing, row.ready_at, row.ask, row.is_locked, row.is_quiet) for row in snapshot.rows]
    assert rows == [
        ("a", Standing.HELD, 0, 1, False, False),
        ("b", Standing.READY, 0, 5, False, False),
        ("a", Standing.READY, 0, 4, True, True),
        ("soon", Standing.WAITING, 20, 3, False, False),
        ("late", Standing.WAITING, 30, 2, False, False),
        ("a", Standing.WAITING, 40, 6, False, False),
    ]
    assert (snapshot.length, snapshot.next_ready_at, snapshot.consumers, snapshot.discipline) == (1, 20, 0, "classic")
    assert snapshot.up_next == next(row.number for row in snapshot.rows if row.key == "b")
    assert repr(core) == "<ClassicCore 1 ready, 3 waiting, 1 held, 0 consumers>"
    check(snapshot)


def test_a_snapshot_and_the_repr_show_the_shut_down_the_drains_and_the_consumers() -> None:
    core = in_work("a")
    core.join(1)
    assert repr(core) == "<ClassicCore 0 ready, 0 waiting, 1 held, 1 consumers>"
    assert core.snapshot().consumers == 1
    core.drain(1)
    snapshot = core.snapshot()
    assert (snapshot.is_shut_down, snapshot.drains, snapshot.consumers) == (True, 1, 0)
    assert repr(core) == "<ClassicCore 0 ready, 0 waiting, 1 held, 0 consumers, shut down>"
