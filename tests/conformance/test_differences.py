"""An outcome that is falsified is found, in each kind of program and in each field that has an outcome."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.testing.conformance import Difference, Parts, read_traces, replay, report
from reconciler.workqueue import PriorityCore, PriorityQueue

TRACES = Path(__file__).parent.parent / "traces"
Raw = dict[str, Any]


def raw(file: str) -> Iterator[Raw]:
    with (TRACES / file).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def replayed(program: Raw, path: Path, parts: Parts | None = None) -> Difference | None:
    file = path / "falsified.jsonl"
    file.write_text(json.dumps(program) + "\n")
    ((_, read),) = read_traces(file).programs
    return replay(read) if parts is None else replay(read, parts)


def first_step(file: str, has: Callable[[Raw], bool]) -> tuple[Raw, int]:
    return next((program, i) for program in raw(file) for i, step in enumerate(program["ops"]) if has(step))


@pytest.mark.parametrize("file", ["classic.jsonl", "priority.jsonl"])
@pytest.mark.parametrize(
    ("field", "has"),
    [
        pytest.param("len", lambda step: step["op"] == "done", id="len"),
        pytest.param("t", lambda step: step["t"] > 0, id="t"),
        pytest.param("t_end", lambda step: step["op"] == "advance", id="t_end"),
        pytest.param("n", lambda step: step["op"] == "num_requeues", id="n of num_requeues"),
        pytest.param("n", lambda step: step["op"] == "len", id="n of len"),
        pytest.param("b", lambda step: step["op"] == "shutting_down", id="b"),
    ],
)
def test_a_falsified_number_is_found_at_its_step(
    tmp_path: Path, file: str, field: str, has: Callable[[Raw], bool]
) -> None:
    program, index = first_step(file, has)
    step = program["ops"][index]
    step[field] = not step.get(field, False) if field == "b" else step.get(field, 0) + 1

    difference = replayed(program, tmp_path)

    assert difference is not None
    assert (difference.index, difference.driver) == (index, "the bare core")
    assert f"step {index} of {len(program['ops'])}: {step['op']}" in difference.step
    assert [name for name in difference.seen if difference.seen[name] != difference.recorded[name]] == [field]


@pytest.mark.parametrize("file", ["classic.jsonl", "priority.jsonl"])
@pytest.mark.parametrize(
    ("field", "value"), [("key", "other"), ("t", 1), ("waiter", 77), ("priority", 5), ("shutdown", True)]
)
def test_a_falsified_get_is_found_at_its_step(tmp_path: Path, file: str, field: str, value: object) -> None:
    program, index = first_step(file, lambda step: "woken" in step)
    program["ops"][index]["woken"][0][field] = value

    difference = replayed(program, tmp_path)

    assert difference is not None
    assert difference.index == index
    assert difference.seen["woken"] != difference.recorded["woken"]


def test_a_get_that_did_not_come_back_in_go_is_found(tmp_path: Path) -> None:
    program, index = first_step("priority.jsonl", lambda step: "woken" in step)
    del program["ops"][index]["woken"]
    difference = replayed(program, tmp_path)
    assert difference is not None
    assert (difference.index, difference.recorded["woken"]) == (index, ())


def test_a_falsified_drain_is_found_at_its_step(tmp_path: Path) -> None:
    program, index = first_step("classic_hand.jsonl", lambda step: "drained" in step)
    program["ops"][index]["drained"] = [99]
    difference = replayed(program, tmp_path)
    assert difference is not None
    assert (difference.index, difference.recorded["drained"]) == (index, (99,))


def test_of_gets_without_a_defined_order_the_keys_and_the_gets_are_compared(tmp_path: Path) -> None:
    program, index = first_step("classic.jsonl", lambda step: step.get("unordered", False))
    woken = program["ops"][index]["woken"]
    woken[0]["key"], woken[1]["key"] = woken[1]["key"], woken[0]["key"]
    assert replayed(program, tmp_path) is None

    woken[0]["key"] = "other"
    difference = replayed(program, tmp_path)
    assert difference is not None
    assert difference.index == index


def test_a_step_that_is_called_unordered_and_is_not_is_found(tmp_path: Path) -> None:
    program, index = first_step("classic.jsonl", lambda step: step.get("unordered", False))
    del program["ops"][index]["unordered"]
    difference = replayed(program, tmp_path)
    assert difference is not None
    assert (difference.index, difference.seen["unordered"]) == (index, True)


@pytest.mark.parametrize("queue", ["classic", "priority"])
@pytest.mark.parametrize(
    ("field", "ev"),
    [
        ("t", "event"),
        ("depth", "event"),
        ("n", "start"),
        ("priority", "start"),
        ("depth", "start"),
        ("t", "end"),
        ("n", "end"),
        ("requeues", "end"),
        ("depth", "end"),
    ],
)
def test_a_falsified_number_in_a_log_is_found_at_its_entry(tmp_path: Path, queue: str, field: str, ev: str) -> None:
    scenario = next(s for s in raw("controller_hand.jsonl") if s["queue"] == queue)
    index = next(i for i, entry in enumerate(scenario["log"]) if i > 2 and entry["ev"] == ev)
    scenario["log"][index][field] += 1
    difference = replayed(scenario, tmp_path)
    assert difference is not None
    assert (difference.index, difference.step) == (index, f"log entry {index} of {len(scenario['log'])}")
    assert difference.driver == f"the controller, {queue} queue"
    assert difference.seen[field] != difference.recorded[field]


@pytest.mark.parametrize(("field", "value"), [("key", "z"), ("result", "ok"), ("err", "other"), ("ctx_err", "gone")])
def test_a_falsified_word_in_a_log_is_found_at_its_entry(tmp_path: Path, field: str, value: str) -> None:
    scenario = next(raw("controller_hand.jsonl"))
    index = next(i for i, entry in enumerate(scenario["log"]) if entry["ev"] == "end")
    scenario["log"][index][field] = value
    difference = replayed(scenario, tmp_path)
    assert difference is not None
    assert (difference.index, difference.recorded[field]) == (index, value)


def test_a_log_that_is_longer_or_shorter_is_found_at_its_end(tmp_path: Path) -> None:
    scenario = next(raw("controller_hand.jsonl"))
    last = scenario["log"].pop()
    difference = replayed(scenario, tmp_path)
    assert difference is not None
    assert (difference.index, difference.recorded) == (len(scenario["log"]), {})

    scenario["log"] += [last, last]
    difference = replayed(scenario, tmp_path)
    assert difference is not None
    assert (difference.index, difference.seen) == (len(scenario["log"]) - 1, {})


def test_each_falsified_counter_is_found_at_the_end(tmp_path: Path) -> None:
    scenario = next(raw("controller_hand.jsonl"))
    for name in list(scenario["metrics"]):
        scenario["metrics"][name] += 1
        difference = replayed(scenario, tmp_path)
        assert difference is not None
        assert difference.step == "the end"
        assert difference.seen[name] != difference.recorded[name]
        scenario["metrics"][name] -= 1
    scenario["queue_left"] += 1
    difference = replayed(scenario, tmp_path)
    assert difference is not None
    assert difference.seen["queue_left"] == 0


@pytest.mark.parametrize("field", ["delays", "num_requeues", "delays_after_forget"])
def test_a_falsified_value_of_a_limiter_is_found_at_its_call(tmp_path: Path, field: str) -> None:
    table = next(raw("limiters.jsonl"))
    table[field][3] += 1
    difference = replayed(table, tmp_path)
    assert difference is not None
    assert difference.index == 3 + (table["forget_before"] if field == "delays_after_forget" else 0)
    assert "call 3 " in difference.step


@pytest.mark.parametrize(("field", "value"), [("reconcile_starts", [1]), ("start_returned_at", 5), ("err", "no luck")])
def test_a_falsified_start_is_found(tmp_path: Path, field: str, value: object) -> None:
    for program in raw("startup.jsonl"):
        program[field] = value
        difference = replayed(program, tmp_path)
        assert difference is not None
        assert difference.seen[field] != difference.recorded[field]


class Broken(PriorityCore[str]):
    def done(self, key: str) -> None:
        raise KeyError(key)


def test_what_is_raised_is_an_outcome_too(tmp_path: Path) -> None:
    program, index = first_step("priority_hand.jsonl", lambda step: step["op"] == "done")
    difference = replayed(program, tmp_path, Parts(priority_core=Broken))
    assert difference is not None
    assert (difference.index, difference.seen) == (index, {"raised": "KeyError: 'a'"})


def test_the_report_has_both_outcomes_and_the_journal_of_the_key(tmp_path: Path) -> None:
    program, index = first_step("priority_hand.jsonl", lambda step: step["op"] == "done")
    program["ops"][index]["len"] = 9
    difference = replayed(program, tmp_path)
    assert difference is not None
    lines = list(report(difference))
    assert lines[0] == f"differs on the bare core at step {index} of {len(program['ops'])}: done key=a"
    assert [line for line in lines if line.startswith("  >")] == ["  > len        9         0"]
    told = lines[lines.index("  the journal up to there:") + 1 :]
    assert told[0] == "    queue a"
    assert "pass ended: done" in "\n".join(told)


def test_a_shell_alone_can_differ(tmp_path: Path) -> None:
    class Eager(PriorityQueue[str]):
        def num_requeues(self, key: str) -> int:
            return super().num_requeues(key) + 1

    program, index = first_step("priority.jsonl", lambda step: step["op"] == "num_requeues")
    difference = replayed(program, tmp_path, Parts(priority_queue=Eager))
    assert difference is not None
    assert (difference.index, difference.driver) == (index, "the priority queue in virtual time")
