"""What a cycle is made of: the price of its parts, in nanoseconds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from timeit import repeat

from reconciler.clock import LoopClock
from reconciler.instant import Instant
from reconciler.journal import Asked
from reconciler.workqueue import ClassicCore, Item, Placed, PriorityCore, QueueCore, Verdict

KEYS = [f"default/object-{number}" for number in range(1_000)]
NOW = Instant(0)
ROUNDS = 7


def parts(classic_per_second: float | None, priority_per_second: float | None) -> None:
    """Print the parts beside the whole."""
    print("\nWhat a cycle is made of (ns)")
    for name, make, per_second in (
        ("classic", ClassicCore[str], classic_per_second),
        ("priority", PriorityCore[str], priority_per_second),
    ):
        add, take, done = _steps(make)
        whole = f"{1e9 / per_second:.0f} measured" if per_second else "not measured"
        print(f"  {name} core: add {add:.0f}, take {take:.0f}, done {done:.0f}; a whole cycle {whole}")
    verdict = Verdict.QUEUED
    print(f"  without answers: keys alone, in a deque and two sets {_price_of_keys_alone():.0f} a cycle")
    placed = _price(lambda: Placed("a", verdict, 1, NOW, NOW, NOW, 0, (), 1))
    item = _price(lambda: Item("a", 0, (), NOW, 1))
    asked = _price(lambda: Asked(1, (), 0, "c", "a", "event", "QUEUED", 0, 0, -1, 0, 1, 0))
    print(f"  the answer to an ask (Placed) {placed:.0f}, a key as it is handed out (Item) {item:.0f}")
    clock, get = asyncio.run(_of_the_queue())
    print(
        f"  reading the clock {clock:.0f}, awaiting a coroutine that does not wait {get:.0f}, "
        f"a record (Asked) {asked:.0f}"
    )


def _steps(make: Callable[[], QueueCore[str]]) -> tuple[float, float, float]:
    best = [float("inf")] * 3
    for _ in range(ROUNDS):
        core = make()

        def add(core: QueueCore[str] = core) -> None:
            for key in KEYS:
                core.add(key, now=NOW, ready_at=NOW)

        def take(core: QueueCore[str] = core) -> None:
            for _ in KEYS:
                core.take(now=NOW)

        def done(core: QueueCore[str] = core) -> None:
            for key in KEYS:
                core.done(key)

        for number, step in enumerate((add, take, done)):
            best[number] = min(best[number], repeat(step, number=1, repeat=1)[0] / len(KEYS) * 1e9)
    return best[0], best[1], best[2]


def _price_of_keys_alone() -> float:
    """What Go's classic queue keeps, in this interpreter: no causes, no times, no answers."""

    def cycle() -> None:
        line: deque[str] = deque()
        dirty: set[str] = set()
        held: set[str] = set()
        for key in KEYS:
            if key not in dirty:
                dirty.add(key)
                if key not in held:
                    line.append(key)
        for _ in KEYS:
            key = line.popleft()
            held.add(key)
            dirty.discard(key)
            held.discard(key)
            if key in dirty:
                line.append(key)

    return min(repeat(cycle, number=1, repeat=20 * ROUNDS)) / len(KEYS) * 1e9


async def _of_the_queue() -> tuple[float, float]:
    clock = LoopClock()
    loop = asyncio.get_running_loop()

    async def at_once() -> None:
        return None

    best = float("inf")
    for _ in range(ROUNDS):
        started = loop.time()
        for _ in range(20_000):
            await at_once()
        best = min(best, (loop.time() - started) / 20_000 * 1e9)
    return _price(clock.now), best


def _price(make: Callable[[], object]) -> float:
    return min(repeat(make, number=20_000, repeat=ROUNDS)) / 20_000 * 1e9
