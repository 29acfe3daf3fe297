from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.clock import LoopClock
from reconciler.control_loop import Controller
from reconciler.errors import TerminalError
from reconciler.journal import (
    Changed,
    EventSeen,
    Explanation,
    Finding,
    FindingKind,
    Journal,
    Origin,
    Present,
    Wrote,
    hot_loop,
    lost_wake_up,
    render,
)
from reconciler.journal import current_cause as cause_of
from reconciler.reconcile import Request, Result
from reconciler.source import Sink
from reconciler.testing import run_virtual
from reconciler.workqueue import Verdict
from tests.journal.scribe import SECOND, Scribe

A = Request("default", "a")
LATER = Result(requeue_after=timedelta(seconds=30))

Step = Result | Exception | None


class Feed:
    """A source whose events a test makes."""

    sink: Sink

    def start(self, sink: Sink) -> None:
        self.sink = sink

    async def wait_for_sync(self) -> None:
        pass

    def describe(self) -> str:
        return "feed"

    def event(self, origin: Origin = Origin.FOREIGN, versions: tuple[str, str] = ("", "")) -> None:
        sink = self.sink
        seen = EventSeen(
            sink.journal.new_id(), (), sink.clock.now(), sink.name, A, "update", Changed.LABELS, *versions,
            origin=origin, fields=("status.seen",) if origin is Origin.OWN else (),
        )  # fmt: skip
        sink.seen(seen, (A,))


def explained(
    steps: list[Step],
    events: list[float],
    *,
    until: float = 100,
    on_pass: Callable[[Feed, int], Awaitable[None]] | None = None,
) -> Explanation:
    """Run a real controller, whose passes take 10 ms and end as `steps` say, then well."""
    feed = Feed()
    todo = list(steps)
    passes = 0

    async def reconcile(request: Request) -> Result | None:
        nonlocal passes
        del request
        await asyncio.sleep(0.01)
        passes += 1
        if on_pass is not None:
            await on_pass(feed, passes)
        step = todo.pop(0) if todo else None
        if isinstance(step, Exception):
            raise step
        return step

    async def main() -> Explanation:
        controller = Controller("c", reconcile, clock=LoopClock(), journal=Journal(), sources=[feed])
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(controller.run, stopping)
            await asyncio.sleep(0)
            for at in events:
                await asyncio.sleep(at - asyncio.get_running_loop().time())
                feed.event()
            await asyncio.sleep(until - asyncio.get_running_loop().time())
            explanation = controller.explain(A)
            stopping.set()
        return explanation

    return run_virtual(main())


def finding(explanation: Explanation) -> Finding:
    (found,) = explanation.findings
    return found


def test_the_wake_up_that_an_event_beat_is_told_with_its_pass_its_time_and_whose_event_it_was() -> None:
    explanation = explained([LATER, None], [0, 15])
    found = finding(explanation)
    assert (found.kind, found.is_certain, found.due_at) == (FindingKind.LOST_WAKE_UP, False, round(30.01 * SECOND))
    passes = [record.id for record in explanation.records if type(record).__name__ == "PassStarted"]
    events = [record.id for record in explanation.records if isinstance(record, EventSeen)]
    assert {passes[0], events[1]} <= set(found.record_ids)
    assert found.sentence.startswith(f"pass #{passes[0]} asked for a retry (requeue_after, #")
    assert f"at 30.010s; event #{events[1]} (update, changed labels, foreign) at 15.000s beat it" in found.sentence
    assert f"Pass #{passes[1]} ended well since and asked for nothing" in found.sentence
    lines = list(render(explanation))
    assert lines[-2].startswith("  now: idle: ")
    assert lines[-1] == f"  to check: lost wake-up: {found.sentence}"


@pytest.mark.parametrize("at", [0.005, 15.0, 29.9], ids=["while the pass runs", "half way", "shortly before"])
@pytest.mark.parametrize(
    ("second", "is_certain"),
    [
        pytest.param(None, False, id="ok"),
        pytest.param(TerminalError("no"), True, id="terminal error"),
        pytest.param(OSError("away"), False, id="an error, whose backoff then ends well"),
        pytest.param(LATER, None, id="asks again"),
    ],
)
def test_each_row_of_gos_table_has_its_finding(at: float, second: Step, is_certain: bool | None) -> None:
    explanation = explained([LATER, second], [0, at], until=40)
    if is_certain is None:
        assert explanation.findings == ()
    else:
        assert finding(explanation).kind is FindingKind.LOST_WAKE_UP
        assert finding(explanation).is_certain is is_certain


@pytest.mark.parametrize(
    ("steps", "events", "until"),
    [
        pytest.param([LATER], [0], 10, id="it still waits"),
        pytest.param([LATER], [0], 40, id="it came"),
        pytest.param([LATER, None], [0, 31], 40, id="an event after it came"),
        pytest.param([], [0, 1, 2], 40, id="nobody asked for anything"),
        pytest.param([LATER, None, None], [0, 1, 2], 40, id="a pass for somebody else's later event ended well"),
        pytest.param([OSError("away")], [0], 40, id="a backoff that came"),
    ],
)
def test_where_all_is_well_nothing_is_found(steps: list[Step], events: list[float], until: float) -> None:
    assert explained(steps, events, until=until).findings == ()


