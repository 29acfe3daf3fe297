"""`reconciler dev` as a process of its own, for tests of the command and of kubectl."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .api import WIDGET_CRD


class DevProcess:
    def __init__(self, process: subprocess.Popen[str], kubeconfig: Path, home: Path) -> None:
        self.process = process
        self.kubeconfig = kubeconfig
        self._home = home
        self.said = ""

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C" in line:
                return
        raise AssertionError(f"reconciler dev ended with {self.process.wait()}: {self.said}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code; what is said after that joins `said`."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=10)
        self.said += rest
        return self.process.returncode

    def environment(self) -> dict[str, str]:
        # kubectl keeps discovery in its home: an empty one each time.
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self._home)}

    def kubectl(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", *words],
            input=stdin, capture_output=True, text=True, timeout=30, env=self.environment(), check=False,
        )  # fmt: skip


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "reconciler.cli", "dev", *words]


def write_crd(folder: Path) -> Path:
    """JSON is YAML."""
    path = folder / "widgets.yaml"
    path.write_text(json.dumps(WIDGET_CRD))
    return path


@contextlib.contextmanager
def dev_process(folder: Path, *words: str) -> Iterator[DevProcess]:
    kubeconfig = folder / "kubeconfig"
    home = folder / "home"
    home.mkdir(exist_ok=True)
    process = subprocess.Popen(
        command("--kubeconfig", str(kubeconfig), *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        dev = DevProcess(process, kubeconfig, home)
        dev.wait_until_ready()
        yield dev
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
