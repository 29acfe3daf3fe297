"""
The queues that workers wait on: a core, a clock, a rate limiter, and one timer.

Only `get` and `shut_down_with_drain` wait. Everything else happens at once, so no task switch can come between a
decision and its record. A queue belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from itertools import count
from typing import Generic, TypeVar

from reconciler.errors import NotHeldError
from reconciler.instant import Clock, Instant, nanoseconds
from reconciler.workqueue.answers import Discipline, Item, Placed, Promotion, QueueSnapshot
from reconciler.workqueue.classic import ClassicCore
from reconciler.workqueue.contract import AskedBy, QueueCore
from reconciler.workqueue.core import PriorityCore
from reconciler.workqueue.ratelimit import (
    RateLimiter,
    default_controller_rate_limiter,
    default_priority_rate_limiter,
)

__all__ = ["ClassicQueue", "PriorityQueue"]

K = TypeVar("K", bound=Hashable)


class _Queue(Generic[K]):
    """What both queues do alike. Arguments: see `PriorityQueue`."""

    _charges_limiter_after_shut_down: bool
    _limiter_excludes_after: bool

    def __init__(
        self,
        core: QueueCore[K],
        *,
        clock: Clock,
        rate_limiter: RateLimiter[K],
        on_placed: Callable[[Placed[K], AskedBy], None] | None,
        on_promoted: Callable[[Promotion[K]], None] | None,
        ask_ids: Callable[[], int] | None,
    ) -> None:
        self._clock = clock
        self._rate_limiter = rate_limiter
        self._on_placed = on_placed
        self._on_promoted = on_promoted
        self._ask_ids = ask_ids or count(1).__next__
        self._core = core
        self._consumer_ids = count(1)
        self._futures: dict[int, asyncio.Future[Item[K] | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due: Instant | None = None

    @property
    def discipline(self) -> Discipline:
        """Which of Go's queues it is."""
        return self._core.discipline

    def add(self, key: K, *, causes: tuple[int, ...] = (), by: AskedBy = "event") -> None:
        """Ask for `key` now. On the priority queue this uses up a delayed wake-up of the key, as in Go."""
        now = self._advance()
        try:
            placed = self._core.add(key, now=now, ready_at=now, ask=self._ask_ids(), causes=causes)
        except TypeError:
            _demand_hashable(key)
            raise
        # As `_tell`, without the call: nearly every event comes by here.
        try:
            if self._on_placed is not None:
                self._on_placed(placed, by)
        finally:
            if self._futures:
                self._serve(now)

    def add_after(
        self, key: K, delay: timedelta, *, causes: tuple[int, ...] = (), by: AskedBy = "requeue_after"
    ) -> None:
        """Ask for `key` after `delay`; zero or less asks for now. Of two delayed asks for a key the sooner counts."""
        _demand_span("delay", delay)
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
        quiet: bool = False,
    ) -> None:
        """
        Ask for each of `keys`, in order; a key that is named twice asks twice.

        Args:
            keys: The keys.
            after: The delay; None or zero means none was given, a negative one asks for now.
            rate_limited: Count a failure of each key, and wait for the rate limiter. Together with `after` the smaller
                delay counts on the priority queue, and the limiter's alone on the classic one.
            priority: None means 0. The classic queue has no priorities.
            causes: The ids of the records that led to this.
            by: Who asks.
            quiet: Whether `withdraw` may undo it as long as the key is in work.

        Raises:
            TypeError: `after` is no `timedelta`, or a key cannot be hashed.

        Mirrors: controller-runtime `PriorityQueue.AddWithOpts`; for the classic queue its `priorityQueueWrapper`.
        """
        after_ns = 0
        if after is not None:
            _demand_span("after", after)
            after_ns = nanoseconds(after)
        now = self._advance()
        try:
            for key in keys:
                _demand_hashable(key)
                delay = self._limited(key, now, after_ns) if rate_limited else after_ns
                placed = self._core.add(
                    key,
                    now=now,
                    ready_at=Instant(now + delay) if delay else now,
                    priority=priority,
                    ask=self._ask_ids(),
                    causes=causes,
                    quiet=quiet,
                )
                if self._on_placed is not None:
                    self._on_placed(placed, by)
        finally:
            # Whatever the limiter or the observer raised, a key that is in must reach its worker.
            if self._futures:
                self._serve(now)

    def add_at(
        self,
        key: K,
        ready_at: Instant,
        *,
        priority: int | None = None,
        causes: tuple[int, ...] = (),
        by: AskedBy = "requeue_after",
    ) -> Placed[K]:
        """Ask for `key` at a moment of the queue's clock, and return what became of that."""
        _demand_instant("ready_at", ready_at)
        _demand_hashable(key)
        now = self._advance()
        placed = self._core.add(key, now=now, ready_at=ready_at, priority=priority, ask=self._ask_ids(), causes=causes)
        self._tell(placed, by, now)
        return placed

    def hold(self, key: K, until: Instant, *, causes: tuple[int, ...] = ()) -> None:
        """Let a quiet event wait with `key` for the owed time `until`; without an entry the key gets one for then."""
        _demand_instant("until", until)
        now = self._advance()
        self._tell(self._core.hold(key, now=now, ready_at=until, ask=self._ask_ids(), causes=causes), "hold", now)

    def withdraw(self, key: K) -> tuple[int, ...] | None:
        """Take back what only quiet asks made while `key` is in work; return its causes, None if there is nothing."""
        return self._core.withdraw(key)

    def cancel(self, key: K, ask: int) -> bool:
        """Take back the delayed ask with the id `ask`, and return whether it was still there."""
        self._advance()
        return self._core.cancel(key, ask)

    async def get(self) -> Item[K] | None:
        """
        Wait for a key, and hold it until `done`. None: the queue is shut down.

        Consumers are served in the order in which they came. With a key at hand it returns without letting other
        tasks run, so a worker that awaits nothing else must let them run itself.

        Cancelled, it takes nothing: a key that was chosen for it goes to the next consumer, or back to its old place.
        """
        core = self._core
        now = self._advance()
        item = core.take(now=now)
        if item is not None or core.is_shut_down:
            return item
        consumer = next(self._consumer_ids)
        future: asyncio.Future[Item[K] | None] = asyncio.get_running_loop().create_future()
        self._futures[consumer] = future
        core.join(consumer)
        self._serve(now)
        try:
            item = await future
        except asyncio.CancelledError:
            self._leave(consumer, future)
            raise
        # Released by a shutdown; the classic queue still hands out a key that was given back since.
        return core.take(now=self._advance()) if item is None else item

    def done(self, key: K) -> None:
        """
        Let go of `key`, so that it can be handed out again if it was asked for meanwhile.

        Raises:
            NotHeldError: Nobody holds `key`.
        """
        if not self._core.is_held(key):
            raise NotHeldError(f"done({key!r}): the key must be held, but nobody holds it")
        # First what fell due meanwhile: it stands before a key that joins the line only now.
        if self._core.has_delayed:
            self._advance()
        self._core.done(key)
        if self._futures:
            self._serve(self._advance())

    def forget(self, key: K) -> None:
        """Drop the failures of `key`; a wake-up that waits stands."""
        self._rate_limiter.forget(key)

    def num_requeues(self, key: K) -> int:
        """Return how many failures of `key` are counted."""
        return self._rate_limiter.num_requeues(key)

    def shut_down(self) -> None:
        """
        Ignore every ask from now on, and let no `get` wait. A second call is harmless.

        Mirrors: `ShutDown`: the classic queue still hands out what is ready, the priority queue abandons it.
        """
        self._advance()
        self._release(self._core.shut_down())

    @property
    def is_shutting_down(self) -> bool:
        """Whether it was shut down."""
        return self._core.is_shut_down

    def __len__(self) -> int:
        """Return how many keys are ready, as Go's queue of this kind counts them."""
        self._serve(self._advance())
        return len(self._core)

    def snapshot(self) -> QueueSnapshot[K]:
        """Return all entries as they stand now: held, ready and waiting."""
        self._serve(self._advance())
        return self._core.snapshot()

    def __repr__(self) -> str:
        return repr(self._core).replace("Core", "Queue")

    def _tell(self, placed: Placed[K], by: AskedBy, now: Instant) -> None:
        try:
            if self._on_placed is not None:
                self._on_placed(placed, by)
        finally:
            # Whatever the observer raised, a key that is in must reach its worker.
            if self._futures:
                self._serve(now)

    def _limited(self, key: K, now: Instant, after_ns: int) -> int:
        if self._core.is_shut_down and not self._charges_limiter_after_shut_down:
            return after_ns
        limit = self._rate_limiter.when(key, now)
        return limit if after_ns == 0 or self._limiter_excludes_after else min(after_ns, limit)

    def _advance(self) -> Instant:
        """Make ready what is due, and return the present moment."""
        now = self._clock.now()
        promotions = self._core.advance(now)
        if promotions and self._on_promoted is not None:
            for promotion in promotions:
                self._on_promoted(promotion)
        return now

    def _serve(self, now: Instant) -> None:
        """Give keys to consumers that wait, and set the timer for the rest."""
        while (handed := self._core.hand_out()) is not None:
            consumer, item = handed
            future = self._futures.pop(consumer)
            if future.done():
                # Cancelled a moment ago, and its task has not run since.
                self._core.give_back(item.key)
            else:
                future.set_result(item)
        self._set_timer(now)

    def _release(self, consumers: Iterable[int]) -> None:
        """Let consumers go without a key."""
        for consumer in consumers:
            future = self._futures.pop(consumer)
            if not future.done():
                future.set_result(None)
        self._set_timer(self._clock.now())

    def _leave(self, consumer: int, future: asyncio.Future[Item[K] | None]) -> None:
        """Undo a `get` that is cancelled: before it was served, or after that and before it ran."""
        self._futures.pop(consumer, None)
        self._core.leave(consumer)
        now = self._advance()
        if future.done() and not future.cancelled() and (item := future.result()) is not None:
            self._core.give_back(item.key)
        self._serve(now)

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
        self._serve(self._advance())


