from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_of_the_docs_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_found_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    found, todo = {index}, [index]
    while todo:
        page = todo.pop()
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
        # A link to a folder opens its README.
        for target in (target / "README.md" if target.is_dir() else target for target in targets):
            if target.suffix == ".md" and target not in found:
                found.add(target)
                todo.append(target)
    fragments = set((ROOT / "docs" / "changelog.d").glob("*.md"))
    assert set(PAGES) - found - fragments == set()
