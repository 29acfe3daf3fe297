"""
Measure the cache beside its peers, and print the ratios: informers, their growth, reads, and the start of a manager.

One server process answers all of them over loopback HTTP, from bytes that were made before: a list of ConfigMaps of
2 KiB, and a watch that changes each of them. Each program runs in a process of its own. They take turns, and the best
round of each figure counts, since whatever else the machine does only slows a round; the slow ones have one round. Go
may use every processor. Without Go there are no ratios, and without kopf no column of it.

Who: `ours` is the informer with two indexes and a handler, as are `typed` and `dynamic` of client-go; `queued` is ours
with a controller's source, queue and journal as well, whose workers do not run; `kopf` is an operator with a handler
and no store, `watch` is kubernetes-asyncio's own with dictionaries.

Run: python -m benchmarks.informer [--quick] [--objects N] [--events N] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import build_go, kopf_python, run, say
from benchmarks.server import OBJECT_BYTES, serving

Figures = dict[str, float]
Best = dict[str, Figures]

TIMES_MORE = 10  # objects and events, where growth is measured
INDEXED = 1_000  # objects of kopf with indexes: their cost grows with the square, or faster
SHARES_SHOWN = 12
OURS = [sys.executable, "-m", "benchmarks.ours"]

#    figure       of one        unit     scale  of the whole list or watch
ROWS = (
    ("list_cpu",   "list: CPU",    "us",    1e6),
    ("list_wall",  "list: wall",   "us",    1e6),
    ("watch_cpu",  "event: CPU",   "us",    1e6),
    ("watch_wall", "event: wall",  "us",    1e6),
    ("list_bytes", "settled",      "bytes", 1.0),
    ("peak_bytes", "peak",         "bytes", 1.0),
)  # fmt: skip
# What `queued` may cost of Go's typed informer.
AIMS = {"list_cpu": 0.30, "watch_cpu": 0.20, "list_bytes": 0.80}
STARTS = (
    ("boot_cpu",    "before the start: CPU"),
    ("queued_cpu",  "every object queued: CPU"),
    ("queued_wall", "every object queued: wall"),
    ("passed_cpu",  "every first pass: CPU"),
    ("passed_wall", "every first pass: wall"),
)  # fmt: skip


@dataclass(frozen=True)
class Programs:
    """Who can be measured here; None is not there."""

    go_informer: Path | None
    go_manager: Path | None
    kopf: str | None

    @classmethod
    def find(cls, directory: Path) -> Programs:
        """Build what can be built, and say what is left out."""
        found = cls(build_go("./informer", directory), build_go("./manager", directory), kopf_python())
        if found.go_informer is None or found.go_manager is None:
            print("No Go: client-go and controller-runtime are left out, and so are the ratios and aims.")
        if found.kopf is None:
            print("No kopf: it is left out (make bench installs it where there is a network).")
        return found

    def followers(self, url: str, objects: int, events: int, *, with_slow: bool) -> dict[str, list[str]]:
        """Return the command of each who follows a kind."""
        ours = [*OURS, "follow", url, "--events", str(events)]
        commands = {"ours": ours, "queued": [*ours, "--queued"]}
        for form in ("typed", "dynamic") if self.go_informer else ():
            commands[form] = [str(self.go_informer), "-url", url, "-form", form, "-events", str(events)]
        arguments = [url, str(objects), str(events)]
        if with_slow:
            commands["watch"] = [sys.executable, "-m", "benchmarks.plain_watch", *arguments]
        if with_slow and self.kopf:
            commands["kopf"] = [self.kopf, "-m", "benchmarks.kopf_operator", *arguments]
        return commands


def measure(commands: Mapping[str, Sequence[str]], rounds: int, *, once: Sequence[str] = ()) -> Best:
    """Let each have its rounds, in turns, and return the best of each figure."""
    best: Best = {}
    for number in range(rounds):
        for who, command in commands.items():
            if number and who in once:
                continue
            say(f"round {number + 1} of {rounds}: {who} ...")
            figures = run(command)
            known = best.setdefault(who, figures)
            best[who] = {name: min(known[name], figure) for name, figure in figures.items()}
    say("")
    return best


def _heads(best: Best) -> None:
    print(f"{'':27}" + "".join(f"{who:>15}" for who in best))


def _row(title: str, cells: Mapping[str, float]) -> None:
    """Print a row; in brackets the ratio to Go's."""
    of = cells.get("typed")
    shown = (_number(figure) + (f" ({figure / of:.2f})" if of else "") for figure in cells.values())
    print(f"{title:27}" + "".join(f"{cell:>15}" for cell in shown), flush=True)


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1_000 else f"{figure:.1f}"


def _table(best: Best, objects: int, events: int) -> None:
    """Print what one object of the list, one event, and one object held cost, and what became of the aims."""
    _heads(best)
    for name, title, unit, scale in ROWS:
        count = events if name.startswith("watch") else objects
        _row(f"{title} ({unit})", {who: figures[name] / count * scale for who, figures in best.items()})
    if "typed" not in best:
        return
    for name, aim in AIMS.items():
        title = next(row[1] for row in ROWS if row[0] == name)
        queued, alone = (best[who][name] / best["typed"][name] for who in ("queued", "ours"))
        print(
            f"aim {aim:.2f} for {title}: queued {queued:.2f}, {'met' if queued <= aim else 'missed'}; ours {alone:.2f}"
        )


