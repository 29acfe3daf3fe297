"""
The clocks that are read. The only file that may read one.

`LoopClock` reads the running event loop, so a test's virtual loop moves every timer of the library at once;
`SystemWallClock` reads the system; `LoopWallClock` derives wall time from the loop, for virtual time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

from reconciler.instant import Instant

__all__ = ["LoopClock", "LoopWallClock", "SystemWallClock"]


# An `Instant` is an integer: a call that says so would cost more than the reading.
_monotonic = cast("Callable[[], Instant]", time.monotonic_ns)


class LoopClock:
    """
    The running event loop's monotonic clock.

    It must be read inside a running loop, and belongs to the first one that reads it until that is closed. Where a loop
    tells its time as a float of seconds of its own, whole nanoseconds are exact for the first 104 days of its count.
    """

    __slots__ = ("_is_unbound", "_read")

    def __init__(self) -> None:
        self._is_unbound: Callable[[], bool] = lambda: True
        self._read: Callable[[], Instant] = _monotonic

    def now(self) -> Instant:
        """Return the loop's present moment, to the nearest nanosecond."""
        if self._is_unbound():
            self._bind()
        return self._read()

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        self._is_unbound = loop.is_closed
        # The queue reads this clock several times for each key: what asyncio's own loops read is read directly.
        is_plain = isinstance(loop, asyncio.BaseEventLoop) and type(loop).time is asyncio.BaseEventLoop.time
        self._read = _monotonic if is_plain else lambda: Instant(round(loop.time() * 1_000_000_000))


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
