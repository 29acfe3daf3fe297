"""`reconciler dev`: how it starts, what it says, how it ends. Processes on the real clock."""

from __future__ import annotations

import signal
import socket
import ssl
import stat
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml

from reconciler.cli import main
from tests.apiserver.dev_process import command, dev_process, write_crd


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_ends_well_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with dev_process(tmp_path, "--crd", str(write_crd(tmp_path))) as dev:
        config = yaml.safe_load(dev.kubeconfig.read_text())
        url = config["clusters"][0]["cluster"]["server"]
        assert url in dev.said
        assert f"export KUBECONFIG={dev.kubeconfig}" in dev.said
        assert "kubectl get widgets -w" in dev.said
        assert config["users"][0]["user"]["token"] not in dev.said
        assert stat.S_IMODE(dev.kubeconfig.stat().st_mode) == 0o600
        assert dev.end(number) == 0
        assert "Traceback" not in dev.said


def test_an_open_watch_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with dev_process(tmp_path) as dev:
        config = yaml.safe_load(dev.kubeconfig.read_text())
        request = urllib.request.Request(
            config["clusters"][0]["cluster"]["server"] + "/api/v1/events?watch=1",
            headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}"},
        )
        # What is tested is the server's end; the certificate has its own test.
        with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as stream:
            assert dev.end() == 0
            assert stream.read() == b""
        assert "Traceback" not in dev.said


def test_it_listens_on_the_port_that_it_is_given(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with dev_process(tmp_path, "--port", str(port)) as dev:
        assert f"https://127.0.0.1:{port}" in dev.said


def test_a_port_that_is_taken_ends_it_with_2(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = run("--kubeconfig", str(tmp_path / "config"), "--port", str(port))
    assert done.returncode == 2
    assert done.stderr.startswith(f"reconciler dev: cannot listen on port {port}: ")
    assert "address already in use" in done.stderr
    assert not (tmp_path / "config").exists()


def test_a_kubeconfig_that_cannot_be_written_ends_it_with_2(tmp_path: Path) -> None:
    done = run("--kubeconfig", str(tmp_path / "nowhere" / "config"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"reconciler dev: cannot write {tmp_path}/nowhere/config: No such file or directory\n"


def test_a_kubeconfig_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("mine")
    done = run("--kubeconfig", str(path))
    assert done.returncode == 2
    assert "was not written by reconciler: it is left alone" in done.stderr
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("a: [", "is not YAML", id="no YAML"),
        pytest.param("kind: Widget", "holds a Widget, not a CustomResourceDefinition", id="another kind"),
        pytest.param("[1]", "holds a document without kind, not a CustomResourceDefinition", id="a list"),
        pytest.param(
            "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}, spec: {}}",
            'CustomResourceDefinition.apiextensions.k8s.io "x" is invalid',
            id="a definition that the server refuses",
        ),
    ],
)
def test_a_definition_file_that_makes_no_sense_ends_it_with_2(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "crd.yaml"
    path.write_text(content)
    done = run("--kubeconfig", str(tmp_path / "config"), "--crd", str(path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"reconciler dev: {path}")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_definition_file_that_is_not_there_ends_it_with_2(tmp_path: Path) -> None:
    done = run("--kubeconfig", str(tmp_path / "config"), "--crd", str(tmp_path / "none.yaml"))
    assert done.stderr == f"reconciler dev: cannot read {tmp_path}/none.yaml: No such file or directory\n"
    assert done.returncode == 2


@pytest.mark.parametrize("words", [["dev"], ["dev", "--kubeconfig", "x", "--port", "99999"], ["nonsense"], []])
def test_a_command_line_that_makes_no_sense_gives_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: reconciler" in capsys.readouterr().err


def test_help_teaches_by_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dev", "--help"]) == 0
    said = capsys.readouterr().out
    assert "$ reconciler dev --kubeconfig dev.kubeconfig --crd my-crd.yaml" in said
    assert main(["--help"]) == 0
    assert "dev" in capsys.readouterr().out
