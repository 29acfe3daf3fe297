"""`reconciler conformance`: replay trace files recorded from Go."""

from __future__ import annotations

import argparse
import difflib
import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from reconciler.errors import ConfigurationError
from reconciler.testing.conformance import Program, TraceFile, read_traces, replay, report

__all__ = ["configure", "run"]

_DESCRIPTION = """\
Replays programs that were recorded from Go (client-go's work queue, controller-runtime's priority queue and
controller), and says where this library does anything else.

A FILE is JSON Lines: one program a line, with what Go did. There are four kinds: queue programs (run on the bare core
and on the queue in virtual time), controller scenarios, delay tables of rate limiters, and start-ups. The format is
described in docs/conformance.md; the recorder is tests/oracle.

For a program that comes out otherwise: the first step that differs, what was recorded and what was seen here side by
side (times in nanoseconds, as in the file), and the journal of the keys in question up to that step.

Exit codes: 0 all the same; 1 something differs; 2 a file cannot be read (said with file, line and field; then nothing
is replayed).
"""

_EXAMPLE = """\
examples:

  $ reconciler conformance tests/traces/*.jsonl
  $ reconciler conformance -x --only classic-hand-dedupe tests/traces/classic_hand.jsonl

Smallest file there is: two adds of one key on the classic queue, which is one key to work on.

  {"id":"twice","queue":"classic","limiter":{"type":"exponential","base":5000000,"max":1000000000000},"ops":[
   {"op":"add","key":"a","t":0,"len":1,"t_end":0},{"op":"add","key":"a","t":0,"len":1,"t_end":0}]}

(on one line)
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to its parser."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLE
    parser.add_argument("files", nargs="+", metavar="FILE", type=Path, help="trace files (JSON Lines)")
    parser.add_argument("-x", "--stop-at-first", action="store_true", help="stop at the first program that differs")
    parser.add_argument(
        "--only", action="append", default=[], metavar="ID", help="replay only this program; may be given again"
    )


def run(args: argparse.Namespace) -> int:
    """
    Replay, and return the exit code.

    Raises:
        ConfigurationError: A file cannot be read, or there is no program of that id; nothing was replayed.
    """
    chosen = _chosen([read_traces(path) for path in args.files], args.only)
    passed = failed = 0
    with _without_logs():
        for traces in chosen:
            matched, differing = _replay_file(traces, stop_at_first=args.stop_at_first)
            passed, failed = passed + matched, failed + differing
            if differing and args.stop_at_first:
                break
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _replay_file(traces: TraceFile, *, stop_at_first: bool) -> tuple[int, int]:
    """Replay a file and print what came of it; return how many programs matched, and how many did not."""
    matched = 0
    told: list[str] = []
    differing = 0
    for count, (line, program) in enumerate(traces.programs):
        _progress(sys.stderr, f"{traces.path}: {count} of {len(traces.programs)}")
        difference = replay(program)
        if difference is None:
            matched += 1
            continue
        differing += 1
        head, *rest = report(difference)
        told += ["", f"  {program.id} (line {line}) {head}", *(f"  {text}" for text in rest)]
        if stop_at_first:
            break
    _progress(sys.stderr, "")
    left = len(traces.programs) - matched - differing
    print(f"{traces.path}: {matched} of {len(traces.programs)} matched" + (f", {left} not replayed" if left else ""))
    if told:
        print("\n".join(told), end="\n\n")
    return matched, differing


def _chosen(files: Sequence[TraceFile], ids: Sequence[str]) -> list[TraceFile]:
    if not ids:
        return list(files)
    known = [program.id for traces in files for _, program in traces.programs]
    for asked in ids:
        if asked not in known:
            near = difflib.get_close_matches(asked, known, n=3)
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise ConfigurationError(f"--only {asked}: no program of these files has that id{hint}")
    chosen: list[TraceFile] = []
    for traces in files:
        programs: tuple[tuple[int, Program], ...]
        programs = tuple((line, program) for line, program in traces.programs if program.id in ids)
        if programs:
            chosen.append(TraceFile(traces.path, programs))
    return chosen


def _progress(terminal: TextIO, text: str) -> None:
    """Show `text` in place of what stood there, on a terminal only."""
    if terminal.isatty():
        print(f"\r\x1b[K{text}", end="", file=terminal, flush=True)


@contextmanager
def _without_logs() -> Generator[None]:
    """Keep the errors of scripted reconcilers, which are meant to be, out of the log."""
    logger = logging.getLogger("reconciler")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
