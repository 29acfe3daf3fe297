"""What each fault of the proxy does to a cache that reads through it; the gravest have a file of their own."""

from __future__ import annotations

import asyncio
import logging

import pytest

from reconciler.client import Client, RestClient
from reconciler.errors import ConnectionFailedError, UnauthorizedError

from .proxy import Answer, refusal
from .stage import LAMPS, Lamp, Stage

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("quick_retries")]


async def test_without_a_fault_everything_passes(stage: Stage) -> None:
    await stage.create("a", 1)
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 1})
        await stage.resize(2)
        await follower.until_sizes({"a": 2})
        assert [seen.status for seen in stage.proxy.asked("list")] == [200]


async def test_a_watch_that_is_cut_goes_on_from_its_version_without_a_list(stage: Stage) -> None:
    await stage.create("a", 1)
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 1})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        await stage.resize(2)
        await follower.until_sizes({"a": 2})
        stage.proxy.cut()
        await stage.resize(3)
        await follower.until_sizes({"a": 3})
        assert len(stage.proxy.asked("list")) == 1
    assert [event.verb for event in follower.told] == ["create", "update", "update"]


@pytest.mark.parametrize("then", ["cut", "end"])
async def test_half_a_line_is_no_event_and_what_it_said_is_read_again(stage: Stage, then: str) -> None:
    await stage.create("a", 1)
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 1})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        stage.proxy.break_next_line("cut" if then == "cut" else "end")
        await stage.resize(2)
        await follower.until_sizes({"a": 2})
        assert follower.cache.is_synced
    assert [event.verb for event in follower.told] == ["create", "update"]


async def test_half_a_page_of_the_list_is_asked_for_again_and_said(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")
    await stage.create("a", 1)
    stage.proxy.answer_next("list", Answer(200, b'{"kind":"LampList","apiVersion":"network.reconciler.test/v1","it'))
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 1})
        assert [seen.status for seen in stage.proxy.asked("list")] == [200, 200]
    assert "the answer is not understood" in caplog.text


async def test_a_429_is_waited_out_for_as_long_as_it_says(stage: Stage) -> None:
    await stage.create("a", 1)
    too_many = refusal(429, "TooManyRequests", "slow down", Retry_After="1")
    stage.proxy.answer_next("list", too_many)
    stage.proxy.answer_next("write", too_many)
    through = stage.transport()
    async with stage.follower() as follower, through:
        client = Client(RestClient(through))
        async with asyncio.TaskGroup() as group:
            group.create_task(client.patch(Lamp, stage.key(), {"spec": {"size": 2}}))
            group.create_task(follower.until_sizes({"a": 2}))
    for what in ("list", "write"):
        refused, answered = (stage.proxy.asked("list") if what == "list" else stage.proxy.asked("write"))[:2]
        assert (refused.status, answered.status) == (429, 200)
        # The upper bound is a machine's that has much else to do; without the header it would be 20 ms.
        assert 1 <= answered.at - refused.at < 10


async def test_a_401_and_a_cut_before_the_answer_are_errors_with_the_request_in_them(stage: Stage) -> None:
    async with stage.transport() as through:
        client = Client(RestClient(through))
        stage.proxy.tokens = {"another"}
        with pytest.raises(UnauthorizedError, match=f"list {LAMPS} in {stage.namespace}: 401"):
            await client.list(LAMPS, namespace=stage.namespace)
        stage.proxy.tokens, stage.proxy.is_down = None, True
        with pytest.raises(ConnectionFailedError, match=r"closed the connection without|reset by peer"):
            await client.list(LAMPS, namespace=stage.namespace)
        stage.proxy.is_down = False
        assert (await client.list(LAMPS, namespace=stage.namespace)).items == ()


async def test_a_write_whose_answer_is_late_is_made_once(stage: Stage) -> None:
    stage.proxy.write_delay_seconds = 0.2
    async with stage.transport() as through:
        body = {"metadata": {"name": "a", "namespace": stage.namespace}, "spec": {"size": 1}}
        started = asyncio.get_running_loop().time()
        await Client(RestClient(through)).create(body, resource=LAMPS)
        assert asyncio.get_running_loop().time() - started >= 0.2
    assert [seen.status for seen in stage.proxy.asked("write")] == [201]
