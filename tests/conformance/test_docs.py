"""The example of docs/conformance.md, run."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")


def test_the_example_says_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = PAGE.split("```json\n")[1].split("```")[0]
    shown = PAGE.split("$ reconciler conformance overtake.jsonl\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    Path("overtake.jsonl").write_text(program)
    assert main(["conformance", "overtake.jsonl"]) == 1
    assert capsys.readouterr().out == shown
