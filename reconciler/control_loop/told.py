"""What a queue answers, as records of the journal. Pure."""

from __future__ import annotations

from typing import TypeVar

from reconciler.instant import Instant
from reconciler.journal import Asked, Promoted
from reconciler.workqueue import AskedBy, Placed, Promotion

__all__ = ["asked_record", "promoted_record"]

K = TypeVar("K")


def asked_record(placed: Placed[K], by: AskedBy, scope: str) -> Asked:
    """Return the record of an ask; its id is the ask's own. `scope` is the controller's name."""
    return Asked(
        placed.ask,
        placed.causes,
        placed.at,
        scope,
        placed.key,
        by,
        placed.verdict._value_,  # what `value` returns, which is a property and costs a call, at each ask
        placed.asked_for,
        placed.ready_at,
        -1 if placed.lost_at is None else placed.lost_at,
        placed.lost_ask,
        placed.standing_ask,
        placed.priority,
    )


def promoted_record(promotion: Promotion[K], scope: str, *, record_id: int, at: Instant) -> Promoted:
    """Return the record of a delayed ask whose time has come, noticed at `at`."""
    verdict = promotion.verdict.value
    return Promoted(record_id, (promotion.ask,), at, scope, promotion.key, promotion.ask, verdict)
