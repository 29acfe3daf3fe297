"""`shut_down_with_drain`: what it waits for, who is ended by what, and what its cancellation leaves behind."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.instant import Instant
from reconciler.testing import IdleLoopError, run_virtual
from reconciler.workqueue import ClassicCore, ClassicQueue, check

from .both import assert_cancelled, key_of, new_queue, virtual

Drain = asyncio.Task[None]
NOW = Instant(0)


def in_work(*keys: str) -> ClassicCore[str]:
    """Return a core with these keys in workers' hands."""
    core: ClassicCore[str] = ClassicCore()
    for key in keys:
        core.add(key, now=NOW, ready_at=NOW)
        core.take(now=NOW)
    return core


def classic() -> ClassicQueue[str]:
    queue = new_queue("classic")
    assert isinstance(queue, ClassicQueue)
    return queue


async def holding(*keys: str) -> ClassicQueue[str]:
    """Return a queue whose `keys` are in work."""
    queue = classic()
    for key in keys:
        queue.add(key)
        await queue.get()
    return queue


async def draining(queue: ClassicQueue[str], drains: int = 1) -> list[Drain]:
    """Return tasks that drain, each begun after the one before it."""
    tasks: list[Drain] = []
    for _ in range(drains):
        tasks.append(asyncio.create_task(queue.shut_down_with_drain()))
        await asyncio.sleep(0)
    return tasks


async def ended(drains: list[Drain]) -> list[bool]:
    await asyncio.sleep(1)
    return [drain.done() for drain in drains]


# What the core decides


def test_a_drain_with_nothing_in_work_is_over_at_once_and_is_told_once() -> None:
    core: ClassicCore[str] = ClassicCore()
    core.join(5)
    assert core.drain(1) == (5,)
    assert core.drained() == (1,)
    assert core.drained() == ()


def test_of_two_drains_one_done_ends_the_later_and_the_next_the_earlier() -> None:
    core = in_work("a")
    core.drain(1)
    core.drain(2)
    core.done("a")
    assert core.drained() == (2,)
    core.done("a")
    assert core.drained() == (1,)


def test_a_done_that_leaves_work_wakes_no_drain() -> None:
    core = in_work("a", "b")
    core.drain(1)
    core.drain(2)
    core.done("a")
    assert core.drained() == ()
    core.done("b")
    assert core.drained() == (2,)


def test_a_done_that_queues_its_key_again_turns_the_drains() -> None:
    core = in_work("a", "b")
    core.add("a", now=NOW, ready_at=NOW)
    core.drain(1)
    core.drain(2)
    # The later one is woken, finds `b` in work, and waits again: behind the other.
    core.done("a")
    assert core.drained() == ()
    core.done("b")
    assert core.drained() == (1,)


def test_a_shut_down_ends_every_drain_and_a_later_one_waits_again() -> None:
    core = in_work("a")
    core.drain(1)
    core.drain(2)
    core.shut_down()
    assert sorted(core.drained()) == [1, 2]
    core.drain(3)
    assert core.drained() == ()
    core.done("a")
    assert core.drained() == (3,)


def test_a_drain_that_finds_nothing_in_work_ends_those_that_wait_still() -> None:
    core = in_work("a")
    core.drain(1)
    core.drain(2)
    core.done("a")
    assert core.drained() == (2,)
    core.drain(3)
    assert core.drained() == (1, 3)


def test_a_drain_that_left_is_not_woken_and_its_turn_can_be_passed_on() -> None:
    core = in_work("a")
    for number in (1, 2, 3):
        core.drain(number)
    core.leave_drain(2)
    core.leave_drain(9)
    core.done("a")
    assert core.drained() == (3,)
    core.signal_drain()
    assert core.drained() == (1,)
    core.signal_drain()
    assert core.drained() == ()


# What it waits for


@virtual
async def test_a_drain_with_nothing_in_work_is_over_at_once_although_keys_are_queued() -> None:
    queue = classic()
    queue.add("a")
    await queue.shut_down_with_drain()
    assert queue.is_shutting_down
    assert key_of(await queue.get()) == "a"


@virtual
async def test_a_drain_waits_for_the_last_key_in_work_and_not_for_what_is_queued() -> None:
    queue = await holding("a", "b")
    queue.add("c")
    drains = await draining(queue)
    assert queue.is_shutting_down
    assert queue.snapshot().drains == 1
    queue.done("a")
    assert await ended(drains) == [False]
    queue.done("b")
    assert await ended(drains) == [True]
    assert (len(queue), queue.snapshot().drains) == (1, 0)


@virtual
async def test_a_drain_ends_although_the_last_done_queues_its_key_again() -> None:
    queue = await holding("a")
    queue.add("a")
    drains = await draining(queue)
    queue.done("a")
    assert await ended(drains) == [True]
    assert key_of(await queue.get()) == "a"


