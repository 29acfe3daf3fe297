"""
Why things happened: typed records, linked by cause, kept in bounded rings, read back by `explain`.

Everything that decides writes here, and everything that tells (logs, metrics, tests, `explain`) reads from here. The
journal takes no decision, reads no clock (records carry the time they were given) and holds no object's content.
It belongs to the event loop's thread.
"""

from reconciler.journal.explain import Explanation, LostWakeUp, explain, render
from reconciler.journal.journal import Cause, Journal, current_cause
from reconciler.journal.records import (
    FIELDS_MAX,
    Asked,
    Changed,
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

__all__ = [
    "FIELDS_MAX",
    "Asked",
    "Cause",
    "Changed",
    "EventSeen",
    "Explanation",
    "Journal",
    "LostWakeUp",
    "Noted",
    "Origin",
    "Owed",
    "PassEnded",
    "PassStarted",
    "Promoted",
    "Record",
    "Wrote",
    "current_cause",
    "explain",
    "render",
]
