from __future__ import annotations

from collections.abc import Callable

import pytest

from .replay import Program, Seen, is_replayable, on_core, on_shell, programs, recorded

HAND = list(programs("priority_hand.jsonl"))
RANDOM = list(programs("priority.jsonl"))

on_both = pytest.mark.parametrize("replay", [pytest.param(on_core, id="core"), pytest.param(on_shell, id="shell")])


def assert_same(program: Program, replay: Callable[[Program], list[Seen]]) -> None:
    for step, seen in zip(program["ops"], replay(program), strict=True):
        assert seen == recorded(step), f"{program['id']} step {step.get('i', 0)}: {step}"


def test_every_hand_written_program_can_be_replayed() -> None:
    assert len(HAND) == 44
    assert all(map(is_replayable, HAND))


def test_the_random_programs_that_cannot_be_replayed_yet_are_those_with_other_limiters() -> None:
    missing = [program for program in RANDOM if not is_replayable(program)]
    assert len(RANDOM) == 200
    assert {program["limiter"]["type"] for program in missing} == {"fast_slow", "bucket", "max_of", "with_max_wait"}
    assert len(missing) == 81


@on_both
@pytest.mark.parametrize("program", [pytest.param(program, id=program["id"]) for program in HAND])
def test_a_hand_written_program_comes_out_as_in_go(program: Program, replay: Callable[[Program], list[Seen]]) -> None:
    assert_same(program, replay)


@on_both
def test_the_random_programs_come_out_as_in_go(replay: Callable[[Program], list[Seen]]) -> None:
    for program in filter(is_replayable, RANDOM):
        assert_same(program, replay)
