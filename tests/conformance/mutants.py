"""Makes a part of the library with one rule broken: its module's source with one passage replaced, run anew."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType


def mutant(module: str, old: str, new: str, rebuilt: Sequence[str] = ()) -> Mapping[str, ModuleType]:
    """
    Return fresh copies of `module`, with `old` replaced by `new`, and of the `rebuilt` modules, which import it.

    `old` must stand in the source exactly once. What the process has imported stays as it is.
    """
    source = _source(module)
    assert source.count(old) == 1, f"{module} has {source.count(old)} times:\n{old}"
    fresh: dict[str, ModuleType] = {}
    before = {name: sys.modules[name] for name in (module, *rebuilt)}
    try:
        for name in (module, *rebuilt):
            fresh[name] = _run(name, source.replace(old, new) if name == module else _source(name))
            sys.modules[name] = fresh[name]
    finally:
        sys.modules.update(before)
    return fresh


def _source(module: str) -> str:
    return Path(str(importlib.import_module(module).__file__)).read_text(encoding="utf-8")


def _run(name: str, source: str) -> ModuleType:
    made = ModuleType(name)
    made.__file__ = sys.modules[name].__file__
    exec(compile(source, str(made.__file__), "exec"), made.__dict__)
    return made