def test_a_wake_up_that_a_deletion_beat_is_not_lost() -> None:
    key = Scribe()
    late = key.ends_and_asks(key.start(key.ask(cause=key.event("create"))), 30)
    child = key.event("delete", source="default/child")
    gone = key.event("delete")
    beat = key.ask(Verdict.MADE_READY, cause=gone, lost=late, lost_at=30)
    key.end(key.start(beat, child, gone))
    assert key.explain().findings == ()


@pytest.mark.parametrize(("what", "is_lost"), [("cancelled", False), ("object gone", False), ("promised", True)])
def test_a_wake_up_that_somebody_decided_against_is_not_lost(what: str, is_lost: bool) -> None:
    key = Scribe()
    late = key.ends_and_asks(key.start(key.ask(cause=key.event())), 30)
    event = key.event()
    beat = key.ask(Verdict.MADE_READY, cause=event, lost=late, lost_at=30)
    key.end(key.start(beat, event))
    key.owe(what, 30)
    assert bool(lost_wake_up(key.explain().records, Present())) is is_lost


def test_a_stop_is_no_lost_wake_up() -> None:
    key = Scribe()
    started = key.start(key.ask(cause=key.event()))
    key.ends_and_asks(started, 30, Verdict.SHUT_DOWN, lost=-1, standing=0)
    assert key.explain().findings == ()


def test_a_promotion_that_merged_into_a_ready_key_is_no_lost_wake_up() -> None:
    key = Scribe()
    ask = key.ends_and_asks(key.start(key.ask(cause=key.event())), 30)
    key.at = 30
    event = key.event()
    ready = key.ask(cause=event)
    key.promote(ask, Verdict.FOLDED)
    key.end(key.start(ready, event))
    assert key.explain().findings == ()


def test_a_pass_that_wanted_to_come_back_and_for_which_nobody_asked_is_certain() -> None:
    key = Scribe()
    started = key.start(key.ask(cause=key.event()))
    ended = key.end(started, "failed")
    found = finding(key.explain())
    assert found.is_certain
    assert found.record_ids == (started, ended)
    assert f"pass #{started} wanted to come back (#{ended}), and nobody asked the queue for it" in found.sentence


def test_what_beat_the_wake_up_may_be_another_retry() -> None:
    key = Scribe()
    late = key.ends_and_asks(key.start(key.ask(cause=key.event())), 30)
    event = key.event()
    failing = key.start(key.ask(cause=event), event)
    failed = key.end(failing, "failed")
    backoff = key.ask(Verdict.SOONER, by="backoff", cause=failed, after=0.005, lost=late, lost_at=30)
    key.at = 0.005
    key.promote(backoff)
    key.end(key.start(backoff, failed))
    found = finding(key.explain())
    assert f"at 30.000s; the sooner backoff #{backoff} at 0.005s beat it" in found.sentence
    assert {late, backoff} <= set(found.record_ids)


def test_records_that_are_gone_are_said_to_be_gone() -> None:
    key = Scribe()
    ask = key.ends_and_asks(key.start(key.ask()), 30)
    beat = key.ask(Verdict.MADE_READY, cause=99, lost=ask, lost_at=30)
    started = key.start(beat)
    key.end(started, "failed for good")
    found = lost_wake_up(key.explain().records[3:])
    assert found is not None
    sentence = found.sentence
    assert "a pass whose start is no longer kept asked for a retry" in sentence
    assert f"an event that is no longer kept (its ask is #{beat}) beat it" in sentence


RESULTS = st.sampled_from([None, LATER, Result(requeue=True), OSError("away"), TerminalError("no")])


@settings(deadline=None)
@given(st.lists(RESULTS, max_size=6), st.lists(st.sampled_from([0.0, 0.005, 0.02, 1.0, 15.0, 30.0, 31.0]), max_size=6))
def test_a_certain_loss_means_that_nothing_is_pending_and_no_pass_ended_well_since(
    steps: list[Step], events: list[float]
) -> None:
    explanation = explained(list(steps), sorted(events), until=1_000)
    for found in explanation.findings:
        assert found.kind is FindingKind.LOST_WAKE_UP
        assert explanation.standing is None
        assert not explanation.is_running
        since = [record for record in explanation.records if record.id > max(found.record_ids)]
        assert not found.is_certain or not any(getattr(record, "ending", "") == "done" for record in since)
    # Without any lost wake-up in the records there is no finding.
    if not explanation.lost:
        assert explanation.findings == ()


