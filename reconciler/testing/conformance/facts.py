"""The journal of a program that is driven, told in the program's own time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from reconciler.control_loop import asked_record, promoted_record
from reconciler.journal import Journal, PassEnded, PassStarted, Record, explain, render
from reconciler.workqueue import AskedBy, Item, Placed, Promotion

__all__ = ["KEYS_TOLD_MAX", "Facts", "tell"]

KEYS_TOLD_MAX = 4
"""Keys whose history is told where a difference names none."""

_SCOPE: Final = "queue"

# The fields of records that hold moments or spans; -1 stands for none.
_TIMES = ("at", "asked_for", "ready_at", "lost_at", "due_at", "waited", "asked_after")


class Facts:
    """Writes down what a queue answers; what a worker would do stands there as a pass."""

    def __init__(self) -> None:
        self.journal = Journal()
        self._passes: dict[str, int] = {}

    def placed(self, placed: Placed[str], by: AskedBy = "event") -> None:
        """Write down the answer to an ask."""
        self.journal.append(asked_record(placed, by, _SCOPE))

    def promoted(self, promotion: Promotion[str]) -> None:
        """Write down that the time of an ask has come."""
        new_id = self.journal.new_id()
        self.journal.append(promoted_record(promotion, _SCOPE, record_id=new_id, at=promotion.at))

    def handed_out(self, item: Item[str], at: int) -> None:
        """Write down that a get has a key."""
        new_id = self._passes[item.key] = self.journal.new_id()
        waited = max(0, at - item.ready_at)
        self.journal.append(PassStarted(new_id, (item.ask, *item.causes), at, _SCOPE, item.key, item.priority, waited))

    def done(self, key: str, at: int) -> None:
        """Write down that a key was let go."""
        started = self._passes.pop(key, 0)
        self.journal.append(PassEnded(self.journal.new_id(), (started,) if started else (), at, _SCOPE, key, "done"))


def tell(journal: Journal, keys: Iterable[object] = (), *, scale: int = 1, until: int | None = None) -> Iterator[str]:
    """
    Yield the history of `keys`, or without any that of the keys heard of last, with all times divided by `scale`.

    `until` leaves out what was written later, in the journal's own time.
    """
    named = {str(key) for key in keys if key}
    places = [place for place in journal.places() if str(place[1]) in named]
    rest = journal.places()
    for scope, key in places or rest[-KEYS_TOLD_MAX:]:
        told = Journal()
        for record in journal.records(scope, key):
            if until is None or record.at <= until:
                told.append(_scaled(record, scale))
        yield from render(explain(told, scope, key))
    if not places and len(rest) > KEYS_TOLD_MAX:
        yield f"... and {len(rest) - KEYS_TOLD_MAX} other keys"


def _scaled(record: Record, scale: int) -> Record:
    if scale == 1:
        return record
    times = {name: value // scale for name in _TIMES if (value := getattr(record, name, -1)) > 0}
    return msgspec.structs.replace(record, **times)
