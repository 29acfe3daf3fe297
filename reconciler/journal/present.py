"""
What stands for a key at the end of its records: one rule for each kind of record. Pure.

On the priority queue a key has one entry; on the classic one a ready ask and a delayed one can stand at once, so both
have a place here. The journal follows these rules for each key that it keeps, so the present stays known when the
records that made it are long evicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.journal.records import Asked, Owed, PassEnded, PassStarted, Promoted, Record
from reconciler.journal.words import (
    DELAYED,
    FOLDED,
    HELD,
    HOLD,
    KEPT_SOONER,
    MADE_READY,
    OWED_LOST_AT_STOP,
    OWED_STANDS,
    PARKED,
    QUEUED,
    RETRIES,
    SHUT_DOWN,
    SOONER,
)

__all__ = ["Present"]


class Present:
    """
    The present of one key.

    Attributes:
        ready: The ask for which the key is ready, or will be as soon as the pass in work ends.
        delayed: The ask whose time lies ahead.
        owed: The wake-up that is owed (`Result.hold`).
        running: The start of the pass that is in work.
        started: The start of the last pass.
        ended: The end of the last pass.
        asker: Start and end of the pass that made the delayed ask.
        lost: The ids of the records that show the last wake-up that was beaten and not asked for again: who asked, what
            beat it, and why.
        is_shut_down: Whether the last ask found the queue shut down.
    """

    __slots__ = ("asker", "delayed", "ended", "is_shut_down", "lost", "owed", "ready", "running", "started")

    def __init__(self) -> None:
        self.ready: Asked | None = None
        self.delayed: Asked | None = None
        self.owed: Owed | None = None
        self.running: PassStarted | None = None
        self.started: PassStarted | None = None
        self.ended: PassEnded | None = None
        self.asker: tuple[Record, ...] = ()
        self.lost: tuple[int, ...] = ()
        self.is_shut_down = False

    def follow(self, records: Iterable[Record]) -> None:
        """Take in the next records of the key."""
        for record in records:
            rule = _RULES.get(type(record))
            if rule is not None:
                rule(self, record)

    @property
    def is_asleep(self) -> bool:
        """Whether the key is in work or waits for a time: nothing new may be written about it for long."""
        return self.running is not None or self.delayed is not None or self.owed is not None

    @property
    def has_pending(self) -> bool:
        """Whether a pass runs or will run without a further event."""
        return not self.is_shut_down and (self.is_asleep or self.ready is not None)

    def evidence(self) -> tuple[int, ...]:
        """Return the ids of the records that explain what stands and what was lost."""
        records = (self.ready, self.delayed, self.owed, self.started, self.ended, *self.asker)
        return tuple(sorted({record.id for record in records if record is not None}.union(self.lost)))


def _asked(present: Present, record: Asked) -> None:
    move = _MOVES.get(record.verdict)
    if move is not None:
        if present.is_shut_down and record.verdict != SHUT_DOWN:
            # Another queue, of a controller that was started anew: what the old one held is gone.
            present.ready, present.delayed, present.asker = None, None, ()
        present.is_shut_down = record.verdict == SHUT_DOWN
        move(present, record)


def _make_ready(present: Present, record: Asked) -> None:
    present.ready = record


def _delay(present: Present, record: Asked) -> None:
    is_of_a_pass = present.ended is not None and present.ended.id in record.causes
    if present.delayed is None or record.by in {"requeue_after", HOLD}:
        present.lost = ()
    else:
        _lose(present, present.delayed, record)
    if record.by == HOLD and not is_of_a_pass:
        # Quiet events that wait for the owed time: what they had made ready, if anything, was taken back.
        present.ready = None
    present.delayed = record
    present.asker = ()
    if present.ended is not None and is_of_a_pass:
        present.asker = (present.ended,) if present.started is None else (present.started, present.ended)


def _make_waiting_ready(present: Present, record: Asked) -> None:
    if present.delayed is not None:
        _lose(present, present.delayed, record)
    present.ready, present.delayed, present.asker = record, None, ()


def _lose(present: Present, loser: Asked, winner: Asked) -> None:
    asker = [record.id for record in present.asker]
    present.lost = (*asker, loser.id, winner.id, *winner.causes[-_CAUSES_KEPT:])


def _merge(present: Present, record: Asked) -> None:
    # What it was merged into is known, unless the key was evicted as a whole in between: then this ask tells.
    if present.ready is None and present.delayed is None:
        if record.ready_at > record.at:
            present.delayed = record
        else:
            present.ready = record
    standing = present.ready or present.delayed
    if record.verdict == KEPT_SOONER and record.by in RETRIES and standing is not None and standing is not record:
        present.lost = (*record.causes[-_CAUSES_KEPT:], record.id, standing.id, *standing.causes[-_CAUSES_KEPT:])
        present.lost += (present.started.id,) if present.started is not None else ()


def _hold(present: Present, record: Asked) -> None:
    if present.delayed is not None and record.standing_ask == present.delayed.id:
        # An event waits with a ready entry before it waits with a delayed one: there is no ready one any more.
        present.ready = None


def _ignore(present: Present, record: Asked) -> None:
    del record


def _promoted(present: Present, record: Promoted) -> None:
    due = present.delayed
    if due is None or due.id != record.ask:
        return
    present.delayed, present.asker = None, ()
    if record.verdict != FOLDED:
        present.ready = due


def _started(present: Present, record: PassStarted) -> None:
    taken = record.causes[0] if record.causes else 0
    # An ask may have been placed between the hand-out and this record: then that one stands.
    if present.ready is not None and taken in {present.ready.id, 0}:
        present.ready = None
    elif present.delayed is not None and present.delayed.id == taken:
        present.delayed, present.asker = None, ()
    present.running = present.started = record


def _ended(present: Present, record: PassEnded) -> None:
    present.running = None
    present.ended = record


def _owed(present: Present, record: Owed) -> None:
    present.owed = record if record.what in OWED_STANDS else None
    present.is_shut_down = present.is_shut_down or record.what == OWED_LOST_AT_STOP
    if present.delayed is not None and present.delayed.id == record.withdrew:
        present.delayed, present.asker = None, ()
    if present.ready is not None and present.ready.id == record.withdrew:
        present.ready = None


_CAUSES_KEPT = 2
"""Causes of an ask that count as evidence, the newest: there can be many."""

_MOVES: Mapping[str, Callable[[Present, Asked], None]] = MappingProxyType({
    QUEUED:      _make_ready,
    PARKED:      _make_ready,
    DELAYED:     _delay,
    SOONER:      _delay,
    MADE_READY:  _make_waiting_ready,
    KEPT_SOONER: _merge,
    FOLDED:      _merge,
    HELD:        _hold,
    SHUT_DOWN:   _ignore,
})  # fmt: skip

_RULES: Mapping[type[Record], Callable[[Present, Any], None]] = {
    Asked: _asked,
    Promoted: _promoted,
    Owed: _owed,
    PassStarted: _started,
    PassEnded: _ended,
}
