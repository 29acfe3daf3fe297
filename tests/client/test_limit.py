from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import pytest

from reconciler.api import ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import Client, HttpRequest, RateLimitedTransport, RestClient, TokenBucket
from reconciler.clock import LoopClock, LoopWallClock
from reconciler.errors import ConnectionFailedError, NotFoundError
from reconciler.instant import Instant, milliseconds, seconds
from reconciler.testing import InProcessTransport, run_virtual

from .scripted import ScriptedTransport, answer, refusal

WIDGETS = ResourceType("example.com", "v1", "Widget", "widgets")
NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)


def _get(number: int = 0) -> HttpRequest:
    return HttpRequest("GET", f"/{number}")


# --- the bucket -------------------------------------------------------------------------------------------------------


def test_a_bucket_gives_its_burst_at_once_and_then_a_token_each_interval() -> None:
    bucket = TokenBucket(qps=10, burst=3)
    at = Instant(seconds(7))
    assert [bucket.take(at) for _ in range(4)] == [True, True, True, False]
    assert bucket.ready_at(at) == at + milliseconds(100)
    assert not bucket.take(Instant(at + milliseconds(100) - 1))
    assert bucket.take(Instant(at + milliseconds(100)))
    assert not bucket.take(Instant(at + milliseconds(100)))


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(qps=10, burst=2)
    late = Instant(seconds(3600))
    assert [bucket.take(late) for _ in range(3)] == [True, True, False]


def test_a_token_that_is_given_back_can_be_taken_again() -> None:
    bucket = TokenBucket(qps=1, burst=1)
    assert bucket.take(Instant(0))
    bucket.give_back()
    assert bucket.take(Instant(0))
    assert not bucket.take(Instant(0))


@pytest.mark.parametrize("seed", range(5))
def test_in_no_span_of_time_more_is_taken_than_the_rate_and_the_burst_allow(seed: int) -> None:
    chance = random.Random(seed)
    qps, burst = chance.choice([0.5, 3, 7, 50]), chance.randint(1, 9)
    bucket, now, taken = TokenBucket(qps=qps, burst=burst), 0, list[int]()
    for _ in range(2000):
        now += chance.choice([0, 0, 1, milliseconds(3), milliseconds(40), seconds(2)])
        if bucket.take(Instant(now)):
            taken.append(now)
    for first in range(0, len(taken), 7):
        for last in range(first, len(taken)):
            allowed = burst + (taken[last] - taken[first]) / 1e9 * qps
            assert last - first + 1 <= allowed + 1e-6


