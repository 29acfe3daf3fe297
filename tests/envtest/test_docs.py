from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.usefixtures("real_binaries")
def test_the_pytest_example_of_the_docs_passes(tmp_path: Path) -> None:
    # Given the files that the page shows,
    page = (REPOSITORY / "docs" / "envtest.md").read_text()
    shown = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in shown] == ["conftest.py", "test_server.py"]
    for name, text in shown:
        (tmp_path / name).write_text(text)
    # when they are run as a reader would, then the test passes.
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        env=dict(os.environ) | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "1 passed" in said.stdout, said.stdout + said.stderr
