from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.errors import InvariantError
from reconciler.instant import Instant
from reconciler.workqueue import (
    CAUSES_MAX,
    ClassicCore,
    PriorityCore,
    QueueSnapshot,
    Row,
    Standing,
    check,
    classic,
    core,
)
from reconciler.workqueue.line import DEAD_PLACES_MAX

NOW = Instant(10)
Snapshot = QueueSnapshot[str]


def fill(made: ClassicCore[str] | PriorityCore[str]) -> Snapshot:
    """Return a queue with `a` held and asked for again quietly, `b` ready and `c` waiting."""
    made.add("a", now=NOW, ready_at=NOW)
    made.take(now=NOW)
    made.add("a", now=NOW, ready_at=NOW, quiet=True)
    made.add("b", now=NOW, ready_at=NOW, priority=1)
    made.add("c", now=NOW, ready_at=Instant(30))
    return made.snapshot()


def priority() -> Snapshot:
    return fill(PriorityCore())


def classic_queue() -> Snapshot:
    return fill(ClassicCore())


def row(queue: Snapshot, key: str, standing: Standing) -> Row[str]:
    return next(row for row in queue.rows if (row.key, row.standing) == (key, standing))


def with_row(queue: Snapshot, key: str, standing: Standing, /, **changes: Any) -> Snapshot:
    old = row(queue, key, standing)
    return replace(queue, rows=tuple(replace(row, **changes) if row == old else row for row in queue.rows))


def without(queue: Snapshot, key: str, standing: Standing) -> Snapshot:
    return replace(queue, rows=tuple(r for r in queue.rows if (r.key, r.standing) != (key, standing)))


HELD, READY, WAITING = Standing.HELD, Standing.READY, Standing.WAITING
MANY_CAUSES = tuple(range(CAUSES_MAX + 1))
PRIORITY, CLASSIC = priority(), classic_queue()
PARKED_NUMBER = row(PRIORITY, "a", READY).number

BROKEN_PRIORITY = [
    pytest.param(with_row(PRIORITY, "c", WAITING, key="b"), "Q1", id="two entries"),
    pytest.param(with_row(PRIORITY, "b", READY, key="a", standing=HELD), "Q1", id="held twice"),
    pytest.param(with_row(PRIORITY, "a", READY, is_locked=False), "Q2", id="a held key's entry is free"),
    pytest.param(with_row(PRIORITY, "b", READY, is_locked=True), "Q2", id="locked by nobody"),
    pytest.param(with_row(PRIORITY, "c", WAITING, ready_at=Instant(31)), "Q3", id="moved later"),
    pytest.param(with_row(PRIORITY, "b", READY, priority=0), "Q4", id="priority fell"),
    pytest.param(with_row(PRIORITY, "b", READY, ready_at=Instant(11)), "Q5", id="ready before its time"),
    pytest.param(with_row(PRIORITY, "c", WAITING, ready_at=NOW), "Q5", id="waits after its time"),
    pytest.param(replace(PRIORITY, consumers=1), "Q6", id="a consumer is not served"),
    pytest.param(replace(PRIORITY, length=1), "Q7", id="wrong length"),
    pytest.param(replace(PRIORITY, up_next=None), "Q8", id="nothing up next"),
    pytest.param(replace(PRIORITY, up_next=PARKED_NUMBER), "Q8", id="a locked entry up next"),
    pytest.param(replace(PRIORITY, next_ready_at=None), "Q9", id="no next ready time"),
    pytest.param(replace(PRIORITY, dead_places=DEAD_PLACES_MAX + 5), "Q10", id="too many dead places"),
    pytest.param(with_row(PRIORITY, "b", READY, causes=MANY_CAUSES), "Q11", id="too many causes"),
    pytest.param(replace(PRIORITY, is_shut_down=True, consumers=1), "Q12", id="waits after the shut-down"),
    pytest.param(with_row(PRIORITY, "b", READY, is_quiet=True), "Q13", id="quiet and free"),
    pytest.param(with_row(PRIORITY, "c", WAITING, is_quiet=True), "Q13", id="quiet and waiting"),
    pytest.param(with_row(PRIORITY, "a", HELD, is_quiet=True), "Q13", id="quiet and held"),
]

