from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.errors import InvariantError
from reconciler.instant import Instant
from reconciler.workqueue import CAUSES_MAX, PriorityCore, QueueSnapshot, Row, Standing, check
from reconciler.workqueue.core import DEAD_PLACES_MAX


def healthy() -> QueueSnapshot[str]:
    """Return a queue with `a` held and asked for again, `b` ready and `c` waiting."""
    core: PriorityCore[str] = PriorityCore()
    now = Instant(10)
    core.add("a", now=now, ready_at=now)
    core.take(now=now)
    core.add("a", now=now, ready_at=now)
    core.add("b", now=now, ready_at=now, priority=1)
    core.add("c", now=now, ready_at=Instant(30))
    return core.snapshot()


def row(key: str, standing: Standing) -> Row[str]:
    return next(row for row in healthy().rows if (row.key, row.standing) == (key, standing))


def with_row(old: Row[str], **changes: Any) -> QueueSnapshot[str]:
    rows = tuple(replace(row, **changes) if row == old else row for row in healthy().rows)
    return replace(healthy(), rows=rows)


HELD_A, READY_A = row("a", Standing.HELD), row("a", Standing.READY)
READY_B, WAITING_C = row("b", Standing.READY), row("c", Standing.WAITING)

BROKEN = [
    pytest.param(with_row(WAITING_C, key="b"), "Q1", id="two entries"),
    pytest.param(with_row(READY_B, key="a", standing=Standing.HELD), "Q1", id="held twice"),
    pytest.param(with_row(READY_A, is_locked=False), "Q2", id="a held key's entry is free"),
    pytest.param(with_row(READY_B, is_locked=True), "Q2", id="locked by nobody"),
    pytest.param(with_row(WAITING_C, ready_at=Instant(31)), "Q3", id="moved later"),
    pytest.param(with_row(READY_B, priority=0), "Q4", id="priority fell"),
    pytest.param(with_row(READY_B, ready_at=Instant(11)), "Q5", id="ready before its time"),
    pytest.param(with_row(WAITING_C, ready_at=Instant(10)), "Q5", id="waits after its time"),
    pytest.param(replace(healthy(), consumers=1), "Q6", id="a consumer is not served"),
    pytest.param(replace(healthy(), length=1), "Q7", id="wrong length"),
    pytest.param(replace(healthy(), up_next=None), "Q8", id="nothing up next"),
    pytest.param(replace(healthy(), up_next=READY_A.number), "Q8", id="a locked entry up next"),
    pytest.param(replace(healthy(), next_ready_at=None), "Q9", id="no next ready time"),
    pytest.param(replace(healthy(), dead_places=DEAD_PLACES_MAX + 5), "Q10", id="too many dead places"),
    pytest.param(with_row(READY_B, causes=tuple(range(CAUSES_MAX + 1))), "Q11", id="too many causes"),
    pytest.param(replace(healthy(), is_shut_down=True, consumers=1), "Q12", id="waits after the shut-down"),
]


def test_a_healthy_queue_passes() -> None:
    check(healthy())
    check(healthy(), before=healthy())


@pytest.mark.parametrize(("queue", "number"), BROKEN)
def test_a_broken_invariant_is_named_by_its_number(queue: QueueSnapshot[str], number: str) -> None:
    with pytest.raises(InvariantError, match=rf"{number}:"):
        check(queue, before=healthy())


def test_every_invariant_of_the_core_has_a_case_here() -> None:
    numbers = {str(case.values[1]) for case in BROKEN}
    assert numbers == {f"Q{number}" for number in range(1, 13)}
