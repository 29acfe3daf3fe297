"""`reconciler conformance`: what it says, and its exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main

TRACES = Path(__file__).parent.parent / "traces"
LIMITERS = TRACES / "limiters.jsonl"
HAND = TRACES / "controller_hand.jsonl"


def falsified(path: Path, *, source: Path = LIMITERS, count: int = 3, wrong: tuple[int, ...] = (1,)) -> Path:
    """Write the first programs of a file, with a wrong outcome in some of them."""
    programs: list[dict[str, Any]] = [json.loads(line) for line in source.read_text().splitlines()[:count]]
    for index in wrong:
        if "delays" in programs[index]:
            programs[index]["delays"][4] += 1
        else:
            programs[index]["queue_left"] += 1
    file = path / "falsified.jsonl"
    file.write_text("".join(json.dumps(program) + "\n" for program in programs))
    return file


def test_files_that_come_out_as_recorded_end_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", str(LIMITERS), str(HAND)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{LIMITERS}: 44 of 44 matched",
        f"{HAND}: 34 of 34 matched",
        "78 passed, 0 failed",
    ]
    # The scripted errors of reconcilers are meant to be; no terminal, so no progress.
    assert said.err == ""


def test_a_difference_is_told_with_its_step_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = falsified(tmp_path)
    name = json.loads(LIMITERS.read_text().splitlines()[1])["id"]
    assert main(["conformance", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{file}: 2 of 3 matched"
    assert lines[2].startswith(f"  {name} (line 2) differs on the rate limiter at call 4 of ")
    assert [line.split()[:2] for line in lines if line.startswith("    > ")] == [[">", "delay"]]
    assert lines[-1] == "2 passed, 1 failed"


def test_x_stops_at_the_first_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = falsified(tmp_path, count=4, wrong=(1, 2))
    assert main(["conformance", "-x", str(file), str(LIMITERS)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{file}: 1 of 4 matched, 2 not replayed"
    assert lines[-1] == "1 passed, 1 failed"
    assert sum("differs on" in line for line in lines) == 1


def test_only_replays_what_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = falsified(tmp_path, wrong=(0,))
    known = json.loads(LIMITERS.read_text().splitlines()[1])["id"]
    assert main(["conformance", "--only", known, str(file), str(HAND)]) == 0
    assert capsys.readouterr().out == f"{file}: 1 of 1 matched\n1 passed, 0 failed\n"

    assert main(["conformance", "--only", known + "x", str(file)]) == 2
    said = capsys.readouterr()
    assert "no program of these files has that id; near it: " in said.err
    assert known in said.err


def test_a_controller_tells_its_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", str(falsified(tmp_path, source=HAND, count=1, wrong=(0,)))]) == 1
    said = capsys.readouterr().out
    assert "differs on the controller, priority queue at the end" in said
    assert "the journal up to there:" in said
    assert "pass ended: failed" in said


def test_a_file_that_cannot_be_read_ends_with_2_before_anything_is_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"ops": []}\n')
    assert main(["conformance", str(LIMITERS), str(bad)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"reconciler conformance: {bad}, line 1: ")
    assert main(["conformance", str(tmp_path / "away.jsonl")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_terminal_sees_how_far_it_is_and_keeps_nothing_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["conformance", str(LIMITERS)]) == 0
    shown = terminal.getvalue().split("\r\x1b[K")
    assert shown[1:3] == [f"{LIMITERS}: 0 of 44", f"{LIMITERS}: 1 of 44"]
    assert shown[-1] == ""
    assert capsys.readouterr().out.splitlines()[0] == f"{LIMITERS}: 44 of 44 matched"


def test_the_help_teaches_with_a_file_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--help"]) == 0
    said = capsys.readouterr().out
    start = said.index('{"id":"twice"')
    smallest = said[start : said.index("(on one line)")]
    file = tmp_path / "twice.jsonl"
    file.write_text("".join(line.strip() for line in smallest.splitlines()) + "\n")
    assert main(["conformance", str(file)]) == 0
    assert "1 passed, 0 failed" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    program = [sys.executable, "-m", "reconciler.cli", "conformance", str(LIMITERS), str(HAND)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `| head` does, only sooner
        assert process.stderr.read() == b""
    assert process.returncode == 141
