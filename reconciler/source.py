"""
Where events come from: `Kind` watches one kind through a cache, `ChannelSource` is told by the program itself.

A source writes down what it saw and whose doing it was, and asks for the passes that a handler derives from it. It
keeps no object: the cache does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, cast, runtime_checkable

import msgspec

from reconciler.api import EncodedObject, KubeObject, ResourceType
from reconciler.cache import Cache, InformerHandle
from reconciler.client import OwnWrites
from reconciler.errors import CacheNotSyncedError, ConfigurationError
from reconciler.event import Event, GenericEvent, UpdateEvent, changed_between, fields_changed, is_status_only
from reconciler.handler import EnqueueRequestForObject, EnqueueRequestForOwner, EventHandler, check_handler
from reconciler.instant import Clock
from reconciler.journal import Changed, EventSeen, Journal, Origin
from reconciler.predicate import Predicate, check_predicates, predicate_name
from reconciler.reconcile import Request

__all__ = [
    "LOW_PRIORITY",
    "ChannelSource",
    "Kind",
    "Sighting",
    "Sink",
    "Source",
    "StoppableSource",
    "is_low_priority",
]

LOW_PRIORITY = -100
"""
Of an event that can wait behind real changes, unless its source says otherwise.

Mirrors: controller-runtime `handler.LowPriority`.
"""


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """
    What a source knows of an event beyond its record, for deciding whether it can wait for an owed wake-up.

    Attributes:
        uid: Of the object that changed.
        is_primary: Whether the key is that object's own name.
        old: The object before, where there is one.
        new: The object after, where there is one.
        is_whole: Whether both hold all that the server has, but for managed fields.
    """

    uid: str
    is_primary: bool
    old: EncodedObject | None = None
    new: EncodedObject | None = None
    is_whole: bool = True

    def is_status_only(self) -> bool:
        """Whether nothing but `status` changed, as far as can be seen; looks into both objects."""
        old, new = self.old, self.new
        return old is not None and new is not None and is_status_only(old, new, is_whole=self.is_whole)


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
        priority: int | None = None,
        sighting: Sighting | None = None,
    ) -> None:
        """
        Write `event` down and ask for a pass over each of `requests`.

        Args:
            event: What was seen.
            requests: What follows from it; none where a predicate dropped it.
            priority: Of the asks, in a priority queue; None means as other events.
            sighting: Without one the event never waits for an owed wake-up.
        """
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


@runtime_checkable
class StoppableSource(Source, Protocol):
    """A source that can be removed from a controller that runs."""

    def stop(self) -> None:
        """Feed no more from now on; what was fed stays. A source that was never started, or was stopped, ignores it."""
        ...


def is_low_priority(event: Event) -> bool:
    """
    Whether an event can wait behind real changes: it is from the initial list, or the version did not change.

    Mirrors: controller-runtime `handler.WithLowPriorityWhenUnchanged`.
    """
    if isinstance(event, UpdateEvent):
        return event.old.resource_version == event.new.resource_version
    return event.is_initial


class Kind:
    """
    Every object of one kind that the cache holds.

    It feeds one controller. The cache may be that of another cluster: give the ledger of that cluster's clients then,
    or a fresh one if this program does not write there, and run the cache, since no manager of this one does.

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
        is_primary: bool | None = None,
        low_priority: int | None = LOW_PRIORITY,
    ) -> None:
        """
        Take the cache that watches and the handler that turns events into requests.

        Args:
            cache: Its informer of `kind` is made if it is the first to ask.
            kind: A model, or a resource.
            ledger: Tells this controller's own writes from others'.
            handler: The default asks for the very object that changed.
            predicates: An event that one of them does not let through asks for nothing; the journal names it.
            is_primary: Whether these are the objects that the controller reconciles, rather than others that happen to
                bear their names; None: they are if the handler asks for the very object.
            low_priority: Of events that can wait, the initial list's and those of a version that was seen before (see
                `is_low_priority`), in a priority queue; None means as other events.

        Raises:
            ConfigurationError: The handler or a predicate is none, or `low_priority` is no whole number.
        """
        self._cache = cache
        self._resource = kind if isinstance(kind, ResourceType) else kind.resource
        self._ledger = ledger
        self._handler = EnqueueRequestForObject() if handler is None else check_handler(handler)
        asks_for_itself = isinstance(self._handler, EnqueueRequestForObject)
        # Not so a class of the user's own that is derived from it.
        self._is_plain = type(self._handler) is EnqueueRequestForObject
        self._is_primary = asks_for_itself if is_primary is None else is_primary
        self._predicates = check_predicates(predicates)
        # A word, or True, would end the cache at the first event.
        if low_priority is not None and type(low_priority) is not int:
            raise ConfigurationError(f"low_priority is {low_priority!r}: give a whole number, or None")
        self._low_priority = low_priority
        self._sink: Sink | None = None
        self._handle: InformerHandle | None = None
        self._leave: Callable[[], None] | None = None
        self._is_whole = True

    def start(self, sink: Sink) -> None:
        """
        Feed `sink` from now on, first with what the cache already holds. A second start for the same sink is ignored.

        Raises:
            ConfigurationError: It feeds another sink.
        """
        if _is_started(self._sink, sink, f"source of {self._resource}"):
            return
        self._sink = sink
        handle = self._cache.acquire(self._resource)
        self._is_whole = handle.informer.options.is_whole
        try:
            leave = handle.informer.add_handler(self._report)
        except BaseException:
            # The cache has ended, or an event of what it holds already could not be handled.
            self._sink = None
            handle.release()
            raise
        if self._sink is sink:
            self._handle, self._leave = handle, leave
            return
        # Stopped by what the first events led to.
        leave()
        handle.release()

    def stop(self) -> None:
        """Feed no more; the informer ends with its last source, unless others need it (see `Cache.acquire`)."""
        self._sink = None
        leave, handle, self._leave, self._handle = self._leave, self._handle, None, None
        if leave is not None and handle is not None:
            leave()
            handle.release()

    async def wait_for_sync(self) -> None:
        """
        See `Source.wait_for_sync`.

        Raises:
            CacheNotSyncedError: It never will be; or the source is not started, or was stopped.
        """
        if self._handle is None:
            raise CacheNotSyncedError(self.describe())
        await self._handle.informer.wait_for_sync()

    def describe(self) -> str:
        """Name the kind and say how its sync stands."""
        return f"source of {self._resource}: not started" if self._handle is None else self._handle.informer.describe()

    def _report(self, event: Event) -> None:
        sink = self._sink
        # An event on its way to all handlers reaches even the one that was removed meanwhile.
        if sink is None:
            return
        old, new = event.old, event.new
        latest = old if new is None else new
        key = event.key if latest is None else latest.key
        own = Request(key.namespace, key.name)
        origin = _FOREIGN
        fields: tuple[str, ...] = ()
        priority = self._low_priority if is_low_priority(event) else None
        if old is not None and new is not None:
            origin = self._ledger.origin(sink.name, new.uid, old.resource_version, new.resource_version)
            if origin is not _FOREIGN or self._ledger.may_be_ours(new.key, new.resource_version):
                # As many as this controller writes, so the look into both objects is paid for by the write.
                fields = fields_changed(old, new)
        dropped_by = ""
        requests: tuple[Request, ...] = (own,)
        # Most sources need not ask for what everybody knows: 0.5 microseconds for each event.
        if self._predicates or not self._is_plain:
            dropped_by, requests = _decide(sink, self._predicates, self._handler, event)
        sighting = Sighting("" if latest is None else latest.uid, self._is_primary, old, new, self._is_whole)
        journal = sink.journal
        for request in requests:
            seen = EventSeen(
                journal.new_id(),
                (),
                sink.clock.now(),
                sink.name,
                request,
                verb=event.verb,
                changed=_NOTHING if old is None or new is None else changed_between(old, new),
                old_version="" if old is None else old.resource_version,
                new_version="" if new is None else new.resource_version,
                old_generation=0 if old is None else old.generation,
                new_generation=0 if new is None else new.generation,
                is_initial=event.is_initial,
                origin=origin,
                kind=self._resource.kind,
                source="" if self._is_primary and (request is own or request == own) else str(key),
                fields=fields,
                dropped_by=dropped_by,
            )
            sink.seen(seen, () if dropped_by else (request,), priority=priority, sighting=sighting)


