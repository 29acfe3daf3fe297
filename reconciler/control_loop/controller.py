"""
The controller: one queue, its sources and its workers.

Guarantees:
    - A key is in the hands of one worker at a time.
    - What a pass asks for is in the queue before the key is released.
    - A worker that crashes ends the controller, and with it the manager; no worker dies silently.
    - A stop lets the passes in work finish; nothing new starts, unless Go's behaviour is asked for (`on_stop`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, cast

import anyio
import msgspec

from reconciler.client import OwnWrites
from reconciler.control_loop.context import PassContext, context_of_pass
from reconciler.control_loop.counts import Counts, CountsReader
from reconciler.control_loop.hold import Loudness, OwedTime, loudness_of, settle
from reconciler.control_loop.outcome import EFFECTS, Again, Ending, ending_of
from reconciler.control_loop.owing import OwedTimes, Waiting
from reconciler.control_loop.sources import Sources
from reconciler.control_loop.told import asked_record, promoted_record
from reconciler.errors import ConfigurationError, InvariantError, RetryError
from reconciler.instant import Clock, Instant, nanoseconds
from reconciler.journal import (
    Cause,
    EventSeen,
    Explanation,
    Journal,
    Owed,
    PassEnded,
    PassStarted,
    current_cause,
    explain,
)
from reconciler.reconcile import ReconcileFunction, Request, Result
from reconciler.source import Sighting, Source
from reconciler.workqueue import (
    AskedBy,
    ClassicQueue,
    Discipline,
    Item,
    Placed,
    PriorityQueue,
    Promotion,
    RateLimiter,
    WorkQueue,
)

__all__ = ["Controller"]

_log = logging.getLogger("reconciler.controller")

# At each event the class attribute would cost as much as a call.
_LOUD, _QUIET = Loudness.LOUD, Loudness.QUIET


class Controller:
    """
    Calls a reconciler for every key that its sources bring, and again when a pass asks for it.

    Args:
        name: Unique in its manager; the scope of its journal records.
        reconcile: Called with each request.
        clock: Gives queue and journal their time.
        journal: Takes a record of every decision.
        sources: Where events come from.
        queue: `"priority"` as controller-runtime has it since 0.23, or `"classic"` as client-go.
        max_concurrent_reconciles: Number of workers.
        rate_limiter: The backoff of failed passes; the default is that of Go for this queue.
        reconcile_timeout: How long a pass may take; None for no limit.
        on_timeout: `"raise"` cancels the pass, which then ends with a `TimeoutError` and backs off; `"signal"` only
            sets `current_context().error`, and what the pass returns counts, as in Go.
        on_stop: `"finish"` starts nothing new after a stop; `"signal"` does what Go does: the classic queue's ready
            keys are still worked off, and `current_context().error` tells them. The priority queue abandons them.
        cache_sync_timeout: How long the sources may take to start and sync before `run` fails; None waits for ever.
        ledger: Tells own writes from others'; without one nothing counts as an own write (see `Result.hold`).

    Raises:
        ConfigurationError: An argument has a value that is not listed here.

    Mirrors: controller-runtime `controller.Controller`.
    Differs: a time-out and a stop are exceptions and a grace period, unless the `signal` options are set.
    """

    def __init__(
        self,
        name: str,
        reconcile: ReconcileFunction,
        *,
        clock: Clock,
        journal: Journal,
        sources: Iterable[Source] = (),
        queue: Discipline = "priority",
        max_concurrent_reconciles: int = 1,
        rate_limiter: RateLimiter[Request] | None = None,
        reconcile_timeout: timedelta | None = None,
        on_timeout: Literal["raise", "signal"] = "raise",
        on_stop: Literal["finish", "signal"] = "finish",
        cache_sync_timeout: timedelta | None = timedelta(minutes=2),
        ledger: OwnWrites | None = None,
    ) -> None:
        """Nothing runs before `warm_up` or `run`, but the queue takes keys from now on."""
        if max_concurrent_reconciles < 1:
            raise ConfigurationError(f"controller {name}: needs at least 1 worker, got {max_concurrent_reconciles}")
        _demand(name, "queue", queue, ("priority", "classic"))
        _demand(name, "on_timeout", on_timeout, ("raise", "signal"))
        _demand(name, "on_stop", on_stop, ("finish", "signal"))
        self.name = name
        self.clock = clock
        self.journal = journal
        make = PriorityQueue[Request] if queue == "priority" else ClassicQueue[Request]
        self.queue: WorkQueue[Request] = make(
            clock=clock,
            rate_limiter=rate_limiter,
            on_placed=self._placed,
            on_promoted=self._promoted,
            ask_ids=journal.new_id,
        )
        self._reconcile = reconcile
        self._sources = Sources(self, sources, limit=cache_sync_timeout)
        self._workers = max_concurrent_reconciles
        self._reconcile_timeout = reconcile_timeout
        self._on_timeout = on_timeout
        self._on_stop = on_stop
        self._contexts: set[PassContext] = set()
        self._starting = asyncio.Lock()
        self._counts = CountsReader(journal, name)
        self._owing = OwedTimes(name, ledger)
        if ledger is not None:
            ledger.subscribe(self._decide)

    @property
    def is_synced(self) -> bool:
        """Whether the sources that it began with have synced, so that its workers can run."""
        return self._sources.is_synced

    @property
    def counts(self) -> Counts:
        """How often each ending happened so far."""
        return self._counts.snapshot()

    def explain(self, request: Request) -> Explanation:
        """Return the history of one key: what was seen, asked, lost, done and written."""
        return explain(self.journal, self.name, request)

    def seen(
        self,
        event: EventSeen,
        requests: Iterable[Request],
        *,
        priority: int | None = None,
        sighting: Sighting | None = None,
    ) -> None:
        """See `Sink.seen`."""
        loudness = _LOUD if sighting is None or event.verb != "update" else loudness_of(event)
        if loudness is _QUIET:
            event = msgspec.structs.replace(event, is_quiet=True)
        self.journal.append(event)
        owing = self._owing
        for request in requests:
            if sighting is not None and sighting.is_primary:
                owed = owing.identify(request, event, sighting)
                if owed is not None:
                    self._lose_object(request, event, owed)
            if not owing.is_free(request):
                waiting = None if sighting is None else Waiting(event, loudness, sighting)
                self._ask(request, event, waiting, priority)
            elif priority is None:
                self.queue.add(request, causes=(event.id,))
            else:
                self.queue.add_with_opts((request,), priority=priority, causes=(event.id,))

    def add_source(self, source: Source) -> None:
        """
        Take one more source: it starts at once if the controller runs, else with it.

        Workers do not wait for it; `source.wait_for_sync()` does. One that has not synced after `cache_sync_timeout`
        ends the controller, and so does one that raises.

        Raises:
            ConfigurationError: It is there already, or the controller has ended.

        Mirrors: controller-runtime `Controller.Watch`.
        Differs: Go gives a source that is added while the controller runs no time-out.
        """
        self._sources.add(source)

    def remove_source(self, source: Source) -> None:
        """
        Stop a source; the keys that it brought stay in the queue, and nobody waits for its sync any more.

        Raises:
            ConfigurationError: It is none of this controller's sources, or it cannot be stopped (`StoppableSource`).

        Differs: a controller of controller-runtime keeps its sources until it ends.
        """
        self._sources.remove(source)

    async def warm_up(self, stopping: asyncio.Event) -> None:
        """
        Start the sources and return when they have synced, or when `stopping` is set; nothing is reconciled yet.

        Events merge in the queue, and delayed keys become ready. A second call waits for the first.

        Raises:
            CacheNotSyncedError: A source did not start or sync in time.
            Exception: What a source raised.

        Mirrors: controller-runtime `Controller.Warmup`.
        """
        async with self._starting:
            await self._sources.start(stopping)

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Feed the queue and work on it until `stopping` is set and the passes in work have ended.

        Cancelled: passes in work are cancelled as well.

        Raises:
            CacheNotSyncedError: A source did not start or sync in time.
            Exception: What a source raised.
        """
        try:
            await self.warm_up(stopping)
            if self.is_synced and not stopping.is_set():
                _log.info("%s: sources synced, starting %d worker(s)", self.name, self._workers)
                await self._work(stopping)
        except BaseExceptionGroup as errors:
            # A source that was added meanwhile fails as one from the start does: with its own error, not in a group.
            failure = self._sources.failure
            if failure is not None and errors.exceptions == (failure,):
                raise failure from failure.__cause__
            raise
        finally:
            self._sources.close()
            self.queue.shut_down()
            self._lose_what_is_owed()

    async def _work(self, stopping: asyncio.Event) -> None:
        async with anyio.create_task_group() as group:
            # No task switch since the sources have synced: none was added that nobody has started.
            self._sources.open(group, stopping)
            for _ in range(self._workers):
                group.start_soon(self._worker, stopping)
            await stopping.wait()
            for context in self._contexts:
                context.look()
            self.queue.shut_down()

    async def _worker(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set() or self._on_stop == "signal":
            item = await self.queue.get()
            if item is None:
                return
            self._owing.pass_started(item.key)
            try:
                # A reconciler that never waits must not keep the loop to itself as long as keys are ready.
                await asyncio.sleep(0)
                await self._pass(item, stopping)
            finally:
                self._owing.abandon(item.key)
                self.queue.done(item.key)

    async def _pass(self, item: Item[Request], stopping: asyncio.Event) -> None:
        started = self._start(item)
        uid = self._owing.uid(item.key)
        seconds = self._reconcile_timeout.total_seconds() if self._reconcile_timeout else None
        deadline = Instant(started.at + nanoseconds(self._reconcile_timeout)) if self._reconcile_timeout else None
        context = PassContext(self.clock, stopping, deadline)
        self._contexts.add(context)
        cause = Cause(started.id, self.name, item.key)
        tokens = current_cause.set(cause), context_of_pass.set(context)
        result: Result | None = None
        error: Exception | None = None
        limit = asyncio.timeout(seconds if self._on_timeout == "raise" else None)
        try:
            async with limit:
                result = await self._reconcile(item.key)
        except asyncio.CancelledError as caught:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                self._journal_end(item.key, started.id, Ending.CANCELLED)
                raise
            # Nobody cancelled this worker: the reconciler awaited something that was. It must not end the controller.
            error = RuntimeError("the pass let out a cancellation that was not its own")
            error.__cause__ = caught
        except InvariantError:
            raise
        except Exception as caught:
            if _holds_broken_invariant(caught):
                raise
            error = caught
        finally:
            cause.is_over = True
            self._contexts.discard(context)
            current_cause.reset(tokens[0])
            context_of_pass.reset(tokens[1])
        has_timed_out = isinstance(error, TimeoutError) and limit.expired()
        ending = ending_of(result, error, has_timed_out=has_timed_out)
        # Go does not look at the clock any more after a panic.
        is_late = has_timed_out or (ending is not Ending.PANICKED and context.error == "context deadline exceeded")
        ended = self._journal_end(item.key, started.id, ending, result=result, error=error, is_timed_out=is_late)
        self._log_error(item.key, ending, error)
        self._requeue(item, ended, ending, result, error, uid)
        self._decide()

    def _start(self, item: Item[Request]) -> PassStarted:
        now = self.clock.now()
        owed = self._owing.get(item.key)
        started = PassStarted(
            self.journal.new_id(),
            (item.ask, *item.causes),
            now,
            self.name,
            item.key,
            item.priority,
            max(0, now - item.ready_at),
        )
        self.journal.append(started)
        if owed is not None and owed.due_at <= now:
            self._owe(item.key, None, "settled", owed.due_at, (started.id,))
        return started

    def _journal_end(
        self,
        key: Request,
        started: int,
        ending: Ending,
        *,
        result: Result | None = None,
        error: Exception | None = None,
        is_timed_out: bool = False,
    ) -> PassEnded:
        asks_later = result is not None and EFFECTS[ending].again is Again.AT_ASKED_TIME
        ended = PassEnded(
            self.journal.new_id(),
            (started,),
            self.clock.now(),
            self.name,
            key,
            ending.value,
            nanoseconds(result.requeue_after) if asks_later and result is not None else 0,
            type(error).__name__ if error else "",
            is_timed_out,
        )
        self.journal.append(ended)
        return ended

    def _requeue(
        self,
        item: Item[Request],
        ended: PassEnded,
        ending: Ending,
        result: Result | None,
        error: Exception | None,
        uid: str,
    ) -> None:
        """Do with the key what its ending asks, before it is released."""
        key, effect = item.key, EFFECTS[ending]
        if effect.forgets_failures:
            self.queue.forget(key)
        owed = self._settle(key, ended, ending, result, uid)
        held: tuple[int, ...] | None = None
        if self._owing.pass_ended(key, ended.causes[0], owed.mode if owed else None):
            held = self.queue.withdraw(key)
        causes = (ended.id,)
        priority = _priority_of(item, result, error)
        if effect.by is not None and effect.again is Again.AFTER_BACKOFF:
            self.queue.add_with_opts((key,), rate_limited=True, priority=priority, causes=causes, by=effect.by)
        elif effect.by is not None and owed is None:
            due_at = Instant(ended.at + ended.asked_after)
            self.queue.add_at(key, due_at, priority=priority, causes=causes, by=effect.by)
        if owed is not None:
            by = effect.by if effect.again is Again.AT_ASKED_TIME and effect.by else "hold"
            placed = self.queue.add_at(key, owed.due_at, priority=priority, causes=causes, by=by)
            stands = placed.standing_ask if placed.ready_at == owed.due_at else placed.ask
            self._owing.put(key, msgspec.structs.replace(owed, ask=stands))
            if held is not None:
                self.queue.hold(key, owed.due_at, causes=held)

    def _settle(
        self, key: Request, ended: PassEnded, ending: Ending, result: Result | None, uid: str
    ) -> OwedTime | None:
        """Return what is owed after a pass; if that changed, the former ask leaves the queue."""
        before = self._owing.get(key)
        settled = settle(before, ending, result, now=Instant(ended.at), uid=uid)
        owed, what = settled.owed, settled.what
        changed = owed or before
        if owed is before or changed is None:
            return before
        if owed is not None and self._owing.uid(key) != uid:
            # The pass was about an object that is gone by now: what it asked for is a hint, as without `hold`.
            owed, what = None, "object gone"
        self._owe(key, owed, what, changed.due_at, (ended.id,), withdrew=self._withdraw(key, before))
        return owed

    def _ask(self, key: Request, event: EventSeen, waiting: Waiting | None, priority: int | None) -> None:
        """Ask for a pass because of an event, now or when what is owed comes."""
        causes = (event.id,)
        if self._owing.is_in_work(key):
            is_loud = waiting is None or waiting.loudness is _LOUD
            may_be_quiet = self._owing.park(key, None if is_loud else waiting)
            self.queue.add_with_opts((key,), priority=priority, causes=causes, quiet=may_be_quiet)
            return
        owed = self._owing.standing(key, self.clock)
        answer = waiting.can_wait(owed.mode) if owed is not None and waiting is not None else False
        if owed is None or answer is False or waiting is None:
            self.queue.add_with_opts((key,), priority=priority, causes=causes)
            return
        self.queue.hold(key, owed.due_at, causes=causes)
        if answer is None:
            self._owing.postpone(key, waiting)

    def _decide(self) -> None:
        """Ask for a pass for each event that waited for its origin, and turned out to be another's doing."""
        for key, waiting, is_quiet in self._owing.decided():
            if not is_quiet:
                self.queue.add(key, causes=(waiting.event.id,))

    def _lose_object(self, key: Request, event: EventSeen, owed: OwedTime) -> None:
        self._owe(key, None, "object gone", owed.due_at, (event.id,), withdrew=self._withdraw(key, owed))

    def _lose_what_is_owed(self) -> None:
        for key, owed in self._owing.due_times():
            self._owe(key, None, "lost at stop", owed.due_at, ())

    def _withdraw(self, key: Request, owed: OwedTime | None) -> int:
        """Take the ask for what is owed out of the queue; return its id, 0 if there is none any more."""
        return owed.ask if owed is not None and self.queue.cancel(key, owed.ask) else 0

    def _owe(
        self,
        key: Request,
        owed: OwedTime | None,
        what: str,
        due_at: Instant,
        causes: tuple[int, ...],
        *,
        withdrew: int = 0,
    ) -> None:
        self._owing.put(key, owed)
        record_id, now = self.journal.new_id(), self.clock.now()
        self.journal.append(Owed(record_id, causes, now, self.name, key, what, due_at, withdrew))

    def _log_error(self, key: Request, ending: Ending, error: Exception | None) -> None:
        if error is None:
            return
        # The traceback of an error that a healthy reconciler meets in a bad world would only hide the message.
        trace = error if ending is Ending.PANICKED else None
        _log.error("%s: pass over %s %s: %s", self.name, key, ending.value, error, exc_info=trace)

    def _placed(self, placed: Placed[Request], by: AskedBy) -> None:
        self.journal.append(asked_record(placed, by, self.name))

    def _promoted(self, promotion: Promotion[Request]) -> None:
        record_id, now = self.journal.new_id(), self.clock.now()
        self.journal.append(promoted_record(promotion, self.name, record_id=record_id, at=now))


def _priority_of(item: Item[Request], result: Result | None, error: Exception | None) -> int:
    asked = error.priority if isinstance(error, RetryError) else result.priority if result is not None else None
    return item.priority if asked is None else asked


def _demand(name: str, argument: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"controller {name}: {argument} must be one of {', '.join(allowed)}, is {value!r}")


def _holds_broken_invariant(error: BaseException) -> bool:
    # A reconciler's own task group wraps what its tasks raise; a broken invariant is one all the same.
    if not isinstance(error, BaseExceptionGroup):
        return False
    within = cast("BaseExceptionGroup[BaseException]", error)
    return within.subgroup(InvariantError) is not None
