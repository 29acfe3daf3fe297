"""The tables and examples of docs/controller.md and docs/hold.md, run and compared with the code."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler import errors, predicate
from reconciler.api import EncodedObject, ObjectKey
from reconciler.builder import Builder
from reconciler.clock import LoopClock
from reconciler.control_loop import (
    EFFECTS,
    Controller,
    Counts,
    Ending,
    Loudness,
    OwedTime,
    can_wait,
    current_context,
    ending_of,
    loudness_of,
    settle,
)
from reconciler.event import CreateEvent, DeleteEvent, Event, GenericEvent, UpdateEvent
from reconciler.instant import Instant, seconds
from reconciler.journal import Changed, EventSeen, Journal, Origin, PassEnded, PassStarted
from reconciler.predicate import GenerationChangedPredicate
from reconciler.reconcile import Request, Result
from reconciler.testing import run_virtual
from reconciler.workqueue import Discipline
from tests.control_loop.hold_stories import STORIES
from tests.workqueue.test_docs import tables

DOCS = Path(__file__).parents[2] / "docs"
CONTROLLER = (DOCS / "controller.md").read_text(encoding="utf-8")
HOLD = (DOCS / "hold.md").read_text(encoding="utf-8")

A, B = Request("", "a"), Request("", "b")


def outcome(cell: str) -> tuple[Result | None, Exception | None]:
    """Return or raise what the code of a cell does."""
    names: dict[str, Any] = {**vars(errors), "Result": Result, "timedelta": timedelta}
    exec("def end():\n    " + cell.strip("`"), names)
    end: Callable[[], Result | None] = names["end"]
    try:
        return end(), None
    except Exception as error:
        return None, error


def printed_by(page: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str], dict[str, Any]]:
    """Run the page's first block; return what it printed, the other blocks, and its names."""
    code, *others = re.findall(r"^```(?:python)?\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    # As in a file of its own: this one's `from __future__` must not reach it.
    exec(compile(code, "the page", "exec", dont_inherit=True), names)
    return capsys.readouterr().out, others, names


# controller.md


def test_the_controller_of_the_page_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    printed, (shown,), _ = printed_by(CONTROLLER, capsys)
    assert printed == shown


def test_the_page_has_every_option_with_its_default() -> None:
    [options] = tables(CONTROLLER, "Options")
    said = {name.strip("`"): eval(default.strip("`"), {"timedelta": timedelta}) for name, default, _ in options}
    for call in (Builder.with_options, Controller.__init__):
        parameters = inspect.signature(call).parameters
        assert said == {name: parameters[name].default for name in said}
    beside = {"self", "name", "reconcile", "clock", "journal", "sources", "ledger"}
    assert set(inspect.signature(Controller.__init__).parameters) - beside == set(said)


[ENDINGS] = tables(CONTROLLER, "What an ending means for the key")
IN_WORDS = {"runs into `reconcile_timeout`": Ending.TIMED_OUT, "is cancelled at the stop": Ending.CANCELLED}


@pytest.mark.parametrize(("end", "name", "failures", "again", "label"), ENDINGS)
def test_an_ending_means_what_the_page_says(end: str, name: str, failures: str, again: str, label: str) -> None:
    ending = IN_WORDS[end] if end in IN_WORDS else ending_of(*outcome(end))
    effect = EFFECTS[ending]
    kept = "forgotten" if effect.forgets_failures else "kept"
    assert (name.strip("`"), failures, again, label.strip("`")) == (ending.name, kept, effect.again.value, effect.label)


def test_the_page_has_every_ending() -> None:
    assert {row[1].strip("`") for row in ENDINGS} == {ending.name for ending in Ending}


[PRIORITIES] = tables(CONTROLLER, "Priorities")


@pytest.mark.parametrize(("before", "end", "after"), PRIORITIES)
def test_a_key_comes_back_at_the_priority_of_the_page(before: str, end: str, after: str) -> None:
    async def main() -> list[int]:
        calls: list[Request] = []

        async def reconcile(request: Request) -> Result | None:
            calls.append(request)
            result, error = outcome(end) if len(calls) == 1 else (None, None)
            if error is not None:
                raise error
            return result

        stopping = asyncio.Event()
        controller = Controller("c", reconcile, clock=LoopClock(), journal=Journal())
        controller.queue.add_with_opts((A,), priority=int(before))
        asyncio.get_running_loop().call_at(60, stopping.set)
        await controller.run(stopping)
        return [each.priority for each in controller.explain(A).records if isinstance(each, PassStarted)]

    assert run_virtual(main()) == [int(before), int(after)]


[CONTEXTS] = tables(CONTROLLER, "Context, time-outs and stops")


@pytest.mark.parametrize(("what", "option", "does", "error"), CONTEXTS)
def test_time_outs_and_stops_reach_a_pass_as_the_page_says(what: str, option: str, does: str, error: str) -> None:
    """One worker, the key a in work for 10 s and the key b ready; at 3 s the time is up, or the controller stops."""
    name, _, value = option.strip("`").partition("=")
    event, _, queue = what.partition(", ")

    async def main() -> tuple[str, str | None]:
        seen: list[str | None] = []

        async def reconcile(request: Request) -> Result | None:
            context = current_context()
            assert context is not None
            if request == A:
                try:
                    await asyncio.sleep(10)
                finally:
                    seen.append(context.error)
            return None

        options: dict[str, Any] = {name: value.strip('"'), "queue": queue.removesuffix(" queue") or "priority"}
        if event == "the time is up":
            options["reconcile_timeout"] = timedelta(seconds=3)
        controller = Controller("c", reconcile, clock=LoopClock(), journal=Journal(), **options)
        controller.queue.add(A)
        controller.queue.add(B)
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_at(3 if event == "a stop" else 60, stopping.set)
        await controller.run(stopping)
        has_b_started = any(isinstance(each, PassStarted) for each in controller.explain(B).records)
        ended = next(each for each in controller.explain(A).records if isinstance(each, PassEnded))
        if event == "a stop":
            assert (ended.at, ended.ending) == (seconds(10), Ending.DONE.value)
            return f"runs on; {'ready keys start as well' if has_b_started else 'nothing new starts'}", seen[0]
        assert controller.counts.reconcile_timeouts_total >= 1
        if ended.at == seconds(10):
            return f"runs on; what it returns {'counts' if ended.ending == Ending.DONE.value else 'is lost'}", seen[0]
        assert ended.at == seconds(3)
        return f"is cancelled; ends with a `{ended.error}`, as `{Ending(ended.ending).name}`", seen[0]

    assert run_virtual(main()) == (does, error.strip("`"))


def test_the_page_has_every_counter_and_every_label() -> None:
    [counters] = tables(CONTROLLER, "Counters")
    assert [name.strip("`") for name, _ in counters] == [each.name for each in fields(Counts)]
    labels = {effect.label for effect in EFFECTS.values()} - {""}
    assert set(re.findall(r"`(\w+)`", counters[0][1])) == labels


def encoded(generation: int) -> EncodedObject:
    metadata = {"name": "a", "uid": "u", "resourceVersion": "1", "generation": generation}
    return EncodedObject.from_json(msgspec.json.encode({"apiVersion": "v1", "kind": "Thing", "metadata": metadata}))


EVENTS: dict[str, Event] = {
    "created": CreateEvent(encoded(1)),
    "updated, another generation": UpdateEvent(encoded(1), encoded(2)),
    "updated, the same generation": UpdateEvent(encoded(1), encoded(1)),
    "deleted": DeleteEvent(encoded(1)),
    "generic": GenericEvent(ObjectKey("", "a")),
}


def test_the_predicate_lets_through_what_the_page_says() -> None:
    [_, said] = tables(CONTROLLER, "Predicates")
    changed = GenerationChangedPredicate()
    assert [[name, "yes" if changed.lets_through(event) else "no"] for name, event in EVENTS.items()] == said


def test_the_page_names_every_predicate_there_is() -> None:
    [named, _] = tables(CONTROLLER, "Predicates")
    text = " ".join(cell for cell, _ in named)
    # `&`, `|` and `~` make these.
    combined = {"AndPredicate", "OrPredicate", "NotPredicate"}
    there = {name for name in predicate.__all__ if name.endswith(("Predicate", "Funcs", "funcs"))} - {"Predicate"}
    assert set(re.findall(r"(\w+)\(", text)) == there - combined


# hold.md


def test_the_runs_of_the_page_are_real_ones(capsys: pytest.CaptureFixture[str]) -> None:
    printed, (shown, history), names = printed_by(HOLD, capsys)
    assert printed == shown
    assert names["history"] + "\n" == history, f"the page shows another history; this one is:\n{names['history']}"


QUIET_OR_LOUD, DURING_THE_WORK = tables(HOLD, "Quiet and loud events")
SETTLEMENTS, MEANWHILE = tables(HOLD, "What an ending does to the owed time")


def event(
    verb: str = "update", origin: Origin = Origin.FOREIGN, new: str = "2", changed: Changed = Changed.OTHER
) -> EventSeen:
    return EventSeen(1, (), 0, "c", A, verb=verb, changed=changed, old_version="1", new_version=new, origin=origin)


# What a row's event is to the controller, and whether nothing but `status` changed.
ROWS: dict[str, tuple[Loudness, bool]] = {
    "an own write": (loudness_of(event(origin=Origin.OWN)), False),
    "an own write to an owned object": (loudness_of(event(origin=Origin.OWN)), False),
    "several own writes, joined by a relist": (loudness_of(event(origin=Origin.OWN, new="3")), False),
    "a resync: the same version again": (loudness_of(event(new="1", changed=Changed.NOTHING)), False),
    "a change that comes before the answer to the write that may have caused it": (
        loudness_of(event(origin=Origin.UNDETERMINED)),
        False,
    ),
    "the same, and nothing but `status` changed": (loudness_of(event(origin=Origin.UNDETERMINED)), True),
    "another's change of nothing but `status`": (loudness_of(event()), True),
    "another's change of anything else": (loudness_of(event(changed=Changed.GENERATION)), False),
    "own writes and another's, joined by a relist": (loudness_of(event(new="4")), False),
    "an own write that is not known to be one": (loudness_of(event()), False),
    "an own write whose answer is lost": (loudness_of(event(changed=Changed.GENERATION)), False),
    "an own write that is not answered when its pass ends": (loudness_of(event(changed=Changed.GENERATION)), False),
    "what another controller of the process writes": (loudness_of(event(changed=Changed.GENERATION)), False),
    "a deletion that is asked for, even by us": (
        loudness_of(event(origin=Origin.OWN, changed=Changed.DELETION)),
        True,
    ),
    "the object is gone": (loudness_of(event("delete", Origin.OWN)), True),
    "an object is created": (loudness_of(event("create", Origin.OWN)), True),
    "another object of the same name: a new UID": (loudness_of(event(changed=Changed.UID)), True),
    "a generic event": (loudness_of(event("generic")), True),
    "a key that somebody puts into the queue by hand": (Loudness.LOUD, True),
}
# Rows that are not about what a pass returned; their stories tell them.
NOT_AN_ENDING = {
    "starts at the owed time or after it",
    "ends when its object is gone",
    "the process stops, whatever it does",
}
WAITS = {True: "yes", False: "no", None: "decided at the answer"}


@pytest.mark.parametrize(("what", "with_hold", "with_status"), [row[:3] for row in QUIET_OR_LOUD])
def test_an_event_waits_as_the_page_says(what: str, with_hold: str, with_status: str) -> None:
    loudness, is_status_only = ROWS[what]
    assert WAITS[can_wait(loudness, "own", lambda: is_status_only)] == with_hold
    assert WAITS[can_wait(loudness, "status", lambda: is_status_only)] == with_status


@pytest.mark.parametrize(
    ("end", "owes", "journal"),
    [row[:3] for row in SETTLEMENTS if row[0] not in NOT_AN_ENDING],
)
def test_an_ending_settles_what_is_owed_as_the_page_says(end: str, owes: str, journal: str) -> None:
    code, _, first = end.partition("`, ")
    before = None if first == "the first" else OwedTime(Instant(seconds(30)), "own")
    result, error = (None, None) if end == "runs into the reconcile time-out" else outcome(code)
    ending = Ending.TIMED_OUT if end == "runs into the reconcile time-out" else ending_of(result, error)
    settled = settle(before, ending, result, now=Instant(seconds(10)), uid="u")
    owed = {None: "nothing", seconds(30): "the old time", seconds(15): "the new time"}
    assert owed[settled.owed.due_at if settled.owed else None] == owes
    # That what is owed stands is no news, and is not written down.
    assert settled.what == (journal.strip("`") or "stands")


@pytest.mark.parametrize(("end", "priority", "classic"), MEANWHILE)
def test_an_owed_time_that_comes_during_a_pass_leads_to_the_passes_of_the_page(
    end: str, priority: str, classic: str
) -> None:
    async def main(queue: Discipline) -> list[float]:
        loop, stopping, starts = asyncio.get_running_loop(), asyncio.Event(), list[float]()

        async def reconcile(request: Request) -> Result | None:
            del request
            starts.append(loop.time())
            if len(starts) == 1:
                return Result(requeue_after=timedelta(seconds=30), hold=True)
            if len(starts) > 2:
                return None
            await asyncio.sleep(20)
            result, error = outcome(end)
            if error is not None:
                raise error
            return result

        controller = Controller("c", reconcile, clock=LoopClock(), journal=Journal(), queue=queue)
        loop.call_at(0, controller.queue.add, A)
        loop.call_at(20, controller.queue.add, A)
        loop.call_at(100, stopping.set)
        await controller.run(stopping)
        return starts

    cells: list[tuple[Discipline, str]] = [("priority", priority), ("classic", classic)]
    for queue, cell in cells:
        later = [float(number) for number in re.findall(r"[\d.]+", cell)]
        assert run_virtual(main(queue)) == [0, 20, *later], queue


def test_the_page_names_every_story_and_each_word_of_the_journal_stands_in_its_story() -> None:
    stories = {story.__name__: inspect.getsource(story) for story in STORIES}
    columns = [row[-1] for row in (*QUIET_OR_LOUD, *DURING_THE_WORK, *SETTLEMENTS) if row[-1]]
    assert {name.strip("`") for name in columns} == set(stories)
    for _, _, word, name in SETTLEMENTS:
        if word:
            assert word.replace("`", '"') in stories[name.strip("`")]


def test_every_ending_that_can_owe_is_on_the_page() -> None:
    seen = {ending_of(*outcome(row[0].partition("`, ")[0])) for row in SETTLEMENTS if row[0].startswith("`")}
    assert seen == set(Ending) - {Ending.TIMED_OUT, Ending.CANCELLED}
