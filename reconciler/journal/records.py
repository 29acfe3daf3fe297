"""
The records. Small, slotted, immutable; strings in them are constants or names that exist anyway.

Each carries `id` (rising, unique in one journal), `causes` (ids of the records that led to it), `at` (monotonic
nanoseconds), `scope` (the controller that it belongs to) and `key` (the queue's key).
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum, IntFlag

import msgspec

__all__ = [
    "FIELDS_MAX",
    "Asked",
    "Changed",
    "EventSeen",
    "Noted",
    "Origin",
    "Owed",
    "PassEnded",
    "PassStarted",
    "Promoted",
    "Record",
    "Wrote",
]


FIELDS_MAX = 8
"""Field paths that one event names."""


class Changed(IntFlag):
    """Which parts of an object differ between two versions."""

    NOTHING = 0
    GENERATION = 1
    LABELS = 2
    ANNOTATIONS = 4
    FINALIZERS = 8
    OWNERS = 16
    DELETION = 32
    UID = 64
    OTHER = 128
    """The version moved, and none of the above did: almost always `status`."""


class Origin(Enum):
    """Whose doing an event was."""

    OWN = "own write"
    FOREIGN = "foreign"
    UNDETERMINED = "undetermined"
    """The event came before the response of a write that may be its cause."""


class Record(msgspec.Struct, frozen=True, gc=False, tag_field="record", tag=True, omit_defaults=True):
    """What every record carries. Encoded, it has its type's name as `record`."""

    id: int
    causes: tuple[int, ...]
    at: int
    scope: str
    key: Hashable


class EventSeen(Record, frozen=True, gc=False):
    """A source saw an object appear, change or go."""

    verb: str
    """`create`, `update`, `delete`, or `generic` for what no watch reported."""
    changed: Changed = Changed.NOTHING
    old_version: str = ""
    new_version: str = ""
    old_generation: int = 0
    new_generation: int = 0
    is_initial: bool = False
    """Whether it came from the first list, not from a change."""
    origin: Origin = Origin.UNDETERMINED
    kind: str = ""
    """The kind of the object that changed."""
    source: str = ""
    """The object that changed, if the key was derived from it; empty if the key is that object's own name."""
    fields: tuple[str, ...] = ()
    """Paths of the fields that a write of this process changed, names only and never values; the first `FIELDS_MAX`."""
    dropped_by: str = ""
    """The predicate that let the event not through, so that nothing was asked for; empty if none did."""
    is_quiet: bool = False
    """Whether it can wait with the key until an owed time (`Result.hold`)."""


class Asked(Record, frozen=True, gc=False):
    """Somebody asked the queue for a pass; the verdict says what became of it."""

    by: str
    """`event`, `requeue_after`, `backoff`, `requeue` or `hold`."""
    verdict: str
    asked_for: int
    """The moment that was asked for."""
    ready_at: int
    """The moment since which the key is ready, or from which it will be, after the verdict."""
    lost_at: int = -1
    """The moment of the wake-up that lost, by whichever side it was asked for; -1 if none did."""
    lost_ask: int = 0
    """The id of the `Asked` record that lost; equal to `id` when this one did; 0 if none."""
    standing_ask: int = 0
    """The id of the `Asked` record whose time the key has now; 0 if the ask was ignored."""
    priority: int = 0


class Promoted(Record, frozen=True, gc=False):
    """The time of a delayed ask has come; the verdict says what became of the key."""

    ask: int
    """The id of the `Asked` record."""
    verdict: str


class Owed(Record, frozen=True, gc=False):
    """A wake-up that is owed (`Result.hold`) was promised, replaced, dropped, settled, or went with its process."""

    what: str
    """`promised`, `replaced`, `dropped`, `cancelled`, `settled`, `object gone` or `lost at stop`."""
    due_at: int
    """The moment that was or is owed."""
    withdrew: int = 0
    """The id of the `Asked` record that was taken back out of the queue with it; 0 if none."""


class PassStarted(Record, frozen=True, gc=False):
    """A worker took the key and called the reconciler. Its first cause is the ask whose time had come."""

    priority: int
    waited: int
    """Nanoseconds between the moment the key was ready and this one."""


class PassEnded(Record, frozen=True, gc=False):
    """The reconciler came back."""

    ending: str
    asked_after: int = 0
    """Nanoseconds after which it wants to come back; 0 if it did not ask."""
    error: str = ""
    """The type of the error, never its text: a text may hold anything."""
    is_timed_out: bool = False
    """Whether it ran past the reconcile time-out."""


class Wrote(Record, frozen=True, gc=False):
    """The client wrote (or tried to write) an object."""

    verb: str
    target: str
    """`<plural>[/<subresource>] <namespace>/<name>`."""
    old_version: str
    new_version: str
    code: int
    """HTTP status; 0 if no answer came, so nobody knows whether the write happened."""
    is_late: bool = False
    """Whether the pass that caused it had already ended."""
    sent_after: int = 0
    """For a write that demanded no version: the id of the newest record when it was sent; what was seen by then is not
    its doing."""
    pruned: tuple[str, ...] = ()
    """Paths of the fields that were sent and are not there afterwards, without their values."""
    changed: tuple[str, ...] = ()
    """Paths of the fields that were sent and have another value afterwards, without their values."""
    group: str = ""
    """The API group of the kind; empty for the core group. Kinds of two groups may have one plural."""


class Noted(Record, frozen=True, gc=False):
    """A reconciler said what it decided and why; `text` must carry no secret."""

    topic: str
    text: str
