"""What goes wrong around a send, one fault at a time; `test_simulation` mixes them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import anyio
import pytest

from reconciler.client import HttpRequest, HttpResponse
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationRequest, Policy, Promise
from reconciler.controllers.notification.types import DeliveryAttempt
from reconciler.errors import InvariantError
from reconciler.testing import run_virtual
from tests.controllers.notification.world import KEY, Recorder, World, broken, never_arrives, passes, world

POLICY = Policy(max_attempts=3, initial_seconds=10, multiplier=2, max_seconds=60)


def play(channels: dict[str, Recorder], story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with world(channels) as made:
            await asyncio.sleep(1)
            await story(made)

    run_virtual(main())


def gaps(channel: Recorder) -> list[float]:
    return [round(after[0] - before[0], 6) for before, after in itertools.pairwise(channel.calls)]


def delays(obj: NotificationRequest, channel: str, count: int) -> list[float]:
    numbers = range(1, count + 1)
    return [round(POLICY.delay(n, uid=obj.metadata.uid, channel=channel).total_seconds(), 6) for n in numbers]


def test_a_success_that_another_process_recorded_first_is_not_sent_again() -> None:
    channel = Recorder()

    async def story(made: World) -> None:
        async def record_first(request: HttpRequest, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
            del request
            obj = await made.read()
            obj.status.delivery_attempts.append(
                DeliveryAttempt(channel="a", attempt=1, timestamp=LoopWallClock().now(), status="success")
            )
            await made.client.status.update(obj)
            return await send()

        # Given a plan to send, when the record says before its announcement that this was done,
        made.transport.faults = [passes, record_first]
        await made.create()
        await asyncio.sleep(100)
        # then the announcement conflicts, and the new plan sends nothing.
        status = (await made.read()).status
        assert (status.phase, status.total_attempts) == ("Sent", 1)

    play({"a": channel}, story)
    assert channel.calls == []


def test_a_changed_routing_does_not_change_a_request_under_way() -> None:
    first, second = Recorder(broken(1)), Recorder()
    channels = {"first": first}

    async def main() -> None:
        async with world(channels) as made:
            await asyncio.sleep(1)
            await made.create()
            await asyncio.sleep(2)
        channels["second"] = second
        made.stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(made.run_manager)
            await asyncio.sleep(60)
            made.stopping.set()
        assert (await made.read()).status.phase == "Sent"

    run_virtual(main())
    assert (first.attempts, second.attempts) == ([1, 2], [])


@pytest.mark.parametrize("restart_at", [3, 15, 40])
def test_a_restart_during_backoff_neither_hurries_nor_delays_the_next_attempt(restart_at: float) -> None:
    channel = Recorder(broken(9))

    async def main() -> None:
        async with world({"a": channel}) as made:
            await asyncio.sleep(1)
            obj = await made.create()
            await asyncio.sleep(restart_at)
        made.stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(made.run_manager)
            await asyncio.sleep(60)
            made.stopping.set()
        assert (await made.read()).status.phase == "Failed"
        # Between processes the record's microseconds count.
        assert gaps(channel) == pytest.approx(delays(obj, "a", 2), abs=2e-6)

    run_virtual(main())


def test_an_outage_makes_attempts_late_and_never_brings_them_closer_together() -> None:
    channel = Recorder(broken(9))

    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(2)
        made.transport.faults = [never_arrives] * 8
        await asyncio.sleep(300)
        obj = await made.read()
        assert (obj.status.phase, channel.attempts) == ("Failed", [1, 2, 3])
        first, second = delays(obj, "a", 2)
        assert gaps(channel)[0] > first
        assert gaps(channel)[1] == second

    play({"a": channel}, story)


def test_what_is_deleted_during_its_send_records_the_outcome_and_is_not_sent_again() -> None:
    channel = Recorder([5.0, *broken(9)])
    other = Recorder(broken(9))

    async def story(made: World) -> None:
        await made.create(finalizers=["example.com/hold"])
        await asyncio.sleep(2)
        await made.client.delete(NotificationRequest, KEY)
        await asyncio.sleep(100)
        status = (await made.read()).status
        assert [(each.channel, each.status) for each in status.delivery_attempts] == [
            ("other", "failed"),
            ("a", "success"),
        ]

    play({"a": channel, "other": other}, story)
    assert (channel.attempts, other.attempts) == ([1], [1])


@pytest.mark.parametrize(
    ("promise", "announced"),
    [(Promise.AT_LEAST_ONCE, [1]), (Promise.AT_MOST_ONCE, [1]), (Promise.DEDUPLICATED, [])],
)
def test_a_send_is_announced_unless_the_receiver_drops_repeats(promise: Promise, announced: list[int]) -> None:
    channel = Recorder([5.0], promise=promise)

    async def story(made: World) -> None:
        await made.create()
        await asyncio.sleep(2)
        status = (await made.read()).status
        assert status.delivery is not None
        assert (status.phase, [each.attempt for each in status.delivery.intents]) == ("Sending", announced)
        await asyncio.sleep(10)
        ended = (await made.read()).status
        assert ended.delivery is not None
        assert (ended.phase, ended.delivery.intents) == ("Sent", [])

    play({"a": channel}, story)


def test_a_broken_invariant_in_a_channel_stops_the_controller() -> None:
    async def main() -> None:
        async with world({"a": Recorder([InvariantError("our bug")])}) as made:
            await asyncio.sleep(1)
            await made.create()
            await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main())
    inner, _ = caught.value.split(InvariantError) or (None, None)
    assert inner is not None
