"""Finds the wake-up of a key that was asked for and beaten, and follows what came of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.journal.records import Asked, EventSeen, Origin, Owed, PassEnded, PassStarted, Record
from reconciler.journal.words import DONE, HOLD, KEPT_SOONER, OWED_STANDS, RETRIES, SHUT_DOWN, WANTS_BACK

__all__ = ["Loss", "find_loss"]


@dataclass(slots=True)
class Loss:
    """
    A wake-up that did not come.

    Attributes:
        due_at: When it would have come.
        ask: What asked for it; None if a pass wanted to come back and nobody asked.
        started: The pass that wanted it, as far as it is kept; so is `ended`.
        beater: The ask that stood instead.
        events: What made that ask.
        ended_well: The passes that ended well since, and asked for nothing.
    """

    due_at: int
    ask: Asked | None = None
    started: PassStarted | None = None
    ended: PassEnded | None = None
    beater: Asked | None = None
    events: tuple[EventSeen, ...] = ()
    ended_well: list[PassEnded] = field(default_factory=list[PassEnded])

    @property
    def is_certain(self) -> bool:
        """Whether no pass had the chance to say that the work is finished."""
        return not self.ended_well

    def record_ids(self) -> tuple[int, ...]:
        """Return the ids of the records that show it, oldest first."""
        records = (self.started, self.ended, self.ask, self.beater, *self.events, *self.ended_well)
        return tuple(sorted({record.id for record in records if record is not None}))


def find_loss(records: Sequence[Record], links: Mapping[int, int]) -> Loss | None:
    """
    Return the wake-up that was lost last and never made good; None if there is none.

    Whether anything is pending for the key is the caller's to check. `links` leads from own events to their writes.
    """
    search = _Search(records, links)
    for record in records:
        rule = _RULES.get(type(record))
        if rule is not None:
            rule(search, record)
    return search.result()


class _Search:
    def __init__(self, records: Sequence[Record], links: Mapping[int, int]) -> None:
        self._by_id = {record.id: record for record in records}
        self._links = links
        self._loss: Loss | None = None
        self._last_started: PassStarted | None = None
        self._unasked: PassEnded | None = None
        self._is_gone = False

    def result(self) -> Loss | None:
        ended = self._unasked
        if ended is not None:
            return Loss(ended.at + ended.asked_after, started=self._start_of(ended), ended=ended)
        return self._loss

    def seen(self, event: EventSeen) -> None:
        if event.source:
            return
        self._is_gone = event.verb == "delete"
        if self._is_gone:
            self._loss = None  # nothing is left to be reconciled

    def owed(self, owed: Owed) -> None:
        if owed.what not in OWED_STANDS:
            self._loss = None  # somebody decided: the reconciler, or the stop of the process

    def asked(self, ask: Asked) -> None:
        if self._unasked is not None and self._unasked.id in ask.causes:
            self._unasked = None
        if self._is_gone:
            return
        if ask.verdict == SHUT_DOWN:
            self._loss = None  # a stop: the first list after it brings the key back
            return
        if ask.verdict == KEPT_SOONER:
            if ask.by in RETRIES:
                self._lose(ask, self._by_id.get(ask.standing_ask))
            return
        # A backoff comes for the failed pass; it does not renew what another pass asked for.
        if ask.by in {"requeue_after", HOLD}:
            self._loss = None
        elif ask.lost_ask and ask.lost_ask != ask.id:
            lost = self._by_id.get(ask.lost_ask)
            if isinstance(lost, Asked) and lost.by in RETRIES:
                self._lose(lost, ask)

    def started(self, start: PassStarted) -> None:
        self._last_started = start
        # A later process, or a pass for another reason: what was to be asked for is settled by it.
        self._unasked = None
        if self._loss is not None and start.at >= self._loss.due_at:
            self._loss = None

    def ended(self, end: PassEnded) -> None:
        if end.ending in WANTS_BACK:
            self._unasked = end
        if self._loss is None or end.ending != DONE:
            return
        if self._was_started_by_others():
            self._loss = None
        else:
            self._loss.ended_well.append(end)

    def _lose(self, ask: Asked, beater: Record | None) -> None:
        ended = next((one for one in map(self._by_id.get, ask.causes) if isinstance(one, PassEnded)), None)
        beating = beater if isinstance(beater, Asked) else None
        events = [self._by_id.get(cause) for cause in beating.causes] if beating else []
        self._loss = Loss(
            ask.asked_for,
            ask,
            self._start_of(ended),
            ended,
            beating,
            tuple(event for event in events if isinstance(event, EventSeen)),
        )

    def _start_of(self, ended: PassEnded | None) -> PassStarted | None:
        start = self._by_id.get(ended.causes[0]) if ended is not None and ended.causes else None
        return start if isinstance(start, PassStarted) else None

    def _was_started_by_others(self) -> bool:
        """Whether a new event of somebody else, not the one that beat the wake-up, is a cause of the last pass."""
        if self._last_started is None or self._loss is None:
            return False
        beating = {event.id for event in self._loss.events}
        for cause in self._last_started.causes:
            event = self._by_id.get(cause)
            if isinstance(event, EventSeen) and event.id not in beating and not self._is_own(event):
                return True
        return False

    def _is_own(self, event: EventSeen) -> bool:
        return event.verb == "update" and (event.origin is Origin.OWN or event.id in self._links)


_RULES: Mapping[type[Record], Callable[[_Search, Any], None]] = {
    EventSeen: _Search.seen,
    Owed: _Search.owed,
    Asked: _Search.asked,
    PassStarted: _Search.started,
    PassEnded: _Search.ended,
}