@pytest.mark.parametrize(("qps", "burst"), [(0, 1), (-1, 1), (float("inf"), 1), (float("nan"), 1), (1, 0), (1, -1)])
def test_a_rate_or_a_burst_out_of_bounds_is_refused(qps: float, burst: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        RateLimitedTransport(ScriptedTransport(), qps=qps, burst=burst)


# --- the line ---------------------------------------------------------------------------------------------------------


def test_requests_over_the_burst_go_out_one_by_one_in_the_order_they_came() -> None:
    inner = ScriptedTransport([answer(200)] * 8)

    async def main() -> None:
        transport = RateLimitedTransport(inner, qps=4, burst=3)
        await asyncio.gather(*(transport.send(_get(number)) for number in range(6)))
        assert transport.waiting == 0
        # After a quiet time the burst is there again.
        await asyncio.sleep(10)
        await asyncio.gather(*(transport.send(_get(number)) for number in (6, 7)))

    run_virtual(main())
    assert [request.path for request in inner.requests] == [f"/{number}" for number in range(8)]
    assert inner.asked_at == [0, 0, 0, 0.25, 0.5, 0.75, 10.75, 10.75]


class LateLoop:
    """A clock that says it is later than the loop's timers know, as on a loop that was busy."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now(self) -> Instant:
        return Instant(LoopClock().now() + self.ahead_ns)


def test_a_request_that_comes_when_a_token_is_due_does_not_overtake_the_line() -> None:
    inner, clock = ScriptedTransport([answer(200)] * 3), LateLoop()

    async def main() -> None:
        transport = RateLimitedTransport(inner, qps=1, burst=1, clock=clock)
        await transport.send(_get(0))
        waiting = asyncio.create_task(transport.send(_get(1)))
        await asyncio.sleep(0)
        # The token of the one in line is there, and its timer has not run.
        clock.ahead_ns = seconds(1)
        await transport.send(_get(2))
        await waiting

    run_virtual(main())
    assert [request.path for request in inner.requests] == ["/0", "/1", "/2"]


def test_whoever_is_cancelled_in_line_takes_no_token_and_sends_nothing() -> None:
    inner = ScriptedTransport([answer(200)] * 3)

    async def main() -> None:
        transport = RateLimitedTransport(inner, qps=1, burst=1)
        tasks = [asyncio.create_task(transport.send(_get(number))) for number in range(4)]
        await asyncio.sleep(0.5)
        assert transport.waiting == 3
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        assert (tasks[1].cancelled(), transport.waiting) == (True, 2)
        await asyncio.gather(tasks[0], *tasks[2:])

    run_virtual(main())
    assert [(request.path, at) for request, at in zip(inner.requests, inner.asked_at, strict=True)] == [
        ("/0", 0),
        ("/2", 1),
        ("/3", 2),
    ]


def test_whoever_is_called_and_cancelled_in_one_moment_leaves_the_token_to_the_next() -> None:
    inner = ScriptedTransport([answer(200)] * 3)

    async def main() -> None:
        transport = RateLimitedTransport(inner, qps=1, burst=1)
        await transport.send(_get(0))
        first, second = (asyncio.create_task(transport.send(_get(number))) for number in (1, 2))
        await asyncio.sleep(0)
        # Timers of one moment run in the order in which they were set: the line's own before this one.
        asyncio.get_running_loop().call_at(1.0, first.cancel)
        await asyncio.wait([first, second])
        assert first.cancelled()

    run_virtual(main())
    assert [(request.path, at) for request, at in zip(inner.requests, inner.asked_at, strict=True)] == [
        ("/0", 0),
        ("/2", 1),
    ]


def test_a_watch_counts_once_however_long_it_lasts() -> None:
    inner = ScriptedTransport([answer(200, b"a\nb\nc\nd"), answer(200)])

    async def main() -> None:
        transport = RateLimitedTransport(inner, qps=1, burst=1)
        async with transport.stream(_get()) as stream:
            assert [line async for line in stream.lines] == [b"a", b"b", b"c", b"d"]
            assert inner.open_streams == 1
        assert inner.open_streams == 0
        await transport.send(_get())

    run_virtual(main())
    assert inner.asked_at == [0, 1]


def test_a_request_that_is_repeated_after_a_429_waits_in_line_again() -> None:
    inner = ScriptedTransport([answer(429, refusal(429, "TooManyRequests"), retry_after="1"), answer(200, {})])

    async def main() -> None:
        rest = RestClient(RateLimitedTransport(inner, qps=0.25, burst=1))
        await rest.get(WIDGETS, ObjectKey("default", "a"))

    run_virtual(main())
    assert inner.asked_at == [0, 4]


def test_the_wait_is_no_part_of_a_requests_time_out() -> None:
    inner = ScriptedTransport([answer(200)] * 2)

    async def main() -> None:
        transport = RateLimitedTransport(inner, qps=0.01, burst=1)
        for _ in range(2):
            await transport.send(HttpRequest("GET", "/", timeout_seconds=1))

    run_virtual(main())
    assert inner.asked_at == [0, 100]


def test_closing_keeps_nobody_waiting() -> None:
    class Closed(ScriptedTransport):
        async def send(self, request: HttpRequest) -> Any:
            if self.is_closed:
                raise ConnectionFailedError("the transport is closed")
            return await super().send(request)

    inner = Closed([answer(200)])

    async def main() -> None:
        async with RateLimitedTransport(inner, qps=0.01, burst=1) as transport:
            await transport.send(_get())
            waiting = [asyncio.create_task(transport.send(_get())) for _ in range(3)]
            await asyncio.sleep(1)
        for task in waiting:
            with pytest.raises(ConnectionFailedError, match="is closed"):
                await task
        with pytest.raises(ConnectionFailedError, match="is closed"):
            await transport.send(_get())
        assert LoopClock().now() == seconds(1)

    run_virtual(main())


def test_a_long_wait_is_said_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="reconciler.client.limit")
    inner = ScriptedTransport([answer(200)] * 9)

    async def main() -> None:
        transport = RateLimitedTransport(inner, qps=2, burst=1)
        await asyncio.gather(*(transport.send(_get(number)) for number in range(6)))

    run_virtual(main())
    assert [record.getMessage() for record in caplog.records] == [
        "GET /2 waited 1.0 s for the client's own limit of 2 requests a second; 3 more wait",
        "GET /4 waited 2.0 s for the client's own limit of 2 requests a second; 1 more wait",
    ]


def test_a_client_works_over_it_as_over_any_transport() -> None:
    async def main() -> None:
        transport = RateLimitedTransport(InProcessTransport(ApiServer(wall=LoopWallClock())), qps=10, burst=1)
        client = Client(RestClient(transport))
        for number in range(3):
            await client.create({"metadata": {"name": f"n{number}"}}, resource=NAMESPACES)
        async with client.watch(NAMESPACES) as events:
            assert (await anext(events)).type == "ADDED"
        with pytest.raises(NotFoundError):
            await client.get(NAMESPACES, ObjectKey("", "gone"))
        assert LoopClock().now() == milliseconds(400)

    run_virtual(main())