class ChannelSource:
    """
    Generic events that the program itself sends: from a webhook, a poll, another controller.

    They are loud: a wake-up that is owed (`Result.hold`) does not keep them waiting. What is sent before the start is
    fed at the start.

    Args:
        handler: The default asks for the very key of the event.
        predicates: An event that one of them does not let through asks for nothing; the journal names it.
        name: What messages and the journal call it.
        buffer_max: Events that may wait for the start.

    Raises:
        ConfigurationError: The handler or a predicate is none.

    Mirrors: controller-runtime `source.Channel`.
    Differs: events are sent by a method, and each is fed at once; nobody waits for room in a buffer.
    """

    def __init__(
        self,
        handler: EventHandler | None = None,
        *,
        predicates: Iterable[Predicate] = (),
        name: str = "channel",
        buffer_max: int = 1024,
    ) -> None:
        self.name = name
        self._handler = EnqueueRequestForObject() if handler is None else check_handler(handler)
        self._predicates = check_predicates(predicates)
        self._buffer: deque[GenericEvent] = deque()
        self._buffer_max = buffer_max
        self._sink: Sink | None = None
        self._thread = 0
        self._is_stopped = False

    def send(self, event: GenericEvent) -> bool:
        """
        Ask for the passes that follow from `event`; return False, and ask for none, if the source was stopped.

        Raises:
            BufferError: The source has not started, and as many events as it may keep wait already.
            RuntimeError: It was called outside the loop's thread.
            ValueError: The handler needs the event's object, and it has none.
        """
        if self._is_stopped:
            return False
        if self._sink is None:
            if len(self._buffer) >= self._buffer_max:
                raise BufferError(f"{self.name}: {self._buffer_max} events wait already, and no controller has started")
            self._buffer.append(event)
            return True
        if threading.get_ident() != self._thread:
            raise RuntimeError(f"{self.name}: from another thread, write loop.call_soon_threadsafe(source.send, event)")
        self._report(event, self._sink)
        return True

    def start(self, sink: Sink) -> None:
        """
        Feed `sink` from now on, first with what was sent before. A second start for the same sink is ignored.

        Raises:
            ConfigurationError: It feeds another sink.
            ValueError: The handler needs the object of an event that was sent before, and it has none.
        """
        if _is_started(self._sink, sink, self.name):
            return
        self._sink = sink
        self._thread = threading.get_ident()
        self._is_stopped = False
        while self._buffer:
            self._report(self._buffer.popleft(), sink)

    def stop(self) -> None:
        """Take no more events; those that wait for the start are dropped."""
        self._sink = None
        self._is_stopped = True
        self._buffer.clear()

    async def wait_for_sync(self) -> None:
        """Return at once: what was there at the start has been fed."""

    def describe(self) -> str:
        """Name it, and say how it stands."""
        if self._sink is not None:
            return f"{self.name}: started"
        return f"{self.name}: stopped" if self._is_stopped else f"{self.name}: not started, {len(self._buffer)} waiting"

    def _report(self, event: GenericEvent, sink: Sink) -> None:
        dropped_by, requests = _decide(sink, self._predicates, self._handler, event)
        own_key = _own_key(event)
        for request in requests:
            is_own = request == own_key
            seen = EventSeen(
                sink.journal.new_id(),
                (),
                sink.clock.now(),
                sink.name,
                request,
                verb=event.verb,
                new_version=event.new.resource_version if event.new else "",
                new_generation=event.new.generation if event.new else 0,
                origin=Origin.FOREIGN,
                # The journal takes the kind of an event of a key's own for the kind of that key.
                kind="" if is_own else self.name,
                source="" if is_own else str(event.key),
                dropped_by=dropped_by,
            )
            sink.seen(seen, () if dropped_by else (request,))


