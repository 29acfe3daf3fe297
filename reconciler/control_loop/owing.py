"""
What one controller owes: wake-ups that were promised (`Result.hold`), and events whose origin is not known yet.

Books only; the controller does what they say. The rules are in hold.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from reconciler.client import OwnWrites
from reconciler.control_loop.hold import HoldMode, Loudness, OwedTime, can_wait
from reconciler.instant import Clock
from reconciler.journal import Changed, EventSeen, Origin
from reconciler.reconcile import Request
from reconciler.source import Sighting

__all__ = ["OwedTimes", "Waiting"]

_PARKED_MAX = 64
"""Events of one pass that are looked at again when it ends; one more, and the key is loud."""


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """An event that may turn out to be quiet."""

    event: EventSeen
    loudness: Loudness
    sighting: Sighting

    def can_wait(self, mode: HoldMode) -> bool | None:
        """See `hold.can_wait`."""
        return can_wait(self.loudness, mode, self.sighting.is_status_only)


@dataclass(slots=True)
class _Parking:
    events: list[Waiting] = field(default_factory=list[Waiting])
    is_loud: bool = False


class OwedTimes:
    """The books of one controller."""

    def __init__(self, scope: str, ledger: OwnWrites | None) -> None:
        """Nothing is owed at first. Without a ledger no event is known to be the controller's own."""
        self._scope = scope
        self._ledger = ledger
        self._owed: dict[Request, OwedTime] = {}
        self._uids: dict[Request, str] = {}
        self._parked: dict[Request, _Parking] = {}
        self._undecided: dict[Request, list[Waiting]] = {}

    def get(self, key: Request) -> OwedTime | None:
        """Return what is owed to `key`."""
        return self._owed.get(key)

    def put(self, key: Request, owed: OwedTime | None) -> None:
        """Owe this to `key` from now on, instead of what was owed."""
        if owed is None:
            self._owed.pop(key, None)
        else:
            self._owed[key] = owed

    def uid(self, key: Request) -> str:
        """Return the UID of the object that `key` names now; empty if no source told."""
        return self._uids.get(key, "")

    def identify(self, key: Request, event: EventSeen, sighting: Sighting) -> OwedTime | None:
        """Take note of the primary object behind `key`; return what was owed to it if it is gone."""
        if event.verb == "delete":
            self._uids.pop(key, None)
        else:
            self._uids[key] = sighting.uid
        # Mostly nothing is owed to anybody: then the key is not hashed for it (0.05 microseconds, for each event).
        owed = self._owed.get(key) if self._owed else None
        if owed is None:
            return None
        is_gone = event.verb == "delete" or bool(event.changed & Changed.UID) or event.verb == "create"
        if not is_gone:
            return None
        # A created object under a key that is owed something: the deletion of the former one was missed.
        is_same = owed.uid in {"", sighting.uid}
        if (event.verb == "delete") != is_same:
            return None
        del self._owed[key]
        return owed

    def pass_started(self, key: Request) -> None:
        """From now on events for `key` are parked."""
        self._parked[key] = _Parking()

    def is_free(self, key: Request) -> bool:
        """Whether no pass over `key` runs and nothing is owed to it, so that an event asks for a pass at once."""
        return not (self._parked and key in self._parked) and not (self._owed and key in self._owed)

    def is_in_work(self, key: Request) -> bool:
        """Whether a pass over `key` runs."""
        return key in self._parked

    def park(self, key: Request, waiting: Waiting | None) -> bool:
        """Keep an event until the pass over `key` ends, and return whether it may be quiet; None is a loud one."""
        parking = self._parked[key]
        if waiting is None or len(parking.events) >= _PARKED_MAX:
            parking.is_loud = True
            parking.events.clear()
        elif not parking.is_loud:
            parking.events.append(waiting)
        return not parking.is_loud

    def pass_ended(self, key: Request, pass_id: int, mode: HoldMode | None) -> bool:
        """Return whether all that was parked for `key` can wait; without a `mode` nothing can."""
        if self._ledger is not None:
            self._ledger.pass_ended(pass_id)
        parking = self._parked.pop(key)
        if mode is None or parking.is_loud:
            return False
        return all(self._again(waiting).can_wait(mode) for waiting in parking.events)

    def abandon(self, key: Request) -> None:
        """Forget what was parked for `key`: its worker has left it."""
        self._parked.pop(key, None)

    def postpone(self, key: Request, waiting: Waiting) -> None:
        """Keep an event of an idle key until its origin is known."""
        self._undecided.setdefault(key, []).append(waiting)

    def decided(self) -> Iterator[tuple[Request, Waiting, bool]]:
        """Take out the postponed events whose origin is known by now, each with whether it can wait."""
        if not self._undecided:
            return
        for key, events in list(self._undecided.items()):
            owed = self._owed.get(key)
            left: list[Waiting] = []
            for waiting in events:
                answer = self._again(waiting).can_wait(owed.mode if owed else "own")
                if answer is None:
                    left.append(waiting)
                else:
                    yield key, waiting, answer
            if left:
                self._undecided[key] = left
            else:
                del self._undecided[key]

    def due_times(self) -> Iterator[tuple[Request, OwedTime]]:
        """Take out everything that is owed."""
        owed, self._owed = self._owed, {}
        yield from owed.items()

    def standing(self, key: Request, clock: Clock) -> OwedTime | None:
        """Return what is owed to `key` and not due yet; the clock is read only where something is owed."""
        owed = self._owed.get(key)
        return owed if owed is not None and clock.now() < owed.due_at else None

    def _again(self, waiting: Waiting) -> Waiting:
        """Ask the ledger once more about an event whose origin was not known."""
        if waiting.loudness is not Loudness.UNDETERMINED or self._ledger is None:
            return waiting
        event = waiting.event
        origin = self._ledger.origin(self._scope, waiting.sighting.uid, event.old_version, event.new_version)
        if origin is Origin.UNDETERMINED:
            return waiting
        return Waiting(event, Loudness.QUIET if origin is Origin.OWN else Loudness.FOREIGN, waiting.sighting)
