"""
Which events can wait for a wake-up that is owed, and what an ending does to it: two tables. Pure.

`Result(requeue_after=..., hold=True)` owes a wake-up. Until that time quiet events wait with the key; loud ones start a
pass at once, and the owed time stands all the same.

    event                                              quiet?
    own write: the ledger links old to new, no gap     yes
    resync: one and the same version                   yes
    origin not known yet                               decided at the write's answer, at latest when its pass ends
    another's change of status alone                   only with `hold="status"`
    deletion asked for (even by us), gone, new UID     no
    created, generic, anything else                    no

    a pass that starts at or after the time            settles it
    ending of a pass before it                         the owed time
    asked later, with hold                             is replaced
    asked later, without hold                          is dropped: the hint takes its place
    `Result.cancel()`                                  is dropped
    done, failed for good                              stands
    failed, timed out, panicked, asked to be requeued  stands, beside the backoff: the sooner one comes first
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Literal

import msgspec

from reconciler.control_loop.outcome import Ending
from reconciler.instant import Instant, nanoseconds
from reconciler.journal import Changed, EventSeen, Origin
from reconciler.reconcile import Result

__all__ = ["HoldMode", "Loudness", "OwedTime", "Settlement", "can_wait", "loudness_of", "settle"]

HoldMode = Literal["own", "status"]
"""Which events can wait: `own` writes and resyncs, or others' changes of `status` alone as well."""


class Loudness(Enum):
    """What is known of an event without looking into the objects."""

    QUIET = "own write or resync"
    UNDETERMINED = "the answer to a write that may have caused it is not there yet"
    FOREIGN = "another's change"
    LOUD = "never waits"


class OwedTime(msgspec.Struct, frozen=True):
    """
    A wake-up that is owed.

    Attributes:
        due_at: When it comes.
        mode: Which events wait for it.
        uid: Of the object that it is owed to; empty where no source tells.
        ask: The ask that stands for it in the queue.
    """

    due_at: Instant
    mode: HoldMode
    uid: str = ""
    ask: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is owed after a pass, and in a word (see `journal.Owed`) what happened to what was owed before."""

    owed: OwedTime | None
    what: str


_BY_ORIGIN = MappingProxyType({
    Origin.OWN: Loudness.QUIET,
    Origin.UNDETERMINED: Loudness.UNDETERMINED,
    Origin.FOREIGN: Loudness.FOREIGN,
})  # fmt: skip
_LOUD = int(Changed.DELETION | Changed.UID)


def loudness_of(event: EventSeen) -> Loudness:
    """Say how loud an event is."""
    # As a number: an operation on flags costs ten times as much (0.6 microseconds), for each event.
    if event.verb != "update" or int(event.changed) & _LOUD:
        return Loudness.LOUD
    if event.old_version == event.new_version:
        return Loudness.QUIET
    return _BY_ORIGIN[event.origin]


def can_wait(loudness: Loudness, mode: HoldMode, is_status_only: Callable[[], bool]) -> bool | None:
    """
    Say whether an event waits for an owed wake-up; None: not known yet.

    Args:
        loudness: Of the event.
        mode: Of the wake-up.
        is_status_only: Whether nothing but `status` changed; asked only where it matters, since it looks into objects.
    """
    if loudness is Loudness.QUIET:
        return True
    if loudness is Loudness.LOUD:
        return False
    if mode == "status" and is_status_only():
        return True
    return None if loudness is Loudness.UNDETERMINED else False


def settle(owed: OwedTime | None, ending: Ending, result: Result | None, *, now: Instant, uid: str) -> Settlement:
    """
    Say what is owed after a pass that ended with `ending` at `now`.

    Args:
        owed: What was owed when it ended; what was due when it started is settled, and not given here.
        ending: How it ended.
        result: What it returned, if it returned.
        now: The end of the pass.
        uid: The object that the pass was about.
    """
    if result is not None and result.cancels:
        return Settlement(None, "cancelled")
    if ending is Ending.ASKED_LATER and result is not None:
        if not result.hold:
            return Settlement(None, "dropped")
        mode: HoldMode = "status" if result.hold == "status" else "own"
        due_at = Instant(now + nanoseconds(result.requeue_after))
        return Settlement(OwedTime(due_at, mode, uid), "promised" if owed is None else "replaced")
    return Settlement(owed, "stands")
