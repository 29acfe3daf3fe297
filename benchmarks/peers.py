"""The peers: Go programs, built from `benchmarks/go`; kopf, in an environment of its own; and asyncio's own queue."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["GoQueues", "build_go", "kopf_python", "run", "say"]

HERE = Path(__file__).parent
GO = HERE / "go"
TIMEOUT_SECONDS = 600


def build_go(package: str, directory: Path) -> Path | None:
    """Build one of the Go programs into `directory`; None where Go is not there."""
    if shutil.which("go") is None:
        return None
    program = directory / f"go-{Path(package).name or 'queues'}"
    command = ["go", "build", "-mod=readonly", "-o", str(program), package]
    built = subprocess.run(command, cwd=GO, capture_output=True, text=True, check=False)
    if built.returncode:
        print(f"The Go benchmark {GO / package} cannot be built, so it is skipped:\n{built.stderr}", file=sys.stderr)
        return None
    return program


def kopf_python() -> str | None:
    """Return the interpreter that has kopf, as `make bench` sets it up; None where it is not there."""
    for python in (Path(sys.prefix) / "peers" / "bin" / "python", Path(sys.executable)):
        if (
            python.exists()
            and not subprocess.run([python, "-c", "import kopf"], capture_output=True, check=False).returncode
        ):
            return str(python)
    return None


def run(command: Sequence[str]) -> dict[str, Any]:
    """Run a program that prints its figures as one JSON object, in a process of its own."""
    ran = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{ran.stderr}")
    figures: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def say(text: str) -> None:
    """Show what goes on, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class GoQueues:
    """The Go program, built."""

    program: Path

    @classmethod
    def build(cls, directory: Path) -> GoQueues | None:
        """Build it; None where Go is not there."""
        program = build_go(".", directory)
        return cls(program) if program else None

    def measure(self, case: str) -> dict[tuple[str, int], float]:
        """Measure one case once; return (queue, number of keys) -> figure, for strings on one processor."""
        ran = subprocess.run(
            # The priority queue's buffer of adds has no bound of its own.
            ["sh", "-c", f'ulimit -v 8000000; exec "$0" -rounds 1 -seconds 0.15 -case {case}', str(self.program)],
            env={"GOMAXPROCS": "1", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[tuple[str, int], float] = {}
        for line in ran.stdout.splitlines():
            figure: dict[str, Any] = json.loads(line)
            if figure["case"] == case and figure["key"] == "string":
                found[figure["queue"], figure["keys"]] = figure.get("per_second") or figure["bytes_per_key"]
        return found
