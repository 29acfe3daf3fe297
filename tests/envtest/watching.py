"""Looks at real processes from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.envtest.processes import Stopwatch


def is_running(pid: int) -> bool:
    """Return whether a process has a thread that lives: one that only waits to be reaped does not count."""
    if not Path("/proc/self/task").exists():
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
        return False
    # All threads: the first one may be dead while the others still end.
    return any(_is_alive(thread) for thread in Path(f"/proc/{pid}/task").glob("*"))


def _is_alive(thread: Path) -> bool:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids_naming(text: str) -> list[int]:
    """Return the processes whose command line contains `text` (Linux only)."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if text.encode() in (folder / "cmdline").read_bytes() and is_running(int(folder.name)):
                found.append(int(folder.name))
    return found


def becomes_true(holds: Callable[[], bool], *, within_seconds: float) -> bool:
    """Return whether `holds` gives true in time."""
    watch, pause = Stopwatch(), threading.Event()
    while watch.seconds() < within_seconds:
        if holds():
            return True
        pause.wait(0.02)
    return holds()


@contextmanager
def python(script: str, *, environ: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process of its own; it is killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=dict(os.environ) | dict(environ or {}),
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
