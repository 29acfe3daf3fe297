"""
The form of a journal file: JSON Lines, a header first, then one record a line.

A header says how monotonic time and wall time stood to each other when the part was begun; records carry monotonic
time alone. Keys are written as text, `namespace/name`. New fields may come within a version; a reader skips what it
does not know.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from reconciler.journal.records import (
    Asked,
    EventSeen,
    Noted,
    Owed,
    PassEnded,
    PassStarted,
    Promoted,
    Record,
    Wrote,
)

__all__ = ["FORMAT", "VERSION", "Gap", "JournalHeader", "decode_line", "older_part"]

FORMAT = "reconciler-journal"
VERSION = 1


class JournalHeader(msgspec.Struct, frozen=True):
    """
    The first line of a part.

    Attributes:
        at: The monotonic time at which the part was begun, in nanoseconds.
        wall: The wall time at that moment.
        run: The same for all parts of one run, and for no other run.
        part: Counts the parts of a run, from 0.
    """

    format: str
    version: int
    at: int
    wall: datetime
    run: str
    part: int = 0

    def wall_of(self, at: int) -> datetime:
        """Return the wall time of a moment of the same run, as if the wall clock had not been set since."""
        return (self.wall + timedelta(microseconds=(at - self.at) // 1_000)).astimezone(UTC)


class Gap(msgspec.Struct, frozen=True, tag_field="record", tag=True):
    """Stands for records that could not be written."""

    missed: int


_LINE: msgspec.json.Decoder[Record | Gap] = msgspec.json.Decoder(
    EventSeen | Asked | Promoted | Owed | PassStarted | PassEnded | Wrote | Noted | Gap
)


def decode_line(line: bytes) -> Record | Gap:
    """
    Return what one line after the header says.

    Raises:
        msgspec.MsgspecError: It is no record.
    """
    return _LINE.decode(line)


def older_part(path: str) -> str:
    """Return the path of the part before the one at `path`."""
    return f"{path}.1"
