"""How a program names itself to an API server: `User-Agent`, whose first part owns the fields of unnamed writers."""

from __future__ import annotations

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath

__all__ = ["checked_user_agent", "default_user_agent"]

_DISTRIBUTION = "reconciler-runtime"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386"}


def default_user_agent(argument: str | None = None) -> str:
    """
    Return `PROGRAM/VERSION (OS/MACHINE) reconciler/VERSION`, such as `backup/1.2 (linux/amd64) reconciler/0.1`.

    Args:
        argument: How the program was called; None takes `sys.argv[0]`. Its last part is the name, without `.py`; of
            `python -m package` the package.

    Mirrors: client-go `rest.DefaultKubernetesUserAgent`.
    """
    program = _program(sys.argv[0] if argument is None and sys.argv else argument or "")
    machine = platform.machine()
    where = f"{sys.platform}/{_MACHINES.get(machine, machine) or 'unknown'}"
    own = _version(_DISTRIBUTION if program == "reconciler" else program)
    return f"{program}/{own} ({where}) reconciler/{_version(_DISTRIBUTION)}"


def checked_user_agent(text: str) -> str:
    """Return `text`. Raises ValueError where it is empty, or is not printable ASCII, as a header must be."""
    if not text.strip() or not text.isascii() or not text.isprintable():
        raise ValueError("user_agent must be printable ASCII, such as backup/1.2")
    return text


def _program(argument: str) -> str:
    path = PurePath(argument)
    name = path.parent.name if path.name == "__main__.py" else path.name.removesuffix(".py")
    found = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")
    return found if found and found != "c" else "python"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
