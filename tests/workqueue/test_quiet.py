"""Quiet asks, and what `hold`, `withdraw` and `cancel` do, on both cores and through both queues."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from reconciler.clock import LoopClock
from reconciler.instant import Instant, seconds
from reconciler.workqueue import (
    CAUSES_MAX,
    ClassicCore,
    Discipline,
    Item,
    Placed,
    PriorityCore,
    Row,
    Standing,
    Verdict,
    check,
)

from .both import BOTH, CORES, blocked, key_of, new_queue, on_both

Core = ClassicCore[str] | PriorityCore[str]
both_cores = pytest.mark.parametrize("discipline", BOTH)

NOW, LATER, OWED = Instant(0), Instant(10), Instant(30)


def in_work(discipline: Discipline) -> Core:
    """Return a core with `a` in a worker's hands."""
    core = CORES[discipline]()
    core.add("a", now=NOW, ready_at=NOW, ask=1, causes=(1,))
    assert core.take(now=NOW) is not None
    return core


def add(core: Core, *causes: int, quiet: bool, at: Instant = NOW, priority: int | None = None) -> Placed[str]:
    return core.add("a", now=NOW, ready_at=at, ask=causes[0], causes=causes, quiet=quiet, priority=priority)


def hold(core: Core, *causes: int, now: Instant = NOW) -> Placed[str]:
    return core.hold("a", now=now, ready_at=OWED, ask=causes[0] if causes else 99, causes=causes)


def entries(core: Core) -> list[Row[str]]:
    """Return what is to be handed out."""
    check(core.snapshot())
    return [row for row in core.snapshot().rows if row.standing is not Standing.HELD]


def order_of(core: Core, *, now: Instant) -> list[int]:
    return [int(item.key) for item in iter(lambda: core.take(now=now), None)]


# Quiet asks


@both_cores
def test_quiet_asks_while_the_key_is_in_work_are_withdrawn_together_and_once(discipline: Discipline) -> None:
    core = in_work(discipline)
    assert add(core, 2, quiet=True).verdict is Verdict.PARKED
    assert add(core, 3, quiet=True).verdict is Verdict.FOLDED
    assert [(row.is_quiet, row.is_locked) for row in entries(core)] == [(True, True)]

    assert core.withdraw("a") == (2, 3)

    assert core.withdraw("a") is None
    assert entries(core) == []
    core.done("a")
    assert core.take(now=NOW) is None


@both_cores
@pytest.mark.parametrize("order", [(True, False), (False, True)], ids=["quiet, loud", "loud, quiet"])
def test_any_loud_ask_makes_the_entry_loud(discipline: Discipline, order: tuple[bool, bool]) -> None:
    core = in_work(discipline)
    for cause, quiet in enumerate(order, start=2):
        add(core, cause, quiet=quiet)
    assert [(row.is_quiet, row.causes) for row in entries(core)] == [(False, (2, 3))]
    assert core.withdraw("a") is None
    core.done("a")
    assert core.take(now=NOW) == Item("a", 0, (2, 3), NOW, 2)


@both_cores
def test_a_quiet_ask_that_is_folded_into_a_delay_that_fell_due_cannot_be_withdrawn(
    discipline: Discipline,
) -> None:
    core = in_work(discipline)
    add(core, 2, quiet=False, at=LATER)
    core.advance(LATER)
    core.add("a", now=LATER, ready_at=LATER, ask=3, causes=(3,), quiet=True)
    assert core.withdraw("a") is None
    core.done("a")
    item = core.take(now=LATER)
    assert item is not None
    assert item.causes == (2, 3)


@both_cores
def test_a_quiet_ask_for_a_key_that_nobody_works_on_is_like_any_other(discipline: Discipline) -> None:
    core = CORES[discipline]()
    assert add(core, 1, quiet=True).verdict is Verdict.QUEUED
    assert not entries(core)[0].is_quiet
    assert core.withdraw("a") is None
    assert core.take(now=NOW) == Item("a", 0, (1,), NOW, 1)


