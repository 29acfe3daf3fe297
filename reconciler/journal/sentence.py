"""Sentences about moments, which are told in whatever clock the reader wants; and records in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.journal.records import (
    Asked,
    EventSeen,
    Noted,
    Origin,
    Owed,
    PassEnded,
    PassStarted,
    Promoted,
    Record,
    Wrote,
)

__all__ = ["Sentence", "Tell", "event_in_words", "in_words", "seconds_in_words"]

Tell = Callable[[int], str]
"""How a moment (monotonic nanoseconds) is told."""


def seconds_in_words(span_ns: int) -> str:
    """Return a span, or a moment counted from 0, in seconds."""
    return f"{span_ns / 1e9:.3f}s"


@dataclass(frozen=True, slots=True)
class Sentence:
    """Text in parts; a whole number among them is a moment. `str` tells moments in seconds of the monotonic clock."""

    parts: tuple[str | int, ...]

    def told(self, tell: Tell) -> str:
        """Return the sentence with its moments told by `tell`."""
        return "".join(part if isinstance(part, str) else tell(part) for part in self.parts)

    def __str__(self) -> str:
        return self.told(seconds_in_words)


def in_words(record: Record, tell: Tell) -> str:
    """Return what a record says, without its id, time and causes."""
    words: Callable[[Any, Tell], str] = _WORDS[type(record)]
    return words(record, tell)


def event_in_words(event: EventSeen, *, is_linked: bool = False) -> str:
    """Return what happened, and whose doing it was; `is_linked` says that the write that did it is known."""
    what = event.verb + (f" of {event.kind} {event.source}".rstrip() if event.source else "")
    if event.verb == "update":
        changed = (event.changed.name or "nothing").lower().replace("other", "status or other")
        origin = Origin.OWN if is_linked else event.origin
        what += f", changed {changed}, {origin.value}"
    return what


def _event(record: EventSeen, tell: Tell) -> str:
    del tell
    verb, comma, rest = event_in_words(record).partition(",")
    what = f"{verb} seen" + (", initial list" if record.is_initial else "") + comma + rest
    what += f", version {record.new_version}" if record.new_version else ""
    what += ", quiet" if record.is_quiet else ""
    return what + (f"; dropped by {record.dropped_by}" if record.dropped_by else "")


def _asked(record: Asked, tell: Tell) -> str:
    delay = record.asked_for - record.at
    when = f"in {seconds_in_words(delay)}" if delay > 0 else "now"
    text = f"asked for a pass {when} ({record.by}): {record.verdict}"
    if record.lost_ask and record.lost_ask == record.id:
        beaten = f"; this ask lost to the one at {tell(record.ready_at)}"
        text += beaten if record.standing_ask else ""
    elif record.lost_ask:
        text += f"; the wake-up of #{record.lost_ask} at {tell(record.lost_at)} is gone"
    return text


def _promoted(record: Promoted, tell: Tell) -> str:
    del tell
    return f"the time of #{record.ask} has come: {record.verdict}"


def _owed(record: Owed, tell: Tell) -> str:
    return f"owed wake-up at {tell(record.due_at)}: {record.what}"


def _ended(record: PassEnded, tell: Tell) -> str:
    del tell
    text = f"pass ended: {record.ending}"
    if record.error:
        text += f" ({record.error})"
    if record.asked_after:
        text += f", come back after {seconds_in_words(record.asked_after)}"
    return text


def _wrote(record: Wrote, tell: Tell) -> str:
    del tell
    versions = f"{record.old_version or '-'} -> {record.new_version or '-'}"
    code = str(record.code) if record.code else "no answer"
    lost = f"; dropped by the server: {', '.join(record.pruned)}" if record.pruned else ""
    lost += f"; changed by the server: {', '.join(record.changed)}" if record.changed else ""
    return f"{record.verb} {record.target}: {code}, version {versions}" + (" (late)" if record.is_late else "") + lost


def _started(record: PassStarted, tell: Tell) -> str:
    del tell
    return f"pass started after waiting {seconds_in_words(record.waited)}"


def _noted(record: Noted, tell: Tell) -> str:
    del tell
    return f"{record.topic}: {record.text}"


_WORDS: Mapping[type[Record], Callable[[Any, Tell], str]] = {
    EventSeen: _event,
    Asked: _asked,
    Promoted: _promoted,
    Owed: _owed,
    PassStarted: _started,
    PassEnded: _ended,
    Wrote: _wrote,
    Noted: _noted,
}
