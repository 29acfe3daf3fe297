from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import anyio
import pytest

from reconciler.clock import LoopClock
from reconciler.control_loop import Controller, Ending, ending_of
from reconciler.errors import (
    ApiStatus,
    CacheNotSyncedError,
    ConfigurationError,
    InvariantError,
    NotFoundError,
    TerminalError,
)
from reconciler.instant import seconds
from reconciler.journal import Asked, EventSeen, Journal, PassEnded, PassStarted, Promoted, current_cause
from reconciler.reconcile import Request, Result
from reconciler.source import LOW_PRIORITY, Sink
from reconciler.testing import run_virtual

A = Request("default", "a")
B = Request("default", "b")

Step = Callable[[], Awaitable[Result | None]]


class Script:
    """A reconciler that does, at each call for a key, what the script says; then nothing."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.starts: list[tuple[float, Request]] = []

    async def __call__(self, request: Request) -> Result | None:
        self.starts.append((asyncio.get_running_loop().time(), request))
        return await self.steps.pop(0)() if self.steps else None

    @property
    def times(self) -> list[float]:
        return [round(time, 9) for time, _ in self.starts]


def returns(result: Result | None = None, *, after: float = 0.01) -> Step:
    async def step() -> Result | None:
        await asyncio.sleep(after)
        return result

    return step


def raises(error: BaseException, *, after: float = 0.01) -> Step:
    async def step() -> Result | None:
        await asyncio.sleep(after)
        raise error

    return step


class Feed:
    """A source whose events a test makes."""

    def __init__(self, *, synced_after: float | None = 0.0) -> None:
        self.synced_after = synced_after
        self.sink: Sink | None = None

    def start(self, sink: Sink) -> None:
        self.sink = sink

    async def wait_for_sync(self) -> None:
        await asyncio.sleep(self.synced_after if self.synced_after is not None else 1e9)

    def describe(self) -> str:
        return "feed: not synced"

    def event(self, request: Request, *, low: bool = False) -> None:
        assert self.sink is not None
        sink = self.sink
        seen = EventSeen(sink.journal.new_id(), (), sink.clock.now(), sink.name, request, verb="update")
        sink.seen(seen, (request,), priority=LOW_PRIORITY if low else None)


def run_controller(
    script: Script,
    events: Sequence[tuple[float, Request]],
    *,
    until: float,
    workers: int = 1,
    timeout: timedelta | None = None,
) -> Controller:
    async def main() -> Controller:
        feed = Feed()
        controller = Controller(
            "c",
            script,
            clock=LoopClock(),
            journal=Journal(),
            sources=[feed],
            max_concurrent_reconciles=workers,
            reconcile_timeout=timeout,
        )
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(controller.run, stopping)
            for at, request in events:
                await asyncio.sleep(at - asyncio.get_running_loop().time())
                feed.event(request)
            await asyncio.sleep(until - asyncio.get_running_loop().time())
            stopping.set()
        return controller

    return run_virtual(main())


@pytest.mark.parametrize(
    ("second", "third_at"),
    [
        pytest.param(returns(None), [], id="ok: the wake-up is lost, as in Go"),
        pytest.param(raises(TerminalError("no")), [], id="terminal error: lost"),
        pytest.param(returns(Result(requeue_after=timedelta(seconds=30))), [31.02], id="asks again: only the new one"),
        pytest.param(raises(OSError("no")), [1.025], id="error: a backoff, then nothing"),
    ],
)
def test_an_event_before_the_wake_up_uses_it_up(second: Step, third_at: list[float]) -> None:
    script = Script(returns(Result(requeue_after=timedelta(seconds=30))), second)
    controller = run_controller(script, [(0.5, A), (1.01, A)], until=100)
    assert script.times == [0.5, 1.01, *third_at]
    explanation = controller.explain(A)
    assert [round(lost.due_at / 1e9, 3) for lost in explanation.lost][:1] == [30.51]


def test_the_explanation_names_the_lost_wake_up_and_what_beat_it() -> None:
    script = Script(returns(Result(requeue_after=timedelta(seconds=30))), returns(None))
    explanation = run_controller(script, [(0, A), (1, A)], until=5).explain(A)
    (lost,) = explanation.lost
    by_id = {record.id: record for record in explanation.records}
    asked, beat = by_id[lost.ask_id], by_id[lost.beaten_by]
    assert isinstance(asked, Asked)
    assert isinstance(beat, Asked)
    assert (asked.by, beat.by) == ("requeue_after", "event")
    assert isinstance(by_id[beat.causes[0]], EventSeen)
    assert explanation.standing is None


def test_each_pass_is_linked_to_what_asked_for_it() -> None:
    script = Script(returns(Result(requeue_after=timedelta(seconds=2))))
    records = run_controller(script, [(0, A)], until=5).explain(A).records
    seen, asked, started, ended, again, due, second, _ = records
    assert isinstance(seen, EventSeen)
    assert asked.causes == (seen.id,)
    assert isinstance(started, PassStarted)
    assert started.causes == (asked.id, seen.id)
    assert isinstance(ended, PassEnded)
    assert ended.causes == (started.id,)
    assert again.causes == (ended.id,)
    assert isinstance(due, Promoted)
    assert (due.ask, due.causes, due.verdict) == (again.id, (again.id,), "the key is ready")
    assert isinstance(second, PassStarted)
    assert second.causes == (again.id, ended.id)
    assert (second.at, second.waited) == (seconds(2.01), 0)


def test_failures_back_off_exponentially_and_a_success_forgets_them() -> None:
    fail = [raises(OSError("away"), after=0) for _ in range(4)]
    script = Script(*fail, returns(None, after=0), raises(OSError("away"), after=0))
    run_controller(script, [(0, A), (1, A)], until=2)
    assert script.times == [0, 0.005, 0.015, 0.035, 0.075, 1, 1.005]


def test_a_requeue_backs_off_and_does_not_forget() -> None:
    script = Script(*[returns(Result(requeue=True), after=0) for _ in range(3)])
    run_controller(script, [(0, A)], until=2)
    assert script.times == [0, 0.005, 0.015, 0.035]


def test_a_pass_that_takes_too_long_gets_a_timeout_error_and_comes_back() -> None:
    noticed: list[type[BaseException]] = []

    async def hang() -> Result | None:
        try:
            await asyncio.sleep(1000)
        except BaseException as error:
            noticed.append(type(error))
            raise
        return None

    script = Script(hang)
    controller = run_controller(script, [(0, A)], until=10, timeout=timedelta(seconds=3))
    assert script.times == [0, 3.005]
    assert noticed == [asyncio.CancelledError]
    endings = [record.ending for record in controller.explain(A).records if isinstance(record, PassEnded)]
    assert endings == [Ending.TIMED_OUT.value, Ending.DONE.value]


def test_a_key_is_in_the_hands_of_one_worker_at_a_time_while_others_work_on() -> None:
    script = Script(returns(None, after=5), returns(None, after=1))
    run_controller(script, [(0, A), (1, A), (1, B)], until=20, workers=3)
    assert script.starts == [(0, A), (1, B), (5, A)]


def test_a_stop_lets_the_pass_in_work_finish_and_starts_nothing_new() -> None:
    ended_at: list[float] = []

    async def slow() -> Result | None:
        await asyncio.sleep(10)
        ended_at.append(asyncio.get_running_loop().time())
        return Result(requeue_after=timedelta(seconds=1))

    script = Script(slow)
    run_controller(script, [(0, A), (1, B)], until=2)
    assert ended_at == [10]
    assert script.starts == [(0, A)]


def test_an_unexpected_error_is_logged_with_its_traceback_and_an_expected_one_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = NotFoundError(ApiStatus(404, "NotFound", "not found"), "get x")
    script = Script(raises(KeyError("oops"), after=0), raises(away, after=0))
    with caplog.at_level(logging.ERROR, "reconciler.controller"):
        run_controller(script, [(0, A)], until=1)
    unexpected, expected = caplog.records
    assert unexpected.exc_info is not None
    assert expected.exc_info is None
    assert "get x: 404 not found" in expected.getMessage()


@pytest.mark.parametrize(
    "error",
    [InvariantError("Q1"), ExceptionGroup("tasks", [OSError("away"), InvariantError("Q1")])],
    ids=["bare", "grouped"],
)
def test_a_broken_invariant_stops_the_controller(error: Exception) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        run_controller(Script(raises(error, after=0)), [(0, A)], until=1)
    assert caught.group_contains(InvariantError, match="Q1")


def test_a_source_that_does_not_sync_in_time_ends_the_controller_and_is_named() -> None:
    async def main() -> None:
        controller = Controller(
            "c",
            Script(),
            clock=LoopClock(),
            journal=Journal(),
            sources=[Feed(synced_after=None)],
            cache_sync_timeout=timedelta(seconds=7),
        )
        with pytest.raises(CacheNotSyncedError, match="controller c: not synced after 7 s: feed: not synced"):
            await controller.run(asyncio.Event())
        assert asyncio.get_running_loop().time() == 7

    run_virtual(main())


def test_a_stop_during_the_sync_ends_the_controller_without_a_pass() -> None:
    async def main() -> None:
        script, feed, stopping = Script(), Feed(synced_after=100), asyncio.Event()
        controller = Controller("c", script, clock=LoopClock(), journal=Journal(), sources=[feed])
        asyncio.get_running_loop().call_later(3, stopping.set)
        await controller.run(stopping)
        assert asyncio.get_running_loop().time() == 3
        assert not controller.is_synced
        assert script.starts == []

    run_virtual(main())


def test_low_priority_keys_wait_behind_real_changes() -> None:
    async def main() -> list[tuple[float, Request]]:
        script, feed, stopping = Script(), Feed(synced_after=1), asyncio.Event()
        controller = Controller("c", script, clock=LoopClock(), journal=Journal(), sources=[feed])
        async with anyio.create_task_group() as group:
            group.start_soon(controller.run, stopping)
            await asyncio.sleep(0.5)
            feed.event(A, low=True)
            feed.event(B)
            await asyncio.sleep(1)
            stopping.set()
        return script.starts

    assert run_virtual(main()) == [(1, B), (1, A)]


def test_a_task_that_outlives_its_pass_knows_that_the_pass_is_over() -> None:
    overs: list[bool] = []
    tasks: list[asyncio.Task[None]] = []

    async def look_later() -> None:
        await asyncio.sleep(1)
        cause = current_cause.get()
        assert cause is not None
        overs.append(cause.is_over)

    async def forgetful() -> Result | None:
        tasks.append(asyncio.create_task(look_later()))
        return None

    run_controller(Script(forgetful), [(0, A)], until=5)
    assert overs == [True]


def test_a_controller_needs_a_worker() -> None:
    with pytest.raises(ConfigurationError, match="at least 1 worker, got 0"):
        Controller("c", Script(), clock=LoopClock(), journal=Journal(), max_concurrent_reconciles=0)


@pytest.mark.parametrize(
    ("result", "error", "ending"),
    [
        (None, None, Ending.DONE),
        (Result(), None, Ending.DONE),
        (Result(requeue_after=timedelta(seconds=1), requeue=True), None, Ending.ASKED_LATER),
        (Result(requeue=True), None, Ending.ASKED_REQUEUE),
        (None, TerminalError("x"), Ending.FAILED_FOR_GOOD),
        (None, TimeoutError(), Ending.FAILED),
        (None, OSError(), Ending.FAILED),
        (None, ValueError(), Ending.PANICKED),
    ],
)
def test_every_way_to_end_has_a_name(result: Result | None, error: Exception | None, ending: Ending) -> None:
    assert ending_of(result, error) is ending


def test_a_cancelled_task_that_a_pass_awaits_is_a_panic_and_not_the_end_of_the_controller() -> None:
    async def await_a_cancelled_task() -> Result | None:
        task = asyncio.create_task(asyncio.sleep(5))
        task.cancel()
        await task
        return None

    script = Script(await_a_cancelled_task, returns(None))
    controller = run_controller(script, [(0, A)], until=1)
    assert script.times == [0, 0.005]
    assert controller.counts.reconcile_panics_total == 1


def test_a_pass_that_is_cancelled_at_the_stop_is_said_to_be() -> None:
    async def main() -> list[str]:
        controller = Controller("c", returns_never, clock=LoopClock(), journal=Journal())
        controller.queue.add(A)
        run = asyncio.create_task(controller.run(asyncio.Event()))
        await asyncio.sleep(1)
        run.cancel()
        await asyncio.wait([run])
        assert run.cancelled()
        return [record.ending for record in controller.explain(A).records if isinstance(record, PassEnded)]

    assert run_virtual(main()) == [Ending.CANCELLED.value]


async def returns_never(request: Request) -> Result | None:
    del request
    await asyncio.Event().wait()
    return None
