"""The manager: one process around one API server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from random import Random

from opentelemetry.metrics import Meter

from reconciler.api import KubeObject, ResourceType
from reconciler.cache import RESYNC, WARN_ABOVE_BYTES, Cache, CachedReader, KindOptions
from reconciler.client import Client, OwnWrites, RestClient, Transport
from reconciler.clock import LoopClock, SystemWallClock
from reconciler.control_loop import Controller
from reconciler.errors import ConfigurationError
from reconciler.instant import Clock, WallClock
from reconciler.journal import Journal
from reconciler.manager.runnables import Group, Runnable, Runnables
from reconciler.observe import Check, HealthServer, export_cache
from reconciler.recorder import EventRecorder

__all__ = ["Manager"]


class Manager:
    """
    Holds what controllers share, and runs them.

    Attributes:
        client: Reads from and writes to the API server.
        cached_reader: Reads from the cache; it may lag behind the server, also behind our own writes.
        cache: One informer for each kind that somebody reads or watches.
        journal: Why everything happened.
        own_writes: Which versions this process produced.

    Mirrors: controller-runtime `manager.Manager`.
    Differs: `client` reads from the API server; the cached reads of Go's `GetClient` are `cached_reader`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str | None = None,
        health_address: str | None = None,
        grace: timedelta = timedelta(seconds=30),
        journal: Journal | None = None,
        clock: Clock | None = None,
        wall: WallClock | None = None,
        seed: int | None = None,
        namespaces: Iterable[str] | None = None,
        cache_options: Mapping[type[KubeObject] | ResourceType, KindOptions] | None = None,
        streaming_list: bool = False,
        warn_above_bytes: int | None = WARN_ABOVE_BYTES,
        resync: timedelta | None = RESYNC,
        own_writes_timeout: timedelta = timedelta(seconds=10),
        meter: Meter | None = None,
    ) -> None:
        """
        Wire the parts; nothing runs before `run`.

        Args:
            transport: How to reach the API server; the manager closes it at the end of `run`.
            namespace: The namespace to watch; None watches all of them.
            health_address: Where `/healthz` and `/readyz` listen, as Go writes it; None for nowhere.
            grace: How long a stop may take before what still runs is cancelled.
            journal: The default keeps the newest records of each key.
            clock: The default reads the event loop.
            wall: The default reads the system.
            seed: Of the jitter in waiting times; None draws one.
            namespaces: Several namespaces to watch, instead of `namespace`.
            cache_options: What of a kind the cache holds, where that is not everything.
            streaming_list: Ask for lists as streams; see `Cache`.
            warn_above_bytes: The log warns of an unscoped kind that holds more; None never.
            resync: How often controllers see every object again though nothing changed; None never; see `Cache`.
            own_writes_timeout: How long a read of `cached_reader` with `after_own_writes=True` waits.
            meter: An OpenTelemetry meter that exports what the cache holds (`reconciler.observe.export_cache`).
        """
        self.clock: Clock = clock or LoopClock()
        self.wall: WallClock = wall or SystemWallClock()
        self.journal = journal or Journal()
        self.namespace = namespace
        self.own_writes = OwnWrites()
        self._transport = transport
        rest = RestClient(transport)
        self.client = Client(rest, journal=self.journal, ledger=self.own_writes, clock=self.clock)
        self.cache = Cache(
            rest,
            namespace=namespace,
            clock=self.clock,
            random=Random(seed),
            namespaces=namespaces,
            options=cache_options,
            streaming_list=streaming_list,
            warn_above_bytes=warn_above_bytes,
            resync=resync,
        )
        if meter is not None:
            export_cache(self.cache, meter)
        self.cached_reader = CachedReader(self.cache, client=self.client, own_writes_timeout=own_writes_timeout)
        self._controllers: dict[str, Controller] = {}
        self._runnables = Runnables(grace)
        self._runnables.add(Group.CACHES, "cache", self.cache)
        self._ready: dict[str, Check] = {"cache": self.cache.problem}
        self.health: HealthServer | None = None
        if health_address is not None:
            self.health = HealthServer(health_address, live={"ping": _nothing_wrong}, ready=self._ready)
            self._runnables.add(Group.HEALTH, "health", self.health)

    def add(self, runnable: Runnable, *, name: str, group: Group = Group.CONTROLLERS) -> None:
        """
        Run something of your own with the manager, at once if that runs already.

        It must return soon after its `stopping` is set.

        Raises:
            ShutdownError: The manager stops, or has stopped.
        """
        self._runnables.add(group, name, runnable)

    def add_controller(self, controller: Controller) -> None:
        """
        Run a controller, at once if the manager runs already.

        Raises:
            ConfigurationError: There is one of that name: journal and metrics could not tell them apart.
            ShutdownError: The manager stops, or has stopped.
        """
        if controller.name in self._controllers:
            raise ConfigurationError(f"there is a controller named {controller.name!r} already; give one another name")
        self._controllers[controller.name] = controller
        self.add(controller, name=f"controller {controller.name}")

    def add_ready_check(self, name: str, check: Check) -> None:
        """Show a check of your own on `/readyz`."""
        self._ready[name] = check

    def recorder_for(self, component: str) -> EventRecorder:
        """Return a recorder whose events name `component`; it runs with the manager."""
        recorder = EventRecorder(self.client, self.wall, component=component)
        self.add(recorder, name=f"recorder {component}", group=Group.RECORDERS)
        return recorder

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Run everything until `stopping` is set and all have ended.

        Cancelled: everything is cancelled at once.

        Raises:
            ConfigurationError: It ran before.
            ShutdownError: Something had not ended after the grace period, or ended too soon.
            Exception: What crashed.
        """
        try:
            await self._runnables.run(stopping)
        finally:
            await self._transport.aclose()


def _nothing_wrong() -> str | None:
    return None
