"""
Start and stop order of what runs in a manager.

Expected flow: groups start one after the other and all run; when `stopping` is set, the last group is told to stop
and waited for, then the one before it, until the first.

Guarantees:
    - A runnable that raises, or returns before it was told to, stops all others at once; its error reaches the caller.
    - All stops together take no longer than the grace period; what has not ended then is cancelled, and named.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from reconciler.errors import ConfigurationError, ShutdownError

__all__ = ["Group", "Runnable", "Runnables"]

_log = logging.getLogger("reconciler.manager")


class Runnable(Protocol):
    """Something that runs as long as the manager does. Mirrors: controller-runtime `manager.Runnable`."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until `stopping` is set, then finish what is in work and return."""
        ...


class Group(IntEnum):
    """The order in which runnables start; they stop in reverse."""

    HEALTH = 0
    CACHES = 1
    RECORDERS = 2
    CONTROLLERS = 3


@dataclass(slots=True)
class _Running:
    name: str
    runnable: Runnable
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Runnables:
    """
    What runs, in the order of its groups, before and while it runs.

    Args:
        grace: How long all stops together may take.
    """

    def __init__(self, grace: timedelta) -> None:
        self._grace = grace
        self._running: dict[Group, list[_Running]] = {group: [] for group in Group}
        self._tasks: TaskGroup | None = None
        self._has_stopped = False

    def add(self, group: Group, name: str, runnable: Runnable) -> None:
        """
        Run `runnable` with the others; at once, if they run already.

        Raises:
            ShutdownError: They stop, or have stopped: it would never run.
        """
        if self._has_stopped:
            raise ShutdownError(f"{name} cannot be added: the manager stops, or has stopped")
        added = _Running(name, runnable)
        self._running[group].append(added)
        if self._tasks is not None:
            self._tasks.start_soon(_run, added, name=name)

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Run all until `stopping` is set, then stop them in reverse order of their groups.

        Cancelled: all of them are cancelled at once.

        Raises:
            ConfigurationError: It ran before.
            ShutdownError: Some had not ended after the grace period; they were cancelled.
            Exception: A runnable's own error, the first one if several fail.
        """
        if self._tasks is not None:
            raise ConfigurationError("a manager runs once: make another one")
        late: list[str] = []
        try:
            async with anyio.create_task_group() as self._tasks:
                for each in self._each():
                    self._tasks.start_soon(_run, each, name=each.name)
                await stopping.wait()
                self._has_stopped = True
                with anyio.move_on_after(self._grace.total_seconds()):
                    for group in reversed(Group):
                        await _stop(self._running[group])
                late = [each.name for each in self._each() if not each.ended.is_set()]
                self._tasks.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            _log.error("stopped by an error: %s", "; ".join(repr(error) for error in errors.exceptions))
            raise errors.exceptions[0] from errors
        finally:
            self._has_stopped = True
        if late:
            raise ShutdownError(f"not ended after {self._grace.total_seconds():g} s, cancelled: {', '.join(late)}")

    def _each(self) -> list[_Running]:
        return [each for group in Group for each in self._running[group]]


async def _run(running: _Running) -> None:
    try:
        await running.runnable.run(running.stopping)
        if not running.stopping.is_set():
            raise ShutdownError(f"{running.name} returned before it was told to stop")
    finally:
        running.ended.set()


async def _stop(running: Sequence[_Running]) -> None:
    for each in running:
        each.stopping.set()
    for each in running:
        await each.ended.wait()
