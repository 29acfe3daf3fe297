"""
Which write made the version that an event shows. Pure.

An event is its write's if it shows the version that the write's answer had. For a write with a resourceVersion that is
all; one without may have changed nothing, and then its answer has a version that somebody else made. It made the
version only if nobody had seen that version before, and if what changed is something that it can change.

This is enough to say what keeps a controller busy, and not enough to keep an event waiting: `Result.hold` asks the
own-write ledger alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.journal.records import Changed, EventSeen, Origin, Record, Wrote

__all__ = ["Shown"]

_Place = tuple[str, str]
"""An object, and a version of it."""


class Shown:
    """
    Leads from events to the writes that made what they show.

    Args:
        records: Of one key, and of others whose writes it may have seen, in any order.
        links: From own events to the writes that did them, as far as the own-write ledger is sure.
    """

    def __init__(self, records: Iterable[Record], links: Mapping[int, int]) -> None:
        self._by_id = {record.id: record for record in records}
        self._links = links
        self._wrote: dict[_Place, Wrote] = {}
        self._seen: dict[_Place, EventSeen] = {}
        for number in sorted(self._by_id):
            record = self._by_id[number]
            if isinstance(record, Wrote) and record.new_version and not record.verb.startswith("delete"):
                self._wrote.setdefault((_object_of(record), record.new_version), record)
            elif isinstance(record, EventSeen) and record.new_version:
                self._seen.setdefault((record.source or str(record.key), record.new_version), record)

    def get(self, number: int) -> Record | None:
        """Return the record with that id, if it is kept."""
        return self._by_id.get(number)

    def has_changed(self, wrote: Wrote) -> bool:
        """Whether a pass's write made a new version, as far as the records can tell."""
        if not wrote.causes or not 200 <= wrote.code < 300:
            return False
        if wrote.old_version or not wrote.new_version or wrote.verb == "create":
            return wrote.new_version != wrote.old_version
        place = (_object_of(wrote), wrote.new_version)
        if self._wrote.get(place, wrote) is not wrote:
            return False
        seen = self._seen.get(place)
        if seen is None:
            return True
        if _is_of_status(wrote) and int(seen.changed) & ~_OTHER:
            return False
        # An event often comes before the answer to its write, but never before the write was sent.
        return seen.id > max(wrote.sent_after, wrote.causes[0])

    def made_by(self, event: EventSeen) -> Wrote | None:
        """Return the write that made what an update shows, whichever controller's it is; None if none is known."""
        if event.verb != "update":
            return None
        linked = self._by_id.get(self._links.get(event.id, 0))
        if isinstance(linked, Wrote):
            return linked
        wrote = self._wrote.get((event.source or str(event.key), event.new_version))
        if wrote is None or event.old_version == event.new_version or not self.has_changed(wrote):
            return None
        # The ledger knows a controller's own writes that carried a version: there may be a gap before this one.
        is_refuted = bool(wrote.old_version) and wrote.scope == event.scope and event.origin is Origin.FOREIGN
        return None if is_refuted else wrote


_OTHER = int(Changed.OTHER)


def _is_of_status(wrote: Wrote) -> bool:
    return wrote.target.partition(" ")[0].endswith("/status")


def _object_of(wrote: Wrote) -> str:
    return wrote.target.partition(" ")[2]
