"""What the journal says of the present is what the queue holds: the records alone, compared with the real queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.clock import LoopClock
from reconciler.control_loop import Controller
from reconciler.errors import TerminalError
from reconciler.journal import Changed, EventSeen, Explanation, Journal, Origin, State
from reconciler.reconcile import Request, Result
from reconciler.source import Sighting, Sink
from reconciler.testing import run_virtual
from reconciler.workqueue import Discipline, QueueSnapshot, Standing

A = Request("default", "a")

Ending = Result | Exception | None

ENDINGS: list[Ending] = [
    None,
    Result(requeue_after=timedelta(seconds=30)),
    Result(requeue_after=timedelta(seconds=10)),
    Result(requeue_after=timedelta(seconds=30), hold=True),
    Result(requeue_after=timedelta(seconds=10), hold=True),
    Result.cancel(),
    Result(requeue=True),
    OSError("away"),
    TerminalError("no"),
]
EVENTS = ["loud", "quiet", "unknown", "generic", "deleted"]
MOMENTS = [0.0, 0.5, 1.0, 1.5, 5.0, 9.0, 11.0, 12.0, 30.0, 31.0, 32.5, 45.0]
# At none of these does anything happen: between hand-out and start of a pass the two differ, by design.
CHECKED_AT = [0.257, 1.257, 3.007, 10.507, 14.007, 31.507, 50.007, 100.007]


class Feed:
    """A source whose events a test makes."""

    sink: Sink

    def start(self, sink: Sink) -> None:
        self.sink = sink

    async def wait_for_sync(self) -> None:
        pass

    def describe(self) -> str:
        return "feed"

    def event(self, what: str) -> None:
        sink = self.sink
        origin = {"quiet": Origin.OWN, "unknown": Origin.UNDETERMINED}.get(what, Origin.FOREIGN)
        verb = {"generic": "generic", "deleted": "delete"}.get(what, "update")
        seen = EventSeen(
            sink.journal.new_id(), (), sink.clock.now(), sink.name, A, verb, Changed.OTHER, "1", "2", 1, 1,
            origin=origin,
        )  # fmt: skip
        sighting = None if what == "generic" else Sighting("uid", is_primary=True)
        sink.seen(seen, (A,), sighting=sighting)


def held_and_told(
    queue: Discipline, endings: list[Ending], events: list[tuple[float, str]]
) -> list[tuple[QueueSnapshot[Request], Explanation]]:
    """Run a controller whose passes take a second; look into its queue and its journal at the same moments."""
    seen: list[tuple[QueueSnapshot[Request], Explanation]] = []

    async def reconcile(request: Request) -> Result | None:
        del request
        await asyncio.sleep(1)
        ending = endings.pop(0) if endings else None
        if isinstance(ending, Exception):
            raise ending
        return ending

    async def main() -> None:
        feed = Feed()
        controller = Controller("c", reconcile, clock=LoopClock(), journal=Journal(), sources=[feed], queue=queue)
        stopping = asyncio.Event()
        steps = sorted([*events, *((at, "") for at in CHECKED_AT)])
        async with anyio.create_task_group() as group:
            group.start_soon(controller.run, stopping)
            await asyncio.sleep(0)
            for at, what in steps:
                await asyncio.sleep(at - asyncio.get_running_loop().time())
                if what:
                    feed.event(what)
                else:
                    seen.append((controller.queue.snapshot(), controller.explain(A)))
            stopping.set()

    run_virtual(main())
    return seen


@pytest.mark.parametrize("queue", ["priority", "classic"])
@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.sampled_from(ENDINGS), max_size=8),
    st.lists(st.tuples(st.sampled_from(MOMENTS), st.sampled_from(EVENTS)), min_size=1, max_size=8),
)
def test_the_asks_that_stand_are_those_that_the_queue_holds(
    queue: Discipline, endings: list[Ending], events: list[tuple[float, str]]
) -> None:
    for snapshot, explanation in held_and_told(queue, list(endings), events):
        rows = {standing: [row for row in snapshot.rows if row.standing is standing] for standing in Standing}
        told = (explanation.ready, explanation.delayed)
        asks = [[ask.id] if ask is not None else [] for ask in told]
        assert asks == [[row.ask for row in rows[Standing.READY]], [row.ask for row in rows[Standing.WAITING]]]
        assert [ask.ready_at for ask in told if ask] == [
            row.ready_at for row in (*rows[Standing.READY], *rows[Standing.WAITING])
        ]
        assert explanation.is_running == bool(rows[Standing.HELD])
        if explanation.delayed is not None or explanation.ready is not None:
            assert explanation.state is not State.IDLE


@pytest.mark.parametrize("queue", ["priority", "classic"])
@pytest.mark.parametrize(
    ("second", "owed_at", "due_at"),
    [
        pytest.param(Result(requeue_after=timedelta(seconds=10)), None, 16, id="a hint replaces the promise"),
        pytest.param(Result(requeue_after=timedelta(seconds=10), hold=True), 16, 16, id="a sooner promise"),
        pytest.param(Result(requeue_after=timedelta(seconds=40), hold=True), 46, 46, id="a later promise"),
        pytest.param(Result.cancel(), None, None, id="cancelled"),
        pytest.param(None, 31, 31, id="nothing: the promise stands"),
        pytest.param(TerminalError("no"), 31, 31, id="failed for good: the promise stands"),
    ],
)
def test_what_is_owed_follows_the_endings(
    queue: Discipline, second: Ending, owed_at: int | None, due_at: int | None
) -> None:
    owes = Result(requeue_after=timedelta(seconds=30), hold=True)
    _, explanation = held_and_told(queue, [owes, second], [(0, "loud"), (5, "loud")])[3]
    assert explanation.owed_at == (None if owed_at is None else owed_at * 1_000_000_000)
    assert (explanation.delayed.ready_at if explanation.delayed else None) == (
        None if due_at is None else due_at * 1_000_000_000
    )


@pytest.mark.parametrize("queue", ["priority", "classic"])
def test_after_the_last_ask_a_time_that_was_owed_is_gone_with_the_controller(queue: Discipline) -> None:
    owing: list[Ending] = [Result(requeue_after=timedelta(seconds=500), hold=True)]
    journal = Journal()

    async def reconcile(request: Request) -> Result | None:
        del request
        ending = owing.pop(0)
        assert isinstance(ending, Result)
        return ending

    async def main() -> None:
        controller = Controller("c", reconcile, clock=LoopClock(), journal=journal, queue=queue)
        controller.queue.add(A)
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(controller.run, stopping)
            await asyncio.sleep(5)
            assert controller.explain(A).owed_at == 500_000_000_000
            stopping.set()

    run_virtual(main())
    explanation = journal.explain(A)
    assert (explanation.state, explanation.owed_at, explanation.findings) == (State.IDLE, None, ())
    assert [wake.by.value for wake in explanation.wakes] == ["nothing"]
