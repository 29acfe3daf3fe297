from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import reconciler

ROOMS = sorted(
    info.name
    for info in pkgutil.iter_modules(reconciler.__path__, "reconciler.")
    if info.ispkg and info.name != "reconciler.cli"
)


def test_the_front_door_opens_every_name_it_lists_and_no_other() -> None:
    assert sorted(reconciler.__all__) == sorted(reconciler._HOME_OF)
    for name in reconciler.__all__:
        assert getattr(reconciler, name) is getattr(importlib.import_module(reconciler._HOME_OF[name]), name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = reconciler.Nothing


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_does_and_exports_only_what_it_has(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__doc__
    for name in getattr(module, "__all__", []):
        assert hasattr(module, name)


@pytest.mark.parametrize("room", ["reconciler", "reconciler.workqueue", "reconciler.phase", "reconciler.journal"])
def test_the_rooms_below_kubernetes_bring_none_of_it(room: str) -> None:
    heavy = "{'aiohttp', 'kubernetes_asyncio', 'pydantic', 'anyio'}"
    code = f"import sys, {room}; sys.exit(str({heavy} & set(sys.modules) or '') or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
