"""What is called for each event must be a plain function: one that is async would only make something to wait for."""

from __future__ import annotations

import inspect

from reconciler.errors import ConfigurationError

__all__ = ["check_plain"]


def check_plain(function: object, what: str, hint: str) -> None:
    """
    Return if `function` is no async function; others that answer with something to wait for cannot be told from it.

    Args:
        function: A function, or an object that is called like one.
        what: What it is, as the message begins: `"a handler"`.
        hint: What to do instead.

    Raises:
        ConfigurationError: It is an async function.
    """
    called = [function, getattr(function, "__call__", None)]  # noqa: B004  # its own method, not whether it has one
    if any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in called):
        raise ConfigurationError(f"{what} is called where nothing may wait, and {function!r} is async: {hint}")
