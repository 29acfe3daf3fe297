"""
The informer: one kind's store, kept up to date, and those who are told about it.

Guarantees:
    - The store is updated before anyone is told, so who reads it from a handler, or later, sees at least that.
    - Each handler sees each object's changes in order, from its creation on, each once; one that is added late, also
      while others are being told, begins with what is there.
    - After `end` nobody is told of anything.
    - What a handler raises carries a note that names the kind, the event and the object.
    - Where resyncs are wanted, each handler is told of every object again from time to time, as an update with
      `old` and `new` the same; not before the first list is complete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import anyio

from reconciler.api import EncodedObject, ObjectKey, ResourceType
from reconciler.cache.handlers import Handler, Handlers
from reconciler.cache.indexer import KeyFunction
from reconciler.cache.news import News
from reconciler.cache.options import KindOptions, namespaces_for
from reconciler.cache.reflector import Reflector, name_of
from reconciler.cache.resync import Resync, check_resync
from reconciler.cache.store import Delta, Replaced, Store, Unreadable
from reconciler.client import RestClient
from reconciler.errors import CacheNotSyncedError, ConfigurationError
from reconciler.event import UpdateEvent
from reconciler.instant import Clock, duration

__all__ = ["Informer", "InformerStatus"]

_log = logging.getLogger("reconciler.cache")

_UNREADABLE_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class InformerStatus:
    """
    How an informer stands.

    Attributes:
        resource: The kind.
        namespace: The one namespace; empty for several, for all of them, or for cluster scope.
        is_synced: Whether the first list is complete.
        problem: What is wrong, in words that may be shown to anyone who may see the log; None if nothing is. A synced
            informer with a problem may be behind.
        watch_age: How long the present watch has been open, the youngest where there are several; None while one of
            them is not open.
        resource_version: The last one seen, the oldest where there are several watches.
        objects: How many there are.
        bytes_held: How many bytes of JSON they are.
        namespaces: Which ones are watched; empty for all of them, or for cluster scope.
        unreadable: The objects whose present state could not be taken in, and why.
    """

    resource: ResourceType
    namespace: str
    is_synced: bool
    problem: str | None
    watch_age: timedelta | None
    resource_version: str
    objects: int
    bytes_held: int = 0
    namespaces: tuple[str, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()


class Informer:
    """
    Keeps the objects of one kind, and tells handlers what happens to them.

    Args:
        rest: Asks the API server.
        resource: The kind.
        clock: Must be the clock of the loop that runs it.
        random: Jitter and watch time-outs.
        options: What of the kind to keep, and in which namespaces.
        news: Is told whenever something may have become true that somebody waits for.
        is_streaming: Ask for lists as streams, where the server has them.
        warn_above_bytes: A kind without namespaces and selectors that holds more is warned of, once; None never.
        resync: How often handlers are told of every object again; None or zero never. The options' one stands above it.
        on_gone: Is called with the informer when the kind is no longer served, and its objects have been told as gone.

    Attributes:
        namespaces: Which ones are watched, one watch each; empty for all of them, or for cluster scope.

    Raises:
        ConfigurationError: The namespaces do not fit the kind, or `resync` is too short.

    Mirrors: client-go `SharedIndexInformer`.
    Differs: handlers are called at once, in the order they were added, without a queue and a thread for each; all
    handlers of a kind have one period of resync, as all have in controller-runtime.
    """

    def __init__(
        self,
        rest: RestClient,
        resource: ResourceType,
        *,
        clock: Clock,
        random: Random,
        options: KindOptions | None = None,
        news: News | None = None,
        is_streaming: bool = False,
        warn_above_bytes: int | None = None,
        resync: timedelta | None = None,
        on_gone: Callable[[Informer], None] = lambda informer: None,
    ) -> None:
        self.resource = resource
        self.options = options or KindOptions()
        wanted = namespaces_for(resource, self.options.namespaces) or ()
        self.namespaces: tuple[str, ...] = wanted
        self.store = Store()
        self._clock = clock
        self._handlers = Handlers(str(resource))
        self._news = news or News()
        self._on_gone = on_gone
        self._listed: set[str] = set()
        self._has_ended = False
        self._is_running = False
        self._failure = ""
        self._scope: anyio.CancelScope | None = None
        self._warn_above_bytes = None if self._is_narrowed else warn_above_bytes
        self._said_unreadable: set[Unreadable] = set()
        period = resync if self.options.resync is None else self.options.resync
        self._resync = Resync(check_resync(period), random)
        several = len(wanted) > 1
        self._reflectors = tuple(
            Reflector(
                rest,
                resource,
                namespace=each,
                clock=clock,
                # A generator of its own, so that the course of one watch does not depend on another one's.
                random=Random(random.getrandbits(64)) if several else random,
                on_delta=self._apply,
                on_state=self._news.tell,
                options=self.options,
                is_streaming=is_streaming,
            )
            for each in wanted or ("",)
        )

    @property
    def namespace(self) -> str:
        """The one namespace; empty for several, for all of them, or for cluster scope."""
        return self.namespaces[0] if len(self.namespaces) == 1 else ""

    @property
    def is_synced(self) -> bool:
        """Whether the first list is complete, every handler has been told of it, and nothing has ended the cache."""
        return len(self._listed) == len(self._reflectors) and not self._failure

    def is_synced_in(self, namespace: str) -> bool:
        """Whether the first list of a namespace is complete; of an empty one, that of every namespace."""
        return self.is_synced or (namespace in self._listed and not self._failure)

    @property
    def has_problem(self) -> bool:
        """Whether it is not synced, or may be behind."""
        return not self.is_synced or not self._is_running or self._problem is not None

    @property
    def cannot_sync(self) -> bool:
        """Whether it is not synced, and what is wrong is nothing that waiting mends; or it has ended."""
        if self.is_synced:
            return False
        # A watch that is refused after its list is no reason to give up the lists of other namespaces.
        return (
            self._has_ended
            or bool(self._failure)
            or any(reflector.is_lasting for reflector in self._reflectors if reflector.namespace not in self._listed)
        )

    @property
    def has_ended(self) -> bool:
        """Whether it was ended for good."""
        return self._has_ended

    @property
    def handler_count(self) -> int:
        """How many are told."""
        return len(self._handlers)

    def add_handler(self, handler: Handler) -> Callable[[], None]:
        """
        Tell `handler` of every event from now on, and return what ends that.

        If there are objects already, it is told of each at once, as an initial create.

        Raises:
            ConfigurationError: The informer was released, or its cache has ended by an error: nobody will ever be told.
                Or the handler is async.
        """
        if self._failure:
            raise ConfigurationError(f"{self.describe()}: nobody is told of anything; make a new cache")
        if self._has_ended:
            raise ConfigurationError(f"{self.describe()}: nobody is told of anything; ask the cache for a new informer")
        return self._handlers.add(handler, self.store)

    def add_index(self, name: str, key_function: KeyFunction) -> None:
        """
        Keep an index of the objects from now on, before or while it runs.

        Args:
            name: What `CachedReader.list(index=...)` asks for.
            key_function: Gives the values an object is found by. One that raises for an object leaves that object out
                of the index, and `status().unreadable` names it.

        Raises:
            ConfigurationError: There is an index of that name.

        Mirrors: client-go `SharedIndexInformer.AddIndexers`.
        """
        self.store.add_index(name, key_function)
        self._say_unreadable()

    def by_index(self, name: str, value: str) -> list[EncodedObject]:
        """
        Return the objects that have `value` in an index, in no particular order.

        Raises:
            ValueError: There is no such index.

        Mirrors: client-go `Indexer.ByIndex`.
        """
        return self.store.by_index(name, value)

    def has_seen(self, version: str, key: ObjectKey | None = None) -> bool:
        """
        Whether every change up to `version` is in the store, of the key's namespace alone if there is one.

        A version that is no number can only be compared with the object's own.
        """
        if not version.isdecimal():
            held = self.store.get(key) if key else None
            return held is not None and held.resource_version == version
        return all(
            reflector.resource_version.isdecimal() and int(reflector.resource_version) >= int(version)
            for reflector in self._reflectors
            if not (key and reflector.namespace) or reflector.namespace == key.namespace
        )

    async def wait_for_sync(
        self, timeout: timedelta | None = None, *, keep_waiting: bool = False, namespace: str = ""
    ) -> None:
        """
        Return when the first list is complete.

        Args:
            timeout: None waits for ever.
            keep_waiting: Wait also where the list fails with what waiting does not mend, such as a 403: somebody may
                grant the right meanwhile.
            namespace: Of the namespaces that have a watch of their own, this one alone; empty for all.

        Raises:
            CacheNotSyncedError: It is not, in time, or the list failed in such a way, or the informer was ended; names
                kind, scope and what went wrong last.
        """
        try:
            async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
                while not self.is_synced_in(namespace):
                    if self._has_ended or self._failure or (self._cannot_sync_in(namespace) and not keep_waiting):
                        raise CacheNotSyncedError(self.describe())
                    await self._news.wait()
        except TimeoutError:
            raise CacheNotSyncedError(self.describe()) from None

    def status(self) -> InformerStatus:
        """Return how it stands now."""
        since = [reflector.watching_since for reflector in self._reflectors]
        opened = [each for each in since if each is not None]
        return InformerStatus(
            resource=self.resource,
            namespace=self.namespace,
            is_synced=self.is_synced,
            problem=self._problem,
            watch_age=duration(self._clock.now() - max(opened)) if len(opened) == len(since) else None,
            resource_version=self._oldest_version,
            objects=len(self.store),
            bytes_held=self.store.bytes_held,
            namespaces=self.namespaces,
            unreadable=self.store.unreadable,
        )

    def describe(self) -> str:
        """Say in one line which kind this is, where, and how it stands."""
        said = [f"synced, {len(self.store)} objects" if self.is_synced else "not synced"]
        if self._has_ended:
            said.append("released; it follows the kind no longer")
        elif self._failure:
            said.append(self._failure)
        elif not self._is_running:
            said.append("the cache does not run")
        elif self._problem:
            said.append(self._problem)
        if unreadable := self.store.unreadable:
            shown = "; ".join(map(str, unreadable[:_UNREADABLE_SHOWN_MAX]))
            said.append(f"{len(unreadable)} objects could not be read: {shown}")
        return f"cache of {self._name}: {'; '.join(said)}"

    async def run(self) -> None:
        """Follow the kind until cancelled or ended."""
        if self._has_ended:
            return
        self._is_running = True
        try:
            with anyio.CancelScope() as self._scope:
                await self._follow()
        finally:
            self._is_running = False

    def fail(self, why: str) -> None:
        """
        Say from now on that the cache has ended, and `why`: what is held is of the past, so nothing counts as synced.

        Who waits for its sync is refused.
        """
        self._failure = why
        self._news.tell()

    def end(self) -> None:
        """
        Stop following the kind for good, and forget its objects; nobody is told of that, and who waits is refused.

        A second call does nothing.
        """
        self._has_ended = True
        self._handlers.clear()
        self._listed.clear()
        self.store.clear()
        if self._scope is not None:
            self._scope.cancel()
        self._news.tell()

    def _cannot_sync_in(self, namespace: str) -> bool:
        if namespace not in self.namespaces:
            return self.cannot_sync
        lasting = [each.is_lasting for each in self._reflectors if each.namespace == namespace]
        return not self.is_synced_in(namespace) and any(lasting)

    async def _follow(self) -> None:
        if len(self._reflectors) == 1 and not self._resync.is_on:
            await self._reflectors[0].run()
            return
        try:
            async with anyio.create_task_group() as group:
                for reflector in self._reflectors:
                    group.start_soon(reflector.run, name=f"reflector of {reflector.name}")
                if self._resync.is_on:
                    group.start_soon(self._tell_again, name=f"resync of {self._name}")
        except BaseExceptionGroup as errors:
            first, *others = errors.exceptions
            if others:
                raise
            # The cache has a group of its own: what a handler raised is found at the same depth in any case.
            raise first from first.__cause__

    @property
    def _name(self) -> str:
        return name_of(self.resource, self.namespaces, self.options)

    @property
    def _is_narrowed(self) -> bool:
        return bool(self.namespaces or self.options.labels or self.options.fields or self.options.metadata_only)

    @property
    def _problem(self) -> str | None:
        if len(self._reflectors) == 1:
            return self._reflectors[0].problem
        said = [f"namespace {each.namespace}: {each.problem}" for each in self._reflectors if each.problem]
        return "; ".join(said) or None

    @property
    def _oldest_version(self) -> str:
        versions = [reflector.resource_version for reflector in self._reflectors]
        if len(versions) == 1 or not all(map(str.isdecimal, versions)):
            return versions[0]
        return min(versions, key=int)

    def _apply(self, delta: Delta) -> None:
        if self._has_ended:
            # A handler ended it while a page or a line was being told.
            return
        self._handlers.tell(self.store.apply(delta))
        if isinstance(delta, Replaced) and not self._has_ended:
            self._listed.add(delta.namespace)
            self._resync.listed(delta.namespace, now=self._clock.now())
        if self._said_unreadable or self.store.has_unreadable:
            self._say_unreadable()
        if self._warn_above_bytes is not None:
            self._warn_of_size()
        self._news.tell()
        if isinstance(delta, Replaced) and all(reflector.is_gone for reflector in self._reflectors):
            self._on_gone(self)

    async def _tell_again(self) -> None:
        """Tell every object again, each time that is due."""
        while True:
            due_at = self._resync.next_at
            if due_at is None:
                await self._news.wait()
                continue
            # A list that comes meanwhile moves the time on; then nothing is due at the end of this wait.
            await asyncio.sleep(duration(max(0, due_at - self._clock.now())).total_seconds())
            for namespace in self._resync.take(now=self._clock.now()):
                # Without a task switch: a change in between would be told before the version that it follows.
                again = [item for item in self.store if not namespace or item.key.namespace == namespace]
                self._handlers.tell(UpdateEvent(item, item) for item in again)

    def _say_unreadable(self) -> None:
        now = self.store.unreadable
        for item in now:
            if item not in self._said_unreadable:
                _log.warning("cache of %s: an object could not be read: %s", self._name, item)
        self._said_unreadable = set(now)

    def _warn_of_size(self) -> None:
        limit = self._warn_above_bytes
        if limit is None or self.store.bytes_held <= limit:
            return
        self._warn_above_bytes = None
        _log.warning(
            "cache of %s holds %d bytes in %d objects, more than %d: narrow it by namespaces, a selector or "
            "metadata_only (Cache.options), or raise warn_above_bytes",
            self._name, self.store.bytes_held, len(self.store), limit,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Informer: {self.describe()}>"
