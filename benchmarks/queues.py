"""
Our queues, put to the work that `benchmarks/go` puts Go's to.

Cores are told the time, so that what they do is all that is measured; queues read the loop's clock and are awaited, as
workers do. Both look for the garbage of a round only after it, as Go's do.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from time import perf_counter

from reconciler.clock import LoopClock
from reconciler.control_loop import asked_record
from reconciler.instant import Instant, seconds
from reconciler.journal import Journal
from reconciler.testing import run_virtual
from reconciler.workqueue import AskedBy, ClassicCore, ClassicQueue, Placed, PriorityCore, PriorityQueue

BATCH = 100
DELAYED = 100_000
CYCLES = 100_000

AnyCore = ClassicCore[str] | PriorityCore[str]
AnyQueue = ClassicQueue[str] | PriorityQueue[str]
NOW = Instant(0)


def keys(count: int) -> list[str]:
    """Return what workers would call the keys."""
    return [f"default/object-{number}" for number in range(count)]


@dataclass(frozen=True)
class CoreCases:
    """The cases of one core."""

    make: Callable[[], AnyCore]

    def one_at_a_time(self, names: Sequence[str]) -> float:
        """Add, take and done one key, then the next."""
        core = self.make()
        add, take, done = core.add, core.take, core.done
        rounds = max(1, CYCLES // len(names))
        start = perf_counter()
        for _ in range(rounds):
            for key in names:
                add(key, now=NOW, ready_at=NOW)
                take(now=NOW)
                done(key)
        return rounds * len(names) / (perf_counter() - start)

    def fill_and_drain(self, names: Sequence[str]) -> float:
        """Add all keys, then take and be done with each."""
        core = self.make()
        add, take, done = core.add, core.take, core.done
        rounds = max(1, CYCLES // len(names))
        start = perf_counter()
        for _ in range(rounds):
            for key in names:
                add(key, now=NOW, ready_at=NOW)
            for _ in names:
                item = take(now=NOW)
                assert item is not None
                done(item.key)
        return rounds * len(names) / (perf_counter() - start)

    def delayed_add(self, names: Sequence[str]) -> float:
        """Add each key for a moment of its own."""
        core, at = self.make(), _spread(len(names))
        start = perf_counter()
        for key, ready_at in zip(names, at, strict=True):
            core.add(key, now=NOW, ready_at=ready_at)
        return len(names) / (perf_counter() - start)

    def delayed_drain(self, names: Sequence[str]) -> float:
        """Come to each moment, and work on its key."""
        core = self.make()
        for key, ready_at in zip(names, _spread(len(names)), strict=True):
            core.add(key, now=NOW, ready_at=ready_at)
        start = perf_counter()
        while (due := core.next_ready_at()) is not None:
            core.advance(due)
            while (item := core.take(now=due)) is not None:
                core.done(item.key)
        return len(names) / (perf_counter() - start)

    def bytes_ready(self, names: Sequence[str]) -> float:
        """Weigh ready keys; the keys themselves exist before."""
        return self._weigh(names, [NOW] * len(names))

    def bytes_delayed(self, names: Sequence[str]) -> float:
        """Weigh delayed keys."""
        return self._weigh(names, _spread(len(names)))

    def _weigh(self, names: Sequence[str], at: Sequence[Instant]) -> float:
        gc.collect()
        tracemalloc.start()
        core = self.make()
        for key, ready_at in zip(names, at, strict=True):
            core.add(key, now=NOW, ready_at=ready_at)
        weight, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert core.snapshot()
        return weight / len(names)


@dataclass(frozen=True)
class QueueCases:
    """The cases of one queue; `with_journal` writes down each ask, as a controller does."""

    kind: type[ClassicQueue[str]] | type[PriorityQueue[str]]
    with_journal: bool = False

    def one_at_a_time(self, names: Sequence[str]) -> float:
        """Add, take and done one key, then the next."""

        async def work(queue: AnyQueue) -> int:
            rounds = max(1, CYCLES // 2 // len(names))
            for _ in range(rounds):
                for key in names:
                    queue.add(key)
                    await queue.get()
                    queue.done(key)
            return rounds * len(names)

        return self._run(work)

    def fill_and_drain(self, names: Sequence[str]) -> float:
        """Add all keys, then take and be done with each."""

        async def work(queue: AnyQueue) -> int:
            rounds = max(1, CYCLES // 2 // len(names))
            for _ in range(rounds):
                for key in names:
                    queue.add(key)
                for _ in names:
                    item = await queue.get()
                    assert item is not None
                    queue.done(item.key)
            return rounds * len(names)

        return self._run(work)

    def batches(self, names: Sequence[str]) -> float:
        """Fill and drain, 100 keys at a time."""

        async def work(queue: AnyQueue) -> int:
            rounds = max(1, CYCLES // 2 // len(names))
            for _ in range(rounds):
                for first in range(0, len(names), BATCH):
                    batch = names[first : first + BATCH]
                    for key in batch:
                        queue.add(key)
                    for _ in batch:
                        item = await queue.get()
                        assert item is not None
                        queue.done(item.key)
            return rounds * len(names)

        return self._run(work)

    def producer_consumer(self, names: Sequence[str]) -> float:
        """One task adds, and yields after each batch; what counts are the passes that the other completes."""

        async def work(queue: AnyQueue) -> int:
            wanted, completed, place = CYCLES // 2, 0, 0

            async def produce() -> None:
                nonlocal place
                while completed < wanted:
                    for _ in range(BATCH):
                        queue.add(names[place % len(names)])
                        place += 1
                    await asyncio.sleep(0)

            producer = asyncio.create_task(produce())
            while completed < wanted:
                item = await queue.get()
                assert item is not None
                queue.done(item.key)
                completed += 1
                if completed % BATCH == 0:
                    await asyncio.sleep(0)
            await producer
            return completed

        return self._run(work)

    def producer_consumer_batches(self, names: Sequence[str]) -> float:
        """The consumer waits in `get` before each batch, and the producer until its batch is done."""

        async def work(queue: AnyQueue) -> int:
            batch = min(BATCH, len(names))
            rounds = CYCLES // 4 // batch
            finished: asyncio.Queue[None] = asyncio.Queue()

            async def consume() -> None:
                for _ in range(rounds):
                    for _ in range(batch):
                        item = await queue.get()
                        assert item is not None
                        queue.done(item.key)
                    finished.put_nowait(None)

            consumer = asyncio.create_task(consume())
            await asyncio.sleep(0)
            place = 0
            for _ in range(rounds):
                for _ in range(batch):
                    queue.add(names[place % len(names)])
                    place += 1
                await finished.get()
            await consumer
            return rounds * batch

        return self._run(work)

    def delayed_drain(self, names: Sequence[str]) -> float:
        """In virtual time: as long as it takes to come to each moment and to work on its key."""
        taken = 0.0

        async def main() -> None:
            nonlocal taken
            queue = self._make()
            for key, at in zip(names, _spread(len(names)), strict=True):
                queue.add_after(key, timedelta(microseconds=at // 1_000))
            start = perf_counter()
            for _ in names:
                item = await queue.get()
                assert item is not None
                queue.done(item.key)
            taken = perf_counter() - start

        run_virtual(main())
        return len(names) / taken

    def _make(self) -> AnyQueue:
        if not self.with_journal:
            return self.kind(clock=LoopClock())
        journal = Journal()

        def placed(answer: Placed[str], by: AskedBy) -> None:
            journal.append(asked_record(answer, by, "bench"))

        return self.kind(clock=LoopClock(), on_placed=placed, ask_ids=journal.new_id)

    def _run(self, work: Callable[[AnyQueue], Awaitable[int]]) -> float:
        async def main() -> float:
            queue = self._make()
            start = perf_counter()
            done = await work(queue)
            return done / (perf_counter() - start)

        return asyncio.run(main())


def plain_queue(names: Sequence[str]) -> float:
    """Put and get of asyncio's own priority queue: no delays, no merging of equal keys, no holding."""

    async def main() -> float:
        queue: asyncio.PriorityQueue[tuple[int, int, str]] = asyncio.PriorityQueue()
        rounds = max(1, CYCLES // 2 // len(names))
        start = perf_counter()
        for _ in range(rounds):
            for number, key in enumerate(names):
                queue.put_nowait((0, number, key))
            for _ in names:
                await queue.get()
                queue.task_done()
        return rounds * len(names) / (perf_counter() - start)

    return asyncio.run(main())


def _spread(count: int) -> list[Instant]:
    """Return as many moments as there are keys, in no order, a microsecond apart, beginning with an hour."""
    places = list(range(count))
    Random(1).shuffle(places)
    return [Instant(seconds(3600) + place * 1_000) for place in places]
