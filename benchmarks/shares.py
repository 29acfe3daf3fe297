"""
Where the processor time goes, by file: a sampling profiler in a few lines.

A timer asks every millisecond which line runs. A sample weighs what time has passed since the last one, so that a long
call of C counts whole, for the file that made it. The garbage collector's pauses are measured and counted apart.
"""

from __future__ import annotations

import gc
import signal
from collections import defaultdict
from pathlib import PurePath
from time import process_time
from types import FrameType

__all__ = ["Shares"]

EVERY_SECONDS = 0.001
COLLECTOR = "garbage collector"


class Shares:
    """Takes samples between `start` and `stop`, on the main thread."""

    def __init__(self) -> None:
        """Take none yet."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._last = self._paused_at = self._paused = 0.0

    def start(self) -> None:
        """Begin."""
        self._last = process_time()
        gc.callbacks.append(self._on_collection)
        signal.signal(signal.SIGPROF, self._on_tick)
        signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)

    def stop(self) -> dict[str, float]:
        """End; return the share of each file, the greatest first, and forget the samples."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        gc.callbacks.remove(self._on_collection)
        whole = sum(self._seconds.values()) or 1.0
        greatest = sorted(self._seconds.items(), key=lambda item: -item[1])
        found = {place: seconds / whole for place, seconds in greatest}
        self._seconds.clear()
        return found

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        del number
        now = process_time()
        self._seconds[_place(frame)] += max(0.0, now - self._last - self._paused)
        self._seconds[COLLECTOR] += self._paused
        self._last, self._paused = now, 0.0

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        del info
        if phase == "start":
            self._paused_at = process_time()
        else:
            self._paused += process_time() - self._paused_at


def _place(frame: FrameType | None) -> str:
    """Return the file of the library that runs, or for whom something else does; else the name of what does."""
    outer = "other"
    while frame is not None:
        parts = PurePath(frame.f_code.co_filename).parts
        if "reconciler" in parts[:-1]:
            return "/".join(parts[len(parts) - parts[::-1].index("reconciler") :])
        if "aiohttp" in parts:
            return "aiohttp"
        if "asyncio" in parts:
            outer = "asyncio"
        frame = frame.f_back
    return outer
