"""
Child processes that cannot outlive this one, and a directory that goes with them.

`Processes` speaks with a supervisor (`supervise.py`), whose promises hold here. It blocks; a coroutine calls it
through `asyncio.to_thread`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.envtest import supervise
from reconciler.errors import ReconcilerError

__all__ = ["EnvtestError", "Processes", "Stopwatch", "tail"]

_END_SECONDS_MAX = 10.0


class EnvtestError(ReconcilerError):
    """A program of the test environment did not do what it should; the message ends with its last words."""


class Stopwatch:
    """Counts real seconds from its making: real processes in a thread have no loop whose time could be asked."""

    _read = staticmethod(time.monotonic)  # noqa: TID251 - see the docstring

    def __init__(self) -> None:
        """It runs from now on."""
        self._started = self._read()

    def seconds(self) -> float:
        """Return the seconds since its making."""
        return self._read() - self._started


class Processes:
    """
    Named child processes under one supervisor, with a private directory (mode 0700).

    Leaving the context kills the children and removes the directory; so does the death of this process, by whatever
    signal. The methods may be called from any thread.
    """

    def __init__(self, *, prefix: str, parent: Path | None = None) -> None:
        """The directory is made in `parent` (default: the system's temporary one); its name starts with `prefix`."""
        self.directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
        self._one_question = threading.Lock()
        self._said = self.directory / "supervisor.log"
        with self._said.open("wb") as said:
            # By path and isolated: it depends on neither the working directory nor the import path of this process.
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", supervise.__file__, str(os.getpid()), str(self.directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
            )
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        self._pipes = (self._supervisor.stdin, self._supervisor.stdout)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @property
    def supervisor_pid(self) -> int:
        """The supervisor's process id."""
        return self._supervisor.pid

    def spawn(
        self, name: str, argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None
    ) -> int:
        """
        Start a program and return its process id; its output is appended to the file `log`.

        `env` is its whole environment, by default that of this process when the supervisor started.

        Raises:
            EnvtestError: It cannot be run, or a program of that name is running.
        """
        answer = self._ask("spawn", name=name, argv=list(argv), log=str(log), cwd=str(cwd), env=env and dict(env))
        pid: int = answer["pid"]
        return pid

    def exit_code(self, name: str) -> int | None:
        """Return `None` while the program runs, then its exit code (minus the number of the signal that ended it)."""
        code: int | None = self._ask("exit_code", name=name)["exit_code"]
        return code

    def stop(self, name: str, *, grace_seconds: float) -> int:
        """Send SIGTERM, then after `grace_seconds` SIGKILL (at once for 0); return the exit code."""
        code: int = self._ask("stop", name=name, grace_seconds=grace_seconds)["exit_code"]
        return code

    def close(self) -> None:
        """End everything and remove the directory. A second call does nothing."""
        stdin, stdout = self._pipes
        # Without the lock: a thread in the middle of a question reads to the end of the answers, and gets its error.
        with suppress(BrokenPipeError):
            stdin.close()
        try:
            self._supervisor.wait(_END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        stdin, stdout = self._pipes
        with self._one_question:
            try:
                stdin.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
                stdin.flush()
                line = stdout.readline()
            except (OSError, ValueError) as error:  # ValueError: the pipe was closed by `close`
                raise EnvtestError(
                    f"{verb} {arguments.get('name')}: the supervisor has ended{tail(self._said)}"
                ) from error
        if not line:
            raise EnvtestError(f"{verb} {arguments.get('name')}: the supervisor has ended{tail(self._said)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EnvtestError(f"{verb} {arguments.get('name')}: {answer['error']}")
        return answer


def tail(log: Path, *, lines: int = 20) -> str:
    """Return the end of a log as text to append to an error message; empty where there is nothing to show."""
    try:
        text = log.read_text(errors="replace").rstrip()
    except FileNotFoundError:
        return ""
    return "".join(f"\n    {line}" for line in text.splitlines()[-lines:])
