"""
Why things happened: typed records, linked by cause, kept in bounded rings or a file, read back by `explain`.

Everything that decides writes here, and everything that tells (logs, metrics, tests, `explain`) reads from here. The
journal takes no decision, reads no clock (records carry the time they were given) and holds no object's content.
It belongs to the event loop's thread.
"""

from reconciler.journal.detect import Finding, FindingKind, hot_loop, lost_wake_up
from reconciler.journal.explain import Explanation, LostWakeUp, explain, explain_records, render, verdict
from reconciler.journal.form import JournalHeader
from reconciler.journal.journal import Cause, Journal, current_cause
from reconciler.journal.present import Present
from reconciler.journal.reader import JournalFile, read_journal
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
from reconciler.journal.sentence import Sentence, in_words
from reconciler.journal.wakes import State, Wake, WakeBy
from reconciler.journal.writer import JournalWriter

__all__ = [
    "FIELDS_MAX",
    "Asked",
    "Cause",
    "Changed",
    "EventSeen",
    "Explanation",
    "Finding",
    "FindingKind",
    "Journal",
    "JournalFile",
    "JournalHeader",
    "JournalWriter",
    "LostWakeUp",
    "Noted",
    "Origin",
    "Owed",
    "PassEnded",
    "PassStarted",
    "Present",
    "Promoted",
    "Record",
    "Sentence",
    "State",
    "Wake",
    "WakeBy",
    "Wrote",
    "current_cause",
    "explain",
    "explain_records",
    "hot_loop",
    "in_words",
    "lost_wake_up",
    "read_journal",
    "render",
    "verdict",
]
