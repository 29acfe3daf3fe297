"""
Rate limiters: how long a key that failed waits. They keep counts, read no clock and set no timer.

All delays are integer nanoseconds. Any of them is jittered by wrapping it in a `JitteredRateLimiter`.

Mirrors: client-go `util/workqueue/default_rate_limiters.go`, its float arithmetic included.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from random import Random
from typing import Any, Generic, Protocol, TypeVar

from reconciler.instant import Instant, milliseconds, seconds

__all__ = [
    "BucketRateLimiter",
    "ItemExponentialRateLimiter",
    "ItemFastSlowRateLimiter",
    "JitteredRateLimiter",
    "MaxOfRateLimiter",
    "RateLimiter",
    "WithMaxWaitRateLimiter",
    "default_controller_rate_limiter",
    "default_item_based_rate_limiter",
    "default_priority_rate_limiter",
]

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)

_BEYOND_INT64 = 2.0**63
_NS_PER_S = 1_000_000_000


class RateLimiter(Protocol[K_contra]):
    """
    Says how long a key waits before its next try.

    Mirrors: client-go `util/workqueue` `TypedRateLimiter`.
    Differs: `when` is told the time.
    """

    def when(self, key: K_contra, now: Instant, /) -> int:
        """Count one more failure of `key`, and return its delay from `now` in nanoseconds."""
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

    Mirrors: client-go `TypedItemExponentialFailureRateLimiter`.
    Differs: a delay of exactly 2^63 ns is `max_ns`; in Go it is negative.
    """

    def __init__(self, *, base_ns: int = milliseconds(5), max_ns: int = seconds(1000)) -> None:
        _demand_positive(base_ns=base_ns, max_ns=max_ns)
        self._base_ns = base_ns
        self._max_ns = max_ns
        self._failures: dict[Hashable, int] = {}

    def when(self, key: Hashable, now: Instant, /) -> int:
        """Count one more failure of `key`, and return its delay in nanoseconds."""
        del now
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
        bounds = f"{self._base_ns} ns to {self._max_ns} ns"
        return f"<ItemExponentialRateLimiter {bounds}, {len(self._failures)} failing keys>"


class ItemFastSlowRateLimiter:
    """
    Waits `fast_ns` for each of the first `max_fast` failures of a key, and `slow_ns` from then on.

    Args:
        fast_ns: The first delays; 0 or more.
        slow_ns: The later ones; 0 or more.
        max_fast: How many fast tries there are; 0 or more.

    Raises:
        ValueError: An argument is negative.

    Mirrors: client-go `TypedItemFastSlowRateLimiter`.
    """

    def __init__(self, *, fast_ns: int, slow_ns: int, max_fast: int) -> None:
        _demand_not_negative(fast_ns=fast_ns, slow_ns=slow_ns, max_fast=max_fast)
        self._fast_ns = fast_ns
        self._slow_ns = slow_ns
        self._max_fast = max_fast
        self._failures: dict[Hashable, int] = {}

    def when(self, key: Hashable, now: Instant, /) -> int:
        """Count one more failure of `key`, and return its delay in nanoseconds."""
        del now
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return self._fast_ns if failures <= self._max_fast else self._slow_ns

    def forget(self, key: Hashable, /) -> None:
        """Drop the failures of `key`. A delay that was given out stands."""
        self._failures.pop(key, None)

    def num_requeues(self, key: Hashable, /) -> int:
        """Return how many failures of `key` are counted."""
        return self._failures.get(key, 0)

    def __repr__(self) -> str:
        steps = f"{self._max_fast} times {self._fast_ns} ns, then {self._slow_ns} ns"
        return f"<ItemFastSlowRateLimiter {steps}, {len(self._failures)} failing keys>"


class BucketRateLimiter:
    """
    Lets `qps` tries a second through, over all keys, and `burst` at once; each try over that waits for its token.

    There is no bound to the debt: the thousandth try in one moment waits for the thousandth token.

    Args:
        qps: Tokens a second; more than 0.
        burst: Tokens in a full bucket, as it is at first; at least 1.

    Raises:
        ValueError: An argument is outside of its bounds.

    Mirrors: client-go `TypedBucketRateLimiter` over `golang.org/x/time/rate`, in the order of its float operations.
    """

    def __init__(self, *, qps: float = 10.0, burst: int = 100) -> None:
        if not (qps > 0 and math.isfinite(qps)):
            raise ValueError(f"qps must be more than 0 and finite, is {qps}")
        if not burst >= 1:  # a NaN is not
            raise ValueError(f"burst must be at least 1, is {burst}")
        self._qps = float(qps)
        self._burst = float(burst)
        self._tokens = float(burst)
        self._last: Instant | None = None

    def when(self, key: Hashable, now: Instant, /) -> int:
        """Take a token, and return how long after `now` it will be there, in nanoseconds."""
        del key
        if self._last is not None and now > self._last:
            whole, rest = divmod(now - self._last, _NS_PER_S)
            self._tokens = min(self._tokens + (whole + rest / 1e9) * self._qps, self._burst)
        self._last = now
        self._tokens -= 1.0
        return int(-self._tokens / self._qps * 1e9) if self._tokens < 0 else 0

    def forget(self, key: Hashable, /) -> None:
        """Do nothing: a token that was taken stays taken."""

    def num_requeues(self, key: Hashable, /) -> int:
        """Return 0: it counts no failures."""
        del key
        return 0

    def __repr__(self) -> str:
        return f"<BucketRateLimiter {self._qps:g} a second, {self._tokens:g} of {self._burst:g} tokens>"


