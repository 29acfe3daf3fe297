"""The rules of `tests/conftest.py`, seen from outside: a session of its own in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_server(real_server): pass
def test_namespace(real_namespace): pass
def test_kubectl(require_kubectl): pass
@pytest.mark.real_server
@pytest.mark.skip(reason="by hand")
def test_by_hand(): pass
@pytest.mark.kubectl
@pytest.mark.xfail(strict=True)
def test_expected_to_fail(): assert False
@pytest.mark.skip(reason="needs neither")
def test_other(): pass
"""

NOTHING_HERE = {"PATH": "", "REQUIRE_ENVTEST": ""}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    repository = Path(__file__).parents[2]
    shutil.copy(repository / "tests" / "conftest.py", tmp_path)
    shutil.copy(repository / "pyproject.toml", tmp_path)
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def pytest_says(project: Path, *arguments: str, environ: Mapping[str, str]) -> list[str]:
    own = {"RECONCILER_ENVTEST_DIR": str(project / "cache"), "PYTHONPATH": str(Path(__file__).parents[2])}
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=0", *arguments, "."],
        cwd=project,
        env=dict(os.environ) | own | dict(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return said.stdout.splitlines()


def test_what_is_missing_is_a_skip_with_its_reason(project: Path) -> None:
    said = pytest_says(project, environ=NOTHING_HERE)
    assert "5 skipped, 1 xfailed" in said[-1]
    assert any("Go is not on PATH" in line for line in said)
    assert any("kubectl is not on PATH" in line for line in said)
    assert any(line.startswith("kube-apiserver: v1.") and "not built yet" in line for line in said)


def test_require_envtest_makes_each_marked_skip_a_failure_and_no_other(project: Path) -> None:
    said = pytest_says(project, environ=NOTHING_HERE | {"REQUIRE_ENVTEST": "1"})
    assert "1 skipped, 1 xfailed, 4 errors" in said[-1]
    assert any("REQUIRE_ENVTEST=1 forbids to skip a test marked real_server" in line for line in said)


@pytest.mark.parametrize(
    ("expression", "selected"),
    [pytest.param("real_server", 3, id="real_server"), pytest.param("kubectl", 2, id="kubectl")],
)
def test_a_test_is_marked_by_the_fixtures_it_uses(project: Path, expression: str, selected: int) -> None:
    said = pytest_says(project, "--collect-only", "-q", "-m", expression, environ=NOTHING_HERE)
    assert f"{selected}/6 tests collected" in said[-1]
