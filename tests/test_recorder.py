from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable

import anyio
import pytest

from reconciler.apiserver import ApiServer
from reconciler.client import Client, HttpRequest, HttpResponse, RestClient
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationRequest
from reconciler.errors import ConnectionFailedError
from reconciler.recorder import EVENT, EventRecorder
from reconciler.testing import InProcessTransport, run_virtual

ABOUT = NotificationRequest.model_validate({"metadata": {"name": "n", "namespace": "default", "uid": "u-1"}})


def posted(pending_max: int, count: int, *, namespace: str = "default") -> list[str]:
    about = ABOUT.model_copy(deep=True)
    about.metadata.namespace = namespace

    async def main() -> list[str]:
        client = Client(RestClient(InProcessTransport(ApiServer(wall=LoopWallClock()))))
        recorder = EventRecorder(client, LoopWallClock(), component="test", pending_max=pending_max)
        stopping = asyncio.Event()
        for number in range(count):
            recorder.event(about, "Normal", f"Reason{number}", "m" * 2000)
        async with anyio.create_task_group() as group:
            group.start_soon(recorder.run, stopping)
            await asyncio.sleep(1)
            recorder.event(about, "Warning", "Last", "posted at the stop")
            stopping.set()
        events = await client.list(EVENT, namespace="default")
        assert all(event["involvedObject"]["uid"] == "u-1" for event in events)
        return sorted(event["reason"] for event in events)

    return run_virtual(main())


def record_into(
    answer: Callable[[HttpRequest], Awaitable[HttpResponse]], *, stop_at: float, name: str = "n"
) -> tuple[float, list[str]]:
    """Note two events for a server that answers as given; return when the recorder ended, and the names it posted."""

    class Scripted(InProcessTransport):
        async def send(self, request: HttpRequest) -> HttpResponse:
            names.append(json.loads(request.body or b"")["metadata"]["name"])
            return await answer(request)

    names: list[str] = []
    about = ABOUT.model_copy(deep=True)
    about.metadata.name = name

    async def main() -> float:
        wall = LoopWallClock()
        recorder = EventRecorder(Client(RestClient(Scripted(ApiServer(wall=wall)))), wall, component="test")
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(recorder.run, stopping)
            recorder.event(about, "Normal", "First", "m")
            recorder.event(about, "Normal", "Second", "m")
            await asyncio.sleep(stop_at)
            stopping.set()
        return asyncio.get_running_loop().time()

    return run_virtual(main()), names


def test_a_server_that_does_not_answer_holds_up_a_stop_for_no_longer_than_the_flush(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hangs(request: HttpRequest) -> HttpResponse:
        del request
        await asyncio.sleep(1000)
        raise AssertionError("unreachable")

    ended, names = record_into(hangs, stop_at=5)
    assert ended == 7
    assert "2 event(s) were not posted before the stop" in caplog.text
    # Whether the first one arrived is unknown, so it is posted again, under its name: the server keeps one.
    assert len(names) == 2
    assert names[0] == names[1]


def test_an_outage_costs_the_events_of_that_time_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def refuses(request: HttpRequest) -> HttpResponse:
        del request
        raise ConnectionFailedError("refused")

    ended, names = record_into(refuses, stop_at=5)
    assert (ended, len(names)) == (5, 2)
    assert caplog.text.count("event not posted") == 2


def test_the_name_of_an_event_is_a_valid_one_however_long_the_objects_name_is() -> None:
    async def accepts(request: HttpRequest) -> HttpResponse:
        return HttpResponse(201, {}, request.body or b"")

    _, names = record_into(accepts, stop_at=5, name="x" * 198 + "-." + "y" * 53)
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"x{198}\.[a-z0-9]+", each) for each in names)


def test_events_are_posted_also_those_of_the_last_moment() -> None:
    assert posted(10, 3) == ["Last", "Reason0", "Reason1", "Reason2"]


def test_when_too_many_wait_the_oldest_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "reconciler.recorder"):
        assert posted(2, 3) == ["Last", "Reason1", "Reason2"]
    assert "dropped Reason0 on NotificationRequest default/n" in caplog.text


def test_an_event_that_is_refused_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "reconciler.recorder"):
        assert posted(10, 1, namespace="nowhere") == []
    assert "event not posted: Reason0 on NotificationRequest nowhere/n" in caplog.text
