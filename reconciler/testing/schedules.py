"""
Many schedules of one program: the same coroutine, once for each seed, each on a virtual loop of its own.

Asyncio runs ready tasks in one order, so a test sees one of the many courses that a program can take. Here each seed
gives another one, and the seed of a failure gives that very failure again.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.errors import ConfigurationError
from reconciler.testing.virtual import run_virtual

__all__ = ["SEED_VARIABLE", "run_schedules"]

SEED_VARIABLE = "RECONCILER_SEED"
"""The environment variable that names the one seed to run."""


def run_schedules(make: Callable[[], Coroutine[Any, Any, object]], *, seeds: Iterable[int] = range(100)) -> int:
    """
    Run what `make` returns under each of `seeds`, and return how many schedules ran.

    The first failure ends it. It carries a note with its seed and the command that runs this seed alone. With
    `RECONCILER_SEED=1234` in the environment only that seed runs, whatever `seeds` says.

    Args:
        make: Called once for each seed. Everything that the program changes must be made in it, or the schedules are
            not independent. What else is random in it should follow from `asyncio.get_running_loop().seed`.
        seeds: The schedules to run, in this order. None at all is an error: such a test would test nothing.

    Raises:
        ConfigurationError: `RECONCILER_SEED` is not a number, or there are no seeds.
        Exception: Whatever the first failing schedule raised, with the note.
    """
    only = _seed_of(os.environ)
    ran = 0
    for seed in seeds if only is None else (only,):
        try:
            run_virtual(make(), seed=seed)
        except BaseException as error:
            # Also for KeyboardInterrupt: whoever interrupts a schedule that hangs wants to know which one it was.
            error.add_note(f"schedule {seed} failed; to run it alone:\n  {_command(seed, os.environ, sys.orig_argv)}")
            raise
        ran += 1
    if not ran:
        raise ConfigurationError("run_schedules: needs at least one seed, got none")
    return ran


def _seed_of(environ: Mapping[str, str]) -> int | None:
    text = environ.get(SEED_VARIABLE, "")
    try:
        return int(text) if text else None
    except ValueError:
        raise ConfigurationError(f"{SEED_VARIABLE} must be the number of a schedule, is {text!r}") from None


def _command(seed: int, environ: Mapping[str, str], argv: Sequence[str]) -> str:
    """Return the shell line that runs one seed of what runs now: of a test under pytest, else of the program."""
    # pytest says there what it runs: `tests/test_a.py::test_b (call)`.
    test, _, _ = environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")
    # The interpreter as it was called, so that a virtual environment stays in use.
    command = [argv[0], "-m", "pytest", found] if (found := _found_from_here(test)) else argv
    return f"{SEED_VARIABLE}={seed} {shlex.join(command)}"


def _found_from_here(test: str) -> str:
    """Return the test's id as pytest finds it from the present directory; empty if its file is not to be found."""
    file, colons, name = test.partition("::")
    here = Path.cwd()
    # Ids begin at pytest's root directory, which is this one or one above.
    base = next((above for above in (here, *here.parents) if file and (above / file).is_file()), None)
    return "" if base is None else f"{os.path.relpath(base / file)}{colons}{name}"
