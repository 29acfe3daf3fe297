"""
Drives the start of a controller whose only source behaves in a named way, in virtual time.

Times are compared exactly, errors by what they mean: `meaning_of_go` and `meaning_of_ours` are the tables of both.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import anyio

from reconciler.clock import LoopClock
from reconciler.errors import CacheNotSyncedError, ReconcilerError
from reconciler.journal import EventSeen, Journal
from reconciler.reconcile import Request, Result
from reconciler.source import Sink
from reconciler.testing.conformance.difference import Difference, Outcome
from reconciler.testing.conformance.facts import tell
from reconciler.testing.conformance.parts import Parts
from reconciler.testing.conformance.programs import Startup
from reconciler.testing.conformance.settling import SettlingLoop
from reconciler.testing.virtual import run_virtual

__all__ = ["HORIZON", "on_startup"]

HORIZON = 200_000_000_000
"""Where a start that still runs counts as running."""

_NOT_SYNCED = "the sources did not sync in time"
_SYNC_FAILED = "waiting for the sources failed: "
_NOT_STARTED = "a source did not start in time"
_STOPPED = "stopped while the sources were waited for"


def on_startup(program: Startup, parts: Parts) -> Difference | None:
    """Start a controller as `program` says; return the first difference."""
    journal = Journal()
    seen = run_virtual(_drive(program, parts, journal), loop_factory=SettlingLoop)
    recorded: Outcome = {
        "reconcile_starts": program.reconcile_starts or (),
        "start_returned_at": program.start_returned_at,
        "err": meaning_of_go(program.err),
    }
    if seen == recorded:
        return None
    step = f"the start, with the source {program.source}"
    return Difference(f"the controller, {program.queue} queue", step, 0, recorded, seen, tuple(tell(journal)))


def meaning_of_go(err: str) -> str:
    """Return what an error of Go's `Start` means; one that is not in this table stays as it is."""
    head, colon, cause = err.partition(" caches to sync scripted: ")
    if head.startswith("failed to wait for ") and colon:
        known = {"context deadline exceeded": _NOT_SYNCED, "context canceled": _STOPPED}
        return known.get(cause, _SYNC_FAILED + cause)
    return _NOT_STARTED if err.startswith("timed out waiting for source scripted to Start.") else err


def meaning_of_ours(error: Exception | None, *, has_stopped: bool, has_synced: bool) -> str:
    """Return what `Controller.run` said at its end, in the same words. A stop is no error here."""
    match error:
        case None:
            return _STOPPED if has_stopped and not has_synced else ""
        case CacheNotSyncedError():
            return _NOT_STARTED if ": not started after " in str(error) else _NOT_SYNCED
        case _SyncError():
            return _SYNC_FAILED + str(error)
        case _:
            return str(error)


class _SyncError(ReconcilerError):
    """What the scripted source raises while it is waited for."""


class _ScriptedSource:
    def __init__(self, program: Startup) -> None:
        self._program = program

    async def start(self, sink: Sink) -> None:
        if self._program.early_event:
            request = Request("", "a")
            event = EventSeen(sink.journal.new_id(), (), sink.clock.now(), sink.name, request, "generic")
            sink.seen(event, (request,))
        match self._program.source:
            case "start_blocks":
                await asyncio.Event().wait()
            case "start_error":
                raise ReconcilerError("no start")
            case _:
                pass

    async def wait_for_sync(self) -> None:
        match self._program.source:
            case "sync_never":
                await asyncio.Event().wait()
            case "sync_ignores_ctx":
                with anyio.CancelScope(shield=True):
                    await self._until_ready()
            case "sync_error":
                await self._until_ready()
                raise _SyncError("no sync")
            case _:
                await self._until_ready()

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.call_at(self._program.sync_at / 1_000_000_000, ready.set_result, None)
        await ready

    def describe(self) -> str:
        return "scripted"


async def _drive(program: Startup, parts: Parts, journal: Journal) -> Outcome:
    clock = LoopClock()
    starts: list[int] = []
    stopping = asyncio.Event()

    async def reconcile(request: Request) -> Result:
        del request
        starts.append(clock.now())
        return Result()

    make = partial(
        parts.controller,
        f"misc-{program.id}",
        reconcile,
        clock=clock,
        journal=journal,
        queue=program.queue,
        sources=[_ScriptedSource(program)],
        on_timeout="signal",
        on_stop="signal",
    )
    # No time stands for the default of the library.
    given = program.cache_sync_timeout
    controller = make(cache_sync_timeout=timedelta(microseconds=given // 1_000)) if given else make()
    loop = asyncio.get_running_loop()
    if program.cancel_at:
        loop.call_at(program.cancel_at / 1_000_000_000, stopping.set)
    running = asyncio.create_task(controller.run(stopping))
    returned_at = -1
    error: Exception | None = None
    done, _ = await asyncio.wait((running,), timeout=HORIZON / 1_000_000_000)
    if done:
        returned_at = clock.now()
        failed = running.exception()
        error = failed if isinstance(failed, Exception) else None
    running.cancel()
    await asyncio.wait((running,))
    meaning = meaning_of_ours(error, has_stopped=stopping.is_set(), has_synced=controller.is_synced)
    return {"reconcile_starts": tuple(starts), "start_returned_at": returned_at, "err": meaning}
