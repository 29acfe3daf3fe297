"""
The controller: one queue, its sources and its workers.

Guarantees:
    - A key is in the hands of one worker at a time.
    - What a pass asks for is in the queue before the key is released.
    - A worker that crashes ends the controller, and with it the manager; no worker dies silently.
    - A stop lets the passes in work finish; nothing new starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import cast

import anyio

from reconciler.control_loop.outcome import EFFECTS, Again, Ending, ending_of
from reconciler.errors import CacheNotSyncedError, ConfigurationError, InvariantError
from reconciler.instant import Clock, nanoseconds
from reconciler.journal import (
    Asked,
    Cause,
    EventSeen,
    Explanation,
    Journal,
    PassEnded,
    PassStarted,
    current_cause,
    explain,
)
from reconciler.reconcile import ReconcileFunction, Request, Result
from reconciler.source import Source
from reconciler.workqueue import AskedBy, Item, ItemExponentialRateLimiter, Placed, PriorityQueue, RateLimiter

__all__ = ["Controller"]

_log = logging.getLogger("reconciler.controller")

LOW_PRIORITY = -100


class Controller:
    """
    Calls a reconciler for every key that its sources bring, and again when a pass asks for it.

    Args:
        name: Unique in its manager; the scope of its journal records.
        reconcile: Called with each request.
        sources: Where events come from.
        max_concurrent_reconciles: Number of workers.
        rate_limiter: The backoff of failed passes; the default waits 5 ms, doubling up to 1000 s.
        reconcile_timeout: After this long a `TimeoutError` is raised inside the pass; None for no limit.
        cache_sync_timeout: How long the sources may take to sync before `run` fails; None waits for ever.

    Mirrors: controller-runtime `controller.Controller`, with the priority queue.
    """

    def __init__(
        self,
        name: str,
        reconcile: ReconcileFunction,
        *,
        clock: Clock,
        journal: Journal,
        sources: Iterable[Source] = (),
        max_concurrent_reconciles: int = 1,
        rate_limiter: RateLimiter[Request] | None = None,
        reconcile_timeout: timedelta | None = None,
        cache_sync_timeout: timedelta | None = timedelta(minutes=2),
    ) -> None:
        """Nothing runs before `run`, but the queue takes keys from now on."""
        if max_concurrent_reconciles < 1:
            raise ConfigurationError(f"controller {name}: needs at least 1 worker, got {max_concurrent_reconciles}")
        self.name = name
        self.clock = clock
        self.journal = journal
        self.queue: PriorityQueue[Request] = PriorityQueue(
            clock=clock,
            rate_limiter=rate_limiter or ItemExponentialRateLimiter(),
            on_placed=self._placed,
            ask_ids=journal.new_id,
        )
        self._reconcile = reconcile
        self._sources = tuple(sources)
        self._workers = max_concurrent_reconciles
        self._reconcile_timeout = reconcile_timeout
        self._cache_sync_timeout = cache_sync_timeout
        self._is_synced = False

    @property
    def is_synced(self) -> bool:
        """Whether its sources have synced, so that its workers run."""
        return self._is_synced

    def explain(self, request: Request) -> Explanation:
        """Return the history of one key: what was seen, asked, lost, done and written."""
        return explain(self.journal, self.name, request)

    def seen(self, event: EventSeen, requests: Iterable[Request], *, is_low_priority: bool) -> None:
        """See `Sink.seen`."""
        self.journal.append(event)
        priority = LOW_PRIORITY if is_low_priority else None
        self.queue.add_with_opts(requests, priority=priority, causes=(event.id,))

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Feed the queue and work on it until `stopping` is set and the passes in work have ended.

        Cancelled: passes in work are cancelled as well.

        Raises:
            CacheNotSyncedError: A source did not sync in time.
        """
        for source in self._sources:
            source.start(self)
        try:
            if await self._wait_for_sync(stopping):
                self._is_synced = True
                _log.info("%s: sources synced, starting %d worker(s)", self.name, self._workers)
                await self._work(stopping)
        finally:
            self.queue.shut_down()

    async def _wait_for_sync(self, stopping: asyncio.Event) -> bool:
        is_synced = False

        async def wait(scope: anyio.CancelScope) -> None:
            nonlocal is_synced
            for source in self._sources:
                await source.wait_for_sync()
            is_synced = True
            scope.cancel()

        async def wait_for_stop(scope: anyio.CancelScope) -> None:
            await stopping.wait()
            scope.cancel()

        limit = self._cache_sync_timeout
        with anyio.move_on_after(limit.total_seconds() if limit else None) as deadline:
            async with anyio.create_task_group() as group:
                group.start_soon(wait, group.cancel_scope)
                group.start_soon(wait_for_stop, group.cancel_scope)
        if deadline.cancelled_caught and limit is not None:
            stands = "; ".join(source.describe() for source in self._sources)
            raise CacheNotSyncedError(f"controller {self.name}: not synced after {limit.total_seconds():g} s: {stands}")
        return is_synced and not stopping.is_set()

    async def _work(self, stopping: asyncio.Event) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(self._workers):
                group.start_soon(self._worker)
            await stopping.wait()
            self.queue.shut_down()

    async def _worker(self) -> None:
        while (item := await self.queue.get()) is not None:
            try:
                # A reconciler that never waits must not keep the loop to itself as long as keys are ready.
                await asyncio.sleep(0)
                await self._pass(item)
            finally:
                self.queue.done(item.key)

    async def _pass(self, item: Item[Request]) -> None:
        now = self.clock.now()
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
        cause = Cause(started.id, self.name, item.key)
        token = current_cause.set(cause)
        result: Result | None = None
        error: Exception | None = None
        limit = asyncio.timeout(self._reconcile_timeout.total_seconds() if self._reconcile_timeout else None)
        try:
            async with limit:
                result = await self._reconcile(item.key)
        except InvariantError:
            raise
        except Exception as caught:
            if _holds_broken_invariant(caught):
                raise
            error = caught
        finally:
            cause.is_over = True
            current_cause.reset(token)
        ending = ending_of(result, error, has_timed_out=isinstance(error, TimeoutError) and limit.expired())
        self._end(item, started.id, ending, result, error)

    def _end(
        self, item: Item[Request], started: int, ending: Ending, result: Result | None, error: Exception | None
    ) -> None:
        key = item.key
        effect = EFFECTS[ending]
        asked_after = result.requeue_after if result and effect.again is Again.AT_ASKED_TIME else timedelta(0)
        ended = PassEnded(
            self.journal.new_id(),
            (started,),
            self.clock.now(),
            self.name,
            key,
            ending.value,
            nanoseconds(asked_after),
            type(error).__name__ if error else "",
        )
        self.journal.append(ended)
        self._log_error(key, ending, error)
        if effect.forgets_failures:
            self.queue.forget(key)
        if effect.by is None:
            return
        priority = item.priority if result is None or result.priority is None else result.priority
        self.queue.add_with_opts(
            (key,),
            after=asked_after if effect.again is Again.AT_ASKED_TIME else None,
            rate_limited=effect.again is Again.AFTER_BACKOFF,
            priority=priority,
            causes=(ended.id,),
            by=effect.by,
        )

    def _log_error(self, key: Request, ending: Ending, error: Exception | None) -> None:
        if error is None:
            return
        # The traceback of an error that a healthy reconciler meets in a bad world would only hide the message.
        trace = error if ending is Ending.PANICKED else None
        _log.error("%s: pass over %s %s: %s", self.name, key, ending.value, error, exc_info=trace)

    def _placed(self, placed: Placed[Request], by: AskedBy) -> None:
        self.journal.append(
            Asked(
                placed.ask,
                placed.causes,
                placed.at,
                self.name,
                placed.key,
                by=by,
                verdict=placed.verdict.value,
                asked_for=placed.asked_for,
                ready_at=placed.ready_at,
                lost_at=-1 if placed.lost_at is None else placed.lost_at,
                lost_ask=placed.lost_ask,
                standing_ask=placed.standing_ask,
                priority=placed.priority,
            )
        )


def _holds_broken_invariant(error: BaseException) -> bool:
    # A reconciler's own task group wraps what its tasks raise; a broken invariant is one all the same.
    if not isinstance(error, BaseExceptionGroup):
        return False
    within = cast("BaseExceptionGroup[BaseException]", error)
    return within.subgroup(InvariantError) is not None
