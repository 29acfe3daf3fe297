"""
Thousands of schedules of the seed's scenario: `python -m tests.simulation.schedules --count 10000`.

Exit codes: 0 no schedule broke an invariant; 1 one did, and it is shown with the command that replays it.
RECONCILER_SEED=1234 in the environment runs that schedule alone; with --journal its journal is printed.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from reconciler.testing import SEED_VARIABLE, run_schedules
from tests.simulation.check import verify
from tests.simulation.scenario import run

_CHUNK = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    options = _parser().parse_args(argv)
    seeds = _seeds(options.first, options.count)
    if options.journal:
        for seed in seeds:
            sys.stdout.buffer.write(b"schedule %d\n%s\n" % (seed, run(seed).render()))
        return 0
    return _run_all(seeds, options.processes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.schedules", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="how many schedules (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: %(default)s")
    parser.add_argument("--journal", action="store_true", help="print the journal of each schedule; check nothing")
    return parser


def _seeds(first: int, count: int) -> range:
    only = os.environ.get(SEED_VARIABLE)
    return range(int(only), int(only) + 1) if only else range(first, first + count)


def _run_all(seeds: range, processes: int) -> int:
    started = time.perf_counter()
    done = 0
    for ran, failure in _results(seeds, processes):
        done += ran
        if failure:
            _show_progress("\n")
            sys.stdout.write(failure)
            return 1
        _show_progress(
            f"\r{done:,} of {len(seeds):,} schedules, {done / (time.perf_counter() - started):.0f} a second "
        )
    seconds = time.perf_counter() - started
    _show_progress("\n")
    sys.stdout.write(f"{done:,} schedules in {seconds:.1f} s, {done / seconds:.0f} a second: no invariant is broken\n")
    return 0


def _results(seeds: range, processes: int) -> Iterator[tuple[int, str]]:
    """Yield how many schedules ran, and what went wrong, chunk by chunk in the order of the seeds."""
    chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
    # What is loaded stays: the collector of no process has to look at it.
    gc.freeze()
    # Forked, so that the processes have everything imported, and name the command that they were begun with.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("fork")) as pool:
        try:
            yield from pool.map(_run_chunk, chunks)
        finally:
            pool.shutdown(cancel_futures=True)
            gc.unfreeze()


def _run_chunk(seeds: range) -> tuple[int, str]:
    try:
        return run_schedules(verify, seeds=seeds), ""
    except Exception as error:
        return 0, "".join(traceback.format_exception_only(error))


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(text)
        sys.stderr.flush()


if __name__ == "__main__":
    # What goes wrong on purpose is logged as an error.
    logging.disable(logging.CRITICAL)
    sys.exit(main())
