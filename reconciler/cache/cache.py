"""The cache: one informer for each kind, made when somebody first asks for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random

import anyio
from anyio.abc import TaskGroup

from reconciler.api import KubeObject, ResourceType
from reconciler.cache.informer import Informer, InformerStatus
from reconciler.client import RestClient
from reconciler.clock import LoopClock
from reconciler.errors import CacheNotSyncedError
from reconciler.instant import Clock

__all__ = ["Cache"]


class Cache:
    """
    The informers of one process, all of one scope.

    Args:
        rest: Asks the API server.
        namespace: Only this one; None or empty means all. Cluster-scoped kinds ignore it.
        clock: Must be the clock of the loop that runs it.
        random: Jitter and watch time-outs; the same seed and the same order of `informer` calls give the same ones.

    Mirrors: controller-runtime `cache.Cache`.
    Differs: `informer` never waits; see `CachedReader` for reads of a kind that is not synced.
    """

    def __init__(
        self,
        rest: RestClient,
        *,
        namespace: str | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.namespace = namespace or ""
        self._rest = rest
        self._clock = clock or LoopClock()
        self._random = random or Random()
        self._informers: dict[ResourceType, Informer] = {}
        self._group: TaskGroup | None = None

    @property
    def is_running(self) -> bool:
        """Whether informers follow the server now."""
        return self._group is not None

    @property
    def is_synced(self) -> bool:
        """Whether the first list of every kind is complete."""
        return all(informer.is_synced for informer in self._informers.values())

    def informer(self, kind: type[KubeObject] | ResourceType) -> Informer:
        """Return the informer of `kind`; a new one starts at once if the cache runs, else with it."""
        resource = kind if isinstance(kind, ResourceType) else kind.resource
        informer = self._informers.get(resource)
        if informer is None:
            # A generator of its own, so that the course of one kind does not depend on what happens to another.
            own_random = Random(self._random.getrandbits(64))
            informer = self._informers[resource] = Informer(
                self._rest, resource, namespace=self.namespace, clock=self._clock, random=own_random
            )
            if self._group is not None:
                self._group.start_soon(informer.run, name=f"informer of {informer.resource}")
        return informer

    async def run(self, stopping: asyncio.Event | None = None) -> None:
        """
        Follow every kind until `stopping` is set or the task is cancelled.

        Raises:
            ExceptionGroup: A handler raised; everything else has been stopped.
        """
        if self._group is not None:
            raise RuntimeError("this cache runs already")
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                for informer in self._informers.values():
                    group.start_soon(informer.run, name=f"informer of {informer.resource}")
                await (stopping or asyncio.Event()).wait()
                group.cancel_scope.cancel()
        finally:
            self._group = None

    async def wait_for_sync(self, timeout: timedelta | None = None) -> None:
        """
        Return when the first list of every kind that is known by then is complete.

        Args:
            timeout: For all of them together; None waits for ever.

        Raises:
            CacheNotSyncedError: One is not, in time; names each such kind, its scope and what went wrong last.
        """
        try:
            async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
                for informer in tuple(self._informers.values()):
                    await informer.wait_for_sync()
        except TimeoutError:
            missing = [informer.describe() for informer in self._informers.values() if not informer.is_synced]
            raise CacheNotSyncedError("; ".join(missing)) from None

    def statuses(self) -> tuple[InformerStatus, ...]:
        """Return how each kind stands, in the order they were asked for."""
        return tuple(informer.status() for informer in self._informers.values())

    def problem(self) -> str | None:
        """Return what is wrong, for `/readyz`: kinds that are not synced, or that may be behind; None if none is."""
        found = [informer.describe() for informer in self._informers.values() if informer.has_problem]
        return "; ".join(found) or None

    def __repr__(self) -> str:
        return f"<Cache of {len(self._informers)} kinds, {'running' if self.is_running else 'not running'}>"
