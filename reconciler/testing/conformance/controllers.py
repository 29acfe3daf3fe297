"""
Drives a controller scenario on the `Controller` that users run, in virtual time.

The driver alone decides what happens when: each call of the reconciler waits behind a future that the driver releases,
and after each single action the loop comes to rest. Within one moment: first what the timers of library and loop do;
then, again and again until nothing is due, the first due `pre` event, else the due end with the smallest (end time,
key), else the start, else the stop, else the first due `post` event.

What Python cannot say: an error comes without a result, so `also_after`, which Go ignores, is not passed on; a priority
returned beside an error is a `RetryError`'s; after a panic there is none in Go either.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest

import msgspec

from reconciler.clock import LoopClock
from reconciler.control_loop import PassContext, current_context
from reconciler.errors import InvariantError, ReconcilerError, RetryError, TerminalError
from reconciler.journal import Journal, PassStarted, Record
from reconciler.reconcile import Request, Result
from reconciler.testing.conformance.difference import Difference, Outcome, entry_fields
from reconciler.testing.conformance.facts import tell
from reconciler.testing.conformance.parts import SCALE, Parts, Scaled
from reconciler.testing.conformance.programs import Entry, Event, Scenario, ScriptStep
from reconciler.testing.conformance.settling import SettlingLoop, settling_loop
from reconciler.testing.conformance.shells import program_time, set_alarm
from reconciler.testing.virtual import run_virtual
from reconciler.workqueue import check

__all__ = ["on_controller"]

_DEFAULT_STEP = ScriptStep(result="ok", dur=1_000_000)

# The order of entries within one settle: workers run in parallel.
_SETTLE_ORDER = {"end": 0, "start": 1, "start_returned": 2}


def on_controller(scenario: Scenario, parts: Parts, *, is_checking: bool = True) -> Difference | None:
    """Drive `scenario` on a controller; return the first difference. `is_checking`: the queue's invariants too."""
    return run_virtual(_compare(scenario, parts, is_checking), loop_factory=SettlingLoop)


async def _compare(scenario: Scenario, parts: Parts, is_checking: bool) -> Difference | None:
    run = _Run(scenario, parts, is_checking)
    raised = ""
    try:
        await run.drive()
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"
    totals: Outcome = {} if raised else run.totals()
    await run.end()
    for index, (step, recorded, seen) in enumerate(_outcomes(scenario, run.log, totals, raised)):
        if recorded != seen:
            until = recorded.get("t", seen.get("t"))
            until = until * SCALE if isinstance(until, int) else None
            keys = {outcome.get("key") for outcome in (recorded, seen)}
            journal = tuple(tell(run.journal, keys, scale=SCALE, until=until))
            return Difference(f"the controller, {scenario.queue} queue", step, index, recorded, seen, journal)
    return None


def _outcomes(
    scenario: Scenario, log: list[Entry], totals: Outcome, raised: str
) -> Iterator[tuple[str, Outcome, Outcome]]:
    entries = scenario.log or ()
    for index, (recorded, seen) in enumerate(zip_longest(entries, log)):
        step = f"log entry {index} of {len(entries)}"
        if seen is None and raised:
            yield step, {} if recorded is None else entry_fields(recorded), {"raised": raised}
        yield step, {} if recorded is None else entry_fields(recorded), {} if seen is None else entry_fields(seen)
    if raised:
        yield "the end", {}, {"raised": raised}
    yield "the end", {**dict(sorted(scenario.metrics.items())), "queue_left": scenario.queue_left}, totals


@dataclass(slots=True)
class _Call:
    """A call of the reconciler that the driver will end."""

    key: str
    end_at: int
    release: asyncio.Future[None]


