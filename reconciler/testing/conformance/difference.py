"""What a step showed, where two outcomes differ, and how that reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from reconciler.testing.conformance.programs import Entry, QueueProgram, Step, Woken

__all__ = ["Difference", "Outcome", "differing", "in_words", "queue_outcome", "recorded_step", "report"]

_ABSENT = "(absent)"
_COLUMN_MAX = 60
"""A recorded value that is longer has a line of its own."""

Outcome = Mapping[str, object]
"""What was seen, by the names of the format's fields."""


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Where a program first came out otherwise than recorded.

    Attributes:
        driver: What was driven, such as `the bare core`.
        step: Which step it is, in words.
        index: Its index; that of the log entry in a scenario, of the call in a table.
        recorded: The outcome in the file.
        seen: The outcome here.
        journal: What led to it, in lines for people.
    """

    driver: str
    step: str
    index: int
    recorded: Outcome
    seen: Outcome
    journal: tuple[str, ...] = ()


def differing(recorded: Outcome, seen: Outcome) -> list[str]:
    """Return the names of the fields that differ."""
    names = dict.fromkeys((*recorded, *seen))
    return [name for name in names if recorded.get(name) != seen.get(name)]


def queue_outcome(
    queue: str,
    *,
    t: int,
    t_end: int,
    length: int,
    woken: Sequence[Woken],
    drained: Sequence[int],
    answer: int | bool | None,
) -> Outcome:
    """Return the outcome of one step on a queue; what Go leaves undefined stands in the order of the format."""
    ordered = tuple(sorted(woken, key=lambda one: (one.t, one.waiter)))
    unordered = False
    if queue == "classic" and len(ordered) > 1:
        ordered, unordered = _without_order(ordered)
    return {
        "t": t,
        "t_end": t_end,
        "len": length,
        "n": 0 if answer is None or isinstance(answer, bool) else answer,
        "b": answer if isinstance(answer, bool) else False,
        "woken": ordered,
        "unordered": unordered,
        "drained": tuple(sorted(drained)),
    }


def recorded_step(program: QueueProgram, step: Step) -> Outcome:
    """Return the outcome of one step that the file has."""
    answer = step.b if step.op == "shutting_down" else step.n
    outcome = queue_outcome(
        program.queue,
        t=step.t,
        t_end=step.t_end,
        length=step.len,
        woken=step.woken,
        drained=step.drained,
        answer=answer,
    )
    return {**outcome, "n": step.n, "b": step.b, "unordered": step.unordered}


def _without_order(woken: tuple[Woken, ...]) -> tuple[tuple[Woken, ...], bool]:
    # Classic gets that come back at one moment race for a mutex in Go: which of them has which key is not defined.
    # Which gets and which keys is; both are sorted here, as in the files.
    result: list[Woken] = []
    unordered = False
    for _, group in groupby(woken, key=lambda one: one.t):
        gets = list(group)
        if len({one.key for one in gets}) > 1:
            unordered = True
            keys = sorted((one.key, one.priority, one.shutdown) for one in gets)
            gets = [Woken(one.waiter, one.t, *key) for one, key in zip(gets, keys, strict=True)]
        result += gets
    return tuple(result), unordered


def in_words(value: object) -> str:
    """Return a value of an outcome as it is printed."""
    match value:
        case None:
            return "-"
        case True | False:
            return "yes" if value else "no"
        case Woken():
            got = "shut down" if value.shutdown else f"{value.key} (priority {value.priority})"
            return f"get {value.waiter}: {got} at {value.t}"
        case tuple() | list():
            return ", ".join(map(in_words, value)) or "none"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return str(value) or "-"


def entry_fields(entry: Entry) -> dict[str, object]:
    """Return the fields of a log entry."""
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def report(difference: Difference) -> Iterator[str]:
    """Yield the lines that tell of a difference: the step, both outcomes side by side, and the journal up to it."""
    yield f"differs on {difference.driver} at {difference.step}"
    yield from _side_by_side(difference)
    if difference.journal:
        yield "  the journal up to there:"
        yield from (f"    {line}" for line in difference.journal)


def _side_by_side(difference: Difference) -> Iterator[str]:
    wrong = differing(difference.recorded, difference.seen)
    rows: list[tuple[str, str, str]] = [("", "recorded", "here")]
    for name in dict.fromkeys((*difference.recorded, *difference.seen)):
        recorded, seen = difference.recorded.get(name, _ABSENT), difference.seen.get(name, _ABSENT)
        rows.append((name, in_words(recorded), in_words(seen)))
    names = max(len(name) for name, _, _ in rows)
    recorded_width = max(len(recorded) for _, recorded, _ in rows if len(recorded) <= _COLUMN_MAX)
    for name, recorded, seen in rows:
        mark = ">" if name in wrong else " "
        if len(recorded) > _COLUMN_MAX:
            yield f"  {mark} {name:{names}}  {recorded}"
            recorded, name = "", ""  # noqa: PLW2901
            mark = " "
        yield f"  {mark} {name:{names}}  {recorded:{recorded_width}}  {seen}".rstrip()
