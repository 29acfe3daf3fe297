"""
Where events come from: the shape `Source`, and `Kind`, which watches one kind through a cache.

A source writes down what it saw and whose doing it was, and asks for the passes that a handler derives from it. It
keeps no object: the cache does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Protocol

from reconciler.api import EncodedObject, KubeObject, ResourceType
from reconciler.cache import Cache, Informer
from reconciler.client import OwnWrites
from reconciler.event import CreateEvent, Event, UpdateEvent, fields_changed, is_status_only
from reconciler.handler import EnqueueRequestForObject, EventHandler
from reconciler.instant import Clock
from reconciler.journal import EventSeen, Journal, Origin
from reconciler.predicate import Predicate
from reconciler.reconcile import Request

__all__ = ["Kind", "Sighting", "Sink", "Source", "is_low_priority"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """
    What a source knows of an event beyond its record, for deciding whether it can wait for an owed wake-up.

    Attributes:
        uid: Of the object that changed.
        is_primary: Whether the key is that object's own name.
        old: The object before, where there is one.
        new: The object after, where there is one.
    """

    uid: str
    is_primary: bool
    old: EncodedObject | None = None
    new: EncodedObject | None = None

    def is_status_only(self) -> bool:
        """Whether nothing but `status` changed; looks into both objects."""
        return self.old is not None and self.new is not None and is_status_only(self.old, self.new)


class Sink(Protocol):
    """What a source feeds: it reports what it saw, and asks for the passes that follow from it."""

    @property
    def name(self) -> str:
        """The controller's name."""
        ...

    @property
    def journal(self) -> Journal:
        """Where what was seen is written down."""
        ...

    @property
    def clock(self) -> Clock:
        """The controller's clock."""
        ...

    def seen(
        self,
        event: EventSeen,
        requests: Iterable[Request],
        *,
        is_low_priority: bool,
        sighting: Sighting | None = None,
    ) -> None:
        """Write `event` down and ask for a pass over each of `requests`; without a `sighting` it never waits."""
        ...


class Source(Protocol):
    """
    Where events come from.

    Mirrors: controller-runtime `source.SyncingSource`.
    """

    def start(self, sink: Sink) -> Awaitable[None] | None:
        """Feed `sink` from now on. What it returns is awaited, at most for the controller's cache-sync time-out."""
        ...

    async def wait_for_sync(self) -> None:
        """
        Return when everything that was there at the start has been fed.

        Raises:
            CacheNotSyncedError: It never will be; the message says why.
        """
        ...

    def describe(self) -> str:
        """Name the source and say how its sync stands, for messages."""
        ...


def is_low_priority(event: Event) -> bool:
    """
    Whether an event can wait behind real changes: it is from the initial list, or the version did not change.

    Mirrors: controller-runtime `handler.WithLowPriorityWhenUnchanged`.
    """
    match event:
        case CreateEvent():
            return event.is_initial
        case UpdateEvent():
            return event.old.resource_version == event.new.resource_version
        case _:
            return False


class Kind:
    """
    Every object of one kind that the cache holds.

    Mirrors: controller-runtime `source.Kind`.
    """

    def __init__(
        self,
        cache: Cache,
        kind: type[KubeObject] | ResourceType,
        *,
        ledger: OwnWrites,
        handler: EventHandler | None = None,
        predicates: Iterable[Predicate] = (),
    ) -> None:
        """
        Take the cache that watches and the handler that turns events into requests.

        Args:
            cache: Its informer of `kind` is made if it is the first to ask.
            kind: A model, or a resource.
            ledger: Tells this controller's own writes from others'.
            handler: The default asks for the very object that changed.
            predicates: An event that one of them does not let through asks for nothing; the journal names it.
        """
        self._cache = cache
        self._resource = kind if isinstance(kind, ResourceType) else kind.resource
        self._ledger = ledger
        self._handler = handler or EnqueueRequestForObject()
        self._is_primary = handler is None or isinstance(handler, EnqueueRequestForObject)
        self._predicates = tuple(predicates)
        self._informer: Informer | None = None

    def start(self, sink: Sink) -> None:
        """Feed `sink` from now on, first with what the cache already holds."""
        self._informer = self._cache.informer(self._resource)
        self._informer.add_handler(lambda event: self._report(event, sink))

    async def wait_for_sync(self) -> None:
        """See `Source.wait_for_sync`."""
        await self._cache.informer(self._resource).wait_for_sync()

    def describe(self) -> str:
        """Name the kind and say how its sync stands."""
        return self._cache.informer(self._resource).describe()

    def _report(self, event: Event, sink: Sink) -> None:
        origin = Origin.FOREIGN
        fields: tuple[str, ...] = ()
        if isinstance(event, UpdateEvent):
            old, new = event.old, event.new
            origin = self._ledger.origin(sink.name, new.uid, old.resource_version, new.resource_version)
            if origin is not Origin.FOREIGN:
                # As many as this controller writes, so the look into both objects is paid for by the write.
                fields = fields_changed(old, new)
        dropped_by = next((type(each).__name__ for each in self._predicates if not each.lets_through(event)), "")
        own_key = Request(event.key.namespace, event.key.name)
        requests = (own_key,) if dropped_by else self._handler.requests(event)
        for request in requests:
            sink.seen(
                EventSeen(
                    sink.journal.new_id(),
                    (),
                    sink.clock.now(),
                    sink.name,
                    request,
                    verb=event.verb,
                    changed=event.changed,
                    old_version=event.old.resource_version if event.old else "",
                    new_version=event.new.resource_version if event.new else "",
                    old_generation=event.old.generation if event.old else 0,
                    new_generation=event.new.generation if event.new else 0,
                    is_initial=event.is_initial,
                    origin=origin,
                    kind=self._resource.kind,
                    source="" if request == own_key else str(event.key),
                    fields=fields,
                    dropped_by=dropped_by,
                ),
                () if dropped_by else (request,),
                is_low_priority=is_low_priority(event),
                sighting=Sighting(
                    event.latest.uid if event.latest else "",
                    self._is_primary,
                    event.old,
                    event.new,
                ),
            )
