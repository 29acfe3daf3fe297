"""
The process between a test run and its servers: it ends them, whatever happens to the test run.

Run as a script (`python supervise.py PARENT_PID DIRECTORY`), never imported for use; only the standard library, so
that it starts fast and needs no import path.

Expected flow:
    1  A line of JSON on standard input is a command (`spawn`, `exit_code`, `stop`); its answer is a line on standard
       output: an object, with the key `error` where the command failed.
    2  When standard input closes, SIGTERM comes, or the parent is another process than PARENT_PID, every child's
       process group is killed at once, DIRECTORY is removed, and the supervisor exits.

Guarantees:
    - A parent killed with SIGKILL closes the pipe, so its servers end within a second, on every POSIX system.
    - A supervisor killed with SIGKILL takes its direct children along on Linux (PR_SET_PDEATHSIG). That signal is bound
      to the thread that spawned, which is this program's only one.
    - Ctrl-C in a terminal reaches neither the supervisor (a session of its own, SIGINT ignored) nor the children.

Assumptions: the children keep nothing outside DIRECTORY, so killing them loses nothing that anybody wants.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

_LOOK_FOR_PARENT_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


class Children:
    """The processes that were spawned, by name; each leads a process group of its own."""

    def __init__(self) -> None:
        """No child yet."""
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(
        self, *, name: str, argv: list[str], log: str, cwd: str, env: dict[str, str] | None = None
    ) -> dict[str, object]:
        """Start a child whose output is appended to the file `log`; the name may be that of an ended child."""
        if name in self._children and self._children[name].poll() is None:
            return {"error": f"{name} is running already"}
        with open(log, "ab") as output:
            self._children[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=env,
                process_group=0,
                preexec_fn=_die_with_this_process(),  # noqa: PLW1509 - this program has one thread
            )
        return {"pid": self._children[name].pid}

    def exit_code(self, *, name: str) -> dict[str, object]:
        """Answer null while the child runs, then its exit code (minus the signal's number)."""
        return {"exit_code": self._children[name].poll()}

    def stop(self, *, name: str, grace_seconds: float) -> dict[str, object]:
        """Ask a child to end; kill its group when it has not ended after `grace_seconds`."""
        child = self._children[name]
        if child.poll() is None and grace_seconds > 0:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(grace_seconds)
        _kill_group(child)
        return {"exit_code": child.wait()}

    def end(self) -> None:
        """Kill every group, then wait for the children."""
        for child in self._children.values():
            _kill_group(child)
        for child in self._children.values():
            child.wait()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    # Also where the child itself has ended: what it started may still run in its group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _die_with_this_process() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    supervisor = os.getpid()

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it died before the line above
            os._exit(1)

    return before_exec


def _commands(parent_pid: int, woken: socket.socket) -> Iterator[dict[str, Any]]:
    """Yield the commands until the parent is gone or a signal asks for the end."""
    received = b""
    while os.getppid() == parent_pid:
        readable, _, _ = select.select([0, woken.fileno()], [], [], _LOOK_FOR_PARENT_SECONDS)
        if woken.fileno() in readable:
            return
        if 0 not in readable:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, received = (received + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _serve(children: Children, parent_pid: int, woken: socket.socket) -> None:
    verbs: dict[str, Callable[..., dict[str, object]]] = {
        "spawn": children.spawn,
        "exit_code": children.exit_code,
        "stop": children.stop,
    }
    for command in _commands(parent_pid, woken):
        try:
            answer = verbs[command.pop("do")](**command)
        except OSError as error:
            answer = {"error": str(error)}
        os.write(1, json.dumps(answer).encode() + b"\n")


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    return


def _wake_on_sigterm() -> socket.socket:
    """Return a socket that becomes readable when SIGTERM comes."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.detach())
    signal.signal(signal.SIGTERM, _do_nothing)  # the wake-up is what counts
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    return woken


def main(parent_pid: int, directory: str) -> None:
    """Serve until the parent is done, then end every child and remove `directory`."""
    woken = _wake_on_sigterm()
    children = Children()
    try:
        with suppress(BrokenPipeError):  # the parent died between its question and our answer
            _serve(children, parent_pid, woken)
    finally:
        children.end()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
