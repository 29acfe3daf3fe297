"""Drives a queue program on the queue that users run, in virtual time; each get is a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from reconciler.clock import LoopClock
from reconciler.errors import InvariantError, NotHeldError
from reconciler.testing.conformance.cores import asked, keys_of, step_in_words, woken_by
from reconciler.testing.conformance.difference import Difference, Outcome, queue_outcome, recorded_step
from reconciler.testing.conformance.facts import Facts, tell
from reconciler.testing.conformance.parts import SCALE, Parts, Scaled
from reconciler.testing.conformance.programs import QueueProgram, Step, Woken
from reconciler.testing.conformance.settling import SettlingLoop, settling_loop
from reconciler.testing.virtual import run_virtual
from reconciler.workqueue import ClassicQueue, PriorityQueue, check

__all__ = ["on_shell", "program_time", "set_alarm"]


def on_shell(program: QueueProgram, parts: Parts, *, is_checking: bool = True) -> Difference | None:
    """Drive `program` on a queue; return the first difference. `is_checking`: the invariants after each step too."""
    return run_virtual(_drive(program, parts, is_checking), loop_factory=SettlingLoop)


def program_time() -> int:
    """
    Return the present moment in the program's time.

    Raises:
        InvariantError: It is between two nanoseconds of the program: nobody asked for such a moment.
    """
    now, rest = divmod(LoopClock().now(), SCALE)
    if rest:
        raise InvariantError(f"the loop woke {rest} ns after {now} ns of the program, of which each lasts {SCALE} ns")
    return now


def set_alarm(at: int) -> None:
    """Let the loop stop at the moment `at` of the program's time."""
    asyncio.get_running_loop().call_at(at * SCALE / 1_000_000_000, _nothing)


def _nothing() -> None:
    """Do nothing: that the loop came to the moment is enough."""


async def _drive(program: QueueProgram, parts: Parts, is_checking: bool) -> Difference | None:
    driver = _ShellDriver(program, parts)
    for index, step in enumerate(program.ops):
        before = driver.queue.snapshot() if is_checking else None
        try:
            seen = await driver.step(step)
            if is_checking:
                check(driver.queue.snapshot(), before=before)
        except Exception as error:
            seen = {"raised": f"{type(error).__name__}: {error}"}
        recorded = recorded_step(program, step)
        if seen != recorded:
            journal = tuple(tell(driver.facts.journal, keys_of(step, recorded, seen), scale=SCALE))
            driver_name = f"the {program.queue} queue in virtual time"
            return Difference(driver_name, step_in_words(program, index), index, recorded, seen, journal)
    return None


class _ShellDriver:
    def __init__(self, program: QueueProgram, parts: Parts) -> None:
        self.facts = Facts()
        options: Any = {
            "clock": LoopClock(),
            "rate_limiter": Scaled(parts.limiter(program.limiter)),
            "on_placed": self.facts.placed,
            "on_promoted": self.facts.promoted,
            "ask_ids": self.facts.journal.new_id,
        }
        self.classic = parts.classic_queue(**options) if program.queue == "classic" else None
        self.queue: PriorityQueue[str] | ClassicQueue[str]
        self.queue = parts.priority_queue(**options) if self.classic is None else self.classic
        self.woken: list[Woken] = []
        self.drained: list[int] = []
        self.calls: list[asyncio.Task[None]] = []

    async def step(self, step: Step) -> Outcome:
        self.woken, self.drained = [], []
        start = program_time()
        answer = await _OPS[step.op](self, step)
        await settling_loop().settle()
        self._raise_what_failed()
        return queue_outcome(
            self.queue.discipline,
            t=start,
            t_end=program_time(),
            length=len(self.queue),
            woken=self.woken,
            drained=self.drained,
            answer=answer,
        )

    def _raise_what_failed(self) -> None:
        for call in self.calls:
            if call.done():
                call.result()
        self.calls = [call for call in self.calls if not call.done()]

    async def add(self, step: Step) -> None:
        keys, delay, is_limited = asked(step)
        match step.op:
            case "add":
                self.queue.add(keys[0])
            case "add_after":
                self.queue.add_after(keys[0], timedelta(microseconds=delay))
            case "add_rate_limited":
                self.queue.add_rate_limited(keys[0])
            case _:
                after = timedelta(microseconds=delay)
                self.queue.add_with_opts(keys, after=after, rate_limited=is_limited, priority=step.priority)

    async def get(self, step: Step) -> None:
        async def get() -> None:
            item = await self.queue.get()
            self.woken.append(woken_by(step.waiter or 0, program_time(), item))
            if item is not None:
                self.facts.handed_out(item, LoopClock().now())

        self.calls.append(asyncio.create_task(get()))

    async def done(self, step: Step) -> None:
        key = step.key or ""
        self.facts.done(key, LoopClock().now())
        try:
            self.queue.done(key)
        except NotHeldError:
            self._done_as_in_go(key)

    async def forget(self, step: Step) -> None:
        self.queue.forget(step.key or "")

    async def num_requeues(self, step: Step) -> int:
        return self.queue.num_requeues(step.key or "")

    async def length(self, step: Step) -> int:
        del step
        return len(self.queue)

    async def shutting_down(self, step: Step) -> bool:
        del step
        return self.queue.is_shutting_down

    async def shutdown(self, step: Step) -> None:
        del step
        self.queue.shut_down()

    async def drain(self, step: Step) -> None:
        async def drain() -> None:
            await self.queue.shut_down_with_drain()
            self.drained.append(step.waiter or 0)

        self.calls.append(asyncio.create_task(drain()))

    async def advance(self, step: Step) -> None:
        until = program_time() + step.d
        set_alarm(until)
        while program_time() < until:
            await settling_loop().next_instant()

    def _done_as_in_go(self, key: str) -> None:
        # The queue has just refused it, as users see it. Its core does with a key that nobody holds what Go's does, and
        # what comes after depends on that.
        self.queue._core.done(key)  # pyright: ignore[reportPrivateUsage]
        if self.classic is not None:
            self.classic._end_drains()  # pyright: ignore[reportPrivateUsage]
        self.queue.snapshot()  # serves whoever waits


_OPS: Mapping[str, Callable[[_ShellDriver, Step], Awaitable[int | bool | None]]] = MappingProxyType({
    "add": _ShellDriver.add,
    "add_after": _ShellDriver.add,
    "add_rate_limited": _ShellDriver.add,
    "add_with_opts": _ShellDriver.add,
    "get": _ShellDriver.get,
    "done": _ShellDriver.done,
    "forget": _ShellDriver.forget,
    "num_requeues": _ShellDriver.num_requeues,
    "len": _ShellDriver.length,
    "shutting_down": _ShellDriver.shutting_down,
    "advance": _ShellDriver.advance,
    "shutdown": _ShellDriver.shutdown,
    "shutdown_with_drain": _ShellDriver.drain,
})  # fmt: skip
