"""
Rate limiters: how long a key that failed waits. They keep counts, read no clock and set no timer.

All delays are integer nanoseconds.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol, TypeVar

from reconciler.instant import milliseconds, seconds

__all__ = ["ItemExponentialRateLimiter", "RateLimiter"]

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)

_BEYOND_INT64 = 2.0**63


class RateLimiter(Protocol[K_contra]):
    """
    Says how long a key waits before its next try.

    Mirrors: client-go `util/workqueue` `TypedRateLimiter`.
    """

    def when(self, key: K_contra, /) -> int:
        """Count one more failure of `key`, and return its delay in nanoseconds."""
        ...

    def forget(self, key: K_contra, /) -> None:
        """Drop the failures of `key`. A delay that was given out stands."""
        ...

    def num_requeues(self, key: K_contra, /) -> int:
        """Return how many failures of `key` are counted."""
        ...


class ItemExponentialRateLimiter:
    """
    Doubles the delay with each failure of a key: `base_ns`, twice that, four times that, up to `max_ns`.

    Args:
        base_ns: The first delay; more than 0.
        max_ns: The longest delay; more than 0. It also bounds a base that is longer, and a power that overflows.

    Raises:
        ValueError: A bound is not more than 0.

    Mirrors: client-go `ItemExponentialFailureRateLimiter`, its float arithmetic included.
    Differs: a delay of exactly 2^63 ns is `max_ns`; in Go it is negative.
    """

    def __init__(self, *, base_ns: int = milliseconds(5), max_ns: int = seconds(1000)) -> None:
        if base_ns <= 0 or max_ns <= 0:
            raise ValueError(f"base_ns and max_ns must be more than 0, are {base_ns} and {max_ns}")
        self._base_ns = base_ns
        self._max_ns = max_ns
        self._failures: dict[Hashable, int] = {}

    def when(self, key: Hashable, /) -> int:
        """Count one more failure of `key`, and return its delay in nanoseconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # From the 64th on, any base is beyond the bound; the power alone would overflow a float at the 1025th.
        delay = self._base_ns * 2.0 ** min(failures, 63)
        return self._max_ns if delay >= _BEYOND_INT64 else min(int(delay), self._max_ns)

    def forget(self, key: Hashable, /) -> None:
        """Drop the failures of `key`. A delay that was given out stands."""
        self._failures.pop(key, None)

    def num_requeues(self, key: Hashable, /) -> int:
        """Return how many failures of `key` are counted."""
        return self._failures.get(key, 0)

    def __repr__(self) -> str:
        return (
            f"<ItemExponentialRateLimiter {self._base_ns} ns to {self._max_ns} ns, {len(self._failures)} failing keys>"
        )
