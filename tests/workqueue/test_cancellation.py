"""A cancelled `get` takes neither a key nor a wake-up with it, at whatever moment, on both queues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any

import anyio
import pytest

from reconciler.clock import LoopClock
from reconciler.instant import seconds
from reconciler.testing import run_virtual
from reconciler.workqueue import Discipline, Item, Placed, Promotion, Standing, Verdict, check

from .both import BOTH, Consumer, Queue, all_keys, assert_cancelled, blocked, key_of, new_queue, on_both, virtual

# Before it was served


@on_both
async def test_cancelled_while_it_waits_it_leaves_its_place(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    first, second = await blocked(queue), await blocked(queue)
    first.cancel()
    await assert_cancelled(first)
    queue.add("a")
    assert key_of(await second) == "a"


@on_both
async def test_cancelled_a_moment_before_a_key_comes_it_is_passed_over(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    first, second = await blocked(queue), await blocked(queue)
    # No task runs between these two lines.
    first.cancel()
    queue.add("a")
    assert key_of(await second) == "a"
    await assert_cancelled(first)
    assert [row.standing for row in queue.snapshot().rows] == [Standing.HELD]


@on_both
async def test_cancelled_before_it_began_it_never_waits(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    consumer = asyncio.create_task(queue.get())
    consumer.cancel()
    await assert_cancelled(consumer)
    assert (len(queue), queue.snapshot().consumers) == (1, 0)


@on_both
async def test_the_timer_of_a_cancelled_consumer_still_wakes_the_next(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add_after("a", timedelta(seconds=30))
    first, second = await blocked(queue), await blocked(queue)
    first.cancel()
    await assert_cancelled(first)
    assert key_of(await second) == "a"
    assert LoopClock().now() == seconds(30)


# After it was served, and before it ran


@on_both
async def test_cancelled_after_it_was_chosen_its_key_goes_to_the_next(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    first, second = await blocked(queue), await blocked(queue)
    queue.add("a", causes=(7,))
    first.cancel()
    assert await second == Item("a", 0, (7,), LoopClock().now(), 1)
    await assert_cancelled(first)
    queue.done("a")
    assert queue.snapshot().rows == ()


@on_both
async def test_cancelled_after_a_timer_chose_it_its_key_goes_to_the_next(discipline: Discipline) -> None:
    consumers: list[Consumer] = []

    def cancel_the_first(promotion: Promotion[str]) -> None:
        # Called soon, it runs after the key was given out and before the consumer's own step.
        asyncio.get_running_loop().call_soon(consumers[0].cancel)

    queue = new_queue(discipline, on_promoted=cancel_the_first)
    queue.add_after("a", timedelta(seconds=30))
    consumers += [await blocked(queue), await blocked(queue)]
    assert key_of(await consumers[1]) == "a"
    await assert_cancelled(consumers[0])
    assert LoopClock().now() == seconds(30)


@on_both
async def test_cancelled_after_done_gave_it_a_parked_key_the_key_goes_to_the_next(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    await queue.get()
    queue.add("a")
    first, second = await blocked(queue), await blocked(queue)
    queue.done("a")
    first.cancel()
    assert key_of(await second) == "a"
    await assert_cancelled(first)


@on_both
async def test_cancelled_while_its_key_is_in_other_hands_the_parked_key_goes_to_the_next(
    discipline: Discipline,
) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    await queue.get()
    first, second = await blocked(queue), await blocked(queue)
    queue.add("a")
    first.cancel()
    queue.done("a")
    assert key_of(await second) == "a"
    await assert_cancelled(first)


@on_both
async def test_a_key_that_is_given_back_and_asked_for_again_is_worked_on_again(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    first, second = await blocked(queue), await blocked(queue)
    queue.add("a")
    queue.add("a")
    first.cancel()
    assert key_of(await second) == "a"
    await assert_cancelled(first)
    queue.done("a")
    # The second ask was parked behind the first consumer: classic joins both, the priority queue keeps its entry.
    assert await all_keys(queue) == ("" if discipline == "classic" else "a")


@on_both
async def test_when_all_the_chosen_are_cancelled_the_keys_are_back_in_their_order(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    consumers = [await blocked(queue) for _ in range(3)]
    for key in "abc":
        queue.add(key)
    for consumer in reversed(consumers):
        consumer.cancel()
    for consumer in consumers:
        await assert_cancelled(consumer)
    queue.add("d")
    assert len(queue) == 4
    assert await all_keys(queue) == "abcd"


@on_both
async def test_a_delay_granted_while_the_chosen_was_cancelled_comes_true(discipline: Discipline) -> None:
    told: list[Placed[str]] = []
    queue = new_queue(discipline, lambda placed, by: told.append(placed))
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
async def test_classic_a_cancelled_consumer_costs_the_others_no_turn_when_done_rotates_them() -> None:
    queue = new_queue("classic")
    queue.add("z")
    await queue.get()
    consumers = [await blocked(queue) for _ in range(3)]
    consumers[1].cancel()
    await assert_cancelled(consumers[1])
    # Nothing is in work any more, so the first of those that wait goes to their end.
    queue.done("z")
    queue.add_with_opts(["a", "b"])
    assert [key_of(await consumers[0]), key_of(await consumers[2])] == ["b", "a"]


# With a time-out, in a task group


async def _waited_for(queue: Queue) -> Item[str] | None:
    return await asyncio.wait_for(queue.get(), 10)


async def _within_a_timeout(queue: Queue) -> Item[str] | None:
    async with asyncio.timeout(10):
        return await queue.get()


async def _within_fail_after(queue: Queue) -> Item[str] | None:
    with anyio.fail_after(10):
        return await queue.get()


async def _within_move_on_after(queue: Queue) -> Item[str] | None:
    with anyio.move_on_after(10):
        return await queue.get()
    return None


SCOPES = [_waited_for, _within_a_timeout, _within_fail_after, _within_move_on_after]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("discipline", BOTH)
@pytest.mark.parametrize("served_by", ["a timer", "an add just before", "an add just after"])
def test_a_time_out_at_the_moment_a_key_comes_loses_no_key(
    discipline: Discipline, scope: Callable[[Queue], Awaitable[Item[str] | None]], served_by: str
) -> None:
    async def consume(queue: Queue) -> Item[str] | None:
        try:
            return await scope(queue)
        except TimeoutError:
            return None

    async def main() -> None:
        queue = new_queue(discipline)
        loop = asyncio.get_running_loop()
        if served_by == "a timer":
            queue.add_after("a", timedelta(seconds=10))
        elif served_by == "an add just before":
            loop.call_at(10, queue.add, "a")
        consumer = asyncio.create_task(consume(queue))
        await asyncio.sleep(0)
        if served_by == "an add just after":
            loop.call_at(10, queue.add, "a")
        second = asyncio.create_task(queue.get())
        got = await consumer
        assert LoopClock().now() == seconds(10)
        if got is None:
            assert key_of(await second) == "a"
        else:
            assert got.key == "a"
            second.cancel()
            await assert_cancelled(second)
        assert [row.standing for row in queue.snapshot().rows] == [Standing.HELD]

    run_virtual(main())


@on_both
async def test_a_time_out_before_the_key_is_due_leaves_it_to_the_next(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add_after("a", timedelta(seconds=30))
    with pytest.raises(TimeoutError):
        await _within_a_timeout(queue)
    assert LoopClock().now() == seconds(10)
    assert key_of(await queue.get()) == "a"
    assert LoopClock().now() == seconds(30)


@on_both
async def test_a_cancelled_task_group_of_workers_takes_a_key_or_leaves_it(discipline: Discipline) -> None:
    queue = new_queue(discipline)
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
    assert sorted(got, key=str) == ["a", "b"]
    assert queue.snapshot().consumers == 0


# Together with a shutdown


@on_both
async def test_cancelled_together_with_a_shut_down_it_is_cancelled(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    first, second = await blocked(queue), await blocked(queue)
    first.cancel()
    queue.shut_down()
    second.cancel()
    await assert_cancelled(first)
    await assert_cancelled(second)


@pytest.mark.parametrize(
    ("discipline", "later"),
    [
        pytest.param("classic", "a", id="classic: handed out to the next get"),
        pytest.param("priority", None, id="priority: abandoned like what is queued"),
    ],
)
def test_a_key_of_one_that_is_cancelled_after_a_shut_down(discipline: Discipline, later: str | None) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        first = await blocked(queue)
        queue.add("a")
        queue.shut_down()
        first.cancel()
        await assert_cancelled(first)
        assert [row.standing for row in queue.snapshot().rows] == [Standing.READY]
        assert key_of(await queue.get()) == later

    run_virtual(main())


@virtual
async def test_classic_a_get_that_a_shut_down_released_has_the_key_of_one_that_is_cancelled() -> None:
    queue = new_queue("classic")
    first, second = await blocked(queue), await blocked(queue)
    queue.add("a")
    queue.shut_down()
    first.cancel()
    assert key_of(await second) == "a"
    await assert_cancelled(first)


# At any moment


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("discipline", BOTH)
def test_consumers_that_come_and_are_cancelled_at_any_moment_lose_no_key(discipline: Discipline, seed: int) -> None:
    async def main() -> None:
        random = Random(seed)
        queue = new_queue(discipline)
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

    run_virtual(main(), seed=seed)


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("discipline", BOTH)
def test_workers_that_come_and_are_cancelled_see_each_key_after_its_last_ask(discipline: Discipline, seed: int) -> None:
    async def main() -> None:
        random = Random(seed)
        queue = new_queue(discipline)
        last: dict[str, str] = {}
        in_work: set[str] = set()

        async def work() -> None:
            while (item := await queue.get()) is not None:
                assert item.key not in in_work
                in_work.add(item.key)
                last[item.key] = "seen"
                try:
                    await asyncio.sleep(random.choice([0, 0.5, 1]))
                    if random.randrange(4) == 0:
                        last[item.key] = "asked for"
                        queue.add_rate_limited(item.key)
                finally:
                    in_work.remove(item.key)
                    queue.done(item.key)

        workers: list[asyncio.Task[Any]] = []
        for _ in range(200):
            key = random.choice("abcd")
            match random.randrange(7):
                case 0 | 1:
                    workers.append(asyncio.create_task(work()))
                case 2:
                    last[key] = "asked for"
                    queue.add(key)
                case 3:
                    last[key] = "asked for"
                    queue.add_after(key, timedelta(seconds=random.randrange(3)))
                case 4 | 5 if workers:
                    workers.pop(random.randrange(len(workers))).cancel()
                case _:
                    await asyncio.sleep(random.choice([0, 0, 0.5, 1]))
            check(queue.snapshot())
        random.seed(0)
        workers.append(asyncio.create_task(work()))
        await asyncio.sleep(2_000)
        assert set(last.values()) == {"seen"}
        assert queue.snapshot().rows == ()

    run_virtual(main(), seed=seed)
