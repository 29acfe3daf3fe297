from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"


def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    # Given the page's test in a file of its own, beside the example,
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "test_hello.py").write_text(code)
    # when it is run as a reader would,
    path = f"pythonpath={ROOT} {ROOT / 'examples'}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-o", path]
    said = subprocess.run(
        [*command, str(tmp_path / "test_hello.py")], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    # then it passes.
    assert "1 passed" in said.stdout, said.stdout + said.stderr
