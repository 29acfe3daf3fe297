"""What the tests of both queues share: each queue under one name, and a way to run a test on either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from reconciler.clock import LoopClock
from reconciler.instant import Instant
from reconciler.testing import run_virtual
from reconciler.workqueue import (
    AskedBy,
    ClassicCore,
    ClassicQueue,
    Discipline,
    Item,
    ItemExponentialRateLimiter,
    Placed,
    PriorityCore,
    PriorityQueue,
    Promotion,
    RateLimiter,
)

BOTH: tuple[Discipline, ...] = ("classic", "priority")
CORES: dict[Discipline, Callable[[], ClassicCore[str] | PriorityCore[str]]] = {
    "classic": ClassicCore,
    "priority": PriorityCore,
}

Queue = ClassicQueue[str] | PriorityQueue[str]
Consumer = asyncio.Task[Item[str] | None]


def new_queue(
    discipline: Discipline,
    on_placed: Callable[[Placed[str], AskedBy], None] | None = None,
    *,
    on_promoted: Callable[[Promotion[str]], None] | None = None,
    rate_limiter: RateLimiter[str] | None = None,
    ask_ids: Callable[[], int] | None = None,
) -> Queue:
    """Make a queue of this kind; its limiter is the exponential one, unless another is given."""
    made = ClassicQueue[str] if discipline == "classic" else PriorityQueue[str]
    return made(
        clock=LoopClock(),
        rate_limiter=rate_limiter or ItemExponentialRateLimiter(),
        on_placed=on_placed,
        on_promoted=on_promoted,
        ask_ids=ask_ids,
    )


def virtual(main: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of `main`, run in virtual time."""
    return lambda: run_virtual(main())


def on_both(main: Callable[[Discipline], Coroutine[Any, Any, None]]) -> Callable[[Discipline], None]:
    """Make a test of `main` for each queue, run in virtual time."""

    def test(discipline: Discipline) -> None:
        run_virtual(main(discipline))

    return pytest.mark.parametrize("discipline", BOTH)(test)


async def blocked(queue: Queue) -> Consumer:
    """Return a task that waits in `get`."""
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not task.done()
    return task


def key_of(item: Item[str] | None) -> str | None:
    return None if item is None else item.key


async def assert_cancelled(task: asyncio.Task[Any]) -> None:
    with pytest.raises(asyncio.CancelledError):
        await task


async def all_keys(queue: Queue) -> str:
    """Take every key that is ready, and let go of it."""
    keys = ""
    while len(queue):
        key = key_of(await queue.get())
        assert key is not None
        queue.done(key)
        keys += key
    return keys


class OddLimiter(ItemExponentialRateLimiter):
    """A limiter whose delay is no whole number of microseconds."""

    def when(self, key: object, now: Instant, /) -> int:
        del key, now
        return 30_009_999_996
