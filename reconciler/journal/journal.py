"""
The journal: one stream of facts, retained in a bounded ring for each key.

Bounds: records a key, keys, and records in all. A key that is over its bound, or over its share of the whole, loses
its own oldest records, so a hot key never evicts a sleeping one's last ask. When there are too many keys, one leaves:
retention.py says which. What was evicted is counted and shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from itertools import chain

from reconciler.errors import ConfigurationError
from reconciler.journal.explain import Explanation, explain
from reconciler.journal.present import Present
from reconciler.journal.records import EventSeen, Noted, Record
from reconciler.journal.retention import Leavers, Ring

__all__ = ["Cause", "Journal", "current_cause"]

Subscriber = Callable[[Record], None]

_NOBODY = object()
"""A key that no record has."""


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
        # By scope, then by key: a tuple of the two for each key would cost 80 bytes, and a hash of it for each record.
        self._rings: dict[str, dict[Hashable, Ring]] = {}
        self._keys = 0
        # None until the first key must leave: most journals have room for all of theirs.
        self._leavers: Leavers | None = None
        # Rings that were over their share when somebody last looked at all of them, the longest silent first.
        self._over: deque[Ring] = deque()
        # The key of the newest record, and its ring: records of one key often come in a row, and a hash costs more.
        self._scope: str = ""
        self._key: Hashable = _NOBODY
        self._ring = Ring("", _NOBODY)
        self._count = 0
        self._last_id = 0
        self._keys_evicted = 0
        self._subscriptions: dict[int, Subscriber] = {}
        self._subscriptions_made = 0
        # What `append` goes through: a copy, so that a subscriber may end subscriptions while it is told.
        self._subscribers: tuple[Subscriber, ...] = ()

    def new_id(self) -> int:
        """Return the id for the next record; ids start at 1 and rise."""
        self._last_id += 1
        return self._last_id

    @property
    def last_id(self) -> int:
        """The newest id that was given out; 0 at the start."""
        return self._last_id

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """
        Call `subscriber` with every record from now on, in order; return what ends that.

        It must not raise: it would raise in whoever wrote the record. Ending it twice is harmless.
        """
        # Each subscription counts by itself, also when one function subscribes twice.
        number = self._subscriptions_made = self._subscriptions_made + 1
        self._subscriptions[number] = subscriber
        self._subscribers = tuple(self._subscriptions.values())

        def end() -> None:
            self._subscriptions.pop(number, None)
            self._subscribers = tuple(self._subscriptions.values())

        return end

    def append(self, record: Record) -> int:
        """Take a record, and return its id."""
        if self._is_retaining:
            # Mostly a key's records come in pairs, and share it. One that is only equal is found by its hash.
            if record.key is self._key and record.scope is self._scope:
                ring = self._ring
                ring.records.append(record)
            else:
                ring = self._turn_to(record)
            if ring.is_aside and self._leavers is not None:
                self._leavers.enter(ring)
            if type(record) is EventSeen and (ring.is_gone or record.verb == "delete"):
                self._look(ring, record)
            self._count += 1
            if len(ring.records) > self._per_key_max:
                self._count -= ring.shrink(self._per_key_max)
            if self._count > self._records_max:
                self._make_room(ring)
        for subscriber in self._subscribers:
            subscriber(record)
        return record.id

    def note(self, at: int, topic: str, text: str) -> None:
        """Write down what the running pass decided and why; outside of a pass, nothing. `text` carries no secret."""
        cause = current_cause.get()
        if cause is not None:
            self.append(Noted(self.new_id(), (cause.record_id,), at, cause.scope, cause.key, topic, text))

    def records(self, scope: str, key: Hashable) -> tuple[Record, ...]:
        """Return what is kept for one key of one controller, oldest first."""
        ring = self._ring_of(scope, key)
        return tuple(ring.records) if ring else ()

    def evicted(self, scope: str, key: Hashable) -> int:
        """Return how many older records of this key are gone; not counted: what it had before it was evicted whole."""
        ring = self._ring_of(scope, key)
        return ring.evicted if ring else 0

    def pinned(self, scope: str, key: Hashable) -> int:
        """Return how many of the key's first records are older than what is gone: they explain what stands for it."""
        ring = self._ring_of(scope, key)
        return ring.pinned if ring else 0

    def present(self, scope: str, key: Hashable) -> Present:
        """Return what stands for a key, also where the records that made it are gone. It is to be read only."""
        ring = self._ring_of(scope, key)
        return ring.present() if ring else Present()

    def places(self) -> tuple[tuple[str, Hashable], ...]:
        """Return the (scope, key) pairs that have records, the longest silent first."""
        return tuple((ring.scope, ring.key) for ring in sorted(self._all_rings(), key=lambda ring: ring.last_id))

    @property
    def keys_evicted(self) -> int:
        """How many keys were evicted with all their records."""
        return self._keys_evicted

    def explain(self, key: Hashable, *, scope: str | None = None) -> Explanation:
        """
        Return the history of one key, what stands for it, what would wake it, and what looks wrong.

        Args:
            key: The queue's key.
            scope: The controller; None where only one controller has records of the key.

        Raises:
            ConfigurationError: Several controllers have records of the key, and `scope` names none.
        """
        return explain(self, scope if scope is not None else self._scope_of(key), key)

    def __repr__(self) -> str:
        return f"<Journal {self._count} records of {self._keys} keys, {self._keys_evicted} keys evicted>"

    def _scope_of(self, key: Hashable) -> str:
        scopes = sorted(scope for scope, rings in self._rings.items() if key in rings)
        if len(scopes) > 1:
            raise ConfigurationError(
                f"several controllers have records of {key}: {', '.join(scopes)}; name one with scope=..."
            )
        return scopes[0] if scopes else ""

    def _ring_of(self, scope: str, key: Hashable) -> Ring | None:
        rings = self._rings.get(scope)
        return None if rings is None else rings.get(key)

    def _all_rings(self) -> Iterator[Ring]:
        return chain.from_iterable(rings.values() for rings in self._rings.values())

    def _turn_to(self, record: Record) -> Ring:
        """Put `record` into the ring of its key, which becomes the newest."""
        scope, key = record.scope, record.key
        rings = self._rings.get(scope)
        ring = None if rings is None else rings.get(key)
        if ring is not None:
            ring.records.append(record)
        else:
            if self._keys >= self._keys_max:
                self._evict_key()  # perhaps the last of its scope
                rings = self._rings.get(scope)
            if rings is None:
                rings = self._rings[scope] = {}
            ring = rings[key] = Ring(scope, key, [record])
            self._keys += 1
            if self._leavers is not None:
                self._leavers.enter(ring)
        self._scope, self._key, self._ring = scope, key, ring
        return ring

    def _look(self, ring: Ring, event: EventSeen) -> None:
        if event.source:
            return  # another object's: what becomes of that says nothing of the key's own
        if event.verb != "delete":
            ring.is_gone = False
        elif not ring.is_gone:
            # Until it is seen again: the pass that finds nothing must not make the key look alive.
            ring.is_gone = True
            if self._leavers is not None:
                self._leavers.deleted(ring)

    def _make_room(self, writer: Ring) -> None:
        """Drop records: whoever has more than its share pays, the writer first, then the longest silent."""
        share = self._records_max // self._keys
        if len(writer.records) > share:
            self._count -= writer.shrink(len(writer.records))
        else:
            payer = self._payer(share)
            self._count -= payer.shrink(len(payer.records) - share)

    def _payer(self, share: int) -> Ring:
        # All rings are looked at only when those known to be over their share are used up: a look at each for every
        # record would cost more than the record. There always is one, or the bound would not be passed.
        while self._over and len(self._over[0].records) <= share:
            self._over.popleft()
        if not self._over:
            over = [ring for ring in self._all_rings() if len(ring.records) > share]
            self._over.extend(sorted(over, key=lambda ring: ring.last_id))
        return self._over[0]

    def _evict_key(self) -> None:
        if self._leavers is None:
            self._leavers = Leavers(self._all_rings())
        ring = self._leavers.next()
        self._forget(ring)
        self._count -= len(ring.records)
        self._keys_evicted += 1
        ring.records.clear()
        if ring is self._ring:
            self._key = _NOBODY

    def _forget(self, ring: Ring) -> None:
        rings = self._rings[ring.scope]
        del rings[ring.key]
        if not rings:
            del self._rings[ring.scope]
        self._keys -= 1
