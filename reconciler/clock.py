"""
The clocks that are read. The only file that may read one.

`LoopClock` reads the running event loop, so a test's virtual loop moves every timer of the library at once;
`SystemWallClock` reads the system; `LoopWallClock` derives wall time from the loop, for virtual time.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from reconciler.instant import Instant

__all__ = ["LoopClock", "LoopWallClock", "SystemWallClock"]


class LoopClock:
    """
    The running event loop's monotonic clock.

    It must be read inside a running loop. A float of seconds carries whole nanoseconds exactly for the first
    104 days of the loop's count.
    """

    __slots__ = ()

    def now(self) -> Instant:
        """Return the loop's present moment, to the nearest nanosecond."""
        return Instant(round(asyncio.get_running_loop().time() * 1_000_000_000))


class SystemWallClock:
    """The system's wall clock."""

    __slots__ = ()

    def now(self) -> datetime:
        """Return the system's time in UTC."""
        return datetime.now(UTC)


class LoopWallClock:
    """
    A wall clock that starts at `epoch` when the loop's clock is 0, and never jumps.

    For loops with virtual time: the same seed gives the same timestamps.
    """

    __slots__ = ("_epoch",)

    def __init__(self, epoch: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        """`epoch` must be aware."""
        self._epoch = epoch

    def now(self) -> datetime:
        """Return `epoch` plus the loop's time, cut to whole microseconds."""
        return self._epoch + timedelta(microseconds=LoopClock().now() // 1_000)
