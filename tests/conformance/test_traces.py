"""Every recorded trace, replayed; none is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.testing.conformance import Program, read_traces, replay, report

TRACES = Path(__file__).parent.parent / "traces"

RECORDED = {
    "classic": 200,
    "classic_hand": 30,
    "controller": 100,
    "controller_hand": 34,
    "controller_requeue": 144,
    "limiters": 44,
    "priority": 200,
    "priority_hand": 44,
    "startup": 18,
}
"""The files as they were first recorded, with the number of their programs; later ones may stand beside them."""

CHUNK = 50


def chunks() -> list[object]:
    found: list[object] = []
    for file in sorted(TRACES.glob("*.jsonl")):
        programs = [program for _, program in read_traces(file).programs]
        found += [
            pytest.param(programs[start : start + CHUNK], id=f"{file.stem}-{start}")
            for start in range(0, len(programs), CHUNK)
        ]
    return found


def test_all_recorded_programs_are_there() -> None:
    assert {name: len(read_traces(TRACES / f"{name}.jsonl").programs) for name in RECORDED} == RECORDED


@pytest.mark.parametrize("programs", chunks())
def test_each_program_comes_out_as_in_go(programs: list[Program]) -> None:
    for program in programs:
        difference = replay(program)
        assert difference is None, "\n".join((program.id, *report(difference)))
