"""
Time as values: monotonic instants, and the shapes of the clocks that give them.

Monotonic time (`Instant`, integer nanoseconds) rules queues, time-outs and leases; wall time (an aware UTC
`datetime`) stands inside API objects only. The two types never mix. Nothing here reads a clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NewType, Protocol

__all__ = [
    "Clock",
    "Instant",
    "WallClock",
    "duration",
    "milliseconds",
    "nanoseconds",
    "seconds",
]

Instant = NewType("Instant", int)
"""A moment on a monotonic clock, in nanoseconds since an arbitrary start."""

_NS_PER_US = 1_000
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Says what moment it is on the monotonic clock."""

    def now(self) -> Instant:
        """Return the present moment; never smaller than an earlier answer."""
        ...


class WallClock(Protocol):
    """Says what time it is in the world."""

    def now(self) -> datetime:
        """Return the present time, aware and in UTC, cut to whole microseconds. It may jump."""
        ...


def seconds(count: float) -> int:
    """Return `count` seconds in nanoseconds, to the nearest."""
    return round(count * _NS_PER_S)


def milliseconds(count: float) -> int:
    """Return `count` milliseconds in nanoseconds, to the nearest."""
    return round(count * _NS_PER_MS)


def nanoseconds(span: timedelta) -> int:
    """Return `span` in nanoseconds, exactly."""
    return ((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds) * _NS_PER_US


def duration(span_ns: int) -> timedelta:
    """Return `span_ns` nanoseconds as a `timedelta`, rounded up to whole microseconds: never shorter than asked."""
    return timedelta(microseconds=-(-span_ns // _NS_PER_US))
