"""What a request's life looks like from outside: events, conditions, messages and the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import pytest

from reconciler.api import find_condition
from reconciler.builder import controller_managed_by
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationReconciler, NotificationRequest, custom_resource_definition
from reconciler.errors import PermanentDeliveryError
from reconciler.manager import Manager
from reconciler.testing import run_virtual
from tests.controllers.notification.world import (
    EVENTS,
    KEY,
    Fault,
    Recorder,
    Router,
    World,
    broken,
    fails,
    is_lost,
    never_arrives,
    passes,
    world,
)

Story = Callable[[World], Awaitable[None]]


def play(channels: dict[str, Recorder], story: Story, *, definition: Mapping[str, Any] | None = None) -> None:
    async def main() -> None:
        async with world(channels, definition=definition) as made:
            await asyncio.sleep(1)
            await story(made)

    run_virtual(main())


async def told(made: World) -> list[tuple[str, str, str]]:
    """The events, in the order in which they were noted."""
    events = await made.client.list(EVENTS, namespace=KEY.namespace)
    assert {event["source"]["component"] for event in events} <= {"notification-controller"}
    ordered = sorted(events, key=lambda event: event["metadata"]["name"])
    return [(event["type"], event["reason"], event["message"]) for event in ordered]


def test_a_failure_is_told_from_the_first_retry_to_the_end() -> None:
    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(5)
        waiting = (await made.read()).status
        assert (waiting.phase, waiting.reason) == ("Retrying", "AllChannelsFailedRetrying")
        assert waiting.message == "All 1 channel(s) failed, retrying with backoff 10s"
        assert find_condition(waiting.conditions, "Ready") is None
        await asyncio.sleep(60)
        ended = (await made.read()).status
        assert (ended.phase, ended.reason) == ("Failed", "MaxRetriesExhausted")
        ready = find_condition(ended.conditions, "Ready")
        assert ready is not None
        assert (ready.status, ready.reason, ready.message) == ("False", "NotReady", "Notification delivery failed")
        assert await told(made) == [
            ("Normal", "PhaseTransition", "Transitioned to Sending phase"),
            ("Normal", "NotificationRetrying", "Retrying failed channels with backoff 10s"),
            ("Normal", "NotificationRetrying", "Retrying failed channels with backoff 20s"),
            ("Warning", "NotificationFailed", "All delivery attempts failed or exhausted retries"),
        ]

    play({"a": Recorder(broken(9))}, story)


def test_only_permanent_errors_are_a_reason_of_their_own_and_end_at_once() -> None:
    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(1)
        assert (await made.read()).status.reason == "AllDeliveriesFailed"

    play({name: Recorder([PermanentDeliveryError("no")]) for name in "ab"}, story)


def test_the_message_of_a_partial_failure_counts_what_this_pass_delivered() -> None:
    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(1)
        status = (await made.read()).status
        assert status.reason == "PartialFailureRetrying"
        assert status.message == "Delivered to 1/2 channel(s), retrying failed channels with backoff 10s"

    play({"good": Recorder(), "bad": Recorder(broken(9))}, story)


@pytest.mark.parametrize("fault", [fails, is_lost, never_arrives], ids=lambda fault: fault.__name__)
def test_a_success_is_told_once_also_if_a_later_pass_had_to_record_it(fault: Fault) -> None:
    async def story(made: World) -> None:
        made.transport.faults = [passes, passes, fault, fault]
        await made.create()
        await asyncio.sleep(100)
        assert await told(made) == [
            ("Normal", "PhaseTransition", "Transitioned to Sending phase"),
            ("Normal", "NotificationSent", "Successfully delivered to channel a"),
        ]

    play({"a": Recorder()}, story)


@pytest.mark.parametrize("times", [1, 3])
def test_a_failure_is_told_also_if_the_answer_to_its_record_was_lost(times: int) -> None:
    async def story(made: World) -> None:
        made.transport.faults = [passes, passes, *[is_lost] * times]
        await made.create(attempts=1)
        await asyncio.sleep(100)
        assert await told(made) == [
            ("Normal", "PhaseTransition", "Transitioned to Sending phase"),
            ("Warning", "NotificationFailed", "All delivery attempts failed or exhausted retries"),
        ]

    play({"a": Recorder(broken(9))}, story)


def test_the_routing_condition_names_receivers_attributes_and_channels() -> None:
    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(1)
        routing = find_condition((await made.read()).status.conditions, "RoutingResolved")
        assert routing is not None
        assert (routing.status, routing.reason) == ("True", "RoutingRuleMatched")
        assert routing.message == (
            "Matched rules [r] (attributes: priority=High, type=Simple) \N{RIGHTWARDS ARROW} channels: a, b"
        )

    play({"a": Recorder(), "b": Recorder()}, story)


def test_a_request_without_channels_fails_and_nothing_is_said_of_a_pruned_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(1)
        status = (await made.read()).status
        assert (status.phase, status.reason) == ("Failed", "NoChannelsResolved")
        assert [reason for _, reason, _ in await told(made)] == ["PhaseTransition", "NotificationFailed"]

    with caplog.at_level(logging.WARNING, "reconciler.notification"):
        play({}, story)
    assert caplog.messages == []


def test_with_a_pruned_status_a_recorded_success_is_not_sent_again_by_the_next_controller() -> None:
    definition = custom_resource_definition()
    version = definition["spec"]["versions"][0]
    del version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["delivery"]
    good, bad = Recorder(), Recorder([*broken(1), PermanentDeliveryError("no")])

    async def main() -> NotificationRequest:
        async with world({"good": good, "bad": bad}, definition=definition) as made:
            await asyncio.sleep(1)
            await made.create()
            await asyncio.sleep(3)
        made.stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(made.run_manager)
            await asyncio.sleep(60)
            made.stopping.set()
        return await made.read()

    obj = run_virtual(main())
    assert (obj.status.phase, good.attempts, bad.attempts) == ("PartiallySent", [1], [1, 2])


def test_nothing_is_remembered_of_objects_that_are_gone() -> None:
    async def main() -> None:
        async with world({}) as made:
            made.stopping.set()
        manager = Manager(made.transport, namespace=KEY.namespace)
        channels = {"a": Recorder(broken(999))}
        reconciler = NotificationReconciler(
            cached=manager.cached_reader,
            client=manager.client,
            router=Router(tuple(channels)),
            channels=channels,
            recorder=manager.recorder_for("notification-controller"),
            journal=manager.journal,
            clock=manager.clock,
            wall=LoopWallClock(),
        )
        controller_managed_by(manager).for_(NotificationRequest).complete(reconciler)
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(manager.run, stopping)
            for number in range(20):
                await made.create(name=f"n{number}")
            await asyncio.sleep(2)
            assert reconciler.remembered == 20
            for obj in await made.client.list(NotificationRequest):
                await made.client.delete(NotificationRequest, obj.key)
            await asyncio.sleep(60)
            assert reconciler.remembered == 0
            stopping.set()

    run_virtual(main())
