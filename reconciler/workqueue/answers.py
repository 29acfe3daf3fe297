"""What a queue answers: the verdict on an ask, the key that is handed out, and a frozen view for people and tests."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Literal, TypeVar

import msgspec

from reconciler.instant import Instant

__all__ = ["CAUSES_MAX", "Discipline", "Item", "Placed", "Promotion", "QueueSnapshot", "Row", "Standing", "Verdict"]

K = TypeVar("K", bound=Hashable)


CAUSES_MAX = 16
"""Causes that one entry keeps; the newest stay."""

Discipline = Literal["classic", "priority"]
"""Which of Go's two queues: client-go's rate-limited delaying queue, or controller-runtime's priority queue."""


class Verdict(Enum):
    """What became of an ask. The value says it in words."""

    QUEUED = "the key is ready"
    DELAYED = "the key waits for that time"
    MADE_READY = "the waiting key is ready now, so its later wake-up is gone"
    SOONER = "the waiting key comes sooner now, so its later wake-up is gone"
    KEPT_SOONER = "the key is ready or due sooner already, so this wake-up is gone"
    FOLDED = "the key was asked for at that time already"
    PARKED = "the key is in work, and ready again as soon as that is done"
    HELD = "the event waits with the key for its owed time"
    SHUT_DOWN = "the queue is shut down, so the ask is ignored"


class Placed(msgspec.Struct, Generic[K], frozen=True, gc=False):
    """
    The answer to one ask: what became of it, and which wake-up it cost.

    A wake-up is lost if no pass will start for it at its own time because another ask beat it. The loser is
    `lost_ask`, the winner `standing_ask`; one of the two is this `ask`. After `SHUT_DOWN` the ask itself is lost, and
    nothing beat it.

    Attributes:
        at: The moment of the decision.
        asked_for: The moment that was asked for; `at` if that was in the past.
        ready_at: The time of the entry after the decision; since when it is ready, if it is.
        priority: The priority of the entry after the decision; 0 on the classic queue, which has none.
        causes: The causes of this ask alone.
        standing_ask: The ask whose time the entry has now; 0 after `SHUT_DOWN`.
        lost_at: The time of the wake-up that lost; None if none did.
        lost_ask: The ask that lost; 0 if none did.
    """

    key: K
    verdict: Verdict
    ask: int
    at: Instant
    asked_for: Instant
    ready_at: Instant
    priority: int
    causes: tuple[int, ...]
    standing_ask: int
    lost_at: Instant | None = None
    lost_ask: int = 0


class Promotion(msgspec.Struct, Generic[K], frozen=True, gc=False):
    """
    The time of a delayed ask has come.

    Attributes:
        ask: The ask.
        at: The time that it waited for.
        verdict: `QUEUED`; `PARKED` if the key is in work; `FOLDED` if the key is ready already (classic queue only).
    """

    key: K
    ask: int
    at: Instant
    verdict: Verdict


class Item(msgspec.Struct, Generic[K], frozen=True, gc=False):
    """
    A key as it is handed out.

    Attributes:
        causes: The causes of all asks that were merged into it, oldest first; the newest `CAUSES_MAX`.
        ready_at: Since when it was ready.
        ask: The ask whose time it had.
    """

    key: K
    priority: int
    causes: tuple[int, ...]
    ready_at: Instant
    ask: int


class Standing(Enum):
    """Where an entry is."""

    HELD = "held"
    READY = "ready"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Row(Generic[K]):
    """
    One entry in a snapshot.

    Attributes:
        is_locked: Whether it must wait until the key is done, since the key is handed out.
        number: Tells entries of one key apart; a later entry has a higher number.
        is_quiet: Whether only quiet asks made it.
    """

    key: K
    standing: Standing
    ready_at: Instant
    priority: int
    ask: int
    causes: tuple[int, ...]
    is_locked: bool
    number: int
    is_quiet: bool = False


@dataclass(frozen=True, slots=True)
class QueueSnapshot(Generic[K]):
    """
    A queue at one moment.

    Attributes:
        at: The latest moment that the queue knows of.
        rows: Held ones in the order of their hand-out, then ready ones in their order, then waiting ones in theirs.
        length: What `len` answers.
        up_next: The entry number of the next hand-out; None if no key can be handed out.
        next_ready_at: When the next waiting entry becomes ready.
        consumers: How many consumers wait.
        dead_places: Places of entries that moved or left, still in the lines.
        drains: How many `shut_down_with_drain` wait; always 0 on the priority queue.
    """

    at: Instant
    rows: tuple[Row[K], ...]
    length: int
    up_next: int | None
    next_ready_at: Instant | None
    consumers: int
    dead_places: int
    is_shut_down: bool
    discipline: Discipline = "priority"
    drains: int = 0
