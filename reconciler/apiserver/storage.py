"""
Revisions of objects and the history of changes, in memory. Synchronous; knows no verbs and no kinds.

Each write takes the next revision, which becomes the object's `metadata.resourceVersion`. Objects live in buckets,
one for each resource; a bucket keeps its last changes, from which watches are fed and old states are read.

Invariants:
    S1  Revisions grow by one with each write, over all buckets.
    S2  A bucket's history is gapless from its `compacted` revision to the present.
    S3  What is stored is never changed in place: whoever reads must not write into it.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from reconciler.apiserver.exchange import JsonObject

__all__ = ["Change", "ChangeType", "CompactedError", "Entry", "Storage"]


class ChangeType(enum.Enum):
    """What a change did to its object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """
    One stored state of an object.

    `obj` is read-only; `json` is the same state, encoded; `epoch` names the schema that it was last checked by.
    """

    obj: JsonObject
    json: bytes
    revision: int
    epoch: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One write. `entry` is the new state, for a deletion the last one under the revision of the deletion."""

    type: ChangeType
    revision: int
    key: str
    entry: Entry
    previous: Entry | None


class CompactedError(Exception):
    """The history asked for is gone; `compacted` is the oldest revision that can still be asked for."""

    def __init__(self, asked: int, compacted: int) -> None:
        """Both are revisions."""
        super().__init__(f"too old resource version: {asked} ({compacted})")
        self.compacted = compacted


@dataclass(slots=True)
class _Bucket:
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    history: deque[Change] = field(default_factory=deque[Change])
    compacted: int = 0
    listeners: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])


def _with_revision(obj: JsonObject, revision: int) -> JsonObject:
    metadata: dict[str, Any] = {**obj["metadata"], "resourceVersion": str(revision)}
    return {**obj, "metadata": metadata}


class Storage:
    """
    Buckets of objects under one revision counter.

    Args:
        history_max: How many changes each bucket keeps; older ones are compacted.
    """

    def __init__(self, *, history_max: int = 10_000) -> None:
        """An empty storage stands at revision 1, as etcd does."""
        if history_max < 1:
            raise ValueError(f"history_max must be at least 1, is {history_max}")
        self._history_max = history_max
        self._revision = 1
        self._buckets: dict[str, _Bucket] = {}

    @property
    def revision(self) -> int:
        """The revision of the last write."""
        return self._revision

    def get(self, bucket: str, key: str) -> Entry | None:
        """Return the present state of an object, or None."""
        return self._bucket(bucket).entries.get(key)

    def list(self, bucket: str, *, revision: int | None = None) -> Sequence[tuple[str, Entry]]:
        """
        Return keys and states, ordered by key, as they stood at `revision`; None means now.

        Raises:
            CompactedError: That revision is no longer kept.
        """
        held = self._bucket(bucket)
        entries = held.entries
        if revision is not None and revision < self._revision:
            if revision < held.compacted:
                raise CompactedError(revision, held.compacted)
            entries = self._as_of(held, revision)
        return sorted(entries.items())

    def oldest(self, bucket: str) -> Sequence[tuple[str, Entry]]:
        """Return keys and present states in the order in which the objects were created."""
        return list(self._bucket(bucket).entries.items())

    def put(self, bucket: str, key: str, obj: JsonObject, *, epoch: int = 0) -> Entry:
        """Store `obj` under the next revision, and return the new state. Takes the object over."""
        held = self._bucket(bucket)
        self._revision += 1
        stamped = _with_revision(obj, self._revision)
        entry = Entry(stamped, msgspec.json.encode(stamped), self._revision, epoch)
        previous = held.entries.get(key)
        held.entries[key] = entry
        type_ = ChangeType.MODIFIED if previous else ChangeType.ADDED
        self._record(held, Change(type_, self._revision, key, entry, previous))
        return entry

    def remove(self, bucket: str, key: str) -> Entry:
        """Remove an object that is there, and return its last state under the revision of the deletion."""
        held = self._bucket(bucket)
        previous = held.entries.pop(key)
        self._revision += 1
        stamped = _with_revision(previous.obj, self._revision)
        entry = Entry(stamped, msgspec.json.encode(stamped), self._revision, previous.epoch)
        self._record(held, Change(ChangeType.DELETED, self._revision, key, entry, previous))
        return entry

    def since(self, bucket: str, revision: int) -> Sequence[Change]:
        """
        Return the changes after `revision`, oldest first.

        Raises:
            CompactedError: Some of them are no longer kept.
        """
        held = self._bucket(bucket)
        if revision < held.compacted:
            raise CompactedError(revision, held.compacted)
        newest_first: list[Change] = []
        for change in reversed(held.history):
            if change.revision <= revision:
                break
            newest_first.append(change)
        return newest_first[::-1]

    def listen(self, bucket: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after each change of the bucket, until the returned function is called."""
        listeners = self._bucket(bucket).listeners
        listeners.append(wake)
        return lambda: listeners.remove(wake)

    @property
    def listener_count(self) -> int:
        """How many listeners there are, over all buckets."""
        return sum(len(held.listeners) for held in self._buckets.values())

    def wake(self, bucket: str) -> None:
        """Call the listeners although nothing was written."""
        for wake in list(self._bucket(bucket).listeners):
            wake()

    def wake_all(self) -> None:
        """Call the listeners of every bucket."""
        for bucket in list(self._buckets):
            self.wake(bucket)

    def compact(self) -> None:
        """Forget all history: watches and snapshots from before the present revision get 410."""
        for held in self._buckets.values():
            held.history.clear()
            held.compacted = self._revision

    def _bucket(self, name: str) -> _Bucket:
        return self._buckets.setdefault(name, _Bucket())

    def _record(self, held: _Bucket, change: Change) -> None:
        held.history.append(change)
        while len(held.history) > self._history_max:
            held.compacted = held.history.popleft().revision
        for wake in list(held.listeners):
            wake()

    @staticmethod
    def _as_of(held: _Bucket, revision: int) -> dict[str, Entry]:
        entries = dict(held.entries)
        for change in reversed(held.history):
            if change.revision <= revision:
                break
            if change.previous is None:
                entries.pop(change.key, None)
            else:
                entries[change.key] = change.previous
        return entries
