"""The short story of one object's attempts, told from its journal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.journal import Asked, EventSeen, Noted, PassStarted, Record

__all__ = ["timeline"]

_TOPICS = frozenset({"outcome", "decided"})


def timeline(records: Sequence[Record], *, start: int) -> Iterator[str]:
    """
    Yield, for each pass that sent something, what woke it, why each attempt was due, and what came of it.

    Args:
        records: Of one key, oldest first.
        start: The instant that times are counted from.
    """
    by_id = {record.id: record for record in records}
    notes: dict[int, list[Noted]] = {}
    for record in records:
        if isinstance(record, Noted) and record.causes:
            notes.setdefault(record.causes[0], []).append(record)
    for record in records:
        said = notes.get(record.id, [])
        if not isinstance(record, PassStarted) or not any(note.topic == "send" for note in said):
            continue
        yield f"  {(record.at - start) / 1e9:7.3f}s  woken by {_waker(by_id.get(record.causes[0]), by_id)}"
        yield from (f"            {_line(note)}" for note in said if note.topic in _TOPICS or note.topic == "send")


def _waker(ask: Record | None, by_id: dict[int, Record]) -> str:
    if not isinstance(ask, Asked):
        return "an ask that the journal no longer holds"
    if ask.by == "event":
        seen = [by_id[cause] for cause in ask.causes if cause in by_id]
        return ", ".join(_seen(event) for event in seen if isinstance(event, EventSeen)) or "an event"
    return f"its own {ask.by} of {(ask.asked_for - ask.at) / 1e9:.3f} s, asked by the pass before"


def _seen(event: EventSeen) -> str:
    return f"the object's {event.verb}" + (f" ({event.origin.value})" if event.verb == "update" else "")


def _line(note: Noted) -> str:
    return f"send {note.text}" if note.topic == "send" else note.text
