from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from random import Random
from typing import Any

import anyio
import pytest

from reconciler.clock import LoopClock
from reconciler.errors import NotHeldError
from reconciler.instant import Instant, milliseconds, seconds
from reconciler.testing import IdleLoopError, run_virtual
from reconciler.workqueue import (
    AskedBy,
    Item,
    ItemExponentialRateLimiter,
    Placed,
    PriorityQueue,
    Standing,
    Verdict,
    check,
)

Consumer = asyncio.Task[Item[str] | None]


def new_queue(on_placed: Callable[[Placed[str], AskedBy], None] | None = None) -> PriorityQueue[str]:
    return PriorityQueue(clock=LoopClock(), rate_limiter=ItemExponentialRateLimiter(), on_placed=on_placed)


def virtual(main: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of `main`, run in virtual time."""
    return lambda: run_virtual(main())


async def blocked(queue: PriorityQueue[str]) -> Consumer:
    """Return a task that waits in `get`."""
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not task.done()
    return task


def key_of(item: Item[str] | None) -> str | None:
    return None if item is None else item.key


async def assert_cancelled(task: Consumer) -> None:
    with pytest.raises(asyncio.CancelledError):
        await task


# Handing out


@virtual
async def test_a_ready_key_is_handed_out_at_once_with_its_causes() -> None:
    queue = new_queue()
    queue.add("a", causes=(7,))
    assert await queue.get() == Item("a", 0, (7,), LoopClock().now(), 1)


@virtual
async def test_a_delayed_key_comes_at_its_time_to_the_nanosecond() -> None:
    class OddLimiter(ItemExponentialRateLimiter):
        def when(self, key: object, now: Instant, /) -> int:
            del key, now
            return 30_009_999_996

    queue: PriorityQueue[str] = PriorityQueue(clock=LoopClock(), rate_limiter=OddLimiter())
    await asyncio.sleep(0.000000003)
    queue.add_after("b", timedelta(seconds=30, milliseconds=10))
    queue.add_rate_limited("a")
    times = []
    for _ in range(2):
        await queue.get()
        times.append(LoopClock().now())
    assert times == [30_009_999_999, 30_010_000_003]


@virtual
async def test_a_sooner_ask_wakes_a_waiting_consumer_sooner() -> None:
    queue = new_queue()
    queue.add_after("a", timedelta(seconds=30))
    consumer = await blocked(queue)
    queue.add_after("b", timedelta(seconds=10))
    assert key_of(await consumer) == "b"
    assert LoopClock().now() == seconds(10)


@virtual
async def test_a_consumer_outlives_a_wake_up_that_an_event_used_up() -> None:
    queue = new_queue()
    queue.add_after("a", timedelta(seconds=30))
    first, second = await blocked(queue), await blocked(queue)
    queue.add("a")
    assert key_of(await first) == "a"
    queue.add_after("b", timedelta(seconds=40))
    assert key_of(await second) == "b"
    assert LoopClock().now() == seconds(40)


@virtual
async def test_the_length_and_the_snapshot_see_what_fell_due_although_nobody_waits() -> None:
    queue = new_queue()
    queue.add_after("a", timedelta(seconds=30))
    assert len(queue) == 0
    await asyncio.sleep(30)
    assert [row.standing for row in queue.snapshot().rows] == [Standing.READY]
    assert len(queue) == 1


def test_a_queue_without_consumers_sets_no_timer() -> None:
    async def main() -> None:
        queue = new_queue()
        queue.add_after("a", timedelta(seconds=30))
        consumer = await blocked(queue)
        consumer.cancel()
        await assert_cancelled(consumer)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(IdleLoopError, match=r"at 0\.000"):
        run_virtual(main())


def test_a_get_on_an_empty_queue_waits_for_ever() -> None:
    async def main() -> None:
        await new_queue().get()

    with pytest.raises(IdleLoopError):
        run_virtual(main())


@virtual
async def test_a_key_is_with_one_worker_at_a_time_and_comes_back_at_done() -> None:
    queue = new_queue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    consumer = await blocked(queue)
    queue.done("a")
    assert key_of(await consumer) == "a"


@virtual
async def test_keys_of_one_call_reach_the_consumers_by_priority_not_by_their_order_in_it() -> None:
    queue = new_queue()
    queue.add_with_opts(["b"], after=timedelta(seconds=30), priority=9)
    first, second = await blocked(queue), await blocked(queue)
    queue.add_with_opts(["a", "b"])
    assert [key_of(await first), key_of(await second)] == ["b", "a"]


@virtual
async def test_done_of_a_key_that_nobody_holds_is_refused_and_changes_nothing() -> None:
    queue = new_queue()
    queue.add("a")
    with pytest.raises(NotHeldError, match="'a'"):
        queue.done("a")
    await queue.get()
    queue.done("a")
    with pytest.raises(NotHeldError):
        queue.done("a")
    assert len(queue) == 0


# Delays and the limiter


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(None, milliseconds(5), id="the limiter alone"),
        pytest.param(timedelta(0), milliseconds(5), id="zero counts as not given"),
        pytest.param(timedelta(seconds=1), milliseconds(5), id="the limiter is sooner"),
        pytest.param(timedelta(milliseconds=1), milliseconds(1), id="the delay is sooner"),
        pytest.param(timedelta(seconds=-1), 0, id="a negative delay asks for now"),
    ],
)
def test_with_a_delay_and_a_limiter_the_smaller_counts_and_the_limiter_is_charged(
    after: timedelta | None, expected: int
) -> None:
    async def main() -> None:
        queue = new_queue()
        queue.add_with_opts(["a"], after=after, rate_limited=True)
        assert [row.ready_at for row in queue.snapshot().rows] == [expected]
        assert queue.num_requeues("a") == 1
        queue.forget("a")
        assert queue.num_requeues("a") == 0
        assert queue.snapshot().rows

    run_virtual(main())


# What is told


@virtual
async def test_every_ask_is_told_with_its_own_id_and_who_asked() -> None:
    told: list[tuple[int, str, Verdict, str]] = []
    queue = new_queue(lambda placed, by: told.append((placed.ask, placed.key, placed.verdict, by)))

    queue.add_after("a", timedelta(seconds=30))
    queue.add("a")
    queue.add_rate_limited("b")
    queue.add_with_opts(["b", "b"], rate_limited=True, by="requeue")
    queue.shut_down()
    queue.add("a")

    assert told == [
        (1, "a", Verdict.DELAYED, "requeue_after"),
        (2, "a", Verdict.MADE_READY, "event"),
        (3, "b", Verdict.DELAYED, "backoff"),
        (4, "b", Verdict.KEPT_SOONER, "requeue"),
        (5, "b", Verdict.KEPT_SOONER, "requeue"),
        (6, "a", Verdict.SHUT_DOWN, "event"),
    ]


@virtual
async def test_the_ids_of_asks_can_come_from_outside() -> None:
    told: list[Placed[str]] = []
    queue: PriorityQueue[str] = PriorityQueue(
        clock=LoopClock(),
        rate_limiter=ItemExponentialRateLimiter(),
        on_placed=lambda placed, by: told.append(placed),
        ask_ids=iter([70, 80]).__next__,
    )
    queue.add_after("a", timedelta(seconds=30), causes=(69,))
    queue.add("a", causes=(79,))
    assert [(one.ask, one.lost_ask, one.causes) for one in told] == [(70, 0, (69,)), (80, 70, (79,))]
    assert await queue.get() == Item("a", 0, (69, 79), LoopClock().now(), 80)


@virtual
async def test_an_ask_is_told_before_its_worker_runs() -> None:
    events: list[str] = []
    queue = new_queue(lambda placed, by: events.append("told"))

    async def work() -> None:
        await queue.get()
        events.append("worker")

    worker = asyncio.create_task(work())
    await asyncio.sleep(0)
    queue.add("a")
    await worker
    assert events == ["told", "worker"]


@virtual
async def test_an_observer_that_raises_does_not_strand_the_key() -> None:
    def raises(placed: Placed[str], by: str) -> None:
        raise ZeroDivisionError

    queue = new_queue(raises)
    consumer = await blocked(queue)
    with pytest.raises(ZeroDivisionError):
        queue.add("a")
    assert key_of(await consumer) == "a"


@virtual
async def test_the_repr_says_in_one_line_what_is_inside() -> None:
    queue = new_queue()
    queue.add("a")
    queue.add("b")
    queue.add_after("c", timedelta(seconds=1))
    await queue.get()
    assert repr(queue) == "<PriorityQueue 1 ready, 1 waiting, 1 held, 0 consumers>"
    queue.shut_down()
    assert repr(queue) == "<PriorityQueue 1 ready, 1 waiting, 1 held, 0 consumers, shut down>"


# Shutting down


@virtual
async def test_a_shut_down_ends_every_get_and_abandons_what_is_queued() -> None:
    queue = new_queue()
    consumers = [await blocked(queue), await blocked(queue)]
    queue.add_after("later", timedelta(seconds=1))
    assert not queue.is_shutting_down
    queue.shut_down()
    queue.shut_down()
    queue.add("a")
    queue.add_rate_limited("a")
    assert [await consumer for consumer in consumers] == [None, None]
    await asyncio.sleep(2)
    assert await queue.get() is None
    assert queue.is_shutting_down
    assert (len(queue), queue.num_requeues("a")) == (0, 0)


@virtual
async def test_a_key_held_at_the_shut_down_can_still_be_done() -> None:
    queue = new_queue()
    queue.add("a")
    await queue.get()
    queue.shut_down()
    queue.done("a")
    assert await queue.get() is None


# Cancelling a get


@virtual
async def test_cancelled_while_it_waits_it_leaves_its_place() -> None:
    queue = new_queue()
    first, second = await blocked(queue), await blocked(queue)
    first.cancel()
    await assert_cancelled(first)
    queue.add("a")
    assert key_of(await second) == "a"


@virtual
async def test_cancelled_a_moment_before_a_key_comes_it_is_passed_over() -> None:
    queue = new_queue()
    first, second = await blocked(queue), await blocked(queue)
    # No task runs between these two lines.
    first.cancel()
    queue.add("a")
    assert key_of(await second) == "a"
    await assert_cancelled(first)
    assert [row.standing for row in queue.snapshot().rows] == [Standing.HELD]


@virtual
async def test_cancelled_after_it_was_chosen_its_key_goes_to_the_next() -> None:
    queue = new_queue()
    first, second = await blocked(queue), await blocked(queue)
    queue.add("a")
    first.cancel()
    assert key_of(await second) == "a"
    await assert_cancelled(first)
    queue.done("a")
    assert queue.snapshot().rows == ()


@virtual
async def test_when_all_the_chosen_are_cancelled_the_keys_are_back_in_their_order() -> None:
    queue = new_queue()
    consumers = [await blocked(queue) for _ in range(3)]
    for key in "abc":
        queue.add(key)
    for consumer in reversed(consumers):
        consumer.cancel()
    for consumer in consumers:
        await assert_cancelled(consumer)
    queue.add("d")
    assert len(queue) == 4
    assert [key_of(await queue.get()) for _ in range(4)] == ["a", "b", "c", "d"]


@virtual
async def test_a_delay_granted_while_the_chosen_was_cancelled_comes_true() -> None:
    told: list[Placed[str]] = []
    queue = new_queue(lambda placed, by: told.append(placed))
    first = await blocked(queue)
    queue.add("a")
    queue.add_after("a", timedelta(seconds=30))
    first.cancel()
    await assert_cancelled(first)
    assert told[-1].verdict is Verdict.DELAYED

    assert key_of(await queue.get()) == "a"
    queue.done("a")
    assert key_of(await queue.get()) == "a"
    assert LoopClock().now() == seconds(30)


@virtual
async def test_the_timer_of_a_cancelled_consumer_still_wakes_the_next() -> None:
    queue = new_queue()
    queue.add_after("a", timedelta(seconds=30))
    first, second = await blocked(queue), await blocked(queue)
    first.cancel()
    await assert_cancelled(first)
    assert key_of(await second) == "a"
    assert LoopClock().now() == seconds(30)


@pytest.mark.parametrize("scope", [anyio.move_on_after, anyio.fail_after, asyncio.timeout])
def test_a_time_out_at_the_moment_the_key_is_due_loses_no_key(scope: Callable[[float], Any]) -> None:
    async def consume(queue: PriorityQueue[str]) -> Item[str] | None:
        try:
            opened = scope(10)
            if hasattr(opened, "__aenter__"):
                async with opened:
                    return await queue.get()
            with opened:
                return await queue.get()
        except TimeoutError:
            pass
        return None

    async def main() -> None:
        queue = new_queue()
        queue.add_after("a", timedelta(seconds=10))
        got = await consume(queue)
        assert LoopClock().now() == seconds(10)
        assert [row.standing for row in queue.snapshot().rows] == [Standing.HELD if got else Standing.READY]
        assert key_of(got or await queue.get()) == "a"

    run_virtual(main())


@virtual
async def test_a_cancelled_task_group_of_workers_takes_a_key_or_leaves_it() -> None:
    queue = new_queue()
    got: list[str | None] = []

    async def work() -> None:
        got.append(key_of(await queue.get()))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(work)
        await anyio.sleep(1)
        queue.add("a")
        queue.add("b")
        group.cancel_scope.cancel()
    while len(queue):
        await work()
    assert got == ["a", "b"]
    assert queue.snapshot().consumers == 0


@virtual
async def test_cancelled_together_with_a_shut_down_it_is_cancelled() -> None:
    queue = new_queue()
    first, second = await blocked(queue), await blocked(queue)
    first.cancel()
    queue.shut_down()
    second.cancel()
    await assert_cancelled(first)
    await assert_cancelled(second)


@pytest.mark.parametrize("seed", range(50))
def test_consumers_that_come_and_are_cancelled_at_any_moment_lose_no_key(seed: int) -> None:
    async def main() -> None:
        random = Random(seed)
        queue = new_queue()
        consumers: list[Consumer] = []
        asked: set[str] = set()
        for number in range(200):
            match random.randrange(6):
                case 0 | 1:
                    consumers.append(asyncio.create_task(queue.get()))
                case 2:
                    queue.add(f"{number}")
                    asked.add(f"{number}")
                case 3:
                    queue.add_after(f"{number}", timedelta(seconds=random.randrange(3)))
                    asked.add(f"{number}")
                case 4 if consumers:
                    random.choice(consumers).cancel()
                case _:
                    await asyncio.sleep(random.choice([0, 0, 0.5, 1]))
            check(queue.snapshot())
        await asyncio.sleep(10)
        got = [task.result() for task in consumers if task.done() and not task.cancelled()]
        for task in consumers:
            task.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
        while len(queue):
            got.append(await queue.get())
        assert sorted(item.key for item in got if item) == sorted(asked)

    run_virtual(main())
