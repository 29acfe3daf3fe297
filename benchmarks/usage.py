"""
What this process has used: processor time and memory. Linux only.

Nothing beyond the standard library is needed, so that a peer in an environment of its own measures itself in this way.
"""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path

__all__ = ["cpu", "peak", "settled"]


def cpu() -> float:
    """Return the processor time of all threads since the process began, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak() -> float:
    """Return the most memory that was ever resident, in bytes."""
    return _memory("VmHWM")


def settled() -> float:
    """Collect garbage, give back what is free, and return what is resident then, in bytes."""
    gc.collect()
    # As Go's debug.FreeOSMemory: what was freed goes back to the system.
    ctypes.CDLL(None).malloc_trim(0)
    return _memory("VmRSS")


def _memory(line: str) -> float:
    text = Path("/proc/self/status").read_text()
    return next(float(each.split()[1]) * 1024 for each in text.splitlines() if each.startswith(f"{line}:"))
