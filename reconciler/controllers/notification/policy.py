"""When a failed delivery may be tried again. Pure: no clock, no chance."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from reconciler.controllers.notification.types import RetryPolicy

__all__ = ["Policy", "go_duration"]


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The retry policy of one notification.

    Attributes:
        max_attempts: Tries for each channel, the first one included.
        initial_seconds: The delay after the first failure.
        multiplier: What each further failure multiplies the delay by.
        max_seconds: Upper bound of the delay, before jitter; an `initial_seconds` above it gives it.
    """

    max_attempts: int = 5
    initial_seconds: int = 30
    multiplier: int = 2
    max_seconds: int = 480

    @classmethod
    def of(cls, asked: RetryPolicy | None) -> Self:
        """Return the policy that a spec asks for; an absent one gives the defaults."""
        if asked is None:
            return cls()
        return cls(
            max_attempts=asked.max_attempts,
            initial_seconds=asked.initial_backoff_seconds,
            multiplier=asked.backoff_multiplier,
            max_seconds=asked.max_backoff_seconds,
        )

    def backoff(self, attempt: int) -> timedelta:
        """
        Return the delay after the `attempt`-th failure, without jitter.

        Raises:
            ValueError: `attempt` is below 1.
        """
        if attempt < 1:
            raise ValueError(f"attempts count from 1, is {attempt}")
        return timedelta(seconds=min(self.initial_seconds * self.multiplier ** (attempt - 1), self.max_seconds))

    def delay(self, attempt: int, *, uid: str, channel: str) -> timedelta:
        """
        Return the delay from the end of the `attempt`-th try of `channel` to the next one, in whole microseconds.

        It is `backoff(attempt)` and up to a tenth of it more. The extra part follows from the arguments alone, so each
        evaluation, in whichever process, gives the same moment, and objects made together do not retry together.

        Differs: the original draws a jitter of -10 % to +10 % anew at each evaluation, and may come too soon.
        """
        plain_us = self.backoff(attempt) // timedelta(microseconds=1)
        digest = hashlib.sha256(f"{uid}\0{channel}\0{attempt}".encode()).digest()
        extra_us = plain_us * int.from_bytes(digest[:8], "big") // (10 << 64)
        return timedelta(microseconds=plain_us + extra_us)


def go_duration(span: timedelta) -> str:
    """
    Return whole seconds of `span` as Go prints a duration: `30s`, `1m0s`, `1h0m0s`.

    Mirrors: Go `time.Duration.String`, for whole seconds.
    """
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
