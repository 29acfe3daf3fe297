"""Drives a queue program on the bare core: time is a number, and nothing waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from reconciler.instant import Instant
from reconciler.testing.conformance.difference import Difference, Outcome, queue_outcome, recorded_step
from reconciler.testing.conformance.facts import Facts, tell
from reconciler.testing.conformance.parts import Parts
from reconciler.testing.conformance.programs import QueueProgram, Step, Woken
from reconciler.workqueue import ClassicCore, Item, PriorityCore, check

__all__ = ["asked", "keys_of", "on_core", "step_in_words", "woken_by"]


def on_core(program: QueueProgram, parts: Parts, *, is_checking: bool = True) -> Difference | None:
    """Drive `program` on a core; return the first difference. `is_checking`: the invariants after each step too."""
    driver = _CoreDriver(program, parts)
    for index, step in enumerate(program.ops):
        before = driver.core.snapshot() if is_checking else None
        try:
            seen = driver.step(step)
            if is_checking:
                check(driver.core.snapshot(), before=before)
        except Exception as error:
            seen = {"raised": f"{type(error).__name__}: {error}"}
        recorded = recorded_step(program, step)
        if seen != recorded:
            journal = tuple(tell(driver.facts.journal, keys_of(step, recorded, seen)))
            return Difference("the bare core", step_in_words(program, index), index, recorded, seen, journal)
    return None


def asked(step: Step) -> tuple[tuple[str, ...], int, bool]:
    """Return keys, delay, and whether it is rate limited: every add is one with options."""
    keys = step.keys if step.op == "add_with_opts" and step.keys is not None else (step.key or "",)
    delay = step.d if step.op == "add_after" else step.after
    return keys, delay, step.op == "add_rate_limited" or step.rate_limited


def woken_by(waiter: int, at: int, item: Item[str] | None) -> Woken:
    """Return what a get that came back is in the format; without an item the queue is shut down."""
    if item is None:
        return Woken(waiter, at, "", 0, shutdown=True)
    return Woken(waiter, at, item.key, item.priority, shutdown=False)


def step_in_words(program: QueueProgram, index: int) -> str:
    """Return which step it is, with its arguments."""
    step = program.ops[index]
    arguments = {
        "key": step.key,
        "keys": step.keys and ",".join(step.keys),
        "d": step.d or None,
        "after": step.after or None,
        "rate_limited": step.rate_limited or None,
        "priority": step.priority,
        "waiter": step.waiter,
    }
    said = "".join(f" {name}={value}" for name, value in arguments.items() if value is not None)
    return f"step {index} of {len(program.ops)}: {step.op}{said}"


def keys_of(step: Step, *outcomes: Outcome) -> list[str]:
    """Return the keys that a step and its outcomes name."""
    keys = [step.key or "", *(step.keys or ())]
    for outcome in outcomes:
        woken = outcome.get("woken")
        if isinstance(woken, tuple):
            keys += [one.key for one in woken if isinstance(one, Woken)]  # pyright: ignore[reportUnknownVariableType]
    return [key for key in dict.fromkeys(keys) if key]


class _CoreDriver:
    def __init__(self, program: QueueProgram, parts: Parts) -> None:
        self.classic = parts.classic_core() if program.queue == "classic" else None
        self.core: PriorityCore[str] | ClassicCore[str]
        self.core = parts.priority_core() if self.classic is None else self.classic
        self.facts = Facts()
        self.limiter = parts.limiter(program.limiter)
        self.now = Instant(0)
        self.woken: list[Woken] = []
        self.drained: list[int] = []

    def step(self, step: Step) -> Outcome:
        self.woken, self.drained = [], []
        start = self.now
        answer = _OPS[step.op](self, step)
        self._serve()
        return queue_outcome(
            self.core.discipline,
            t=start,
            t_end=self.now,
            length=len(self.core),
            woken=self.woken,
            drained=self.drained,
            answer=answer,
        )

    def add(self, step: Step) -> None:
        keys, delay, is_limited = asked(step)
        # The classic limiter counts after a shutdown too.
        is_limited = is_limited and (self.classic is not None or not self.core.is_shut_down)
        for key in keys:
            after = delay
            if is_limited:
                limit = self.limiter.when(key, self.now)
                after = limit if delay == 0 else min(delay, limit)
            ask = self.facts.journal.new_id()
            ready_at = Instant(self.now + after)
            placed = self.core.add(key, now=self.now, ready_at=ready_at, priority=step.priority, ask=ask)
            self.facts.placed(placed)

    def get(self, step: Step) -> None:
        waiter = step.waiter or 0
        item = self.core.take(now=self.now)
        if item is not None:
            self._return(waiter, item)
        elif self.core.is_shut_down:
            self._return(waiter, None)
        else:
            self.core.join(waiter)

    def done(self, step: Step) -> None:
        key = step.key or ""
        self.facts.done(key, self.now)
        self.core.done(key)

    def forget(self, step: Step) -> None:
        self.limiter.forget(step.key)

    def num_requeues(self, step: Step) -> int:
        return self.limiter.num_requeues(step.key)

    def length(self, step: Step) -> int:
        del step
        return len(self.core)

    def shutting_down(self, step: Step) -> bool:
        del step
        return self.core.is_shut_down

    def shutdown(self, step: Step) -> None:
        del step
        for waiter in self.core.shut_down():
            self._return(waiter, None)

    def drain(self, step: Step) -> None:
        if self.classic is not None:
            for waiter in self.classic.drain(step.waiter or 0):
                self._return(waiter, None)

    def advance(self, step: Step) -> None:
        until = Instant(self.now + step.d)
        while (due := self.core.next_ready_at()) is not None and due <= until:
            self._move(due)
            self._serve()
        self._move(until)

    def _move(self, now: Instant) -> None:
        self.now = now
        for promotion in self.core.advance(now):
            self.facts.promoted(promotion)

    def _serve(self) -> None:
        while (handed := self.core.hand_out()) is not None:
            self._return(*handed)
        if self.classic is not None:
            self.drained += self.classic.drained()

    def _return(self, waiter: int, item: Item[str] | None) -> None:
        self.woken.append(woken_by(waiter, self.now, item))
        if item is not None:
            self.facts.handed_out(item, self.now)


_OPS: Mapping[str, Callable[[_CoreDriver, Step], int | bool | None]] = MappingProxyType({
    "add": _CoreDriver.add,
    "add_after": _CoreDriver.add,
    "add_rate_limited": _CoreDriver.add,
    "add_with_opts": _CoreDriver.add,
    "get": _CoreDriver.get,
    "done": _CoreDriver.done,
    "forget": _CoreDriver.forget,
    "num_requeues": _CoreDriver.num_requeues,
    "len": _CoreDriver.length,
    "shutting_down": _CoreDriver.shutting_down,
    "advance": _CoreDriver.advance,
    "shutdown": _CoreDriver.shutdown,
    "shutdown_with_drain": _CoreDriver.drain,
})  # fmt: skip
