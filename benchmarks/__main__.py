"""
Measure the queues beside Go's, the journal, and the cache beside its peers, and print the ratios.

Our cases and Go's take turns, several rounds each, and the best round counts: whatever else the machine does only slows
a round. Go's queues run on one processor, as our one loop does. Without Go the peer is asyncio's own queue alone. What
follows the queues has a page of its own: benchmarks/informer.py.

Run: make bench, or python -m benchmarks [--rounds N] [--quick]
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.informer import report
from benchmarks.parts import parts
from benchmarks.peers import GoQueues, say
from benchmarks.queues import DELAYED, CoreCases, QueueCases, keys, plain_queue
from reconciler.workqueue import ClassicCore, ClassicQueue, PriorityCore, PriorityQueue

Case = Callable[[Sequence[str]], float]

CORES = {"classic": CoreCases(ClassicCore), "priority": CoreCases(PriorityCore)}
QUEUES = {"classic": QueueCases(ClassicQueue), "priority": QueueCases(PriorityQueue)}
JOURNALLED = {"classic": QueueCases(ClassicQueue, True), "priority": QueueCases(PriorityQueue, True)}
COUNTS = (1, 1_000, 100_000)

# case -> numbers of keys, and who does it here
CYCLES = {
    "one_at_a_time": COUNTS,
    "fill_and_drain": COUNTS,
    "producer_consumer": COUNTS,
    "producer_consumer_batches": COUNTS,
    "delayed_add": (DELAYED,),
    "delayed_drain": (DELAYED,),
    "bytes_ready": (DELAYED,),
    "bytes_delayed": (DELAYED,),
}
WHO: Mapping[str, Mapping[str, object]] = {"core": CORES, "queue": QUEUES, "journalled": JOURNALLED}


class Table:
    """The best figure of each case, by who did it."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self.best: dict[tuple[str, str, str, int], float] = {}

    def note(self, who: str, queue: str, case: str, count: int, figure: float) -> None:
        """Keep a figure if it is better; fewer bytes are better, as are more cycles."""
        place = (who, queue, case, count)
        better = min if case.startswith("bytes") else max
        self.best[place] = better(self.best.get(place, figure), figure)

    def get(self, who: str, queue: str, case: str, count: int) -> float | None:
        """Return a figure."""
        return self.best.get((who, queue, case, count))


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n\n")[0].strip())
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each case; the best counts (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round, and none with 100,000 keys or objects")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    table = Table()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors, {rounds} round(s)")
    with tempfile.TemporaryDirectory() as directory:
        go = GoQueues.build(Path(directory))
        print(
            "beside client-go and controller-runtime as released" if go else "Go is not on PATH: no ratio to its queues"
        )
        for case, counts in CYCLES.items():
            say(f"measuring {case} ...")
            for _ in range(rounds):
                _measure(table, go, case, [count for count in counts if not (options.quick and count > 1_000)])
    say("")
    _print(table)
    _goals(table)
    parts(table.get("core", "classic", "fill_and_drain", 1_000), table.get("core", "priority", "fill_and_drain", 1_000))
    sys.stdout.flush()
    code = subprocess.run([sys.executable, str(Path(__file__).parent / "journal.py")], check=False).returncode
    report(rounds=rounds, is_quick=options.quick)
    return code


def _measure(table: Table, go: GoQueues | None, case: str, counts: Sequence[int]) -> None:
    if not counts:
        return
    for (queue, count), figure in (go.measure(case) if go else {}).items():
        table.note("go", queue, case, count, figure)
    for count in counts:
        names = keys(count)
        for who, cases in WHO.items():
            for queue, case_of in cases.items():
                work: Case | None = getattr(case_of, case, None)
                if work is not None:
                    gc.collect()
                    table.note(who, queue, case, count, work(names))
        if case == "fill_and_drain":
            table.note("asyncio", "-", case, count, plain_queue(names))
            for queue, journalled in JOURNALLED.items():
                table.note("journalled", queue, "batches", count, journalled.batches(names))


def _print(table: Table) -> None:
    print(
        "\nThousand cycles a second (add, get, done), or bytes a key; in brackets the ratio to Go's queue of that name."
        "\n'core' decides, with the time as an argument; 'queue' is awaited; 'journal' writes down each ask as well.\n"
    )
    print(f"{'case':28}{'keys':>8}  {'queue':9}{'Go':>9}{'core':>17}{'queue':>17}{'journal':>17}")
    for case, counts in CYCLES.items():
        for count in counts:
            for queue in CORES:
                _row(table, case, count, queue)
    for count in COUNTS:
        figure = table.get("asyncio", "-", "fill_and_drain", count)
        if figure:
            print(f"{'asyncio.PriorityQueue':28}{count:>8}  {'-':9}{'':9}{'':17}{figure / 1e3:>9,.0f}")


def _row(table: Table, case: str, count: int, queue: str) -> None:
    unit = 1 if case.startswith("bytes") else 1e3
    go = table.get("go", queue, case, count)
    cells = [f"{go / unit:>9,.0f}" if go else f"{'-':>9}"]
    for who in WHO:
        figure = table.get(who, queue, case, count)
        ratio = f"({figure / go:.2f})" if figure and go else ""
        cells.append(f"{figure / unit:>9,.0f}{ratio:>8}" if figure else f"{'':17}")
    if any(cell.strip() not in {"", "-"} for cell in cells):
        print(f"{case:28}{count:>8}  {queue:9}" + "".join(cells))


def _goals(table: Table) -> None:
    """Print what was aimed at, and what was reached."""
    print("\nGoals")

    def goal(text: str, reached: float | None, of: float | None, least: float) -> None:
        if reached and of:
            word = "met" if reached / of >= least else "missed"
            print(f"  {word:7}{text}: {reached / of:.2f}, aim {least:.2f}")

    cycles = ("fill_and_drain", 1_000)
    go_classic, go_priority = table.get("go", "classic", *cycles), table.get("go", "priority", *cycles)
    for queue in CORES:
        core = table.get("core", queue, *cycles)
        goal(f"{queue} core to Go's classic queue, fill and drain, 1,000 keys", core, go_classic, 0.5)
        goal(f"{queue} core to Go's priority queue, the same", core, go_priority, 3.0)
        journalled = table.get("journalled", queue, "batches", 1_000)
        goal(f"{queue} queue with journal, batches of 100, in 0.3 M cycles a second", journalled, 300_000, 1.0)
        goal(f"{queue} queue with journal to Go's priority queue", journalled, go_priority, 1.0)
        few, many = (
            table.get("core", queue, "fill_and_drain", 1_000),
            table.get("core", queue, "fill_and_drain", 100_000),
        )
        goal(f"{queue} core, 100,000 keys to 1,000 (a logarithm would be 0.60)", many, few, 0.6)


if __name__ == "__main__":
    sys.exit(main())
