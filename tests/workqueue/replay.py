"""
Replays queue programs recorded from Go (tests/traces) on our queue, and returns what was seen in the trace's words.

Two drivers: the bare core, and the asyncio shell in virtual time. Each yields one `Seen` for each step.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from reconciler.clock import LoopClock
from reconciler.errors import NotHeldError
from reconciler.instant import Instant
from reconciler.testing import run_virtual
from reconciler.workqueue import (
    Item,
    ItemExponentialRateLimiter,
    PriorityCore,
    PriorityQueue,
    RateLimiter,
    check,
)

TRACES = Path(__file__).parent.parent / "traces"

LIMITERS: Mapping[str, Callable[[Mapping[str, Any]], RateLimiter[str]]] = {
    "exponential": lambda spec: ItemExponentialRateLimiter(base_ns=spec["base"], max_ns=spec["max"]),
}
"""How each limiter of the traces is built. A program whose limiter is missing here cannot be replayed yet."""

Step = Mapping[str, Any]
Program = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Woken:
    waiter: int
    t: int
    key: str
    priority: int
    shutdown: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What one step showed. `answer` is the result of `num_requeues`, `len` or `shutting_down`."""

    t_end: int
    length: int
    woken: tuple[Woken, ...]
    answer: int | bool | None = None


def programs(name: str) -> Iterator[Program]:
    with (TRACES / name).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def is_replayable(program: Program) -> bool:
    return program["limiter"]["type"] in LIMITERS


def limiter_of(program: Program) -> RateLimiter[str]:
    spec = program["limiter"]
    return LIMITERS[spec["type"]](spec)


def recorded(step: Step) -> Seen:
    woken = tuple(Woken(w["waiter"], w["t"], w["key"], w["priority"], w["shutdown"]) for w in step.get("woken", ()))
    answers = {"num_requeues": step.get("n", 0), "len": step.get("n", 0), "shutting_down": step.get("b", False)}
    return Seen(step["t_end"], step["len"], woken, answers.get(step["op"]))


def _options(step: Step) -> tuple[tuple[str, ...], int, bool, int | None]:
    """Return keys, delay, whether it is rate limited, and priority: every add is one with options."""
    keys = tuple(step["keys"]) if "keys" in step else (step["key"],)
    delay = step.get("d", step.get("after", 0))
    is_limited = step["op"] == "add_rate_limited" or step.get("rate_limited", False)
    return keys, delay, is_limited, step.get("priority")


@dataclass
class CoreDriver:
    """Steps through a program with a `PriorityCore`; time is a number."""

    limiter: RateLimiter[str]
    core: PriorityCore[str] = field(default_factory=PriorityCore)
    now: Instant = field(default_factory=lambda: Instant(0))
    woken: list[Woken] = field(default_factory=list)

    def step(self, step: Step) -> Seen:
        assert step["t"] == self.now
        self.woken = []
        before = self.core.snapshot()
        answer = OPS[step["op"]](self, step)
        self._serve()
        check(self.core.snapshot(), before=before)
        self.woken.sort(key=lambda woken: (woken.t, woken.waiter))
        return Seen(self.now, len(self.core), tuple(self.woken), answer)

    def add(self, step: Step) -> None:
        keys, delay, is_limited, priority = _options(step)
        for key in keys:
            after = delay
            if is_limited and not self.core.is_shut_down:
                limit = self.limiter.when(key, self.now)
                after = limit if delay == 0 else min(delay, limit)
            self.core.add(key, now=self.now, ready_at=Instant(self.now + after), priority=priority)

    def get(self, step: Step) -> None:
        waiter = step["waiter"]
        if self.core.is_shut_down:
            self.woken.append(_woken(waiter, self.now, None))
        elif (item := self.core.take(now=self.now)) is not None:
            self.woken.append(_woken(waiter, self.now, item))
        else:
            self.core.join(waiter)

    def done(self, step: Step) -> None:
        self.core.done(step["key"])

    def forget(self, step: Step) -> None:
        self.limiter.forget(step["key"])

    def num_requeues(self, step: Step) -> int:
        return self.limiter.num_requeues(step["key"])

    def len(self, step: Step) -> int:
        del step
        return len(self.core)

    def shutting_down(self, step: Step) -> bool:
        del step
        return self.core.is_shut_down

    def shutdown(self, step: Step) -> None:
        del step
        self.woken += [_woken(waiter, self.now, None) for waiter in self.core.shut_down()]

    def advance(self, step: Step) -> None:
        until = Instant(self.now + step["d"])
        while (due := self.core.next_ready_at()) is not None and due <= until:
            self.now = due
            self.core.advance(due)
            self._serve()
        self.now = until
        self.core.advance(until)

    def _serve(self) -> None:
        while (handed := self.core.hand_out()) is not None:
            waiter, item = handed
            self.woken.append(_woken(waiter, self.now, item))


