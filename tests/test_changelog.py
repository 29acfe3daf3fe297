from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_changelog_is_built_from_its_fragments() -> None:
    build = runpy.run_path(str(ROOT / "docs" / "changelog.py"))["build"]
    assert (ROOT / "CHANGELOG.md").read_text() == build(), "run: make changelog"
