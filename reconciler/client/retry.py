"""
Trying again after a conflict, with pauses.

The pauses are timers of the running loop, so virtual time moves them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TypeVar

from reconciler.errors import ConflictError

__all__ = ["DEFAULT_BACKOFF", "DEFAULT_RETRY", "RetryBackoff", "retry_on_conflict"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryBackoff:
    """
    How often something is tried, and how long the pauses are.

    Attributes:
        steps: Tries in all, at least 1; there is a pause less than tries.
        duration: The first pause.
        factor: What each pause is of the one before it.
        jitter: How much of itself a pause may grow by, at random.

    Mirrors: apimachinery `wait.Backoff`.
    Differs: no cap.
    """

    steps: int
    duration: timedelta
    factor: float = 1.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Refuse bounds that make no sense."""
        if self.steps < 1 or self.duration < timedelta(0) or self.factor < 0 or self.jitter < 0:
            raise ValueError(f"{self}: at least one step, and nothing below 0")

    def pauses_seconds(self, random: Random) -> Iterator[float]:
        """Yield the pause after each try but the last."""
        base = self.duration.total_seconds()
        for _ in range(self.steps - 1):
            yield base + random.random() * self.jitter * base
            base *= self.factor


DEFAULT_RETRY = RetryBackoff(steps=5, duration=timedelta(milliseconds=10), factor=1.0, jitter=0.1)
"""For clients that change the same object. Mirrors: client-go `retry.DefaultRetry`."""

DEFAULT_BACKOFF = RetryBackoff(steps=4, duration=timedelta(milliseconds=10), factor=5.0, jitter=0.1)
"""For an object that active controllers write, too. Mirrors: client-go `retry.DefaultBackoff`."""


async def retry_on_conflict(
    attempt: Callable[[], Awaitable[T]], backoff: RetryBackoff = DEFAULT_RETRY, *, random: Random | None = None
) -> T:
    """
    Call `attempt` until it ends without a conflict, with pauses; return what it returned.

    Args:
        attempt: Reads the object, changes it, writes it. It must read on each call, and from the API server: a cache
            may still show the version that was refused.
        backoff: Tries and pauses.
        random: Draws the jitter; None draws from a new generator.

    Raises:
        ConflictError: The last try ended so, too. Any other error ends it at once.

    Cancelled in a pause: nothing is under way.

    Mirrors: client-go `retry.RetryOnConflict`.
    """
    for pause_seconds in backoff.pauses_seconds(random or Random()):
        try:
            return await attempt()
        except ConflictError:
            await asyncio.sleep(pause_seconds)
    return await attempt()