class MaxOfRateLimiter(Generic[K]):
    """
    Answers with the longest delay of several limiters; each of them is charged every time.

    Raises:
        ValueError: There is no limiter.

    Mirrors: client-go `TypedMaxOfRateLimiter`.
    """

    def __init__(self, *limiters: RateLimiter[K]) -> None:
        if not limiters:
            raise ValueError("limiters: at least one is needed")
        self._limiters = limiters

    def when(self, key: K, now: Instant, /) -> int:
        """Count one more failure of `key` in each limiter, and return the longest delay in nanoseconds."""
        return max([limiter.when(key, now) for limiter in self._limiters])

    def forget(self, key: K, /) -> None:
        """Let each limiter drop the failures of `key`."""
        for limiter in self._limiters:
            limiter.forget(key)

    def num_requeues(self, key: K, /) -> int:
        """Return the highest count of them."""
        return max(limiter.num_requeues(key) for limiter in self._limiters)

    def __repr__(self) -> str:
        return f"<MaxOfRateLimiter {self._limiters}>"


class WithMaxWaitRateLimiter(Generic[K]):
    """
    Caps the delays of another limiter, which is charged in full all the same.

    Args:
        limiter: The other one.
        max_ns: The longest delay; 0 or more.

    Raises:
        ValueError: `max_ns` is negative.

    Mirrors: client-go `TypedWithMaxWaitRateLimiter`.
    """

    def __init__(self, limiter: RateLimiter[K], *, max_ns: int) -> None:
        _demand_not_negative(max_ns=max_ns)
        self._limiter = limiter
        self._max_ns = max_ns

    def when(self, key: K, now: Instant, /) -> int:
        """Count one more failure of `key`, and return its delay in nanoseconds, at most the cap."""
        return min(self._limiter.when(key, now), self._max_ns)

    def forget(self, key: K, /) -> None:
        """Let the limiter drop the failures of `key`."""
        self._limiter.forget(key)

    def num_requeues(self, key: K, /) -> int:
        """Return its count."""
        return self._limiter.num_requeues(key)

    def __repr__(self) -> str:
        return f"<WithMaxWaitRateLimiter {self._max_ns} ns over {self._limiter!r}>"


class JitteredRateLimiter(Generic[K]):
    """
    Makes the delays of another limiter longer by a random part of them, so that keys that fail together part.

    A delay is never shorter than the other limiter's; equal seeds and equal calls give equal delays.

    Args:
        limiter: The other one.
        fraction: The longest addition, as a part of the delay; 0 or more and finite: 0.1 adds up to a tenth.
        seed: Where the randomness comes from.

    Raises:
        ValueError: `fraction` is outside of its bounds.

    Mirrors: apimachinery `wait.Jitter`; client-go has no such limiter.
    """

    def __init__(self, limiter: RateLimiter[K], *, fraction: float = 0.1, seed: int) -> None:
        if not (fraction >= 0 and math.isfinite(fraction)):
            raise ValueError(f"fraction must be 0 or more and finite, is {fraction}")
        self._limiter = limiter
        self._fraction = fraction
        self._random = Random(seed)

    def when(self, key: K, now: Instant, /) -> int:
        """Count one more failure of `key`, and return its delay in nanoseconds, jittered."""
        delay = self._limiter.when(key, now)
        return delay + int(delay * self._fraction * self._random.random())

    def forget(self, key: K, /) -> None:
        """Let the limiter drop the failures of `key`."""
        self._limiter.forget(key)

    def num_requeues(self, key: K, /) -> int:
        """Return its count."""
        return self._limiter.num_requeues(key)

    def __repr__(self) -> str:
        return f"<JitteredRateLimiter up to {self._fraction:.0%} over {self._limiter!r}>"


def default_controller_rate_limiter() -> RateLimiter[Any]:
    """
    Return the default of controllers on the classic queue: 5 ms doubling to 1000 s, and 10 tries a second over all.

    Mirrors: client-go `DefaultTypedControllerRateLimiter`.
    """
    return MaxOfRateLimiter[Any](ItemExponentialRateLimiter(), BucketRateLimiter())


def default_priority_rate_limiter() -> RateLimiter[Any]:
    """
    Return the default of controllers on the priority queue: 5 ms doubling to 1000 s for each key.

    Mirrors: controller-runtime `controller.NewTypedUnmanaged`, where the priority queue is used.
    """
    return ItemExponentialRateLimiter()


def default_item_based_rate_limiter() -> RateLimiter[Any]:
    """
    Return a limiter of 1 ms doubling to 1000 s for each key.

    Mirrors: client-go `DefaultTypedItemBasedRateLimiter`.
    """
    return ItemExponentialRateLimiter(base_ns=milliseconds(1))


def _demand_positive(**arguments: int) -> None:
    for name, value in arguments.items():
        if not value > 0:  # a NaN is not
            raise ValueError(f"{name} must be more than 0, is {value}")


def _demand_not_negative(**arguments: int) -> None:
    for name, value in arguments.items():
        if not value >= 0:  # a NaN is not
            raise ValueError(f"{name} must be 0 or more, is {value}")
