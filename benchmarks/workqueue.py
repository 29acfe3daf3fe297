"""
How fast the priority queue is: add, get and done cycles, beside put and get of a plain `asyncio.PriorityQueue`.

Both run in turns in one process, so that a busy machine slows both; the best round of each counts. The plain queue has
no delays, no merging of equal keys and no holding: the ratio is the price of those.

Run: python benchmarks/workqueue.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from reconciler.clock import LoopClock
from reconciler.workqueue import AskedBy, ItemExponentialRateLimiter, Placed, PriorityQueue

KEYS = [f"default/object-{number}" for number in range(1_000)]
ROUNDS = 30


async def plain() -> None:
    """Put and get, in the order of priority and number."""
    queue: asyncio.PriorityQueue[tuple[int, int, str]] = asyncio.PriorityQueue()
    for number, key in enumerate(KEYS):
        queue.put_nowait((0, number, key))
    for _ in KEYS:
        await queue.get()
        queue.task_done()


def _new_queue(on_placed: Callable[[Placed[str], AskedBy], None] | None = None) -> PriorityQueue[str]:
    return PriorityQueue(clock=LoopClock(), rate_limiter=ItemExponentialRateLimiter(), on_placed=on_placed)


async def _cycles(queue: PriorityQueue[str]) -> None:
    for key in KEYS:
        queue.add(key)
    for key in KEYS:
        await queue.get()
        queue.done(key)


async def ours() -> None:
    """Add, get and done."""
    await _cycles(_new_queue())


async def ours_with_observer() -> None:
    """The same, with each answer kept."""
    answers: list[Placed[str]] = []
    await _cycles(_new_queue(lambda placed, by: answers.append(placed)))


async def ours_with_wake_ups() -> None:
    """Each key also gets a delayed ask, which an event then beats."""
    queue = _new_queue()
    for key in KEYS:
        queue.add_after(key, timedelta(seconds=30))
    await _cycles(queue)


async def _seconds_of(work: Callable[[], Awaitable[None]]) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await work()
    return loop.time() - started


async def main() -> None:
    """Print the table."""
    contenders = [plain, ours, ours_with_observer, ours_with_wake_ups]
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for work in contenders:
            best[work] = min(best[work], await _seconds_of(work))
    for work in contenders:
        name = work.__name__.replace("_", " ")
        print(f"{name:20} {len(KEYS) / best[work]:12,.0f} cycles/s   {best[work] / best[plain]:5.2f} x plain")


if __name__ == "__main__":
    asyncio.run(main())