@both_cores
def test_a_quiet_ask_that_nobody_withdrew_is_worked_on_after_done(discipline: Discipline) -> None:
    core = in_work(discipline)
    add(core, 2, quiet=True)
    core.done("a")
    assert not entries(core)[0].is_quiet
    assert core.withdraw("a") is None
    assert core.take(now=NOW) == Item("a", 0, (2,), NOW, 2)


@both_cores
def test_a_quiet_ask_for_later_is_a_delayed_ask_that_cannot_be_withdrawn(discipline: Discipline) -> None:
    core = in_work(discipline)
    assert add(core, 2, quiet=True, at=LATER).verdict is Verdict.DELAYED
    assert core.withdraw("a") is None
    assert core.next_ready_at() == LATER


@both_cores
def test_a_quiet_ask_is_loud_once_its_key_was_given_back(discipline: Discipline) -> None:
    core = in_work(discipline)
    add(core, 2, quiet=True)
    core.give_back("a")
    check(core.snapshot())
    assert core.withdraw("a") is None


@both_cores
def test_of_too_many_quiet_causes_the_newest_stay(discipline: Discipline) -> None:
    core = in_work(discipline)
    for cause in range(1, 41):
        add(core, cause, quiet=True)
    entries(core)
    assert core.withdraw("a") == tuple(range(41 - CAUSES_MAX, 41))


def test_on_the_priority_queue_a_withdrawn_entry_leaves_nothing_of_its_priority() -> None:
    core = in_work("priority")
    add(core, 2, quiet=True, priority=7)
    core.withdraw("a")
    core.done("a")
    assert add(core, 3, quiet=False).priority == 0


# Holding


@both_cores
def test_with_no_entry_a_held_event_waits_for_the_owed_time(discipline: Discipline) -> None:
    core = CORES[discipline]()
    placed = hold(core, 5)
    assert (placed.verdict, placed.ready_at, placed.standing_ask) == (Verdict.DELAYED, OWED, 5)
    assert core.take(now=NOW) is None
    core.advance(OWED)
    assert core.take(now=OWED) == Item("a", 0, (5,), OWED, 5)


@both_cores
def test_an_owed_time_that_has_come_makes_the_key_ready(discipline: Discipline) -> None:
    core = CORES[discipline]()
    core.advance(OWED)
    assert hold(core, 5, now=OWED).verdict is Verdict.QUEUED


@both_cores
@pytest.mark.parametrize("at", [NOW, Instant(10), OWED, Instant(60)], ids=["ready", "sooner", "owed", "later"])
def test_a_held_event_changes_of_an_entry_nothing_but_its_causes(discipline: Discipline, at: Instant) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False, at=at, priority=-100)
    (before,) = entries(core)

    placed = hold(core, 5, 6)

    assert (placed.verdict, placed.ready_at, placed.standing_ask) == (Verdict.HELD, at, 1)
    assert (placed.asked_for, placed.causes, placed.lost_ask) == (OWED, (5, 6), 0)
    assert placed.priority == before.priority
    (after,) = entries(core)
    assert (after.ready_at, after.priority, after.ask, after.number) == (at, before.priority, 1, before.number)
    # It is handed out at its own time, once, with all causes.
    core.advance(at)
    item = core.take(now=at)
    assert item is not None
    assert (item.causes, item.ask, item.ready_at) == ((1, 5, 6), 1, at)
    core.done("a")
    assert entries(core) == []


@both_cores
def test_a_held_event_keeps_the_place_of_its_key(discipline: Discipline) -> None:
    core = CORES[discipline]()
    for key in "ab":
        core.add(key, now=NOW, ready_at=NOW)
    hold(core, 5)
    order = [core.take(now=NOW), core.take(now=NOW)]
    assert [item and item.key for item in order] == ["a", "b"]


@both_cores
def test_a_sooner_pass_sees_what_was_held_and_a_later_one_does_not_see_it_again(discipline: Discipline) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False, at=OWED)
    hold(core, 5)
    add(core, 2, quiet=False)
    item = core.take(now=NOW)
    core.done("a")
    assert item is not None
    assert sorted(item.causes) == ([2, 5] if discipline == "classic" else [1, 2, 5])
    # On the classic queue the delayed ask stands beside the event, and comes with its own cause alone.
    core.advance(OWED)
    assert core.take(now=OWED) == (Item("a", 0, (1,), OWED, 1) if discipline == "classic" else None)


