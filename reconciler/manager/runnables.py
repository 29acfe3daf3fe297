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

from reconciler.errors import ShutdownError

__all__ = ["Group", "Runnable", "run_in_order"]

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


async def run_in_order(
    runnables: Sequence[tuple[Group, str, Runnable]], *, stopping: asyncio.Event, grace: timedelta
) -> None:
    """
    Run all of `runnables` until `stopping` is set, then stop them in reverse order of their groups.

    Cancelled: all of them are cancelled at once.

    Raises:
        ShutdownError: Some had not ended after `grace`; they were cancelled.
        Exception: A runnable's own error, the first one if several fail.
    """
    running = {group: [_Running(name, each) for g, name, each in runnables if g is group] for group in Group}
    late: list[str] = []
    try:
        async with anyio.create_task_group() as tasks:
            for group in Group:
                for each in running[group]:
                    tasks.start_soon(_run, each, name=each.name)
            await stopping.wait()
            with anyio.move_on_after(grace.total_seconds()):
                for group in reversed(Group):
                    await _stop(running[group])
            late = [each.name for group in Group for each in running[group] if not each.ended.is_set()]
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        _log.error("stopped by an error: %s", "; ".join(repr(error) for error in errors.exceptions))
        raise errors.exceptions[0] from errors
    if late:
        raise ShutdownError(f"not ended after {grace.total_seconds():g} s, cancelled: {', '.join(late)}")


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
