"""
A controller's sources: those that are there when it starts, and those that are added and removed while it runs.

Expected flow: `start` brings all that were added before it, again and again until none is left; from `open` on each one
that is added starts at once, as a task of the controller's group.

Guarantees:
    - A source that does not start or sync in time ends the controller, whenever it was added.
    - One that was removed holds up nothing, and ends nothing: nobody waits for its sync any more, or hears its errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from datetime import timedelta

import anyio
from anyio.abc import TaskGroup

from reconciler.control_loop.starting import start_and_sync
from reconciler.errors import ConfigurationError
from reconciler.source import Sink, Source, StoppableSource

__all__ = ["Sources"]


class Sources:
    """The sources of one controller."""

    def __init__(self, sink: Sink, sources: Iterable[Source], *, limit: timedelta | None) -> None:
        """Nothing is started yet; `limit` is how long a source may take to start and sync."""
        self._sink = sink
        self._limit = limit
        self._all = [_Attached(source) for source in sources]
        self._fresh = list(self._all)
        self._group: TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._is_closed = False
        self._is_synced = False
        self.failure: Exception | None = None
        """What a source raised that was added while the controller ran; it ends the group given to `open`."""

    @property
    def is_synced(self) -> bool:
        """Whether those that were there at the start have synced."""
        return self._is_synced

    async def start(self, stopping: asyncio.Event) -> None:
        """
        Start those that are not started yet, and return when they have synced, or when `stopping` is set.

        Raises:
            CacheNotSyncedError: One did not start or sync in time.
            Exception: What a source raised.
        """
        while not self._is_synced or self._fresh:
            # Counted as started only when they are there: after an error another call tries them again.
            starting = tuple(self._fresh)
            if not await start_and_sync(self._sink, starting, stopping=stopping, limit=self._limit):
                return
            self._fresh = [each for each in self._fresh if each not in starting]
            self._is_synced = True

    def open(self, group: TaskGroup, stopping: asyncio.Event) -> None:
        """From now on start what is added in `group`, until `close`; no task may have run since `start` returned."""
        self._group = group
        self._stopping = stopping

    def close(self) -> None:
        """Take no more sources."""
        self._group = None
        self._is_closed = True

    def add(self, source: Source) -> None:
        """
        Start `source` now if the controller runs, else with it.

        Raises:
            ConfigurationError: It is there already, or the controller has ended.
        """
        name = self._sink.name
        if self._is_closed:
            raise ConfigurationError(f"controller {name} has ended: add sources before or while it runs")
        if self._find(source) is not None:
            raise ConfigurationError(f"controller {name} has this source already: {source.describe()}")
        attached = _Attached(source)
        self._all.append(attached)
        if self._group is None:
            self._fresh.append(attached)
        else:
            self._group.start_soon(self._follow, attached)

    def remove(self, source: Source) -> None:
        """
        Stop `source`.

        Raises:
            ConfigurationError: It is none of them, or it has no `stop()`.
        """
        attached = self._find(source)
        if attached is None:
            raise ConfigurationError(f"controller {self._sink.name} has no such source: {source.describe()}")
        attached.remove(self._sink.name)
        self._all.remove(attached)
        if attached in self._fresh:
            self._fresh.remove(attached)

    def _find(self, source: Source) -> _Attached | None:
        return next((each for each in self._all if each.source is source), None)

    async def _follow(self, attached: _Attached) -> None:
        try:
            await start_and_sync(self._sink, (attached,), stopping=self._stopping, limit=self._limit)
        except Exception as error:
            self.failure = self.failure or error
            raise


class _Attached:
    """A source that can be removed while somebody waits for it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._scopes: set[anyio.CancelScope] = set()
        self._is_removed = False

    def start(self, sink: Sink) -> Awaitable[None] | None:
        if self._is_removed:
            return None
        starting = self.source.start(sink)
        return None if starting is None else self._unless_removed(starting)

    async def wait_for_sync(self) -> None:
        if not self._is_removed:
            await self._unless_removed(self.source.wait_for_sync())

    def describe(self) -> str:
        return self.source.describe()

    def remove(self, controller: str) -> None:
        if not isinstance(self.source, StoppableSource):
            raise ConfigurationError(
                f"controller {controller} cannot remove {self.describe()}: give {type(self.source).__name__} a stop()"
            )
        self._is_removed = True
        self.source.stop()
        for scope in self._scopes:
            scope.cancel()

    async def _unless_removed(self, waiting: Awaitable[None]) -> None:
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await waiting
            except Exception:  # its own end, seen before the scope's cancellation; nobody waits for it any more
                if not self._is_removed:
                    raise
            finally:
                self._scopes.discard(scope)
