from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.envtest import EnvtestError
from reconciler.envtest.processes import Processes, tail
from tests.envtest.watching import becomes_true, is_running, python

END_SECONDS_MAX = 3.0

# A parent with one child and one grandchild, which waits to be killed.
PARENT = """
import json, os, signal, threading
from pathlib import Path
from reconciler.envtest.processes import Processes

with Processes(prefix="supervised-") as processes:
    log = processes.directory / "log"
    child = processes.spawn("sh", ["sh", "-c", "sleep 1000 & echo $! > grandchild; wait"], log=log, cwd=log.parent)
    grandchild = log.parent / "grandchild"
    while not (grandchild.exists() and grandchild.read_text().strip()):
        threading.Event().wait(0.01)
    twin = os.fork() if FORK else None
    if twin == 0:
        signal.pause()
    pids = {"supervisor": processes.supervisor_pid, "child": child, "grandchild": int(grandchild.read_text())}
    print(json.dumps({"pids": pids, "directory": str(log.parent), "twin": twin}), flush=True)
    signal.pause()
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(prefix="supervised-", parent=tmp_path) as processes:
        yield processes


def spawn_sleep(processes: Processes) -> int:
    return processes.spawn("sleep", ["sleep", "1000"], log=processes.directory / "log", cwd=processes.directory)


def spawn_stubborn(processes: Processes) -> int:
    script = "trap '' TERM; touch deaf; while :; do sleep 0.05; done"
    pid = processes.spawn("deaf", ["sh", "-c", script], log=processes.directory / "log", cwd=processes.directory)
    assert becomes_true((processes.directory / "deaf").exists, within_seconds=5)
    return pid


def test_leaving_the_block_ends_children_and_grandchildren_and_removes_the_directory(tmp_path: Path) -> None:
    # Given a child that has a child,
    with Processes(prefix="supervised-", parent=tmp_path) as processes:
        script = "sleep 1000 & echo $! > grandchild; wait"
        child = processes.spawn("sh", ["sh", "-c", script], log=processes.directory / "log", cwd=processes.directory)
        note = processes.directory / "grandchild"
        assert becomes_true(lambda: note.exists() and bool(note.read_text().strip()), within_seconds=5)
        grandchild = int(note.read_text())
        assert is_running(child)
        assert is_running(grandchild)
    # when the block is left, then neither of them nor a file is there.
    assert not is_running(child)
    assert becomes_true(lambda: not is_running(grandchild), within_seconds=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "fork",
    [
        pytest.param(False, id="its end of the pipe closes"),
        pytest.param(True, id="a forked twin still holds its end of the pipe"),
    ],
)
def test_sigkill_of_the_parent_ends_everything_within_3_s(fork: bool) -> None:
    # Given a parent with a child and a grandchild,
    with python(PARENT.replace("FORK", str(fork))) as parent:
        assert parent.stdout is not None
        said = json.loads(parent.stdout.readline())
        pids: list[int] = list(said["pids"].values())
        assert all(is_running(pid) for pid in pids)
        # when the parent is killed,
        parent.kill()
        # then all of them and their directory vanish.
        gone = becomes_true(lambda: not any(is_running(pid) for pid in pids), within_seconds=END_SECONDS_MAX)
        if fork:
            os.kill(said["twin"], signal.SIGKILL)
        assert gone
        assert becomes_true(lambda: not Path(said["directory"]).exists(), within_seconds=1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child of its parent's death")
def test_sigkill_of_the_supervisor_ends_its_children_and_the_next_question_says_so(processes: Processes) -> None:
    # Given a running child,
    child = spawn_sleep(processes)
    # when the supervisor is killed,
    os.kill(processes.supervisor_pid, signal.SIGKILL)
    # then the child ends as well, and questions fail.
    assert becomes_true(lambda: not is_running(child), within_seconds=END_SECONDS_MAX)
    with pytest.raises(EnvtestError, match="exit_code sleep: the supervisor has ended"):
        processes.exit_code("sleep")


def test_sigterm_of_the_supervisor_ends_its_children_and_removes_the_directory(processes: Processes) -> None:
    child = spawn_sleep(processes)
    os.kill(processes.supervisor_pid, signal.SIGTERM)
    assert becomes_true(lambda: not processes.directory.exists(), within_seconds=END_SECONDS_MAX)
    assert not is_running(child)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_of_the_terminal_ends_neither_supervisor_nor_child(
    processes: Processes, number: signal.Signals
) -> None:
    # Given a running child in a session that is not the terminal's,
    child = spawn_sleep(processes)
    assert os.getsid(child) == os.getsid(processes.supervisor_pid) != os.getsid(0)
    # when the supervisor gets the signal all the same,
    os.kill(processes.supervisor_pid, number)
    # then it still answers, and the child runs.
    assert processes.exit_code("sleep") is None


def test_stop_lets_a_program_end_by_itself_and_kills_one_that_does_not(processes: Processes) -> None:
    spawn_sleep(processes)
    spawn_stubborn(processes)
    assert processes.stop("sleep", grace_seconds=5) == -signal.SIGTERM
    assert processes.stop("deaf", grace_seconds=0.2) == -signal.SIGKILL
    assert processes.exit_code("deaf") == -signal.SIGKILL


def test_closing_during_a_stop_ends_within_3_s_and_fails_the_stop(tmp_path: Path) -> None:
    # Given a program that does not want to end, and a thread which asks it to,
    script = """
import threading
from pathlib import Path
from reconciler.envtest import EnvtestError
from reconciler.envtest.processes import Processes, Stopwatch
from tests.envtest.test_processes import spawn_stubborn

processes = Processes(prefix="supervised-")
spawn_stubborn(processes)
endings = []

def stop():
    try:
        endings.append(processes.stop("deaf", grace_seconds=2.0))
    except EnvtestError as error:
        endings.append(error)

thread = threading.Thread(target=stop)
thread.start()
watch = Stopwatch()
# when another thread closes,
processes.close()
thread.join()
# then it takes no longer than the grace, and both come to an end.
assert watch.seconds() < 3.0, watch.seconds()
assert len(endings) == 1
assert not processes.directory.exists()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 0, ended.stderr


def test_a_program_that_cannot_be_run_is_named(processes: Processes) -> None:
    with pytest.raises(EnvtestError, match="no-such-program"):
        processes.spawn("x", ["./no-such-program"], log=processes.directory / "log", cwd=processes.directory)


def test_a_name_is_taken_while_its_program_runs_and_free_afterwards(processes: Processes) -> None:
    first = spawn_sleep(processes)
    with pytest.raises(EnvtestError, match="sleep is running already"):
        spawn_sleep(processes)
    processes.stop("sleep", grace_seconds=0)
    assert spawn_sleep(processes) != first


def test_output_is_appended_to_the_log_and_its_tail_is_indented(processes: Processes) -> None:
    log = processes.directory / "log"
    for word in ("one", "two"):
        processes.spawn(word, ["sh", "-c", f"echo {word}; echo more >&2"], log=log, cwd=log.parent)
        assert becomes_true(lambda word=word: processes.exit_code(word) == 0, within_seconds=5)
    assert log.read_text() == "one\nmore\ntwo\nmore\n"
    assert tail(log, lines=2) == "\n    two\n    more"
    assert tail(log.with_name("none")) == ""