_FOREIGN, _NOTHING = Origin.FOREIGN, Changed.NOTHING


def _is_started(present: Sink | None, sink: Sink, name: str) -> bool:
    if present is not None and present is not sink:
        raise ConfigurationError(
            f"{name} feeds controller {present.name} already: make another source for controller {sink.name}"
        )
    return present is not None


def _own_key(event: Event) -> Request:
    key = event.key
    return Request(key.namespace, key.name)


def _decide(
    sink: Sink, predicates: tuple[Predicate, ...], handler: EventHandler, event: Event
) -> tuple[str, tuple[Request, ...]]:
    """
    Return the predicate that drops the event, if one does, and the keys under which it is written down.

    What one of them raises gets a note that says whose it is; values of the object are in the error's own words alone.
    """
    asked: object = handler
    try:
        for each in predicates:
            asked = each
            if not each.lets_through(event):
                asked = handler
                return predicate_name(each), tuple(_requests(handler, event, is_dropped=True))
        asked = handler
        return "", tuple(_requests(handler, event, is_dropped=False))
    except Exception as error:  # it ends the cache, unless the sender of a channel catches it
        name = type(asked).__name__ if asked is handler else predicate_name(cast("Predicate", asked))
        error.add_note(f"raised by {name} of controller {sink.name}, at {event.verb} {event.key}")
        raise


def _requests(handler: EventHandler, event: Event, *, is_dropped: bool) -> Iterable[Request]:
    """Return the keys under which an event is written down."""
    if not is_dropped:
        return handler.requests(event)
    if isinstance(handler, EnqueueRequestForOwner) and event.latest is not None:
        # Who asks why an owner was not looked at looks there.
        return handler.requests(event)
    # A function of the user's own may count on the predicates: it never sees what they drop.
    return (_own_key(event),)