def informers(programs: Programs, url: str, objects: int, events: int, rounds: int) -> Best:
    """Measure and print the table of the informers."""
    best = measure(programs.followers(url, objects, events, with_slow=True), rounds, once=("kopf", "watch"))
    for who, figures in best.items():
        if figures["objects"] != objects:
            raise SystemExit(f"{who} holds {figures['objects']:.0f} objects, not {objects}")
    print(
        f"\nInformers: {objects:,} objects of {OBJECT_BYTES} bytes, {events:,} events; in brackets the ratio to typed\n"
    )
    _table(best, objects, events)
    return best


def indexed(programs: Programs) -> None:
    """Print what kopf's indexes cost, for few objects and twice as many."""
    if programs.kopf is None:
        return
    print("\nkopf with two indexes whose values are the objects (CPU an object of the list, us)\n")
    for objects in (INDEXED, 2 * INDEXED):
        with serving(objects, objects) as url:
            say(f"kopf with {objects:,} objects ...")
            command = [programs.kopf, "-m", "benchmarks.kopf_operator", url, str(objects), str(objects)]
            without, with_them = run(command), run([*command, "--indexed"])
            say("")
        print(
            f"{f'{objects:,} objects':27}{with_them['list_cpu'] / objects * 1e6:>12,.1f}"
            f"   without indexes {without['list_cpu'] / objects * 1e6:,.1f}",
            flush=True,
        )


def growth(programs: Programs, few: Best, objects: int, events: int, rounds: int) -> None:
    """Measure with more objects and events, and print the cost of one beside that with few."""
    many_objects, many_events = objects * TIMES_MORE, events * TIMES_MORE
    say(f"making {many_objects:,} objects ...")
    with serving(many_objects, many_events) as url:
        commands = programs.followers(url, many_objects, many_events, with_slow=False)
        commands.pop("dynamic", None)
        many = measure(commands, rounds)
        _show_growth(few, many, objects, events)
        profile(url, many_objects, many_events)


def _show_growth(few: Best, many: Best, objects: int, events: int) -> None:
    many_objects, many_events = objects * TIMES_MORE, events * TIMES_MORE
    print(f"\nGrowth: {many_objects:,} objects and {many_events:,} events; in brackets the ratio to typed\n")
    _table(many, many_objects, many_events)
    print(f"\nThe cost of one with {many_objects:,} objects, to that with {objects:,}\n")
    _heads(many)
    for name, title, *_ in ROWS:
        print(
            f"{title:27}" + "".join(f"{each[name] / few[who][name] / TIMES_MORE:>15.2f}" for who, each in many.items())
        )
    sys.stdout.flush()


def reads(programs: Programs, url: str, rounds: int) -> None:
    """Measure and print what reading a cached object costs."""
    commands = {"ours": [*OURS, "read", url]}
    if programs.go_informer:
        commands["typed"] = [str(programs.go_informer), "-url", url, "-read"]
    best = measure(commands, rounds)
    print("\nReads of a cached object, CPU (us); in brackets the ratio to Go's lister with DeepCopy\n")
    _heads(best)
    for title, name in (("first typed read", "typed"), ("second typed read", "typed_again")):
        _row(title, {who: figures[name] * 1e6 for who, figures in best.items()})
    _row("read as a dictionary", {"ours": best["ours"]["untyped"] * 1e6})
    _row("deep copy of a kept model", {"ours": best["ours"]["copied"] * 1e6})


def starts(programs: Programs, url: str, objects: int, rounds: int) -> None:
    """Measure and print what the start of a manager costs."""
    commands = {"ours": [*OURS, "start", url, "--objects", str(objects)]}
    if programs.go_manager:
        commands["typed"] = [str(programs.go_manager), "-url", url, "-objects", str(objects)]
    best = measure(commands, rounds)
    print(f"\nStart of a manager with {objects:,} objects (ms); typed is controller-runtime, JSON\n")
    _heads(best)
    for name, title in STARTS:
        _row(title, {who: figures[name] * 1e3 for who, figures in best.items()})


def profile(url: str, objects: int, events: int) -> None:
    """Print which files the time of the queued informer goes to."""
    shares = run([*OURS, "follow", url, "--events", str(events), "--queued", "--shares"])
    print(f"\nProcessor time of `queued` with {objects:,} objects, in hundredths (samples, by file)\n")
    columns: list[list[str]] = []
    for part in ("list", "watch"):
        greatest = list(shares[part].items())[:SHARES_SHOWN]
        columns.append([part, *(f"{share * 100:5.1f}  {place}" for place, share in greatest)])
    for row in zip(*columns, strict=False):
        print("".join(f"{cell:44}" for cell in row).rstrip(), flush=True)


def report(*, objects: int = 10_000, events: int = 20_000, rounds: int = 3, is_quick: bool = False) -> None:
    """Measure and print everything; quick is one round, and neither growth nor kopf's indexes."""
    rounds = 1 if is_quick else rounds
    with tempfile.TemporaryDirectory() as directory:
        say("building the peers ...")
        programs = Programs.find(Path(directory))
        with serving(objects, events) as url:
            few = informers(programs, url, objects, events, rounds)
            profile(url, objects, events)
            reads(programs, url, rounds)
            starts(programs, url, objects, rounds)
        if not is_quick:
            growth(programs, few, objects, events, max(1, rounds - 1))
            indexed(programs)


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.informer", description=(__doc__ or "").strip())
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=20_000, help="at least as many as objects")
    parser.add_argument("--rounds", type=int, default=3, help="the best counts (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one round, and no growth")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors")
    report(objects=given.objects, events=given.events, rounds=given.rounds, is_quick=given.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
