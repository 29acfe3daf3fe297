"""The tables and the example of docs/workqueue.md, run."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from reconciler import instant, workqueue
from reconciler.clock import LoopClock
from reconciler.control_loop import Controller
from reconciler.errors import TerminalError
from reconciler.instant import Instant, seconds
from reconciler.journal import Journal
from reconciler.reconcile import Request, Result
from reconciler.testing import run_virtual
from reconciler.workqueue import (
    ClassicCore,
    ClassicQueue,
    Discipline,
    Placed,
    PriorityCore,
    PriorityQueue,
    QueueCore,
    RateLimiter,
    Verdict,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "workqueue.md").read_text(encoding="utf-8")

Queue = PriorityQueue[str] | ClassicQueue[str]


def tables(page: str, heading: str) -> list[list[list[str]]]:
    """The tables of a section, each as rows of cells, without their heads."""
    section = re.split(rf"^## {re.escape(heading)}$", page, flags=re.MULTILINE)[1].split("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [[[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines()[2:]] for text in found]


def span_ns(text: str) -> int:
    number, _, unit = text.partition(" ")
    return int(Decimal(number) * {"s": 1_000_000_000, "ms": 1_000_000}[unit])


# Verdicts

WORDS, MATRIX = tables(PAGE, "Verdicts")
NOW, SOONER, THEN, LATER = Instant(10), Instant(20), Instant(30), Instant(40)


def prepare(core: QueueCore[str], before: str) -> None:
    """Bring the key to where the row says it is; its ask is number 1."""
    start = Instant(0)
    if before.startswith("in work"):
        core.add("a", now=start, ready_at=start)
        assert core.take(now=start) is not None
    match before:
        case "not queued" | "in work":
            pass
        case "ready" | "in work, and parked":
            core.add("a", now=start, ready_at=start, ask=1)
        case "waiting" | "in work, and waiting":
            core.add("a", now=start, ready_at=THEN, ask=1)
        case "on a queue that is shut down":
            core.shut_down()
        case _:
            raise AssertionError(before)
    core.advance(NOW)


def ask(core: QueueCore[str], when: str) -> Placed[str]:
    if when == "with what is owed":
        return core.hold("a", now=NOW, ready_at=LATER, ask=2, causes=())
    at = {"now": NOW, "sooner": SOONER, "at the same time": THEN, "later": LATER}[when]
    return core.add("a", now=NOW, ready_at=at, ask=2)


@pytest.mark.parametrize(("before", "when", "priority", "classic"), MATRIX)
def test_the_verdict_is_the_one_of_the_page_and_so_is_what_is_lost(
    before: str, when: str, priority: str, classic: str
) -> None:
    cores: list[tuple[QueueCore[str], str]] = [(PriorityCore(), priority), (ClassicCore(), classic)]
    for core, said in cores:
        prepare(core, before)
        placed = ask(core, when)
        lost = {0: "", 1: ": **the wait is lost**", 2: ": **this ask is lost**"}[placed.lost_ask]
        assert f"`{placed.verdict.name}`{lost}" == said


def test_the_page_has_every_verdict_in_the_words_of_the_code_and_an_example_of_each() -> None:
    assert {name.strip("`"): words for name, words in WORDS} == {each.name: each.value for each in Verdict}
    assert set(re.findall(r"`([A-Z_]+)`", str(MATRIX))) == {each.name for each in Verdict}


# The central table

[SURVIVAL] = tables(PAGE, "Does the 30 s requeue survive an event?")

A = Request("", "a")


def second_pass(says: str) -> list[Result | Exception | None]:
    """Return what the second pass can return, by a cell of the table."""
    if delay := re.fullmatch(r"`requeue_after` (\d+) s", says):
        return [Result(requeue_after=timedelta(seconds=int(delay[1])))]
    ends: dict[str, list[Result | Exception | None]] = {
        "nothing, or a terminal error": [None, TerminalError("no")],
        "an error, or `requeue`": [OSError("away"), ValueError("oops"), Result(requeue=True)],
    }
    return ends[says]


def starts_of_passes(queue: Discipline, event_at: float, second: Result | Exception | None) -> list[int]:
    """Run a controller whose first pass returns `requeue_after` 30 s and whose second one ends with `second`."""

    async def main() -> list[int]:
        loop, clock, stopping = asyncio.get_running_loop(), LoopClock(), asyncio.Event()
        script: list[Result | Exception | None] = [Result(requeue_after=timedelta(seconds=30)), second]
        starts: list[int] = []

        async def reconcile(request: Request) -> Result | None:
            del request
            starts.append(clock.now())
            await asyncio.sleep(0.010 if script else 0.001)
            step = script.pop(0) if script else None
            if isinstance(step, Exception):
                raise step
            return step

        controller = Controller("c", reconcile, clock=clock, journal=Journal(), queue=queue)
        loop.call_at(0, controller.queue.add, A)
        loop.call_at(event_at, controller.queue.add, A)
        loop.call_at(200, stopping.set)
        await controller.run(stopping)
        return starts

    return run_virtual(main())


@pytest.mark.parametrize(
    ("arrives", "result", "priority", "classic"), [pytest.param(*row, id=f"{row[0]}, {row[1]}") for row in SURVIVAL]
)
def test_later_passes_start_when_the_page_says(arrives: str, result: str, priority: str, classic: str) -> None:
    event_at = float(arrives.partition(",")[0])
    cells: list[tuple[Discipline, str]] = [("priority", priority), ("classic", classic)]
    for queue, cell in cells:
        wanted = [seconds(float(number)) for number in re.findall(r"\d+\.\d+", cell)]
        for second in second_pass(result):
            assert starts_of_passes(queue, event_at, second)[2:] == wanted, (queue, second)


def test_the_central_table_is_whole() -> None:
    assert len({row[0] for row in SURVIVAL}) == 5
    assert len({(row[0], row[1]) for row in SURVIVAL}) == len(SURVIVAL) == 19


# Surprises


def test_each_surprise_names_a_recorded_program() -> None:
    section = PAGE.split("## Surprises, all of them Go's\n")[1].split("\n## ")[0]
    recorded: set[str] = set()
    for file in (ROOT / "tests" / "traces").glob("*_hand.jsonl"):
        recorded |= {str(msgspec.json.decode(line)["id"]) for line in file.read_bytes().splitlines()}
    named = re.findall(r"`((?:priority-|classic-)?hand-\w[\w-]*)`", section)
    assert set(named) <= recorded
    assert len(named) >= section.count("\n- ")


# Rate limiters

ARGUMENTS, DELAYS = tables(PAGE, "Rate limiters")
SHAPE = "RateLimiter"


def test_the_page_has_every_limiter_with_its_arguments_and_defaults() -> None:
    names = {name for name in workqueue.__all__ if name.lower().replace("_", "").endswith("ratelimiter")} - {SHAPE}
    assert {row[0].strip("`") for row in ARGUMENTS} == names
    for limiter, said, _ in ARGUMENTS:
        parameters = inspect.signature(getattr(workqueue, limiter.strip("`"))).parameters.values()
        known: dict[str, object] = {each.name: each.default for each in parameters}
        page: dict[str, object] = {}
        for name, default in re.findall(r"`(\w+)`(?: = ([^,]+))?", said):
            value = (
                inspect.Parameter.empty if not default else float(default) if " " not in default else span_ns(default)
            )
            page[name] = value
        assert page == known, limiter


@pytest.mark.parametrize(("limiter", "delays"), DELAYS)
def test_a_limiter_gives_the_delays_of_the_page(limiter: str, delays: str) -> None:
    names = {**vars(workqueue), **vars(instant)}
    made: RateLimiter[str] = eval(limiter.strip("`"), names)
    assert [made.when("a", Instant(0)) for _ in range(5)] == [span_ns(each) for each in delays.split(", ")]


def test_the_page_shows_the_delays_of_every_limiter() -> None:
    assert {row[0].strip("`").partition("(")[0] for row in DELAYS} == {row[0].strip("`") for row in ARGUMENTS}


# Shutdown and drain


async def get_while_ready(queue: Queue) -> str:
    queue.add("a")
    queue.shut_down()
    first = await queue.get()
    return "None" if first is None else "the key, then None" if await queue.get() is None else "two keys"


async def waiting_get(queue: Queue) -> str:
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.shut_down()
    await asyncio.sleep(0)
    return "None, at once" if task.done() and task.result() is None else "waits"


async def parked(queue: Queue) -> str:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.shut_down()
    queue.done("a")
    return "abandoned" if await queue.get() is None else "handed out"


async def waits_for_its_time(queue: Queue) -> str:
    queue.add_after("a", timedelta(seconds=1))
    queue.shut_down()
    await asyncio.sleep(5)
    return "never comes" if await queue.get() is None and not len(queue) else "comes"


async def an_ask(queue: Queue) -> str:
    queue.shut_down()
    queue.add("a")
    return "ignored" if await queue.get() is None and not len(queue) else "taken"


async def rate_limited(queue: Queue) -> str:
    queue.shut_down()
    queue.add_rate_limited("a")
    return "counts a failure" if queue.num_requeues("a") else "counts no failure"


async def shut_down_twice(queue: Queue) -> str:
    queue.shut_down()
    queue.shut_down()
    return "harmless" if queue.is_shutting_down else "undone"


async def drain_in_work(queue: Queue) -> str:
    queue.add("a")
    await queue.get()
    drain = asyncio.create_task(queue.shut_down_with_drain())
    await asyncio.sleep(1)
    if drain.done():
        return "returns at once"
    queue.done("a")
    await asyncio.sleep(0)
    return "returns when nothing is in work" if drain.done() else "waits for ever"


async def drain_ready(queue: Queue) -> str:
    queue.add("a")
    drain = asyncio.create_task(queue.shut_down_with_drain())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "returns at once" if drain.done() and len(queue) == 1 else "waits"


async def shut_down_while_draining(queue: Queue) -> str:
    queue.add("a")
    await queue.get()
    drain = asyncio.create_task(queue.shut_down_with_drain())
    await asyncio.sleep(1)
    if drain.done():
        return "no drain waits"
    queue.shut_down()
    await asyncio.sleep(0)
    return "ends the drain" if drain.done() else "leaves the drain waiting"


PROBES: dict[str, Callable[[Queue], Awaitable[str]]] = {
    "`get`, while a key is ready": get_while_ready,
    "a `get` that waits": waiting_get,
    "a key that was parked, after its `done`": parked,
    "a key that waits for its time": waits_for_its_time,
    "an ask": an_ask,
    "`add_rate_limited`": rate_limited,
    "a second `shut_down`": shut_down_twice,
    "`shut_down_with_drain`, while a key is in work": drain_in_work,
    "`shut_down_with_drain`, while a key is ready and none in work": drain_ready,
    "`shut_down`, while a drain waits": shut_down_while_draining,
}

[SHUTDOWN] = tables(PAGE, "Shutdown and drain")


@pytest.mark.parametrize(("what", "priority", "classic"), SHUTDOWN)
def test_a_shutdown_does_what_the_page_says(what: str, priority: str, classic: str) -> None:
    async def main(kind: type[Queue]) -> str:
        return await PROBES[what](kind(clock=LoopClock()))

    assert (run_virtual(main(PriorityQueue)), run_virtual(main(ClassicQueue))) == (priority, classic)


# The example


def test_the_example_of_the_page_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, priority, classic = re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL)[:3]
    names: dict[str, object] = {}
    exec(code, names)
    work = names["work"]
    assert callable(work)
    run_virtual(work(PriorityQueue))
    assert capsys.readouterr().out == priority
    run_virtual(work(ClassicQueue))
    assert capsys.readouterr().out == classic
