"""What the reader says of a file that is not one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ConfigurationError
from reconciler.testing.conformance import read_traces

LIMITER = {"type": "exponential", "base": 1, "max": 2}
STEP = {"op": "add", "key": "a", "t": 0, "len": 1, "t_end": 0}
QUEUE = {"id": "q", "queue": "classic", "limiter": LIMITER, "ops": [STEP]}
TABLE = {
    "id": "l", "limiter": LIMITER, "gap": 0, "keys": ["a"], "delays": [1], "num_requeues": [1],
    "forget_before": 1, "delays_after_forget": [1],
}  # fmt: skip
SCENARIO = {
    "id": "c", "queue": "priority", "workers": 1, "horizon": 5, "script": {}, "events": None, "log": None,
    "metrics": {}, "queue_left": 0,
}  # fmt: skip
STARTUP = {
    "id": "s", "queue": "priority", "cache_sync_timeout": 0, "source": "sync_never", "early_event": False,
    "reconcile_starts": None, "start_returned_at": 5, "err": "",
}  # fmt: skip


def step(**fields: Any) -> dict[str, Any]:
    return QUEUE | {"ops": [STEP, {"t": 0, "len": 1, "t_end": 0} | fields]}


def test_each_kind_is_read_by_its_fields_and_empty_lines_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text("\n\n".join(map(json.dumps, (QUEUE, TABLE, SCENARIO, STARTUP))) + "\n\n")
    programs = read_traces(file).programs
    assert [(line, program.id) for line, program in programs] == [(1, "q"), (3, "l"), (5, "c"), (7, "s")]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        pytest.param('{"id":', "is not JSON: Input data was truncated", id="half a line"),
        pytest.param("id: q", "is not JSON: invalid character (byte 0)", id="no JSON"),
        pytest.param("[" * 100_000, "nested", id="nested for ever"),
        pytest.param('"a"', "needs to be a JSON object", id="no object"),
        pytest.param('{"id":"x"}', "is no known kind of program", id="no kind"),
        pytest.param(QUEUE | {"colour": 1}, "unknown field `colour`", id="a field that no program has"),
        pytest.param(step(op="add", key="a", wokn=[]), "unknown field `wokn` - at `$.ops[1]`", id="a misspelt field"),
        pytest.param(step(op="jump"), "Invalid enum value 'jump' - at `$.ops[1].op`", id="no such op"),
        pytest.param(QUEUE | {"queue": "fast"}, "Invalid enum value 'fast'", id="no such queue"),
        pytest.param(
            QUEUE | {"limiter": {"type": "x"}}, "Invalid value 'x' - at `$.limiter.type`", id="no such limiter"
        ),
        pytest.param(step(op="len", i=4), "`i` is 4 - at `$.ops[1]`", id="a wrong number"),
        pytest.param(step(op="add"), "`add` needs the field `key` - at `$.ops[1]`", id="an add without its key"),
        pytest.param(step(op="get"), "`get` needs the field `waiter`", id="a get without its number"),
        pytest.param(step(op="add_with_opts", keys=["a"]), "the classic queue has no `add_with_opts`", id="options"),
        pytest.param(
            step(op="shutdown_with_drain", waiter=0) | {"queue": "priority"},
            "the priority queue has no `shutdown_with_drain`",
            id="drain",
        ),
        pytest.param(step(op="advance", d=-1), "`d` must be 0 or more, is -1", id="back in time"),
        pytest.param(step(op="advance", d=10**13), "lasts 10000 s", id="too long a program"),
        pytest.param(SCENARIO | {"horizon": 10**13}, "lasts 10000 s", id="too long a scenario"),
        pytest.param(SCENARIO | {"workers": 0}, "`workers` must be at least 1, is 0", id="no workers"),
        pytest.param(
            SCENARIO | {"events": [{"t": -1, "order": "pre", "key": "a", "kind": "add"}]},
            "`t` must be 0 or more - at `$.events[0]`",
            id="an event before the start",
        ),
        pytest.param(TABLE | {"keys": []}, "`keys` needs at least one key", id="no keys"),
        pytest.param(TABLE | {"delays": []}, "`forget_before` is 1, but `delays` has 0 values", id="too few delays"),
        pytest.param(
            {name: STARTUP[name] for name in STARTUP if name != "err"}, "required field `err`", id="no outcome"
        ),
        pytest.param(QUEUE, "the id 'q' stands on line 1 too", id="an id twice"),
    ],
)
def test_a_line_that_is_no_program_is_named_with_what_is_wrong(tmp_path: Path, line: object, says: str) -> None:
    file = tmp_path / "bad.jsonl"
    text = line if isinstance(line, str) else json.dumps(line)
    file.write_text(f"{json.dumps(QUEUE)}\n{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        read_traces(file)
    assert str(caught.value).startswith(f"{file}, line 2: ")
    assert says in str(caught.value)


def test_a_file_that_is_away_or_empty_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_traces(tmp_path / "away.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ConfigurationError, match="holds no program"):
        read_traces(tmp_path / "empty.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"binary\.jsonl, line 1: "):
        read_traces(tmp_path / "binary.jsonl")
