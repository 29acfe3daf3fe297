"""What a key is doing now, and what would wake it: tables over what stands for it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from reconciler.journal.present import Present
from reconciler.journal.sentence import Sentence

__all__ = ["State", "Wake", "WakeBy", "state_of", "wakes_of"]


class State(Enum):
    """What a key is doing."""

    IN_WORK = "in work"
    READY = "ready"
    WAITING = "waiting"
    IDLE = "idle"
    NEVER_SEEN = "never seen"
    """The journal holds no record of it."""


class WakeBy(Enum):
    """What can start a pass."""

    END_OF_PASS = "the end of the pass in work"
    WORKER = "a free worker"
    TIME = "a time"
    OWED = "an owed time"
    EVENT = "any event"
    LOUD_EVENT = "an event that is not quiet"
    ONLY_EVENT = "only an event"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Wake:
    """
    One thing that would start a pass.

    Attributes:
        at: When, for a time.
        ask: The id of the `Asked` record that it stands for; 0 where no ask was made yet.
    """

    by: WakeBy
    said: Sentence
    at: int | None = None
    ask: int = 0

    @property
    def sentence(self) -> str:
        """The same in words, with moments in seconds of the monotonic clock."""
        return str(self.said)


def state_of(present: Present, *, has_records: bool) -> State:
    """Return what the key is doing. A ready key whose pass is in work is in work."""
    if present.running is not None:
        return State.IN_WORK
    if present.ready is not None and not present.is_shut_down:
        return State.READY
    if present.has_pending:
        return State.WAITING
    return State.IDLE if has_records else State.NEVER_SEEN


def wakes_of(present: Present) -> tuple[Wake, ...]:
    """Return what would start a pass, the soonest first."""
    if present.is_shut_down:
        return (
            Wake(WakeBy.NOTHING, _said("nothing: the queue is shut down; the first list after a restart brings it")),
        )
    return (*_pending(present), _event(present))


def _pending(present: Present) -> Iterator[Wake]:
    ready, delayed, owed = present.ready, present.delayed, present.owed
    if ready is not None:
        by = WakeBy.WORKER if present.running is None else WakeBy.END_OF_PASS
        what = "as soon as a worker is free" if present.running is None else "as soon as the pass in work ends"
        yield Wake(by, _said(f"{what}, asked for by #{ready.id}"), ask=ready.id)
    if delayed is not None and (owed is None or owed.due_at != delayed.ready_at):
        said = _said("at ", delayed.ready_at, f", asked for by #{delayed.id} ({delayed.by})")
        yield Wake(WakeBy.TIME, said, delayed.ready_at, delayed.id)
    if owed is not None:
        ask = delayed.id if delayed is not None and owed.due_at == delayed.ready_at else 0
        yield Wake(WakeBy.OWED, _said("at ", owed.due_at, f", which is owed by #{owed.id}"), owed.due_at, ask)


def _event(present: Present) -> Wake:
    if present.owed is not None:
        return Wake(WakeBy.LOUD_EVENT, _said("an event that is not quiet; quiet ones wait with it for the owed time"))
    if present.has_pending:
        return Wake(WakeBy.EVENT, _said("any event"))
    return Wake(WakeBy.ONLY_EVENT, _said("only an event"))


def _said(*parts: str | int) -> Sentence:
    return Sentence(parts)