@both_cores
def test_what_was_held_survives_that_its_consumer_left(discipline: Discipline) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False, at=OWED)
    hold(core, 5)
    add(core, 2, quiet=False)
    first = core.take(now=NOW)
    core.give_back("a")
    assert core.take(now=NOW) == first
    assert first is not None
    assert 5 in first.causes


@both_cores
def test_a_held_event_leaves_a_quiet_entry_quiet(discipline: Discipline) -> None:
    core = in_work(discipline)
    add(core, 2, quiet=True)
    assert hold(core, 5).verdict is Verdict.HELD
    assert core.withdraw("a") == (2, 5)


@both_cores
def test_while_its_key_is_in_work_a_held_event_waits_for_the_owed_time_and_not_for_done(
    discipline: Discipline,
) -> None:
    core = in_work(discipline)
    assert hold(core, 5).verdict is Verdict.DELAYED
    core.done("a")
    assert core.take(now=NOW) is None
    assert core.next_ready_at() == OWED


@both_cores
@pytest.mark.parametrize("at", [NOW, OWED], ids=["ready", "waiting"])
def test_of_too_many_held_causes_the_newest_stay(discipline: Discipline, at: Instant) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False, at=at)
    for cause in range(2, 42):
        hold(core, cause)
    hold(core, 41)  # named again, it costs no other its place
    entries(core)
    core.advance(at)
    item = core.take(now=at)
    assert item is not None
    assert item.causes == tuple(range(42 - CAUSES_MAX, 42))


@both_cores
def test_once_shut_down_a_held_event_is_ignored(discipline: Discipline) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False, at=OWED)
    core.shut_down()
    before = core.snapshot()
    placed = hold(core, 5)
    assert (placed.verdict, placed.lost_ask, placed.lost_at) == (Verdict.SHUT_DOWN, 5, OWED)
    assert core.snapshot() == before


# Cancelling an ask


@both_cores
def test_a_delayed_ask_is_cancelled_by_its_own_id_only_and_once(discipline: Discipline) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False, at=OWED)
    core.add("b", now=NOW, ready_at=LATER, ask=2)
    assert not core.cancel("a", 2)
    assert not core.cancel("c", 1)
    assert core.next_ready_at() == LATER
    assert core.cancel("a", 1)
    assert not core.cancel("a", 1)
    assert [row.key for row in entries(core)] == ["b"]
    assert core.cancel("b", 2)
    assert core.next_ready_at() is None


@both_cores
def test_an_ask_that_lost_cannot_be_cancelled_and_the_one_that_won_can(discipline: Discipline) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False, at=OWED)
    assert add(core, 2, quiet=False, at=LATER).verdict is Verdict.SOONER
    assert not core.cancel("a", 1)
    assert core.cancel("a", 2)
    assert entries(core) == []


@both_cores
def test_a_ready_key_and_one_in_work_are_not_cancelled(discipline: Discipline) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False)
    assert not core.cancel("a", 1)
    core.take(now=NOW)
    assert not core.cancel("a", 1)
    assert core.is_held("a")
    add(core, 2, quiet=True)
    assert not core.cancel("a", 2)
    assert core.withdraw("a") == (2,)


@both_cores
def test_a_delayed_ask_that_fell_due_is_not_cancelled(discipline: Discipline) -> None:
    core = CORES[discipline]()
    add(core, 1, quiet=False, at=LATER)
    core.advance(LATER)
    assert not core.cancel("a", 1)
    assert len(core) == 1


def test_classic_cancels_an_ask_that_fell_due_in_work_as_long_as_it_alone_made_the_mark() -> None:
    alone, joined = in_work("classic"), in_work("classic")
    for core in (alone, joined):
        add(core, 2, quiet=False, at=LATER)
        core.advance(LATER)
    joined.add("a", now=LATER, ready_at=LATER, ask=3, quiet=True)
    assert alone.cancel("a", 2)
    assert not joined.cancel("a", 2)
    assert [len(entries(core)) for core in (alone, joined)] == [0, 1]


