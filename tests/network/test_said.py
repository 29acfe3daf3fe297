"""What would be silent elsewhere: a stale read, a list that is forbidden, a field that the server dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from reconciler.builder import controller_managed_by
from reconciler.client import Client, RestClient
from reconciler.errors import CacheNotSyncedError
from reconciler.journal import Journal, Record, Wrote
from reconciler.manager import Manager
from reconciler.reconcile import Request, Result

from .proxy import WAIT_SECONDS_MAX, refusal
from .stage import LAMPS, Lamp, Stage, running

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("quick_retries")]


class Parent:
    """A controller that wants one child of the lamp `a`; its second pass begins before the cache has seen the child."""

    def __init__(self, stage: Stage, *, after_own_writes: bool) -> None:
        self.manager = Manager(stage.transport(), namespace=stage.namespace, seed=1)
        self.begun = self.ended = 0
        self._stage = stage
        self._after_own_writes = after_own_writes
        self._news = asyncio.Event()
        controller_managed_by(self.manager).for_(Lamp).complete(self.reconcile)

    async def reconcile(self, request: Request) -> Result | None:
        if request.name != "a":
            return None
        self.begun += 1
        self._news.set()
        if self.begun == 1:
            self._stage.proxy.is_holding = True  # from before the first child on
        children = await self.manager.cached_reader.list(
            Lamp, label_selector="parent=a", after_own_writes=self._after_own_writes
        )
        if not children.items:
            child = {"metadata": {"generateName": "child-", "namespace": request.namespace, "labels": {"parent": "a"}}}
            await self.manager.client.create(child, resource=LAMPS)
        self.ended += 1
        self._news.set()
        return Result(requeue_after=timedelta(milliseconds=10)) if self.ended == 1 else None

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not condition():
                self._news.clear()
                await self._news.wait()


@pytest.mark.parametrize("after_own_writes", [False, True])
async def test_a_read_that_waits_for_own_writes_makes_no_duplicates_where_a_stale_one_does(
    stage: Stage, after_own_writes: bool
) -> None:
    """
    A pass creates a child, the next one reads a cache that has not seen it, and creates another.

    Elsewhere: controller-runtime#1464, #3320.
    """
    await stage.create("a")
    parent = Parent(stage, after_own_writes=after_own_writes)
    async with running(parent.manager.run):
        await parent.until(lambda: parent.begun == 2)
        if after_own_writes:
            await stage.proxy.until(lambda: stage.proxy.held_lines > 0)
            assert parent.ended == 1
            stage.proxy.release()
        await parent.until(lambda: parent.ended == 2)
        stage.proxy.release()
    children = await stage.direct.list(LAMPS, namespace=stage.namespace, label_selector="parent=a")
    assert len(children) == (1 if after_own_writes else 2)


async def test_a_list_that_is_forbidden_ends_the_wait_at_once_and_names_verb_resource_and_scope(stage: Stage) -> None:
    """
    The controller's role lacks `list`: that is said, long before any time-out.

    Elsewhere, only "timed out waiting for cache": controller-runtime#1653.
    """
    why = f'lamps.{LAMPS.group} is forbidden: User "u" cannot list resource "lamps" in namespace "{stage.namespace}"'
    stage.proxy.answer_always("list", refusal(403, "Forbidden", why))
    async with stage.follower() as follower:
        with pytest.raises(CacheNotSyncedError) as caught:
            await follower.cache.wait_for_sync(timedelta(minutes=10))
    said = str(caught.value)
    assert f"list {LAMPS} in {stage.namespace}: 403 {why}" in said
    assert "timed out" not in said


async def test_a_field_that_the_server_dropped_is_said_in_the_log_and_in_the_journal(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The server answers 200, and the schema does not know the field: it is gone.

    Elsewhere: nolar/kopf#574.
    """
    caplog.set_level(logging.WARNING, "reconciler.client")
    await stage.create("a")
    journal, records = Journal(), list[Record]()
    journal.subscribe(records.append)
    async with stage.transport() as through:
        client = Client(RestClient(through), journal=journal)
        answer = await client.patch(LAMPS, stage.key(), {"spec": {"size": 2, "colour": "secret red"}})
    assert answer["spec"] == {"size": 2}
    (wrote,) = (record for record in records if isinstance(record, Wrote))
    assert (wrote.code, wrote.pruned) == (200, ("spec.colour",))
    assert "spec.colour" in caplog.text
    assert "secret red" not in caplog.text
