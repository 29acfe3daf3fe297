"""What bad input gets at the door of both queues, and what becomes of an ask after the shutdown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from reconciler.clock import LoopClock
from reconciler.errors import NotHeldError
from reconciler.instant import Instant
from reconciler.testing import run_virtual
from reconciler.workqueue import Discipline, Placed, Standing, Verdict

from .both import BOTH, Queue, all_keys, assert_cancelled, blocked, key_of, new_queue, on_both

NAN = float("nan")


# Delays


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(microseconds=-1), timedelta.min])
@pytest.mark.parametrize("discipline", BOTH)
def test_no_delay_and_a_negative_one_ask_for_now(discipline: Discipline, delay: timedelta) -> None:
    async def main() -> None:
        told: list[Placed[str]] = []
        queue = new_queue(discipline, lambda placed, by: told.append(placed))
        queue.add_after("a", delay)
        queue.add_with_opts(["b"], after=delay)
        queue.add_at("c", Instant(LoopClock().now() - 1))
        assert [(placed.verdict, placed.asked_for) for placed in told] == [(Verdict.QUEUED, 0)] * 3
        assert await all_keys(queue) == "abc"

    run_virtual(main())


@on_both
async def test_the_longest_delay_there_is_waits(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add_after("a", timedelta.max)
    await blocked(queue)
    assert [row.standing for row in queue.snapshot().rows] == [Standing.WAITING]


@pytest.mark.parametrize("after", [NAN, 1.5, 30, "30s"])
@pytest.mark.parametrize("discipline", BOTH)
def test_a_delay_that_is_no_timedelta_is_refused_by_name_and_changes_nothing(
    discipline: Discipline, after: Any
) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        with pytest.raises(TypeError, match=rf"after must be a timedelta, is {after!r}"):
            queue.add_with_opts(["a"], after=after, rate_limited=True)
        with pytest.raises(TypeError, match=rf"delay must be a timedelta, is {after!r}"):
            queue.add_after("a", after)
        assert queue.snapshot().rows == ()
        assert queue.num_requeues("a") == 0

    run_virtual(main())


@pytest.mark.parametrize("moment", [NAN, 1.5, timedelta(seconds=1)])
@pytest.mark.parametrize("discipline", BOTH)
def test_a_moment_that_is_no_instant_is_refused_by_name_and_changes_nothing(
    discipline: Discipline, moment: Any
) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        with pytest.raises(TypeError, match="ready_at must be an Instant, is "):
            queue.add_at("a", moment)
        with pytest.raises(TypeError, match="until must be an Instant, is "):
            queue.hold("a", moment)
        assert queue.snapshot().rows == ()

    run_virtual(main())


# Keys


UNHASHABLE: Any = ["a"]

ASKS: dict[str, Callable[[Queue], object]] = {
    "add": lambda queue: queue.add(UNHASHABLE),
    "add_after": lambda queue: queue.add_after(UNHASHABLE, timedelta(seconds=1)),
    "add_rate_limited": lambda queue: queue.add_rate_limited(UNHASHABLE),
    "add_with_opts": lambda queue: queue.add_with_opts([UNHASHABLE]),
    "a quiet add_with_opts": lambda queue: queue.add_with_opts([UNHASHABLE], quiet=True),
    "add_at for now": lambda queue: queue.add_at(UNHASHABLE, Instant(0)),
    "add_at for later": lambda queue: queue.add_at(UNHASHABLE, Instant(9)),
}

OTHERS: dict[str, Callable[[Queue], object]] = {
    "hold": lambda queue: queue.hold(UNHASHABLE, Instant(9)),
    "withdraw": lambda queue: queue.withdraw(UNHASHABLE),
    "cancel": lambda queue: queue.cancel(UNHASHABLE, 1),
    "done": lambda queue: queue.done(UNHASHABLE),
}


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        *(pytest.param(ask, r"key must be hashable, is \['a'\]", id=name) for name, ask in ASKS.items()),
        *(pytest.param(ask, "unhashable", id=name) for name, ask in OTHERS.items()),
    ],
)
@pytest.mark.parametrize("discipline", BOTH)
def test_a_key_that_cannot_be_hashed_is_refused_and_changes_nothing(
    discipline: Discipline, ask: Callable[[Queue], object], says: str
) -> None:
    async def main() -> None:
        told: list[Placed[str]] = []
        queue = new_queue(discipline, lambda placed, by: told.append(placed))
        queue.add_with_opts(["held", "ready"])
        queue.add_after("waiting", timedelta(seconds=1))
        await queue.get()
        told.clear()
        before = queue.snapshot()
        with pytest.raises(TypeError, match=says):
            ask(queue)
        assert queue.snapshot() == before
        assert told == []

    run_virtual(main())


@on_both
async def test_the_keys_before_one_that_cannot_be_hashed_reach_their_workers(discipline: Discipline) -> None:
    told: list[str] = []
    queue = new_queue(discipline, lambda placed, by: told.append(placed.key))
    first, second = await blocked(queue), await blocked(queue)
    with pytest.raises(TypeError, match="key must be hashable"):
        queue.add_with_opts(["a", UNHASHABLE, "b"])
    assert key_of(await first) == "a"
    assert told == ["a"]
    assert not second.done()
    # Nothing is broken: the next ask is served as ever.
    queue.add("b")
    assert key_of(await second) == "b"


@on_both
async def test_keys_that_fail_on_their_way_leave_those_before_them_in_the_queue(discipline: Discipline) -> None:
    def keys() -> Any:
        yield "a"
        raise ZeroDivisionError

    queue = new_queue(discipline)
    consumer = await blocked(queue)
    with pytest.raises(ZeroDivisionError):
        queue.add_with_opts(keys())
    assert key_of(await consumer) == "a"


@on_both
async def test_no_keys_at_all_ask_for_nothing(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add_with_opts([], rate_limited=True)
    assert queue.snapshot().rows == ()


# Letting go of what nobody holds


@on_both
async def test_done_of_a_key_that_nobody_holds_is_refused_by_name_and_changes_nothing(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("ready")
    queue.add_after("waiting", timedelta(seconds=1))
    before = queue.snapshot()
    for key in ("ready", "waiting", "never seen"):
        with pytest.raises(NotHeldError, match=rf"done\('{key}'\)"):
            queue.done(key)
    assert queue.snapshot() == before


@on_both
async def test_a_second_done_of_a_key_is_refused(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.done("a")
    with pytest.raises(NotHeldError, match="'a'"):
        queue.done("a")
    assert await all_keys(queue) == "a"


@on_both
async def test_done_of_a_key_that_was_given_back_is_refused(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    consumer = await blocked(queue)
    queue.add("a")
    consumer.cancel()
    await assert_cancelled(consumer)
    with pytest.raises(NotHeldError):
        queue.done("a")
    assert await all_keys(queue) == "a"


# After the shutdown


LATE_ASKS: dict[str, Callable[[Queue], object]] = {
    "add": lambda queue: queue.add("a"),
    "add_after": lambda queue: queue.add_after("a", timedelta(seconds=1)),
    "add_rate_limited": lambda queue: queue.add_rate_limited("a"),
    "add_with_opts": lambda queue: queue.add_with_opts(["a"], priority=5, quiet=True),
    "add_at": lambda queue: queue.add_at("a", Instant(1)),
    "hold": lambda queue: queue.hold("a", Instant(1)),
}


@pytest.mark.parametrize("entry", ["none", "ready", "waiting", "in work", "parked"])
@pytest.mark.parametrize("ask", LATE_ASKS.values(), ids=LATE_ASKS)
@pytest.mark.parametrize("discipline", BOTH)
def test_an_ask_after_the_shut_down_is_ignored_and_told_so(
    discipline: Discipline, ask: Callable[[Queue], object], entry: str
) -> None:
    async def main() -> None:
        told: list[Placed[str]] = []
        queue = new_queue(discipline, lambda placed, by: told.append(placed))
        if entry == "waiting":
            queue.add_after("a", timedelta(seconds=9))
        elif entry != "none":
            queue.add("a")
        if entry in ("in work", "parked"):
            await queue.get()
        if entry == "parked":
            queue.add("a")
        queue.shut_down()
        told.clear()
        before = queue.snapshot()

        ask(queue)

        assert queue.snapshot() == before
        (placed,) = told
        assert (placed.verdict, placed.lost_ask, placed.standing_ask) == (Verdict.SHUT_DOWN, placed.ask, 0)
        assert placed.lost_at == placed.asked_for

    run_virtual(main())


@on_both
async def test_after_the_shut_down_the_limiter_is_charged_on_the_classic_queue_only(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.shut_down()
    queue.add_rate_limited("a")
    queue.add_with_opts(["a", "a"], rate_limited=True)
    assert queue.num_requeues("a") == (3 if discipline == "classic" else 0)


@on_both
async def test_after_the_shut_down_nothing_falls_due(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add_after("a", timedelta(seconds=1))
    queue.shut_down()
    assert await queue.get() is None
    snapshot = queue.snapshot()
    assert (snapshot.next_ready_at, snapshot.consumers, len(queue)) == (None, 0, 0)
    assert [row.standing for row in snapshot.rows] == [Standing.WAITING]
