"""
The journal: one stream of facts, retained in a bounded ring for each key.

Bounds: records a key, keys, and records in all. A key that is over its bound, or over its share of the whole, loses
its own oldest record, so a hot key never evicts a sleeping one's last ask; when there are too many keys, those of
deleted objects go first, then those that were silent longest. What was evicted is counted and shown.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from contextvars import ContextVar

from reconciler.errors import ConfigurationError
from reconciler.journal.records import EventSeen, Noted, Record

__all__ = ["Cause", "Journal", "current_cause"]

Subscriber = Callable[[Record], None]


class Cause:
    """
    The pass that the running code belongs to.

    `is_over` turns true when the pass ends: a write that a forgotten task makes afterwards is marked late.
    """

    __slots__ = ("is_over", "key", "record_id", "scope")

    def __init__(self, record_id: int, scope: str, key: Hashable) -> None:
        """`record_id` is the id of the pass's `PassStarted` record."""
        self.record_id = record_id
        self.scope = scope
        self.key = key
        self.is_over = False


current_cause: ContextVar[Cause | None] = ContextVar("reconciler_current_cause", default=None)
"""The pass that the running code belongs to, inherited by the tasks that it starts; None outside of passes."""


class _Ring:
    __slots__ = ("evicted", "is_gone", "records")

    def __init__(self) -> None:
        self.records: deque[Record] = deque()
        self.evicted = 0
        self.is_gone = False


class Journal:
    """
    Takes records and keeps the newest of each key.

    Args:
        per_key_max: Records kept for one key.
        keys_max: Keys kept; never more than `records_max`, so that each has room for its last record.
        records_max: Records kept in all.
        is_retaining: False keeps nothing; subscribers still get every record.

    Raises:
        ConfigurationError: A bound is below 1.
    """

    def __init__(
        self,
        *,
        per_key_max: int = 256,
        keys_max: int = 10_000,
        records_max: int = 200_000,
        is_retaining: bool = True,
    ) -> None:
        if min(per_key_max, keys_max, records_max) < 1:
            raise ConfigurationError(
                f"journal: bounds must be at least 1, are {per_key_max}, {keys_max} and {records_max}; "
                "to keep nothing, set is_retaining=False"
            )
        self._per_key_max = per_key_max
        self._keys_max = min(keys_max, records_max)
        self._records_max = records_max
        self._is_retaining = is_retaining
        self._rings: OrderedDict[tuple[str, Hashable], _Ring] = OrderedDict()
        # Rings that were over their share when somebody last looked at all of them, the longest silent first.
        self._over: deque[_Ring] = deque()
        self._count = 0
        self._last_id = 0
        self._keys_evicted = 0
        self._subscribers: list[Subscriber] = []

    def new_id(self) -> int:
        """Return the id for the next record; ids start at 1 and rise."""
        self._last_id += 1
        return self._last_id

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """
        Call `subscriber` with every record from now on, in order; return what ends that.

        It must not raise: it would raise in whoever wrote the record. Ending it twice is harmless.
        """
        self._subscribers.append(subscriber)

        def end() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return end

    def append(self, record: Record) -> int:
        """Take a record, and return its id."""
        if self._is_retaining:
            self._retain(record)
        for subscriber in tuple(self._subscribers):
            subscriber(record)
        return record.id

    def note(self, at: int, topic: str, text: str) -> None:
        """Write down what the running pass decided and why; outside of a pass, nothing. `text` carries no secret."""
        cause = current_cause.get()
        if cause is not None:
            self.append(Noted(self.new_id(), (cause.record_id,), at, cause.scope, cause.key, topic, text))

    def records(self, scope: str, key: Hashable) -> tuple[Record, ...]:
        """Return what is kept for one key of one controller, oldest first."""
        ring = self._rings.get((scope, key))
        return tuple(ring.records) if ring else ()

    def evicted(self, scope: str, key: Hashable) -> int:
        """Return how many older records of this key are gone; not counted: what it had before it was evicted whole."""
        ring = self._rings.get((scope, key))
        return ring.evicted if ring else 0

    def places(self) -> tuple[tuple[str, Hashable], ...]:
        """Return the (scope, key) pairs that have records, the longest silent first."""
        return tuple(self._rings)

    @property
    def keys_evicted(self) -> int:
        """How many keys were evicted with all their records."""
        return self._keys_evicted

    def __repr__(self) -> str:
        return f"<Journal {self._count} records of {len(self._rings)} keys, {self._keys_evicted} keys evicted>"

    def _retain(self, record: Record) -> None:
        place = (record.scope, record.key)
        ring = self._rings.get(place)
        if ring is None:
            ring = self._rings[place] = _Ring()
            self._evict_keys()
        ring.records.append(record)
        self._count += 1
        if isinstance(record, EventSeen):
            ring.is_gone = record.verb == "delete"
        # What follows a deletion (the pass that finds nothing) must not make the key look alive.
        self._rings.move_to_end(place, last=not ring.is_gone)
        if len(ring.records) > self._per_key_max:
            self._evict_oldest(ring)
        if self._count > self._records_max:
            self._evict_from(ring)

    def _evict_from(self, writer: _Ring) -> None:
        """Make room for one record: whoever has more than its share pays, the writer first, then the longest silent."""
        share = self._records_max // len(self._rings)
        self._evict_oldest(writer if len(writer.records) > share else self._payer(share))

    def _payer(self, share: int) -> _Ring:
        # All rings are looked at only when those known to be over their share are used up: a look at each for every
        # record would cost more than the record. There always is one, or the bound would not be passed.
        while self._over and len(self._over[0].records) <= share:
            self._over.popleft()
        if not self._over:
            self._over.extend(ring for ring in self._rings.values() if len(ring.records) > share)
        return self._over[0]

    def _evict_oldest(self, ring: _Ring) -> None:
        ring.records.popleft()
        ring.evicted += 1
        self._count -= 1

    def _evict_keys(self) -> None:
        while len(self._rings) > self._keys_max:
            _, ring = self._rings.popitem(last=False)
            self._count -= len(ring.records)
            ring.records.clear()
            self._keys_evicted += 1
