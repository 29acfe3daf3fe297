"""The tables of docs/workqueue.md, run."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.clock import LoopClock
from reconciler.instant import seconds
from reconciler.testing import run_virtual
from reconciler.workqueue import ItemExponentialRateLimiter, PriorityQueue, Verdict

PAGE = (Path(__file__).parents[2] / "docs" / "workqueue.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return table[1:]


SURVIVAL = rows("Does the 30 s requeue survive an event?")


def starts_of_passes(event_at: float, second_result: str) -> list[int]:
    """Run a worker whose first pass returns `requeue_after` 30 s and whose second one returns `second_result`."""

    async def main() -> list[int]:
        loop, clock = asyncio.get_running_loop(), LoopClock()
        queue: PriorityQueue[str] = PriorityQueue(clock=clock, rate_limiter=ItemExponentialRateLimiter())
        results = iter(["`requeue_after` 30 s", second_result])
        starts: list[int] = []
        loop.call_at(0, queue.add, "a")
        loop.call_at(event_at, queue.add, "a")
        loop.call_at(200, queue.shut_down)
        while await queue.get() is not None:
            starts.append(clock.now())
            await asyncio.sleep(0.010)
            result = next(results, "nothing")
            if result == "an error":
                queue.add_rate_limited("a")
            elif delay := re.fullmatch(r"`requeue_after` (\d+) s", result):
                queue.add_after("a", timedelta(seconds=int(delay[1])))
            else:
                assert result == "nothing"
            queue.done("a")
        return starts

    return run_virtual(main())


@pytest.mark.parametrize(
    ("arrives", "result", "later"), [pytest.param(*row, id=f"{row[0]}, {row[1]}") for row in SURVIVAL]
)
def test_the_page_says_when_later_passes_start(arrives: str, result: str, later: str) -> None:
    event_at = float(arrives.partition(",")[0])
    starts = starts_of_passes(event_at, result)
    assert starts[2:] == [seconds(float(number)) for number in re.findall(r"\d+\.\d+", later)]


def test_the_page_has_both_tables_whole() -> None:
    assert len(SURVIVAL) == 15
    assert {row[0].strip("`") for row in rows("Verdicts")} == {verdict.name for verdict in Verdict}
    assert len(rows("Verdicts")) == len(Verdict)


def test_the_example_of_the_page_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL)[:2]
    names: dict[str, object] = {}
    exec(code, names)
    work = names["work"]
    assert callable(work)
    run_virtual(work())
    assert capsys.readouterr().out == printed
