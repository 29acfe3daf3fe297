"""
Starting a controller's sources and waiting for them, within one time-out.

Mirrors: controller-runtime `internal/controller` `startEventSourcesAndQueueLocked`.
Differs: a stop is no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

import anyio

from reconciler.errors import CacheNotSyncedError
from reconciler.source import Sink, Source

__all__ = ["start_and_sync"]


async def start_and_sync(
    sink: Sink, sources: Sequence[Source], *, stopping: asyncio.Event, limit: timedelta | None
) -> bool:
    """
    Start all of `sources`, and return whether they have synced; False: `stopping` was set before.

    A source that ignores its cancellation and syncs late is waited for and accepted, as in Go.

    Raises:
        CacheNotSyncedError: A source did not start or sync within `limit`; the message says which, and how it stands.
        Exception: What a source raised, the first one if several did.
    """
    starts = [source.start(sink) for source in sources]
    starting = dict.fromkeys(range(len(sources)))
    syncing = dict.fromkeys(range(len(sources)))

    async def follow(number: int) -> None:
        start = starts[number]
        if start is not None:
            await start
        del starting[number]
        await sources[number].wait_for_sync()
        del syncing[number]

    async def follow_all(scope: anyio.CancelScope) -> None:
        async with anyio.create_task_group() as group:
            for number in range(len(sources)):
                group.start_soon(follow, number)
        scope.cancel()

    async def wait_for_stop(scope: anyio.CancelScope) -> None:
        await stopping.wait()
        scope.cancel()

    try:
        with anyio.move_on_after(limit.total_seconds() if limit else None):
            async with anyio.create_task_group() as group:
                group.start_soon(follow_all, group.cancel_scope)
                group.start_soon(wait_for_stop, group.cancel_scope)
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors
    if not syncing:
        return True
    if stopping.is_set():
        return False
    waited = limit.total_seconds() if limit else 0
    if starting:
        names = "; ".join(sources[number].describe() for number in starting)
        raise CacheNotSyncedError(
            f"controller {sink.name}: not started after {waited:g} s: {names}. A source's start must not wait for long"
        )
    stands = "; ".join(source.describe() for source in sources)
    raise CacheNotSyncedError(f"controller {sink.name}: not synced after {waited:g} s: {stands}")


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(cast("BaseExceptionGroup[BaseException]", first)) if isinstance(first, BaseExceptionGroup) else first