def _woken(waiter: int, now: int, item: Item[str] | None) -> Woken:
    if item is None:
        return Woken(waiter, now, "", 0, shutdown=True)
    return Woken(waiter, now, item.key, item.priority, shutdown=False)


OPS: Mapping[str, Callable[[CoreDriver, Step], int | bool | None]] = {
    "add": CoreDriver.add,
    "add_after": CoreDriver.add,
    "add_rate_limited": CoreDriver.add,
    "add_with_opts": CoreDriver.add,
    "get": CoreDriver.get,
    "done": CoreDriver.done,
    "forget": CoreDriver.forget,
    "num_requeues": CoreDriver.num_requeues,
    "len": CoreDriver.len,
    "shutting_down": CoreDriver.shutting_down,
    "shutdown": CoreDriver.shutdown,
    "advance": CoreDriver.advance,
}


def on_core(program: Program) -> list[Seen]:
    driver = CoreDriver(limiter_of(program))
    return [driver.step(step) for step in program["ops"]]


def on_shell(program: Program) -> list[Seen]:
    return run_virtual(_ShellDriver(limiter_of(program)).run(program))


SCALE = 1_000
"""The shell's door takes microseconds, the traces count nanoseconds: on the shell everything lasts this much longer."""


@dataclass(frozen=True, slots=True)
class _Scaled:
    inner: RateLimiter[str]

    def when(self, key: str, now: Instant, /) -> int:
        return self.inner.when(key, Instant(now // SCALE)) * SCALE

    def forget(self, key: str, /) -> None:
        self.inner.forget(key)

    def num_requeues(self, key: str, /) -> int:
        return self.inner.num_requeues(key)


class _ShellDriver:
    """Steps through a program with a `PriorityQueue` in a virtual loop; each `get` is a task of its own."""

    def __init__(self, limiter: RateLimiter[str]) -> None:
        self.queue: PriorityQueue[str] = PriorityQueue(clock=LoopClock(), rate_limiter=_Scaled(limiter))
        self.woken: list[Woken] = []
        self.gets: list[asyncio.Task[None]] = []

    async def run(self, program: Program) -> list[Seen]:
        seen = [await self._step(step) for step in program["ops"]]
        for get in self.gets:
            get.cancel()
        await asyncio.gather(*self.gets, return_exceptions=True)
        return seen

    async def _step(self, step: Step) -> Seen:
        assert step["t"] == _now()
        self.woken = []
        before = self.queue.snapshot()
        answer = await SHELL_OPS[step["op"]](self, step)
        await _settle()
        check(self.queue.snapshot(), before=before)
        self.woken.sort(key=lambda woken: (woken.t, woken.waiter))
        return Seen(_now(), len(self.queue), tuple(self.woken), answer)

    async def add(self, step: Step) -> None:
        keys, delay, is_limited, priority = _options(step)
        after = timedelta(microseconds=delay)
        self.queue.add_with_opts(keys, after=after, rate_limited=is_limited, priority=priority)

    async def get(self, step: Step) -> None:
        async def consume() -> None:
            item = await self.queue.get()
            self.woken.append(_woken(step["waiter"], _now(), item))

        self.gets.append(asyncio.create_task(consume()))

    async def done(self, step: Step) -> None:
        # Go ignores a stray `done`; the shell refuses it.
        with suppress(NotHeldError):
            self.queue.done(step["key"])

    async def forget(self, step: Step) -> None:
        self.queue.forget(step["key"])

    async def num_requeues(self, step: Step) -> int:
        return self.queue.num_requeues(step["key"])

    async def len(self, step: Step) -> int:
        del step
        return len(self.queue)

    async def shutting_down(self, step: Step) -> bool:
        del step
        return self.queue.is_shutting_down

    async def shutdown(self, step: Step) -> None:
        del step
        self.queue.shut_down()

    async def advance(self, step: Step) -> None:
        loop = asyncio.get_running_loop()
        reached = loop.create_future()
        loop.call_at(step["t_end"] * SCALE / 1_000_000_000, reached.set_result, None)
        await reached


SHELL_OPS: Mapping[str, Callable[[_ShellDriver, Step], Awaitable[int | bool | None]]] = {
    "add": _ShellDriver.add,
    "add_after": _ShellDriver.add,
    "add_rate_limited": _ShellDriver.add,
    "add_with_opts": _ShellDriver.add,
    "get": _ShellDriver.get,
    "done": _ShellDriver.done,
    "forget": _ShellDriver.forget,
    "num_requeues": _ShellDriver.num_requeues,
    "len": _ShellDriver.len,
    "shutting_down": _ShellDriver.shutting_down,
    "shutdown": _ShellDriver.shutdown,
    "advance": _ShellDriver.advance,
}


def _now() -> int:
    now, rest = divmod(LoopClock().now(), SCALE)
    assert rest == 0
    return now


async def _settle() -> None:
    """Let every task run until it waits."""
    for _ in range(4):
        await asyncio.sleep(0)
