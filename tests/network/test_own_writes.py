"""A controller's own writes on a bad network: what others do meanwhile is not taken for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest

from reconciler.builder import controller_managed_by
from reconciler.control_loop import Controller
from reconciler.journal import EventSeen, Origin, State, Wrote
from reconciler.manager import Manager
from reconciler.reconcile import Request, Result

from .proxy import WAIT_SECONDS_MAX, status
from .stage import Lamp, Stage, running

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("quick_retries")]

Meanwhile = Callable[[Stage], Awaitable[None]]


class Holder:
    """Writes `status.seen` once for each size that it sees, and holds its own writes for an hour."""

    def __init__(self, stage: Stage, meanwhile: Meanwhile) -> None:
        self.manager = Manager(stage.transport(), namespace=stage.namespace, seed=1)
        self.sizes: list[int] = []
        self._stage = stage
        self._meanwhile = meanwhile
        self._news = asyncio.Event()
        self.controller: Controller = controller_managed_by(self.manager).for_(Lamp).complete(self.reconcile)

    async def reconcile(self, request: Request) -> Result | None:
        lamp = await self.manager.client.get(Lamp, request.key)
        if lamp.status.seen != lamp.spec.size:
            lamp.status.seen = lamp.spec.size
            write = asyncio.ensure_future(self.manager.client.status.update(lamp))
            if not self.sizes:
                await self._meanwhile(self._stage)
            await write
        self.sizes.append(lamp.spec.size)
        self._news.set()
        return Result(requeue_after=timedelta(hours=1), hold=True)

    async def until_sizes(self, *expected: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while self.sizes != list(expected):
                self._news.clear()
                await self._news.wait()

    def updates(self, request: Request) -> list[EventSeen]:
        records = self.controller.explain(request).records
        return [record for record in records if isinstance(record, EventSeen) and record.verb == "update"]


@asynccontextmanager
async def holder_of(stage: Stage, meanwhile: Meanwhile) -> AsyncGenerator[Holder, None]:
    """A controller that has one lamp of size 1 to look after, and a watch of it."""
    holder = Holder(stage, meanwhile)
    async with running(holder.manager.run):
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        await stage.create("a", 1)
        yield holder


async def nothing(stage: Stage) -> None:
    del stage


async def test_own_writes_alone_start_no_pass(stage: Stage) -> None:
    """The rule that must not swallow more than it says: without a foreign change, the own write waits."""
    async with holder_of(stage, nothing) as holder:
        await holder.until_sizes(1)
        request = Request(stage.namespace, "a")
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not holder.updates(request) or holder.controller.explain(request).is_running:  # noqa: ASYNC110  # the watch brings it
                await asyncio.sleep(0.01)
        # It may come before the write's answer; then it waits for that.
        assert [event.origin in {Origin.OWN, Origin.UNDETERMINED} for event in holder.updates(request)] == [True]
        explained = holder.controller.explain(request)
        assert (explained.state, explained.owed_at is not None) == (State.WAITING, True)
        assert holder.sizes == [1]


async def test_a_foreign_change_just_after_our_own_write_starts_a_pass(stage: Stage) -> None:
    """
    Both events lie in the network at once, ours first.

    Elsewhere the filter for own writes swallowed the second: JOSDK#3398, quarkus-operator-sdk#1353.
    """

    async def meanwhile(stage: Stage) -> None:
        stage.proxy.is_holding = True

    async with holder_of(stage, meanwhile) as holder:
        await holder.until_sizes(1)
        await stage.resize(2)
        await stage.proxy.until(lambda: stage.proxy.held_lines >= 2)
        stage.proxy.release()
        await holder.until_sizes(1, 2)
        own, foreign = holder.updates(Request(stage.namespace, "a"))[:2]
        assert (own.origin, foreign.origin) == (Origin.OWN, Origin.FOREIGN)


async def test_a_foreign_change_while_our_own_write_has_no_answer_yet_starts_a_pass(stage: Stage) -> None:
    """
    The server has made our write, its answer is late, and the foreign change comes before the answer does.

    Elsewhere the filter for own writes swallowed it: JOSDK#3398, quarkus-operator-sdk#1353.
    """

    async def meanwhile(stage: Stage) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while (await stage.direct.get(Lamp, stage.key())).status.seen != 1:  # noqa: ASYNC110  # the server's business
                await asyncio.sleep(0.01)
        await stage.resize(2)
        stage.proxy.write_delay_seconds = 0.0  # of the next writes; this one's answer is late already

    # Long enough for the foreign event to come first on a busy machine.
    stage.proxy.write_delay_seconds = 2.0
    async with holder_of(stage, meanwhile) as holder:
        await holder.until_sizes(1, 2)
        records = holder.controller.explain(Request(stage.namespace, "a")).records
        ours = next(record for record in records if isinstance(record, Wrote))
        theirs = [
            record for record in records if isinstance(record, EventSeen) and record.old_version == ours.new_version
        ]
        assert [event.id < ours.id for event in theirs] == [True]


async def test_a_foreign_change_that_a_relist_merges_with_our_own_write_starts_a_pass(stage: Stage) -> None:
    """
    The watch was dead while we wrote and somebody else did; the list after it shows one change, from old to new.

    Elsewhere the filter for own writes swallowed it: JOSDK#3398, quarkus-operator-sdk#1353.
    """

    async def meanwhile(stage: Stage) -> None:
        stage.proxy.stall()

    async with holder_of(stage, meanwhile) as holder:
        await holder.until_sizes(1)
        await stage.resize(2)
        gone = {"type": "ERROR", "object": status(410, "Expired", "too old resource version")}
        stage.proxy.say(msgspec.json.encode(gone))
        await holder.until_sizes(1, 2)
        merged = holder.updates(Request(stage.namespace, "a"))[0]
        assert (merged.origin, merged.is_quiet) == (Origin.FOREIGN, False)