BROKEN_CLASSIC = [
    pytest.param(with_row(CLASSIC, "c", WAITING, key="a", standing=HELD), "C1", id="in work twice"),
    pytest.param(
        replace(CLASSIC, rows=(*CLASSIC.rows, row(CLASSIC, "c", WAITING))), "C1", id="two delayed asks for a key"
    ),
    pytest.param(with_row(CLASSIC, "b", READY, key="a", is_locked=True), "C1", id="marked twice"),
    pytest.param(without(CLASSIC, "a", HELD), "C2", id="marked, neither in work nor in the line"),
    pytest.param(with_row(CLASSIC, "b", READY, is_locked=True), "C2", id="marked, and lost from the line"),
    pytest.param(with_row(CLASSIC, "c", WAITING, ready_at=Instant(31)), "C3", id="moved later"),
    pytest.param(with_row(CLASSIC, "b", READY, ready_at=Instant(11)), "C4", id="marked before its time"),
    pytest.param(with_row(CLASSIC, "a", READY, ready_at=Instant(11)), "C4", id="parked before its time"),
    pytest.param(with_row(CLASSIC, "c", WAITING, ready_at=NOW), "C4", id="waits after its time"),
    pytest.param(replace(CLASSIC, consumers=1), "C5", id="a consumer is not served"),
    pytest.param(replace(CLASSIC, length=2), "C6", id="the length counts the parked key"),
    pytest.param(replace(CLASSIC, length=0), "C6", id="the length misses a key"),
    pytest.param(replace(CLASSIC, up_next=None), "C7", id="nothing up next"),
    pytest.param(replace(CLASSIC, up_next=row(CLASSIC, "a", READY).number), "C7", id="a parked key up next"),
    pytest.param(replace(CLASSIC, next_ready_at=None), "C8", id="no next ready time"),
    pytest.param(replace(CLASSIC, next_ready_at=Instant(31)), "C8", id="the next ready time is late"),
    pytest.param(with_row(CLASSIC, "b", READY, causes=MANY_CAUSES), "C9", id="a mark with too many causes"),
    pytest.param(with_row(CLASSIC, "c", WAITING, causes=MANY_CAUSES), "C9", id="a delayed ask with too many causes"),
    pytest.param(replace(CLASSIC, is_shut_down=True, consumers=1), "C10", id="waits after the shut-down"),
    pytest.param(replace(CLASSIC, drains=1), "C10", id="drains before the shut-down"),
    pytest.param(with_row(CLASSIC, "b", READY, is_quiet=True), "C11", id="quiet and in nobody's hands"),
]


@pytest.mark.parametrize("made", [priority, classic_queue])
def test_a_healthy_queue_passes(made: Callable[[], Snapshot]) -> None:
    check(made())
    check(made(), before=made())


@pytest.mark.parametrize(("queue", "number"), BROKEN_PRIORITY + BROKEN_CLASSIC)
def test_a_broken_invariant_is_named_by_its_number(queue: Snapshot, number: str) -> None:
    with pytest.raises(InvariantError, match=rf"\b{number}:"):
        check(queue, before=PRIORITY if queue.discipline == "priority" else CLASSIC)


@pytest.mark.parametrize(
    "queue", [with_row(queue, "c", WAITING, ready_at=Instant(31)) for queue in (PRIORITY, CLASSIC)]
)
def test_what_is_compared_with_an_earlier_moment_is_skipped_without_one(queue: Snapshot) -> None:
    check(replace(queue, next_ready_at=Instant(31)))


def test_every_broken_invariant_is_named() -> None:
    broken = replace(CLASSIC, consumers=1, length=7, next_ready_at=None, drains=1)
    with pytest.raises(InvariantError, match=r"^the work queue breaks C5: .*; C6: .*; C8: .*; C10: "):
        check(broken)


def test_a_stray_done_breaks_nothing_on_the_classic_queue() -> None:
    made: ClassicCore[str] = ClassicCore()
    made.add("a", now=NOW, ready_at=NOW)
    made.done("a")
    check(made.snapshot())
    made.take(now=NOW)
    made.add("a", now=NOW, ready_at=NOW)
    check(made.snapshot())


def test_after_the_shut_down_a_key_whose_time_has_come_may_still_wait() -> None:
    for queue in (PRIORITY, CLASSIC):
        shut = with_row(replace(queue, is_shut_down=True), "c", WAITING, ready_at=NOW)
        next_up = queue.up_next if queue.discipline == "classic" else None
        check(replace(shut, up_next=next_up, next_ready_at=None))


@pytest.mark.parametrize(
    ("room", "cases"),
    [pytest.param(core, BROKEN_PRIORITY, id="core"), pytest.param(classic, BROKEN_CLASSIC, id="classic")],
)
def test_every_invariant_of_a_core_has_a_case_here(room: Any, cases: list[Any]) -> None:
    said = re.findall(r"^    ([QC]\d+) ", room.__doc__, re.MULTILINE)
    assert said == [f"{said[0][0]}{number}" for number in range(1, len(said) + 1)]
    assert {str(case.values[1]) for case in cases} == set(said)
