"""What of the recorder can be said without Go; `tests/oracle/check.sh` does the rest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ORACLE = Path(__file__).parent
ROOT = ORACLE.parent.parent
GO_BENCHMARK = ROOT / "benchmarks" / "go"


@pytest.fixture
def path_without_go(tmp_path: Path) -> str:
    for tool in ("sh", "dirname", "cat"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    return str(tmp_path)


def run(script: Path, *args: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *args], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", [ORACLE / "check.sh", GO_BENCHMARK / "run.sh"], ids=lambda script: script.name)
def test_without_go_a_sentence_says_so_and_the_exit_code_is_2(script: Path, path_without_go: str) -> None:
    ended = run(script, path=path_without_go)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Go is not on PATH. Install Go 1.26 or newer")
    assert len(ended.stderr.splitlines()) == 1


def test_help_needs_no_go(path_without_go: str) -> None:
    ended = run(ORACLE / "oracle", "--help", path=path_without_go)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(f"oracle {command}" in ended.stdout for command in ("record", "generate", "check"))


@pytest.mark.parametrize("args", [(), ("replay",)], ids=["no command", "an unknown command"])
def test_a_wrong_command_shows_the_usage_and_the_exit_code_is_2(args: tuple[str, ...], path_without_go: str) -> None:
    ended = run(ORACLE / "oracle", *args, path=path_without_go)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: oracle record")


def required(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^\t(\S+) (v\S+)", (folder / "go.mod").read_text(), re.MULTILINE))


def test_what_is_recorded_and_what_is_measured_are_the_same_releases() -> None:
    recorded, measured = required(ORACLE), required(GO_BENCHMARK)
    assert {"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "k8s.io/utils"} <= measured.keys() & recorded.keys()
    # The benchmark needs one module of its own.
    assert recorded.items() <= measured.items()
    assert measured.keys() - recorded.keys() == {"github.com/spf13/pflag"}


def test_the_page_names_the_pinned_versions() -> None:
    page = (ROOT / "docs" / "oracle.md").read_text()
    table = dict(re.findall(r"^\| `(\S+)` \| (v\S+) \|$", page, re.MULTILINE))
    assert "sigs.k8s.io/controller-runtime" in table
    assert {name: required(ORACLE).get(name) for name in table} == table
