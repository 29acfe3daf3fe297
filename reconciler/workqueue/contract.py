"""The shapes that both queues share: the pure core, and the queue that workers wait on."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from datetime import timedelta
from typing import Literal, Protocol, TypeVar

from reconciler.instant import Instant
from reconciler.workqueue.answers import Discipline, Item, Placed, Promotion, QueueSnapshot

__all__ = ["AskedBy", "QueueCore", "WorkQueue"]

K = TypeVar("K", bound=Hashable)

AskedBy = Literal["event", "requeue_after", "backoff", "requeue", "hold"]
"""
Who asks: something happened, or a pass ended with `requeue_after`, with an error, or with `requeue`; `hold` for a quiet
event that waits with its key, and for a wake-up that is owed.
"""


class QueueCore(Protocol[K]):
    """
    What a queue decides; `PriorityCore` and `ClassicCore` say how.

    Time is told by `advance`, which must reach each moment before anything else is asked at it.
    """

    @property
    def discipline(self) -> Discipline:
        """Which queue it is."""
        ...

    def add(
        self,
        key: K,
        *,
        now: Instant,
        ready_at: Instant,
        priority: int | None = None,
        ask: int = 0,
        causes: tuple[int, ...] = (),
        quiet: bool = False,
    ) -> Placed[K]:
        """Ask for `key`."""
        ...

    def hold(self, key: K, *, now: Instant, ready_at: Instant, ask: int, causes: tuple[int, ...]) -> Placed[K]:
        """Let a quiet event wait with `key`."""
        ...

    def withdraw(self, key: K) -> tuple[int, ...] | None:
        """Take back what only quiet asks made while `key` is in work."""
        ...

    def cancel(self, key: K, ask: int) -> bool:
        """Take back a delayed ask."""
        ...

    def advance(self, now: Instant) -> Sequence[Promotion[K]]:
        """Make ready what is due."""
        ...

    def take(self, *, now: Instant) -> Item[K] | None:
        """Hand out a key to whoever asks, unless consumers wait."""
        ...

    def join(self, consumer: int) -> None:
        """Let a consumer wait."""
        ...

    def leave(self, consumer: int) -> None:
        """Let a consumer wait no longer."""
        ...

    def hand_out(self) -> tuple[int, Item[K]] | None:
        """Serve a waiting consumer."""
        ...

    def give_back(self, key: K) -> None:
        """Take back a key that its consumer never looked at."""
        ...

    def done(self, key: K) -> None:
        """Release a key."""
        ...

    def is_held(self, key: K) -> bool:
        """Whether a key is in work."""
        ...

    def next_ready_at(self) -> Instant | None:
        """Return when the next delayed ask is due."""
        ...

    def shut_down(self) -> tuple[int, ...]:
        """Ignore asks from now on; return the consumers that waited."""
        ...

    @property
    def is_shut_down(self) -> bool:
        """Whether it was shut down."""
        ...

    @property
    def has_consumers(self) -> bool:
        """Whether a consumer waits."""
        ...

    @property
    def has_delayed(self) -> bool:
        """Whether a delayed ask waits for its time."""
        ...

    def __len__(self) -> int:
        """Return how many keys are ready."""
        ...

    def snapshot(self) -> QueueSnapshot[K]:
        """Return everything there is to see."""
        ...


class WorkQueue(Protocol[K]):
    """
    A queue that workers wait on: `ClassicQueue` as in client-go, or `PriorityQueue` as in controller-runtime.

    Mirrors: client-go `workqueue.TypedRateLimitingInterface`, and controller-runtime's `PriorityQueue` beside it.
    """

    @property
    def discipline(self) -> Discipline:
        """Which queue it is."""
        ...

    def add(self, key: K, *, causes: tuple[int, ...] = (), by: AskedBy = "event") -> None:
        """Ask for `key` now."""
        ...

    def add_after(
        self, key: K, delay: timedelta, *, causes: tuple[int, ...] = (), by: AskedBy = "requeue_after"
    ) -> None:
        """Ask for `key` after `delay`; zero or less asks for now."""
        ...

    def add_rate_limited(self, key: K, *, causes: tuple[int, ...] = (), by: AskedBy = "backoff") -> None:
        """Count a failure of `key`, and ask for it after the rate limiter's delay."""
        ...

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
        """Ask for each of `keys`, in order."""
        ...

    def add_at(
        self,
        key: K,
        ready_at: Instant,
        *,
        priority: int | None = None,
        causes: tuple[int, ...] = (),
        by: AskedBy = "requeue_after",
    ) -> Placed[K]:
        """Ask for `key` at a moment, and return what became of that."""
        ...

    def hold(self, key: K, until: Instant, *, causes: tuple[int, ...] = ()) -> None:
        """Let a quiet event wait with `key` for the owed time."""
        ...

    def withdraw(self, key: K) -> tuple[int, ...] | None:
        """Take back what only quiet asks made while `key` is in work."""
        ...

    def cancel(self, key: K, ask: int) -> bool:
        """Take back a delayed ask."""
        ...

    async def get(self) -> Item[K] | None:
        """Wait for a key, and hold it until `done`. None: the queue is shut down."""
        ...

    def done(self, key: K) -> None:
        """Let go of `key`."""
        ...

    def forget(self, key: K) -> None:
        """Drop the failures of `key`; a wake-up that waits stands."""
        ...

    def num_requeues(self, key: K) -> int:
        """Return how many failures of `key` are counted."""
        ...

    def shut_down(self) -> None:
        """Ignore every ask from now on, and let no `get` wait."""
        ...

    async def shut_down_with_drain(self) -> None:
        """Shut down, and wait for what is in work where the queue can."""
        ...

    @property
    def is_shutting_down(self) -> bool:
        """Whether it was shut down."""
        ...

    def __len__(self) -> int:
        """Return how many keys are ready."""
        ...

    def snapshot(self) -> QueueSnapshot[K]:
        """Return all entries as they stand now."""
        ...
