"""The peers: Go's two queues, measured by `benchmarks/go`, and asyncio's own queue."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GO = Path(__file__).parent / "go"


@dataclass(frozen=True)
class GoQueues:
    """The Go program, built."""

    program: Path

    @classmethod
    def build(cls, directory: Path) -> GoQueues | None:
        """Build it; None where Go is not there."""
        if shutil.which("go") is None:
            return None
        program = directory / "go-queues"
        built = subprocess.run(
            ["go", "build", "-mod=readonly", "-o", str(program), "."],
            cwd=GO,
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            raise SystemExit(f"the Go benchmark in {GO} cannot be built:\n{built.stderr}")
        return cls(program)

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
