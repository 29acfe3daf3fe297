"""
The priority queue that workers wait on: a `PriorityCore`, a clock, a rate limiter, and one timer.

Only `get` waits. Everything else happens at once, so no task switch can come between a decision and its record. It
belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from itertools import count
from typing import Generic, Literal, TypeVar

from reconciler.errors import NotHeldError
from reconciler.instant import Clock, Instant, nanoseconds
from reconciler.workqueue.answers import Item, Placed, QueueSnapshot
from reconciler.workqueue.core import PriorityCore
from reconciler.workqueue.ratelimit import RateLimiter

__all__ = ["AskedBy", "PriorityQueue"]

K = TypeVar("K", bound=Hashable)

AskedBy = Literal["event", "requeue_after", "backoff", "requeue"]
"""Who asks: something happened, or a pass ended with `requeue_after`, with an error, or with `requeue`."""


class PriorityQueue(Generic[K]):
    """
    Hands each key to one worker at a time: the highest priority first, delayed keys when they are due.

    Args:
        clock: Must run as fast as the event loop's own clock, which sets the timer.
        rate_limiter: Delays the rate-limited asks.
        on_placed: Called with the answer to every ask and who asked, before any worker is woken. It must not raise.
        ask_ids: Gives each ask its id; positive and different each time.

    Mirrors: controller-runtime `priorityqueue.PriorityQueue`.
    Differs: `get` can be cancelled; `done` of a key that nobody holds is an error; a second `shut_down` is harmless.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rate_limiter: RateLimiter[K],
        on_placed: Callable[[Placed[K], AskedBy], None] | None = None,
        ask_ids: Callable[[], int] | None = None,
    ) -> None:
        self._clock = clock
        self._rate_limiter = rate_limiter
        self._on_placed = on_placed
        self._ask_ids = ask_ids or count(1).__next__
        self._core: PriorityCore[K] = PriorityCore()
        self._consumer_ids = count(1)
        self._futures: dict[int, asyncio.Future[Item[K] | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due: Instant | None = None

    def add(self, key: K, *, causes: tuple[int, ...] = (), by: AskedBy = "event") -> None:
        """Ask for `key` now. A delayed wake-up of the key is used up by this, as in Go."""
        self.add_with_opts((key,), causes=causes, by=by)

    def add_after(
        self, key: K, delay: timedelta, *, causes: tuple[int, ...] = (), by: AskedBy = "requeue_after"
    ) -> None:
        """Ask for `key` after `delay`; zero or less asks for now. It is lost if the key is ready, or due sooner."""
        self.add_with_opts((key,), after=delay, causes=causes, by=by)

    def add_rate_limited(self, key: K, *, causes: tuple[int, ...] = (), by: AskedBy = "backoff") -> None:
        """Count a failure of `key`, and ask for it after the rate limiter's delay."""
        self.add_with_opts((key,), rate_limited=True, causes=causes, by=by)

    def add_with_opts(
        self,
        keys: Iterable[K],
        *,
        after: timedelta | None = None,
        rate_limited: bool = False,
        priority: int | None = None,
        causes: tuple[int, ...] = (),
        by: AskedBy = "event",
    ) -> None:
        """
        Ask for each of `keys`, in order; a key that is named twice asks twice.

        With both `after` and `rate_limited` the smaller delay counts. Zero `after` means none was given; a negative
        one asks for now. The limiter counts a failure in any case, except after `shut_down`. No priority means 0.

        Mirrors: controller-runtime `PriorityQueue.AddWithOpts`.
        """
        now = self._clock.now()
        after_ns = 0 if after is None else nanoseconds(after)
        try:
            for key in keys:
                delay = self._limited(key, after_ns) if rate_limited else after_ns
                placed = self._core.add(
                    key,
                    now=now,
                    ready_at=Instant(now + delay),
                    priority=priority,
                    ask=self._ask_ids(),
                    causes=causes,
                )
                if self._on_placed is not None:
                    self._on_placed(placed, by)
        finally:
            # Whatever the limiter or the observer raised, a key that is in must reach its worker.
            if self._futures:
                self._serve(now)

    async def get(self) -> Item[K] | None:
        """
        Wait for a key, and hold it until `done`. None: the queue is shut down.

        Consumers are served in the order in which they came. With a key at hand it returns without letting other
        tasks run, so a worker that awaits nothing else must let them run itself.

        Cancelled, it takes nothing: a key that was chosen for it goes to the next consumer, or back to its old place.
        """
        if self._core.is_shut_down:
            return None
        now = self._clock.now()
        item = self._core.take(now=now)
        if item is not None:
            return item
        consumer = next(self._consumer_ids)
        future: asyncio.Future[Item[K] | None] = asyncio.get_running_loop().create_future()
        self._futures[consumer] = future
        self._core.join(consumer)
        self._serve(now)
        try:
            return await future
        except asyncio.CancelledError:
            self._leave(consumer, future)
            raise

    def done(self, key: K) -> None:
        """
        Let go of `key`, so that it can be handed out again if it was asked for meanwhile.

        Raises:
            NotHeldError: Nobody holds `key`.
        """
        if not self._core.is_held(key):
            raise NotHeldError(f"done({key!r}): the key must be held, but nobody holds it")
        self._core.done(key)
        if self._futures:
            self._serve(self._clock.now())

    def forget(self, key: K) -> None:
        """Drop the failures of `key`; a wake-up that waits stands."""
        self._rate_limiter.forget(key)

    def num_requeues(self, key: K) -> int:
        """Return how many failures of `key` are counted."""
        return self._rate_limiter.num_requeues(key)

    def shut_down(self) -> None:
        """
        End every `get` with None, now and later; ignore every ask. Keys that are queued are not handed out any more.

        Mirrors: controller-runtime `PriorityQueue.ShutDown`, which abandons what is queued.
        """
        for consumer in self._core.shut_down():
            future = self._futures.pop(consumer)
            if not future.done():
                future.set_result(None)
        self._set_timer(self._clock.now())

    @property
    def is_shutting_down(self) -> bool:
        """Whether `shut_down` was called."""
        return self._core.is_shut_down

    def __len__(self) -> int:
        """Return how many keys are ready, including those that a worker still holds from before."""
        self._serve(self._clock.now())
        return len(self._core)

    def snapshot(self) -> QueueSnapshot[K]:
        """Return all entries as they stand now: held, ready and waiting."""
        self._serve(self._clock.now())
        return self._core.snapshot()

    def __repr__(self) -> str:
        return repr(self._core).replace("PriorityCore", "PriorityQueue")

    def _limited(self, key: K, after_ns: int) -> int:
        if self._core.is_shut_down:
            return after_ns
        limit = self._rate_limiter.when(key)
        return limit if after_ns == 0 else min(after_ns, limit)

    def _serve(self, now: Instant) -> None:
        """Make ready what is due, give keys to consumers that wait, and set the timer for the rest."""
        self._core.advance(now)
        while (handed := self._core.hand_out()) is not None:
            consumer, item = handed
            future = self._futures.pop(consumer)
            if future.done():
                # Cancelled a moment ago, and its task has not run since.
                self._core.give_back(item.key)
            else:
                future.set_result(item)
        self._set_timer(now)

    def _leave(self, consumer: int, future: asyncio.Future[Item[K] | None]) -> None:
        """Undo a `get` that is cancelled: before it was served, or after that and before it ran."""
        self._futures.pop(consumer, None)
        self._core.leave(consumer)
        if future.done() and not future.cancelled() and (item := future.result()) is not None:
            self._core.give_back(item.key)
        self._serve(self._clock.now())

    def _set_timer(self, now: Instant) -> None:
        """Let the loop wake us when the next key is due, as long as somebody waits for it."""
        due = self._core.next_ready_at() if self._core.has_consumers else None
        if due == self._timer_due:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_due = due
        if due is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + (due - now) / 1_000_000_000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_due = None
        # The loop may be early by its resolution: then nothing is due yet, and the timer is set once more.
        self._serve(self._clock.now())
