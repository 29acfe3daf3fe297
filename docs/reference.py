"""
Builds docs/reference.md: every public name, by room, with the first sentence of its docstring.

It reads the sources and imports nothing. A room is a package or module directly under `reconciler`, or the
notification controller; its public names are its `__all__`. Run it from anywhere: `python docs/reference.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "reconciler"
TARGET = DOCS / "reference.md"

HEAD = """\
# Public names

Every public name, by the room it lives in. This page is made from the docstrings by `python docs/reference.py`.
A name marked with * is at the front door as well: `reconciler.Manager` is `reconciler.manager.Manager`.
"""


def rooms() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the file of each room, in alphabetical order; the front door first."""
    yield "reconciler", PACKAGE / "__init__.py"
    found = [(f"reconciler.{file.stem}", file) for file in PACKAGE.glob("[!_]*.py")]
    found += [(f"reconciler.{file.parent.name}", file) for file in PACKAGE.glob("*/__init__.py")]
    notification = PACKAGE / "controllers" / "notification" / "__init__.py"
    yield from sorted([*found, ("reconciler.controllers.notification", notification)])


def public_names(file: Path) -> list[str]:
    """Return `__all__` of a source file; empty if there is none."""
    for node in ast.parse(file.read_text()).body:
        target, value = _assigned(node)
        if target == "__all__" and value is not None:
            names: list[str] = ast.literal_eval(value)
            return names
    return []


def paragraph(file: Path) -> str:
    """Return the first paragraph of a file's docstring, in one line."""
    return _first_paragraph(ast.get_docstring(ast.parse(file.read_text())) or "")


def descriptions(file: Path) -> dict[str, str]:
    """Return the first paragraph about each top-level name in the room's files: its docstring, or the text below it."""
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    found: dict[str, str] = {}
    for source in files:
        body = ast.parse(source.read_text()).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                # The overloads of a function come first, and have no docstring.
                found[node.name] = found.get(node.name) or _first_paragraph(ast.get_docstring(node) or "")
            elif isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found.setdefault(_assigned(node)[0], _first_paragraph(str(after.value.value)))
    return found


def build() -> str:
    """Return the whole page."""
    at_front = set(public_names(PACKAGE / "__init__.py"))
    parts = [HEAD]
    for room, file in rooms():
        names = public_names(file)
        if room == "reconciler" or not names:
            continue
        about = descriptions(file)
        rows = [f"| `{name}`{'*' if name in at_front else ''} | {_cell(about.get(name, ''))} |" for name in names]
        parts.append("\n".join([f"## {room}\n", paragraph(file), "", "| name | |", "| --- | --- |", *rows, ""]))
    return "\n".join(parts)


def _assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return name, value
        case _:
            return "", None


def _first_paragraph(docstring: str) -> str:
    return " ".join(docstring.strip().split("\n\n")[0].split())


def _cell(text: str) -> str:
    # `Mirrors:` lines may share the paragraph with the claim; the claim is enough here.
    return re.split(r" (?=Mirrors:|Differs:|Raises )", text)[0].replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(build())
