from __future__ import annotations

import importlib
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import reconciler

ROOT = Path(__file__).parent.parent
REFERENCE = runpy.run_path(str(ROOT / "docs" / "reference.py"))
ROOMS: dict[str, Path] = dict(REFERENCE["rooms"]())


def exports(room: str) -> list[str]:
    names: list[str] = importlib.import_module(room).__all__
    return names


def test_the_front_door_opens_every_name_it_lists_and_no_other() -> None:
    assert sorted(reconciler.__all__) == sorted(reconciler._HOME_OF)
    for name in reconciler.__all__:
        assert getattr(reconciler, name) is getattr(importlib.import_module(reconciler._HOME_OF[name]), name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = reconciler.Nothing


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_does_and_exports_only_what_it_has(room: str) -> None:
    module = importlib.import_module(room)
    assert (module.__doc__ or "").strip()
    assert len(set(exports(room))) == len(exports(room))
    for name in exports(room):
        assert getattr(module, name) is not None


def test_a_public_name_has_one_home() -> None:
    homes: dict[str, object] = {}
    for room in ROOMS:
        for name in exports(room):
            thing = getattr(importlib.import_module(room), name)
            assert homes.setdefault(name, thing) is thing, f"{room}.{name} is not the {name} of another room"


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "reconciler"])
def test_a_public_name_says_what_it_is(room: str) -> None:
    said = REFERENCE["descriptions"](ROOMS[room])
    assert [name for name in exports(room) if not said.get(name)] == []


def test_the_page_of_public_names_is_up_to_date() -> None:
    assert REFERENCE["TARGET"].read_text() == REFERENCE["build"](), "run: python docs/reference.py"


@pytest.mark.parametrize(
    "room", ["reconciler", "reconciler.workqueue", "reconciler.phase", "reconciler.journal", "reconciler.testing"]
)
def test_the_rooms_below_kubernetes_bring_none_of_it(room: str) -> None:
    heavy = "{'aiohttp', 'kubernetes_asyncio', 'pydantic', 'anyio'}"
    code = f"import sys, {room}; sys.exit(str({heavy} & set(sys.modules) or '') or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_door_of_testing_opens_its_transport_and_nothing_that_it_lacks() -> None:
    testing = importlib.import_module("reconciler.testing")
    assert testing.InProcessTransport is importlib.import_module("reconciler.testing.transport").InProcessTransport
    with pytest.raises(AttributeError, match="no attribute 'FakeClient'"):
        _ = testing.FakeClient


def test_the_page_of_rooms_has_the_order_that_the_linter_checks() -> None:
    page = (ROOT / "docs" / "design" / "rooms.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    lines = [[name.strip(" ()") for name in layer.split("|")] for layer in layers]
    built = [[name for name in line if f"reconciler.{name}" in ROOMS or name == "controllers"] for line in lines]
    assert page.split("```")[3].strip().splitlines() == [" | ".join(line) for line in built if line]
