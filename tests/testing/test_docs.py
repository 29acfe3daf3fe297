from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()
GREETING, DEPOSITS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run_as_a_reader_would(test: Path) -> str:
    """Run a test in a file of its own, beside the example, and return what pytest said."""
    path = f"pythonpath={ROOT} {ROOT / 'examples'}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "-o", path]
    environ = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    # The page's example is read from the root directory of the project.
    (test.parent / "examples").symlink_to(ROOT / "examples")
    said = subprocess.run(
        [*command, test.name], cwd=test.parent, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    return said.stdout + said.stderr


def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    test = tmp_path / "test_hello.py"
    test.write_text(GREETING)
    said = run_as_a_reader_would(test)
    assert "1 passed" in said, said


def test_the_race_of_the_page_is_found_under_the_seed_that_the_page_shows(tmp_path: Path) -> None:
    test = tmp_path / "test_deposits.py"
    test.write_text(DEPOSITS)
    said = run_as_a_reader_would(test)
    assert "1 failed" in said, said
    (shown,) = re.findall(r"^```\n(schedule .*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in shown.splitlines():
        assert line.strip() in said.replace(sys.executable, "python"), said
