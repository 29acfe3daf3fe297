from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.envtest import KUBERNETES_VERSION, Binaries
from tests.envtest.watching import becomes_true, is_running, pids_naming

COMMAND = [sys.executable, "-m", "reconciler.envtest"]


def run(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=dict(os.environ) | dict(environ or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [("--help",), ("build", "--help"), ("start", "--help")])
def test_help_is_given_and_costs_nothing(arguments: tuple[str, ...]) -> None:
    said = run(*arguments)
    assert said.returncode == 0
    assert "usage: python -m reconciler.envtest" in said.stdout


def test_a_verb_that_is_none_is_wrong_usage() -> None:
    assert run("stop").returncode == 2


def test_without_go_it_says_what_to_install_and_exits_with_2(tmp_path: Path) -> None:
    said = run("build", environ={"RECONCILER_ENVTEST_DIR": str(tmp_path), "PATH": ""})
    assert said.returncode == 2
    assert "https://go.dev/dl/" in said.stderr
    assert "Traceback" not in said.stderr


def test_build_prints_the_paths_of_both_programs(real_binaries: Binaries) -> None:
    said = run("build")
    assert said.returncode == 0
    assert said.stdout.splitlines() == [str(real_binaries.etcd), str(real_binaries.kube_apiserver)]


@pytest.mark.usefixtures("real_binaries")
def test_a_server_that_does_not_start_exits_with_1_and_the_end_of_its_log(tmp_path: Path) -> None:
    said = run("start", "--apiserver-arg=--no-such-flag", environ={"TMPDIR": str(tmp_path)})
    assert said.returncode == 1
    assert "unknown flag: --no-such-flag" in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stdout == ""


@pytest.mark.usefixtures("real_binaries")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_start_prints_its_kubeconfig_and_runs_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    # Given a command that says where its kubeconfig is,
    with subprocess.Popen(
        [*COMMAND, "start", "--log-dir", str(tmp_path / "logs")],
        env=dict(os.environ) | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        kubeconfig = Path(command.stdout.readline().strip())
        assert kubeconfig.is_relative_to(tmp_path)
        assert kubeconfig.exists()
        assert f"kube-apiserver {KUBERNETES_VERSION} is ready at https://127.0.0.1:" in command.stderr.readline()
        servers = pids_naming(str(kubeconfig.parent))
        # when the signal comes, then it ends well, and all that it started is gone but the logs.
        command.send_signal(number)
        assert command.wait(timeout=10) == 0
        assert "Traceback" not in command.stderr.read()
    assert becomes_true(lambda: not any(is_running(pid) for pid in servers), within_seconds=3)
    assert not kubeconfig.parent.exists()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["etcd.log", "kube-apiserver.log"]