class _Run:
    def __init__(self, scenario: Scenario, parts: Parts, is_checking: bool) -> None:
        self.scenario = scenario
        self.log: list[Entry] = []
        self.journal = Journal()
        self._is_checking = is_checking
        self._stopping = asyncio.Event()
        self._calls: Counter[str] = Counter()
        self._priorities: dict[str, int] = {}
        self._running: list[_Call] = []
        self._pending: list[Entry] = []
        self._task: asyncio.Task[None] | None = None
        self._events = {order: [e for e in scenario.events or () if e.order == order] for order in ("pre", "post")}
        limiter = parts.limiter(scenario.limiter) if scenario.limiter else parts.default_limiter(scenario.queue)
        timeout = scenario.reconciliation_timeout
        self._controller = parts.controller(
            scenario.id,
            self._reconcile,
            clock=LoopClock(),
            journal=self.journal,
            queue=scenario.queue,
            max_concurrent_reconciles=scenario.workers,
            rate_limiter=Scaled(limiter),
            reconcile_timeout=timedelta(microseconds=timeout) if timeout else None,
            on_timeout="signal",
            on_stop="signal",
        )
        self.journal.subscribe(self._note_priority)

    async def drive(self) -> None:
        """Run the scenario up to its horizon, or to the instant at which the controller's `run` returned."""
        scenario = self.scenario
        if scenario.warmup:
            await self._controller.warm_up(self._stopping)
        else:
            await self._sleep_until(scenario.start_at)
            self._start()
        await self._settle()
        while self._task is None or not self._task.done():
            now = program_time()
            if now >= scenario.horizon:
                return
            if not await self._act(now):
                set_alarm(min(self._next_times()))
                await settling_loop().next_instant()
                self._write()
        self._task.result()

    async def end(self) -> None:
        """End what still runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def totals(self) -> Outcome:
        """Return the counters and the length of the queue."""
        counts = self._controller.counts
        totals = {name: getattr(counts, name) for name in type(counts).__slots__ if name != "reconcile_total"}
        totals |= {f"reconcile_total/{label}": count for label, count in counts.reconcile_total.items()}
        return {**dict(sorted(totals.items())), "queue_left": len(self._controller.queue)}

    async def _act(self, now: int) -> bool:
        """Do the one thing that comes first, if anything is due, and let everything settle."""
        scenario = self.scenario
        if self._is_due("pre", now):
            await self._enqueue("pre")
        elif self._release_due(now):
            await self._settle()
        elif self._task is None and scenario.start_at <= now:
            self._start()
            await self._settle()
        elif scenario.stop_at is not None and not self._stopping.is_set() and scenario.stop_at <= now:
            self._stopping.set()
            await self._settle(Entry(t=now, ev="stop", depth=0))
        elif self._is_due("post", now):
            await self._enqueue("post")
        else:
            return False
        return True

    def _next_times(self) -> Iterator[int]:
        scenario = self.scenario
        yield scenario.horizon
        yield from (events[0].t for events in self._events.values() if events)
        yield from (call.end_at for call in self._running)
        if self._task is None:
            yield scenario.start_at
        if scenario.stop_at is not None and not self._stopping.is_set():
            yield scenario.stop_at

    async def _sleep_until(self, at: int) -> None:
        set_alarm(at)
        while program_time() < at:
            await settling_loop().next_instant()

    def _is_due(self, order: str, now: int) -> bool:
        events = self._events[order]
        return bool(events) and events[0].t <= now

    async def _enqueue(self, order: str) -> None:
        event = self._events[order].pop(0)
        entry = Entry(t=program_time(), ev="event", depth=0, key=event.key)
        self._add(event)
        await self._settle(entry)

    def _add(self, event: Event) -> None:
        queue, key = self._controller.queue, Request("", event.key)
        match event.kind:
            case "add":
                queue.add(key)
            case "add_after":
                queue.add_after(key, timedelta(microseconds=event.d))
            case "add_rate_limited":
                queue.add_rate_limited(key)
            case "add_with_opts":
                after = timedelta(microseconds=event.after)
                queue.add_with_opts((key,), after=after, rate_limited=event.rate_limited, priority=event.priority)

    def _release_due(self, now: int) -> bool:
        """End the due call with the smallest (end time, key), if there is one."""
        first = min(self._running, key=lambda call: (call.end_at, call.key), default=None)
        if first is None or first.end_at > now:
            return False
        self._running.remove(first)
        first.release.set_result(None)
        return True

    def _start(self) -> None:
        async def run() -> None:
            await self._controller.run(self._stopping)
            self._pending.append(Entry(t=program_time(), ev="start_returned", depth=0))

        self._task = asyncio.create_task(run())

    async def _settle(self, cause: Entry | None = None) -> None:
        await settling_loop().settle()
        self._write(cause)

    def _write(self, cause: Entry | None = None) -> None:
        """Log what was done since, after what caused it, each with the queue as it is now."""
        queue = self._controller.queue
        if self._is_checking:
            check(queue.snapshot())
        self._pending.sort(key=lambda entry: (entry.t, _SETTLE_ORDER[entry.ev], entry.key))
        for entry in ([cause] if cause else []) + self._pending:
            requeues = queue.num_requeues(Request("", entry.key)) if entry.ev == "end" else None
            self.log.append(msgspec.structs.replace(entry, depth=len(queue), requeues=requeues))
        self._pending = []

    def _note_priority(self, record: Record) -> None:
        if isinstance(record, PassStarted):
            self._priorities[str(record.key)] = record.priority

    async def _reconcile(self, request: Request) -> Result:
        """Do what the script says."""
        key = request.name
        n = self._calls[key]
        self._calls[key] += 1
        script = self.scenario.script.get(key, ())
        step = script[n] if n < len(script) else _DEFAULT_STEP
        now = program_time()
        self._pending.append(Entry(t=now, ev="start", depth=0, key=key, n=n, priority=self._priorities[key]))
        context = current_context()
        if context is None:
            raise InvariantError("a pass runs without a context")
        if step.result == "hang":
            await context.wait()
        else:
            call = _Call(key, now + step.dur, asyncio.get_running_loop().create_future())
            self._running.append(call)
            await call.release
        if step.self_add:
            self._controller.queue.add(request)
        try:
            result = _outcome(step, context)
        except Exception as error:
            self._ended(key, n, step, context, "" if step.result == "panic" else _ERRORS.get(step.result, str(error)))
            raise
        self._ended(key, n, step, context, "")
        return result

    def _ended(self, key: str, n: int, step: ScriptStep, context: PassContext, error: str) -> None:
        entry = Entry(t=program_time(), ev="end", depth=0, key=key, n=n, result=step.result, err=error)
        self._pending.append(msgspec.structs.replace(entry, ctx_err=context.error or ""))


# How Go prints what `_outcome` raises.
_ERRORS: Mapping[str, str] = {"error": "boom", "terminal": "terminal error: fatal"}


def _outcome(step: ScriptStep, context: PassContext) -> Result:
    match step.result:
        case "ok" | "requeue":
            after = timedelta(microseconds=step.also_after)
            return Result(requeue_after=after, requeue=step.result == "requeue", priority=step.priority)
        case "requeue_after":
            return Result(requeue_after=timedelta(microseconds=step.after), priority=step.priority)
        case "error":
            raise RetryError("boom", priority=step.priority)
        case "terminal":
            raise TerminalError("fatal")
        case "panic":
            raise RuntimeError("scripted")
        case "hang":
            raise ReconcilerError(context.error or "")
