from __future__ import annotations

import asyncio
import logging

import anyio
import pytest

from reconciler.apiserver import ApiServer
from reconciler.client import Client, RestClient
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationRequest
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