def test_a_controller_that_writes_at_each_pass_and_is_woken_by_its_own_write_is_a_hot_loop() -> None:
    version = 1

    async def writes(feed: Feed, number: int) -> None:
        nonlocal version
        del number
        cause = cause_of.get()
        assert cause is not None
        journal = feed.sink.journal
        old, new = str(version), str(version + 1)
        version += 1
        journal.append(
            Wrote(
                journal.new_id(), (cause.record_id,), LoopClock().now(), "c", A, "update", "widgets/status default/a",
                old, new, 200,
            )
        )  # fmt: skip
        feed.event(Origin.OWN, (old, new))

    explanation = explained([], [0], on_pass=writes, until=0.065)
    found = finding(explanation)
    assert (found.kind, found.is_certain, found.rounds, found.fields) == (
        FindingKind.HOT_LOOP, True, 5, ("status.seen",)
    )  # fmt: skip
    assert found.sentence == (
        "5 rounds in 0.040s, from 0.010s: each pass wrote (update widgets/status default/a), and that write alone "
        "brought the next pass; changed each time: status.seen"
    )
    assert list(render(explanation))[-1] == f"  wrong: hot loop: {found.sentence}"


def rounds(
    key: Scribe,
    count: int,
    *,
    fields: tuple[tuple[str, ...], ...] = (),
    origin: Origin = Origin.OWN,
    generation: bool = False,
    foreign: bool = False,
    waits: bool = False,
) -> None:
    """A first pass, and `count` more, each started by the write of the one before."""
    started = key.start(key.ask(cause=key.event()))
    version = 1
    for number in range(count):
        key.write(started, str(version), str(version + 1))
        named = fields[number % len(fields)] if fields else ()
        event = key.event(
            origin=origin, old=str(version), new=str(version + 1), fields=named,
            generations=(1, 2) if generation else (1, 1),
        )  # fmt: skip
        other = key.event() if foreign else event
        ask = key.ask(Verdict.DELAYED if waits else Verdict.PARKED, cause=event, after=1 if waits else 0)
        key.end(started)
        key.at += 1 if waits else 0.001
        started = key.start(ask, event, other)
        version += 1
    key.write(started, str(version), str(version + 1))
    key.end(started)


def loop_of(key: Scribe) -> Finding | None:
    explanation = key.explain()
    return hot_loop(explanation.records, explanation.links)


@pytest.mark.parametrize(
    ("count", "how", "found"),
    [
        pytest.param(2, {}, None, id="two rounds can be the way to rest"),
        pytest.param(3, {}, 3, id="three are a loop"),
        pytest.param(9, {"origin": Origin.UNDETERMINED}, 9, id="events before the answers"),
        pytest.param(9, {"origin": Origin.FOREIGN}, None, id="somebody else's events"),
        pytest.param(9, {"foreign": True}, None, id="somebody else's events merged in"),
        pytest.param(9, {"generation": True}, 9, id="its own writes to the spec"),
        pytest.param(9, {"waits": True}, None, id="it waits in between"),
    ],
)
def test_a_hot_loop_is_three_rounds_of_own_writes_alone(count: int, how: dict[str, object], found: int | None) -> None:
    key = Scribe()
    rounds(key, count, **how)  # type: ignore[arg-type]
    loop = loop_of(key)
    assert (loop.rounds if loop else None) == found
    assert loop is None or loop.is_certain == (loop.rounds >= 5)


@pytest.mark.parametrize(
    ("fields", "common", "is_certain", "said"),
    [
        ((("status.a", "status.b"), ("status.b",)), ("status.b",), True, "changed each time: status.b"),
        ((("status.a",), ("status.b",)), (), False, "no field changed in every round"),
        ((("status",), ("status.b",), ("status.b",)), ("status.b",), True, "changed each time: status.b"),
        ((("status.a",), ()), (), True, "changed each time: status or other; which fields is not recorded"),
        (
            (tuple(f"status.{name}" for name in "abcdef"),), tuple(f"status.{name}" for name in "abcdef"), True,
            "changed each time: status.a, status.b, status.c, status.d and 2 more",
        ),
    ],
)  # fmt: skip
def test_the_field_that_flips_is_named(
    fields: tuple[tuple[str, ...], ...], common: tuple[str, ...], is_certain: bool, said: str
) -> None:
    key = Scribe()
    rounds(key, 6, fields=fields)
    loop = loop_of(key)
    assert loop is not None
    assert (loop.fields, loop.is_certain) == (common, is_certain)
    assert loop.sentence.endswith(said)


def test_five_attempts_burned_by_own_status_writes_are_a_hot_loop() -> None:
    """The original's second fault: each status write brought the next pass, and nothing held it back."""
    key = Scribe()
    rounds(key, 4, fields=(("status.attempts", "status.phase"), ("status.attempts",)))
    loop = loop_of(key)
    assert loop is not None
    assert loop.fields == ("status.attempts",)


def test_a_detector_works_on_bare_records() -> None:
    key = Scribe()
    key.end(key.start(key.ask(cause=key.event())), "failed")
    found = lost_wake_up(key.explain().records)
    assert found is not None
    assert found.kind is FindingKind.LOST_WAKE_UP
    assert lost_wake_up(()) is None
