"""
`explain`: the history of one key as data, and `render`: the same in lines for people.

A lost wake-up is a delayed ask that another ask beat, so that no pass starts for it at its own time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from reconciler.journal.journal import Journal
from reconciler.journal.records import Asked, EventSeen, Noted, PassEnded, PassStarted, Record, Wrote

__all__ = ["Explanation", "LostWakeUp", "explain", "render"]


@dataclass(frozen=True, slots=True)
class LostWakeUp:
    """
    A wake-up that was asked for and is not coming: when it would have been, who asked, and what beat it.

    `beaten_by` is the id of the ask that stands instead; 0 if nothing does, because the queue was shut down.
    """

    due_at: int
    ask_id: int
    beaten_by: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    What is known of one key of one controller.

    Attributes:
        records: Oldest first.
        evicted: Older records that are gone.
        lost: Wake-ups that were beaten, oldest first.
        standing: The ask that the queue still holds for the key; None if nothing is asked for.
        is_running: Whether a pass is running now.
    """

    scope: str
    key: Hashable
    records: tuple[Record, ...]
    evicted: int
    lost: tuple[LostWakeUp, ...]
    standing: Asked | None
    is_running: bool


def explain(journal: Journal, scope: str, key: Hashable) -> Explanation:
    """Return the history of one key; for a key nobody ever saw, one without records."""
    records = journal.records(scope, key)
    asks = {record.id: record for record in records if isinstance(record, Asked)}
    standing: Asked | None = None
    is_running = False
    lost: list[LostWakeUp] = []
    for record in records:
        match record:
            case Asked():
                if record.lost_ask:
                    lost.append(LostWakeUp(record.lost_at, record.lost_ask, record.standing_ask))
                standing = asks.get(record.standing_ask, record) if record.standing_ask else standing
            case PassStarted(causes=(taken, *_)):
                # An ask may have been placed between the hand-out and this record: then that one stands.
                standing = None if standing is None or standing.id == taken else standing
                is_running = True
            case PassEnded():
                is_running = False
            case _:
                pass
    return Explanation(scope, key, records, journal.evicted(scope, key), tuple(lost), standing, is_running)


def render(explanation: Explanation, *, start: int = 0) -> Iterator[str]:
    """Yield one line for each record; times are seconds since `start` (an instant in nanoseconds)."""
    yield f"{explanation.scope} {explanation.key}"
    if explanation.evicted:
        yield f"  ... {explanation.evicted} older records are gone"
    for record in explanation.records:
        because = f"  <- {', '.join(f'#{cause}' for cause in record.causes)}" if record.causes else ""
        yield f"  {_seconds(record.at - start):>9}  #{record.id:<5} {_in_words(record, start)}{because}"
    if explanation.is_running:
        yield "  now: a pass is running"
    elif explanation.standing is not None:
        yield f"  now: waiting, ready at {_seconds(explanation.standing.ready_at - start)}"
    else:
        yield "  now: nothing is asked for; an event would wake it"


def _seconds(span_ns: int) -> str:
    return f"{span_ns / 1e9:.3f}s"


def _event(record: EventSeen, start: int) -> str:
    del start
    what = f"{record.verb} seen" + (", initial list" if record.is_initial else "")
    if record.verb == "update":
        changed = record.changed.name or "nothing"
        what += f", changed {changed.lower().replace('other', 'status or other')}, {record.origin.value}"
    return f"{what}, version {record.new_version}"


def _asked(record: Asked, start: int) -> str:
    delay = record.asked_for - record.at
    when = f"in {_seconds(delay)}" if delay > 0 else "now"
    text = f"asked for a pass {when} ({record.by}): {record.verdict}"
    if record.lost_ask == record.id:
        text += f"; this ask lost to the one at {_seconds(record.ready_at - start)}"
    elif record.lost_ask:
        text += f"; the wake-up of #{record.lost_ask} at {_seconds(record.lost_at - start)} is gone"
    return text


def _ended(record: PassEnded, start: int) -> str:
    del start
    text = f"pass ended: {record.ending}"
    if record.error:
        text += f" ({record.error})"
    if record.asked_after:
        text += f", come back after {_seconds(record.asked_after)}"
    return text


def _wrote(record: Wrote, start: int) -> str:
    del start
    versions = f"{record.old_version or '-'} -> {record.new_version or '-'}"
    code = str(record.code) if record.code else "no answer"
    return f"{record.verb} {record.target}: {code}, version {versions}" + (" (late)" if record.is_late else "")


def _started(record: PassStarted, start: int) -> str:
    del start
    return f"pass started after waiting {_seconds(record.waited)}"


def _noted(record: Noted, start: int) -> str:
    del start
    return f"{record.topic}: {record.text}"


_WORDS: dict[type[Record], Callable[..., str]] = {
    EventSeen: _event,
    Asked: _asked,
    PassStarted: _started,
    PassEnded: _ended,
    Wrote: _wrote,
    Noted: _noted,
}


def _in_words(record: Record, start: int) -> str:
    return _WORDS[type(record)](record, start)
