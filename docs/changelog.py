"""Builds CHANGELOG.md from the fragments in docs/changelog.d (`<slug>.<kind>.md`)."""

from __future__ import annotations

import sys
from pathlib import Path

KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
DOCS = Path(__file__).parent
TARGET = DOCS.parent / "CHANGELOG.md"


def build() -> str:
    """Return the whole changelog; a fragment of an unknown kind raises `SystemExit`."""
    fragments = sorted((DOCS / "changelog.d").glob("*.md"))
    strangers = [file.name for file in fragments if file.name.split(".")[-2] not in KINDS]
    if strangers:
        sys.exit(
            f"docs/changelog.d: expected <slug>.<kind>.md with a kind of {', '.join(KINDS)}: {', '.join(strangers)}"
        )
    parts = ["# Changelog", "## Unreleased"]
    for kind in KINDS:
        texts = [" ".join(file.read_text().split()) for file in fragments if file.name.split(".")[-2] == kind]
        if texts:
            parts += [f"### {kind.capitalize()}", "\n".join(f"- {text}" for text in texts)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(build())
