from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import anyio
import pytest

from reconciler.api import find_condition
from reconciler.client import HttpRequest, HttpResponse
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationRequest, Policy, Promise, custom_resource_definition
from reconciler.errors import PermanentDeliveryError, TransientDeliveryError
from reconciler.testing import run_virtual
from tests.controllers.notification.world import (
    EVENTS,
    KEY,
    Fault,
    Recorder,
    World,
    broken,
    fails,
    is_lost,
    never_arrives,
    passes,
    world,
)

POLICY = Policy(max_attempts=3, initial_seconds=10, multiplier=2, max_seconds=60)


def play(channels: dict[str, Recorder], story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with world(channels) as made:
            await asyncio.sleep(1)
            await story(made)

    run_virtual(main())


def delays(obj: NotificationRequest, channel: str, count: int) -> list[float]:
    uid = obj.metadata.uid
    return [POLICY.delay(n, uid=uid, channel=channel).total_seconds() for n in range(1, count + 1)]


def gaps(channel: Recorder) -> list[float]:
    times = [time for time, _, _ in channel.calls]
    return [round(after - before, 6) for before, after in itertools.pairwise(times)]


def test_a_request_that_works_takes_three_status_writes() -> None:
    channel = Recorder()

    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(100)
        obj = await made.read()
        assert (obj.status.phase, obj.status.total_attempts, obj.status.successful_deliveries) == ("Sent", 1, 1)
        assert made.transport.status_writes == 3
        ready, routing = (find_condition(obj.status.conditions, name) for name in ("Ready", "RoutingResolved"))
        assert ready is not None
        assert routing is not None
        assert (ready.reason, routing.reason) == ("Ready", "RoutingRuleMatched")

    play({"a": channel}, story)
    assert channel.attempts == [1]


def test_each_channel_keeps_its_own_schedule_and_the_last_attempt_decides() -> None:
    slow, quick = Recorder(broken(9), timeout=timedelta(seconds=10)), Recorder([5.0])

    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(200)
        obj = await made.read()
        assert (obj.status.phase, obj.status.total_attempts) == ("PartiallySent", 4)
        assert gaps(slow) == [round(delay, 6) for delay in delays(obj, "slow", 2)]

    play({"slow": slow, "quick": quick}, story)
    assert slow.attempts == [1, 2, 3]
    assert quick.attempts == [1]


@pytest.mark.parametrize("fault", [fails, is_lost, never_arrives], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("times", [1, 4])
def test_an_outcome_that_could_not_be_written_is_kept_and_nothing_is_sent_twice(fault: Fault, times: int) -> None:
    channel = Recorder()

    async def story(made: World) -> None:
        made.transport.faults = [passes, passes, *[fault] * times]
        await made.create()
        await asyncio.sleep(100)
        obj = await made.read()
        assert (obj.status.phase, obj.status.total_attempts) == ("Sent", 1)
        assert obj.status.delivery is not None
        assert obj.status.delivery.in_doubt == []

    play({"a": channel}, story)
    assert channel.attempts == [1]


@pytest.mark.parametrize("fault", [fails, never_arrives], ids=lambda fault: fault.__name__)
def test_nothing_is_sent_before_its_intent_is_written(fault: Fault) -> None:
    channel = Recorder()

    async def story(made: World) -> None:
        made.transport.faults = [passes, *[fault] * 8]
        await made.create()
        await asyncio.sleep(0.3)
        assert channel.calls == []
        await asyncio.sleep(60)
        assert (await made.read()).status.phase == "Sent"

    play({"a": channel}, story)
    assert channel.attempts == [1]


@pytest.mark.parametrize("promise", [Promise.AT_LEAST_ONCE, Promise.AT_MOST_ONCE])
@pytest.mark.parametrize("times", [1, 3])
def test_an_announcement_whose_answer_was_lost_leaves_no_doubt_and_costs_no_attempt(
    promise: Promise, times: int
) -> None:
    channel = Recorder(promise=promise)

    async def story(made: World) -> None:
        # Each of these announcements is stored, and the process knows that it sent nothing for it.
        made.transport.faults = [passes, *[is_lost] * times]
        await made.create()
        await asyncio.sleep(100)
        obj = await made.read()
        assert obj.status.delivery is not None
        assert (obj.status.delivery.in_doubt, obj.status.delivery.intents) == ([], [])
        assert obj.status.message == "Successfully delivered to 1 channel(s)"

    play({"a": channel}, story)
    assert channel.attempts == [1]


def test_a_conflicting_writer_makes_the_pass_plan_again() -> None:
    channel = Recorder()

    async def story(made: World) -> None:
        async def label_first(request: HttpRequest, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
            del request
            await made.client.patch(NotificationRequest, KEY, {"metadata": {"labels": {"seen": "yes"}}})
            return await send()

        made.transport.faults = [label_first, label_first, label_first]
        await made.create()
        await asyncio.sleep(50)
        obj = await made.read()
        assert (obj.status.phase, obj.metadata.labels) == ("Sent", {"seen": "yes"})

    play({"a": channel}, story)
    assert channel.attempts == [1]


def test_foreign_changes_during_backoff_cause_no_earlier_attempt() -> None:
    channel = Recorder(broken(9))

    async def story(made: World) -> None:
        obj = await made.create()
        for number in range(60):
            await asyncio.sleep(1)
            await made.client.patch(NotificationRequest, KEY, {"metadata": {"labels": {"n": str(number)}}})
        assert (await made.read()).status.phase == "Failed"
        assert gaps(channel) == [round(delay, 6) for delay in delays(obj, "a", 2)]

    play({"a": channel}, story)


def test_deletion_cancels_and_a_new_object_of_that_name_starts_anew() -> None:
    channel = Recorder([*broken(1), 5.0])

    async def story(made: World) -> None:
        first = await made.create()
        await asyncio.sleep(2)
        await made.client.delete(NotificationRequest, KEY)
        await asyncio.sleep(1)
        second = await made.create()
        # Deleted and made again while its send is under way: the outcome belongs to nobody any more.
        await asyncio.sleep(2)
        await made.client.delete(NotificationRequest, KEY)
        third = await made.create()
        await asyncio.sleep(60)
        obj = await made.read()
        assert (obj.metadata.uid, obj.status.phase, obj.status.total_attempts) == (third.metadata.uid, "Sent", 1)
        assert [uid for _, _, uid in channel.calls] == [each.metadata.uid for each in (first, second, third)]

    play({"a": channel}, story)


def test_an_object_that_is_being_deleted_is_not_sent_any_more() -> None:
    channel = Recorder(broken(9))

    async def story(made: World) -> None:
        await made.create(finalizers=["example.com/hold"])
        await asyncio.sleep(2)
        await made.client.delete(NotificationRequest, KEY)
        await asyncio.sleep(100)

    play({"a": channel}, story)
    assert channel.attempts == [1]


def test_every_way_to_fail_is_recorded_with_its_class() -> None:
    channels = {
        "permanent": Recorder([PermanentDeliveryError("bad address")]),
        "panics": Recorder([ValueError("https://user:secret@hooks.example.com/T0/abc")]),
        "hangs": Recorder([99.0], timeout=timedelta(seconds=3)),
        "works": Recorder(),
    }

    async def story(made: World) -> None:
        await made.create(attempts=1)
        await asyncio.sleep(60)
        obj = await made.read()
        assert (obj.status.phase, obj.status.failed_deliveries) == ("PartiallySent", 3)
        errors = {attempt.channel: attempt.error for attempt in obj.status.delivery_attempts}
        assert errors["permanent"] == "permanent failure: bad address"
        assert not any(part in errors["panics"] for part in ("user", "secret", "hooks.example.com", "T0", "abc"))
        assert errors["panics"]
        assert errors["hangs"] == "no answer within 3 s"
        assert obj.status.delivery is not None
        classes = {channel.name: channel.error_class for channel in obj.status.delivery.channels}
        assert classes == {"permanent": "permanent", "panics": "transient", "hangs": "transient", "works": None}

    play(channels, story)


def test_the_events_tell_the_story() -> None:
    channels = {"ok": Recorder(), "bad": Recorder(broken(9))}

    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(100)
        events = await made.client.list(EVENTS, namespace=KEY.namespace)
        reasons = [event["reason"] for event in sorted(events, key=lambda each: each["metadata"]["name"])]
        assert reasons == [
            "PhaseTransition",
            "NotificationSent",
            "NotificationRetrying",
            "NotificationRetrying",
            "NotificationPartiallySent",
        ]

    play(channels, story)


def test_a_definition_without_status_delivery_works_and_is_warned_about_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    definition = custom_resource_definition()
    version = definition["spec"]["versions"][0]
    del version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["delivery"]
    channel = Recorder(broken(9))

    async def main() -> None:
        async with world({"a": channel, "b": Recorder()}, definition=definition) as made:
            await asyncio.sleep(1)
            obj = await made.create()
            await asyncio.sleep(100)
            assert (await made.read()).status.phase == "PartiallySent"
            assert gaps(channel) == [round(delay, 6) for delay in delays(obj, "a", 2)]

    with caplog.at_level(logging.WARNING, "reconciler.notification"):
        run_virtual(main())
    # Beside it the client says what every write of a pruned field is told: once for each field and kind of write.
    own = [record.message for record in caplog.records if record.name == "reconciler.notification"]
    assert sum("status.delivery" in message for message in own) == 1


class JumpingWall:
    """A wall clock that is set by `jump` after a while."""

    def __init__(self, at: float, jump: timedelta) -> None:
        self._at = at
        self._jump = jump

    def now(self) -> datetime:
        now = LoopWallClock().now()
        return now + self._jump if asyncio.get_running_loop().time() >= self._at else now


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wall_clock_that_jumps_causes_neither_storm_nor_stall(hours: int) -> None:
    channel = Recorder(broken(9))

    async def main() -> None:
        async with world({"a": channel}, wall=JumpingWall(5, timedelta(hours=hours))) as made:
            await asyncio.sleep(1)
            obj = await made.create()
            await asyncio.sleep(60)
            assert (await made.read()).status.phase == "Failed"
            assert gaps(channel) == [round(delay, 6) for delay in delays(obj, "a", 2)]

    run_virtual(main())


@pytest.mark.parametrize(
    ("promise", "attempts", "phase"),
    [
        (Promise.AT_LEAST_ONCE, [1, 2], "Sent"),
        (Promise.AT_MOST_ONCE, [1], "Failed"),
        (Promise.DEDUPLICATED, [1, 1], "Sent"),
    ],
)
def test_after_a_crash_in_a_send_each_promise_is_kept(promise: Promise, attempts: list[int], phase: str) -> None:
    channel = Recorder([5.0], promise=promise)

    # A graceful stop lets the send finish, so a crash is a manager that is cancelled.
    async def crash() -> None:
        async with world({"a": channel}) as made:
            await asyncio.sleep(1)
            made.stopping.set()
            await asyncio.sleep(1)
            with anyio.move_on_after(2):
                made.stopping = asyncio.Event()
                await made.create()
                await made.run_manager()
            await asyncio.sleep(1)
            made.stopping = asyncio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(made.run_manager)
                await asyncio.sleep(60)
                obj = await made.read()
                assert obj.status.phase == phase
                made.stopping.set()

    run_virtual(crash())
    assert channel.attempts == attempts


def test_a_graceful_stop_lets_the_send_finish_and_records_it() -> None:
    channel = Recorder([5.0])

    async def main() -> NotificationRequest:
        async with world({"a": channel}) as made:
            await asyncio.sleep(1)
            await made.create()
            await asyncio.sleep(1)
        return await made.read()

    obj = run_virtual(main())
    assert (obj.status.phase, obj.status.total_attempts) == ("Sent", 1)


def test_a_channel_that_is_not_registered_now_is_tried_again_later() -> None:
    channel = Recorder(broken(1))

    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(2)
        del made.channels["a"]
        await asyncio.sleep(15)
        obj = await made.read()
        assert obj.status.delivery_attempts[-1].error == "channel not registered: a"
        made.channels["a"] = channel
        await asyncio.sleep(60)
        assert (await made.read()).status.phase == "Sent"

    play({"a": channel}, story)
    assert channel.attempts == [1, 3]


def test_many_requests_are_all_delivered() -> None:
    channel = Recorder([TransientDeliveryError("x")] * 10)

    async def story(made: World) -> None:
        for number in range(20):
            await made.create(name=f"n{number}")
        await asyncio.sleep(100)
        phases = {(await made.read(f"n{number}")).status.phase for number in range(20)}
        assert phases == {"Sent"}

    play({"a": channel}, story)
    assert len(channel.calls) == 30