class PriorityQueue(_Queue[K]):
    """
    Hands each key to one worker at a time: the highest priority first, delayed keys when they are due.

    Args:
        clock: Must run as fast as the event loop's own clock, which sets the timer.
        rate_limiter: Delays the rate-limited asks; the default is `default_priority_rate_limiter()`.
        on_placed: Called with the answer to every ask and who asked, before any worker is woken. It must not raise.
        on_promoted: Called with each delayed ask whose time has come. It must not raise.
        ask_ids: Gives each ask its id; positive and different each time.

    Mirrors: controller-runtime `priorityqueue.PriorityQueue`.
    Differs: `get` can be cancelled; `done` of a key that nobody holds is an error; a second `shut_down` is harmless.
    """

    _charges_limiter_after_shut_down = False
    _limiter_excludes_after = False

    def __init__(
        self,
        *,
        clock: Clock,
        rate_limiter: RateLimiter[K] | None = None,
        on_placed: Callable[[Placed[K], AskedBy], None] | None = None,
        on_promoted: Callable[[Promotion[K]], None] | None = None,
        ask_ids: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(
            PriorityCore(),
            clock=clock,
            rate_limiter=rate_limiter or default_priority_rate_limiter(),
            on_placed=on_placed,
            on_promoted=on_promoted,
            ask_ids=ask_ids,
        )

    async def shut_down_with_drain(self) -> None:
        """Do what `shut_down` does, and wait for nothing. Mirrors: controller-runtime's `ShutDownWithDrain`."""
        self.shut_down()


class ClassicQueue(_Queue[K]):
    """
    Hands each key to one worker at a time, first in, first out; delayed asks stand beside, and events never cost them.

    Arguments are those of `PriorityQueue`; the default limiter is `default_controller_rate_limiter()`. Priorities are
    ignored.

    Mirrors: client-go `workqueue.TypedRateLimitingInterface`.
    Differs: `get` can be cancelled; `done` of a key that nobody holds is an error.
    """

    _charges_limiter_after_shut_down = True
    _limiter_excludes_after = True

    def __init__(
        self,
        *,
        clock: Clock,
        rate_limiter: RateLimiter[K] | None = None,
        on_placed: Callable[[Placed[K], AskedBy], None] | None = None,
        on_promoted: Callable[[Promotion[K]], None] | None = None,
        ask_ids: Callable[[], int] | None = None,
    ) -> None:
        self._classic: ClassicCore[K] = ClassicCore()
        super().__init__(
            self._classic,
            clock=clock,
            rate_limiter=rate_limiter or default_controller_rate_limiter(),
            on_placed=on_placed,
            on_promoted=on_promoted,
            ask_ids=ask_ids,
        )
        self._drain_ids = count(1)
        self._drain_futures: dict[int, asyncio.Future[None]] = {}

    def done(self, key: K) -> None:
        """See `PriorityQueue.done`."""
        super().done(key)
        self._end_drains()

    def shut_down(self) -> None:
        """
        Ignore every ask from now on; `get` hands out what is ready, and then answers None. It ends every drain.

        Mirrors: client-go `ShutDown`.
        """
        super().shut_down()
        self._end_drains()

    async def shut_down_with_drain(self) -> None:
        """
        Do what `shut_down` does, and wait until nothing is in work. What is ready does not hold it up, as in Go.

        Cancelled: the queue is shut down all the same; a turn that was given to this drain goes to the next.

        Mirrors: client-go `ShutDownWithDrain`, of which two at once are ended by one `done` each.
        """
        drain = next(self._drain_ids)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drain_futures[drain] = future
        self._advance()
        self._release(self._classic.drain(drain))
        self._end_drains()
        try:
            await future
        except asyncio.CancelledError:
            if self._drain_futures.pop(drain, None) is None:
                self._classic.signal_drain()
            else:
                self._classic.leave_drain(drain)
            self._end_drains()
            raise

    def _leave(self, consumer: int, future: asyncio.Future[Item[K] | None]) -> None:
        super()._leave(consumer, future)
        # A key that was given back is in work no more.
        self._end_drains()

    def _end_drains(self) -> None:
        for drain in self._classic.drained():
            future = self._drain_futures.pop(drain)
            if not future.done():  # else it was cancelled a moment ago, and passes its turn on when its task runs
                future.set_result(None)


def _demand_hashable(key: Hashable) -> None:
    try:
        hash(key)
    except TypeError as error:
        raise TypeError(f"key must be hashable, is {key!r}") from error


def _demand_span(name: str, span: object) -> None:
    if not isinstance(span, timedelta):  # a NaN among them
        raise TypeError(f"{name} must be a timedelta, is {span!r}")


def _demand_instant(name: str, instant: object) -> None:
    if not isinstance(instant, int):
        raise TypeError(f"{name} must be an Instant, is {instant!r}")
