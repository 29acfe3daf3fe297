"""
The informer: one kind's store, kept up to date, and those who are told about it.

Guarantees:
    - The store is updated before anyone is told, so who reads it from a handler, or later, sees at least that.
    - Each handler sees each object's changes in order, from its creation on; one that is added late begins with what
      is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from reconciler.api import ResourceType
from reconciler.cache.reflector import Reflector
from reconciler.cache.store import Delta, Replaced, Store
from reconciler.client import RestClient
from reconciler.errors import CacheNotSyncedError
from reconciler.event import CreateEvent, Event
from reconciler.instant import Clock, duration

__all__ = ["Handler", "Informer", "InformerStatus"]

Handler = Callable[[Event], None]
"""Is told of an event; must not wait. What it raises ends the cache."""


@dataclass(frozen=True, slots=True)
class InformerStatus:
    """
    How an informer stands.

    Attributes:
        resource: The kind.
        namespace: Empty for all namespaces or cluster scope.
        is_synced: Whether the first list is complete.
        problem: What is wrong, in words that may be shown to anyone who may see the log; None if nothing is. A synced
            informer with a problem may be behind.
        watch_age: How long the present watch has been open; None while there is none.
        resource_version: The last one seen.
        objects: How many there are.
    """

    resource: ResourceType
    namespace: str
    is_synced: bool
    problem: str | None
    watch_age: timedelta | None
    resource_version: str
    objects: int


class Informer:
    """
    Keeps the objects of one kind, and tells handlers what happens to them.

    Args:
        rest: Asks the API server.
        resource: The kind.
        namespace: Only this one; None or empty means all. Cluster-scoped kinds ignore it.
        clock: Must be the clock of the loop that runs it.
        random: Jitter and watch time-outs.

    Mirrors: client-go `SharedIndexInformer`.
    Differs: handlers are called at once, in the order they were added, without a queue and a thread for each; there is
    no periodic resync.
    """

    def __init__(
        self, rest: RestClient, resource: ResourceType, *, namespace: str | None = None, clock: Clock, random: Random
    ) -> None:
        self.resource = resource
        self.namespace = (namespace or "") if resource.is_namespaced else ""
        self.store = Store()
        self._clock = clock
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._reflector = Reflector(
            rest, resource, namespace=self.namespace, clock=clock, random=random, on_delta=self._apply
        )

    @property
    def is_synced(self) -> bool:
        """Whether the first list is complete, and every handler has been told of it."""
        return self._synced.is_set()

    @property
    def has_problem(self) -> bool:
        """Whether it is not synced, or may be behind."""
        return not self.is_synced or self._reflector.problem is not None

    def add_handler(self, handler: Handler) -> Callable[[], None]:
        """
        Tell `handler` of every event from now on, and return what ends that.

        If there are objects already, it is told of each at once, as an initial create.
        """
        for present in self.store:
            handler(CreateEvent(present, is_initial=True))
        # Not before: a handler sees an object's creation first.
        self._handlers.append(handler)
        return lambda: self._remove(handler)

    async def wait_for_sync(self, timeout: timedelta | None = None) -> None:
        """
        Return when the first list is complete.

        Args:
            timeout: None waits for ever.

        Raises:
            CacheNotSyncedError: It is not, in time; names kind, scope and what went wrong last.
        """
        try:
            async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
                await self._synced.wait()
        except TimeoutError:
            raise CacheNotSyncedError(self.describe()) from None

    def status(self) -> InformerStatus:
        """Return how it stands now."""
        since = self._reflector.watching_since
        return InformerStatus(
            resource=self.resource,
            namespace=self.namespace,
            is_synced=self.is_synced,
            problem=self._reflector.problem,
            watch_age=None if since is None else duration(self._clock.now() - since),
            resource_version=self._reflector.resource_version,
            objects=len(self.store),
        )

    def describe(self) -> str:
        """Say in one line which kind this is, where, and how it stands."""
        state = f"synced, {len(self.store)} objects" if self.is_synced else "not synced"
        problem = self._reflector.problem
        return f"cache of {self._reflector.name}: {state}" + (f"; {problem}" if problem else "")

    async def run(self) -> None:
        """Follow the kind until cancelled."""
        await self._reflector.run()

    def _apply(self, delta: Delta) -> None:
        for event in self.store.apply(delta):
            # A copy: a handler may add or remove handlers.
            for handler in tuple(self._handlers):
                handler(event)
        if isinstance(delta, Replaced):
            self._synced.set()

    def _remove(self, handler: Handler) -> None:
        if handler in self._handlers:
            self._handlers.remove(handler)

    def __repr__(self) -> str:
        return f"<Informer: {self.describe()}>"
