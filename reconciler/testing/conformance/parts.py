"""
What is driven: the cores, queues, limiters and the controller that users run.

A test of the traces themselves puts a changed part in, and sees that they notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from reconciler.control_loop import Controller
from reconciler.instant import Instant
from reconciler.testing.conformance.programs import Bucket, Exponential, FastSlow, LimiterSpec, MaxOf, WithMaxWait
from reconciler.workqueue import (
    ClassicCore,
    ClassicQueue,
    Discipline,
    PriorityCore,
    PriorityQueue,
    RateLimiter,
    ratelimit,
)

__all__ = ["SCALE", "Parts", "Scaled"]

SCALE = 1_000
"""The queues' doors take microseconds, the traces count nanoseconds: on the queues everything lasts so much longer."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The classes that the drivers make objects of, and the module of the limiters."""

    priority_core: Callable[[], PriorityCore[str]] = PriorityCore
    classic_core: Callable[[], ClassicCore[str]] = ClassicCore
    priority_queue: type[PriorityQueue[str]] = PriorityQueue
    classic_queue: type[ClassicQueue[str]] = ClassicQueue
    controller: type[Controller] = Controller
    limiters: ModuleType = ratelimit

    def limiter(self, spec: LimiterSpec) -> RateLimiter[Any]:
        """Make the limiter that a program names."""
        match spec:
            case Exponential():
                return self._limiter("ItemExponentialRateLimiter", base_ns=spec.base, max_ns=spec.max)
            case FastSlow():
                bounds = {"fast_ns": spec.fast, "slow_ns": spec.slow, "max_fast": spec.max_fast}
                return self._limiter("ItemFastSlowRateLimiter", **bounds)
            case Bucket():
                return self._limiter("BucketRateLimiter", qps=spec.qps, burst=spec.burst)
            case MaxOf():
                return self._limiter("MaxOfRateLimiter", *map(self.limiter, spec.limiters))
            case WithMaxWait():
                return self._limiter("WithMaxWaitRateLimiter", self.limiter(spec.limiter), max_ns=spec.max)

    def default_limiter(self, queue: Discipline) -> RateLimiter[Any]:
        """Make the limiter that a controller on this queue has by default."""
        is_classic = queue == "classic"
        return self._limiter("default_controller_rate_limiter" if is_classic else "default_priority_rate_limiter")

    def _limiter(self, name: str, *args: object, **options: object) -> RateLimiter[Any]:
        made: RateLimiter[Any] = getattr(self.limiters, name)(*args, **options)
        return made


@dataclass(frozen=True, slots=True)
class Scaled:
    """A limiter in a world where everything lasts `SCALE` times as long."""

    inner: RateLimiter[Any]

    def when(self, key: Any, now: Instant, /) -> int:
        """Return the delay, made longer; the limiter is told the true time."""
        return self.inner.when(key, Instant(now // SCALE)) * SCALE

    def forget(self, key: Any, /) -> None:
        """Pass it on."""
        self.inner.forget(key)

    def num_requeues(self, key: Any, /) -> int:
        """Pass it on."""
        return self.inner.num_requeues(key)