def test_classic_cancels_the_delay_and_leaves_the_event_beside_it() -> None:
    core = CORES["classic"]()
    add(core, 1, quiet=False, at=OWED)
    add(core, 2, quiet=False)
    assert core.cancel("a", 1)
    assert [(row.standing, row.ask) for row in entries(core)] == [(Standing.READY, 2)]


@both_cores
def test_an_ask_taken_from_the_middle_leaves_the_others_their_times(discipline: Discipline) -> None:
    for gone in range(1, 10):
        core = CORES[discipline]()
        for number, at in enumerate([5, 9, 6, 12, 10, 7, 8, 15, 13], start=1):
            core.add(f"{at}", now=NOW, ready_at=Instant(at), ask=number)
        (key,) = [row.key for row in core.snapshot().rows if row.ask == gone]
        assert core.cancel(key, gone)
        core.advance(Instant(20))
        assert order_of(core, now=Instant(20)) == sorted({5, 6, 7, 8, 9, 10, 12, 13, 15} - {int(key)})


# Through the queues


@on_both
async def test_an_ask_for_a_moment_answers_with_what_became_of_it(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    placed = queue.add_at("a", Instant(seconds(30)), priority=5, causes=(7,))
    priority = 0 if discipline == "classic" else 5
    assert placed == Placed("a", Verdict.DELAYED, 1, NOW, Instant(seconds(30)), Instant(seconds(30)), priority, (7,), 1)
    assert await queue.get() == Item("a", priority, (7,), Instant(seconds(30)), 1)
    assert LoopClock().now() == seconds(30)


@on_both
async def test_an_ask_for_a_moment_wakes_a_consumer_at_once_or_then(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    first, second = await blocked(queue), await blocked(queue)
    queue.add_at("later", Instant(seconds(30)))
    queue.add_at("now", LoopClock().now())
    assert key_of(await first) == "now"
    assert LoopClock().now() == 0
    assert key_of(await second) == "later"
    assert LoopClock().now() == seconds(30)


@on_both
async def test_a_held_event_wakes_a_consumer_at_the_owed_time(discipline: Discipline) -> None:
    told: list[tuple[Verdict, str]] = []
    queue = new_queue(discipline, lambda placed, by: told.append((placed.verdict, by)))
    consumer = await blocked(queue)
    queue.hold("a", Instant(seconds(30)), causes=(7,))
    queue.hold("a", Instant(seconds(30)), causes=(8,))
    item = await consumer
    assert item == Item("a", 0, (7, 8), Instant(seconds(30)), 1)
    assert told == [(Verdict.DELAYED, "hold"), (Verdict.HELD, "hold")]


@on_both
async def test_withdrawn_and_held_a_quiet_event_runs_at_the_owed_time(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    await queue.get()
    queue.add_with_opts(["a"], causes=(7,), quiet=True)
    held = queue.withdraw("a")
    assert held is not None
    assert queue.withdraw("a") is None
    queue.hold("a", Instant(seconds(30)), causes=held)
    queue.done("a")
    assert await queue.get() == Item("a", 0, (7,), Instant(seconds(30)), 3)


@on_both
async def test_a_cancelled_ask_wakes_nobody_and_the_others_still_do(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    consumer = await blocked(queue)
    ask = queue.add_at("a", Instant(seconds(10))).ask
    queue.add_after("b", timedelta(seconds=30))
    assert queue.cancel("a", ask)
    assert not queue.cancel("a", ask)
    assert key_of(await consumer) == "b"
    assert LoopClock().now() == seconds(30)


@on_both
async def test_an_ask_that_is_due_at_this_very_moment_cannot_be_cancelled(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    ask = queue.add_at("a", Instant(1)).ask
    await asyncio.sleep(1e-9)
    assert LoopClock().now() == 1
    assert not queue.cancel("a", ask)
    assert key_of(await queue.get()) == "a"


@on_both
async def test_after_the_shut_down_a_withdrawal_still_gives_the_causes_back(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    await queue.get()
    queue.add_with_opts(["a"], causes=(7,), quiet=True)
    queue.shut_down()
    assert queue.withdraw("a") == (7,)
    queue.done("a")
    assert queue.snapshot().rows == ()
    assert await queue.get() is None
