from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "faults.md").read_text()


def named() -> list[tuple[int, str, str]]:
    found = re.findall(r"^\| (\d+) \| `(tests/[\w/]+\.py)::(test_\w+)` \|$", PAGE, re.MULTILINE)
    return [(int(number), file, test) for number, file, test in found]


def in_file(file: Path) -> dict[str, str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: ast.get_docstring(node) or "" for node in functions if node.name.startswith("test_")}


def test_each_of_the_ten_has_a_test_and_each_named_test_is_there() -> None:
    assert sorted({number for number, _, _ in named()}) == list(range(1, 11))
    for _, file, test in named():
        assert test in in_file(ROOT / file), f"{file} has no {test}"


def test_the_page_names_every_test_of_the_ten_and_each_says_what_the_fault_is() -> None:
    files = {file for _, file, _ in named()}
    there = {(file, test): text for file in files for test, text in in_file(ROOT / file).items()}
    assert {(file, test) for _, file, test in named()} == set(there)
    assert [place for place, text in there.items() if not text] == []


def test_each_issue_that_a_test_names_is_linked_from_the_page() -> None:
    texts = [text for _, file, _ in named() for text in in_file(ROOT / file).values()]
    numbers = {number for text in texts for number in re.findall(r"#(\d+)", text)}
    assert len(numbers) == 19
    assert [number for number in sorted(numbers) if not re.search(rf"/issues/{number}\)", PAGE)] == []