@virtual
async def test_a_key_handed_out_while_it_drains_is_waited_for_too() -> None:
    queue = await holding("a")
    queue.add("b")
    drains = await draining(queue)
    assert key_of(await queue.get()) == "b"
    queue.done("a")
    assert await ended(drains) == [False]
    queue.done("b")
    assert await ended(drains) == [True]


@virtual
async def test_consumers_that_wait_are_released_by_a_drain() -> None:
    queue = await holding("a")
    consumer = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    await draining(queue)
    assert await consumer is None


def test_a_drain_waits_for_ever_for_a_key_that_is_never_done() -> None:
    async def main() -> None:
        await (await holding("a")).shut_down_with_drain()

    with pytest.raises(IdleLoopError):
        run_virtual(main())


@virtual
async def test_the_drain_of_the_priority_queue_waits_for_nothing() -> None:
    queue = new_queue("priority")
    queue.add("a")
    await queue.get()
    await queue.shut_down_with_drain()
    assert queue.is_shutting_down
    assert await queue.get() is None
    queue.done("a")


# Several of them


@virtual
async def test_a_shut_down_ends_every_drain_and_a_later_drain_waits_again() -> None:
    queue = await holding("a")
    drains = await draining(queue, 2)
    queue.shut_down()
    assert await ended(drains) == [True, True]
    drains = await draining(queue)
    assert await ended(drains) == [False]
    queue.done("a")
    assert await ended(drains) == [True]


@virtual
async def test_of_two_drains_each_needs_a_done_of_its_own_and_the_later_is_first() -> None:
    queue = await holding("a")
    queue.add("b")
    drains = await draining(queue, 2)
    queue.done("a")
    assert await ended(drains) == [False, True]
    await queue.get()
    queue.done("b")
    assert await ended(drains) == [True, True]


# Cancelled


@virtual
async def test_a_drain_cancelled_while_it_waits_costs_the_next_no_turn() -> None:
    queue = await holding("a")
    drains = await draining(queue, 2)
    drains[1].cancel()
    await assert_cancelled(drains[1])
    assert queue.snapshot().drains == 1
    queue.done("a")
    assert await ended(drains[:1]) == [True]


@virtual
async def test_a_drain_cancelled_a_moment_before_its_turn_leaves_it_to_the_next() -> None:
    queue = await holding("a")
    drains = await draining(queue, 2)
    # No task runs between these two lines.
    drains[1].cancel()
    queue.done("a")
    await assert_cancelled(drains[1])
    assert await ended(drains[:1]) == [True]


@virtual
async def test_a_drain_cancelled_after_its_turn_was_given_to_it_leaves_it_to_the_next() -> None:
    queue = await holding("a")
    drains = await draining(queue, 3)
    queue.done("a")
    drains[2].cancel()
    await assert_cancelled(drains[2])
    assert await ended(drains[:2]) == [False, True]


@virtual
async def test_a_turn_that_comes_back_while_a_key_is_in_work_again_waits_for_its_done() -> None:
    queue = await holding("a")
    queue.add("b")
    drains = await draining(queue, 2)
    queue.done("a")
    drains[1].cancel()
    assert key_of(await queue.get()) == "b"
    await assert_cancelled(drains[1])
    assert await ended(drains[:1]) == [False]
    queue.done("b")
    assert await ended(drains[:1]) == [True]


@virtual
async def test_a_cancelled_drain_leaves_the_queue_shut_down_and_no_drain_behind() -> None:
    queue = await holding("a")
    (drain,) = await draining(queue)
    drain.cancel()
    await assert_cancelled(drain)
    assert queue.is_shutting_down
    assert queue.snapshot().drains == 0
    check(queue.snapshot())
    queue.done("a")


@virtual
async def test_a_drain_that_a_shut_down_ended_can_be_cancelled_before_it_runs() -> None:
    queue = await holding("a")
    drains = await draining(queue, 2)
    queue.shut_down()
    drains[1].cancel()
    await assert_cancelled(drains[1])
    assert await ended(drains[:1]) == [True]


@virtual
async def test_a_drain_cancelled_a_moment_before_its_turn_passes_on_one_turn_only() -> None:
    queue = await holding("a")
    drains = await draining(queue, 3)
    drains[2].cancel()
    queue.done("a")
    await assert_cancelled(drains[2])
    assert await ended(drains[:2]) == [False, True]


@virtual
async def test_a_drain_ends_when_the_last_key_in_work_is_given_back() -> None:
    queue = classic()
    consumer = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    # The drain begins while the key is on its way to a consumer that is cancelled.
    drains = [asyncio.create_task(queue.shut_down_with_drain())]
    queue.add("a")
    consumer.cancel()
    await assert_cancelled(consumer)
    assert await ended(drains) == [True]
    assert len(queue) == 1
