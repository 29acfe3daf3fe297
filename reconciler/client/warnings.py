"""
What the server warns of (the `Warning` headers): read, logged once for each text, and passed on.

A warning is the server's only word about a field it is going to drop, or about a version that will go away.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = ["ServerWarning", "Warnings", "parse_warnings"]

_log = logging.getLogger("reconciler.client")

_TEXTS_REMEMBERED = 1_000
# code, agent, quoted text, and a quoted date that may follow.
_ONE = re.compile(r'\s*(\d{3})\s+(\S+)\s+"((?:[^"\\]|\\.)*)"(?:\s+"[^"]*")?\s*(?:,|$)')


class ServerWarning(NamedTuple):
    """
    One warning of an API server.

    Attributes:
        text: What it says, such as `unknown field "spec.shape"`.
        doing: The request it answers, in words, such as `create widgets.example.com in default`.
    """

    text: str
    doing: str = ""


def parse_warnings(header: str) -> tuple[str, ...]:
    """
    Return the texts in a `Warning` header, in its order; what is not understood is left out.

    Mirrors: apimachinery `util/net.ParseWarningHeaders`, and client-go, which takes code 299 alone.
    """
    texts: list[str] = []
    position = 0
    while found := _ONE.match(header, position):
        position = found.end()
        text = re.sub(r"\\(.)", r"\1", found[3])
        if found[1] == "299" and text:
            texts.append(text)
        if position >= len(header):
            break
    return tuple(texts)


class Warnings:
    """
    Takes the warnings out of answers, logs each text once, and gives every one to `on_warning`.

    Mirrors: client-go `rest.WarningHandler`; controller-runtime's, which logs each text once.
    """

    def __init__(self, on_warning: Callable[[ServerWarning], None] | None = None) -> None:
        """What `on_warning` raises is logged by its type: the request has succeeded, and must not look failed."""
        self._on_warning = on_warning
        self._logged: dict[str, None] = {}

    def take(self, doing: str, headers: Mapping[str, str]) -> None:
        """Take note of an answer's headers; `doing` names the request in words."""
        header = headers.get("warning")
        if not header:
            return
        for text in parse_warnings(header):
            self._log(doing, text)
            self._pass_on(ServerWarning(text, doing))

    def _pass_on(self, warning: ServerWarning) -> None:
        if self._on_warning is None:
            return
        try:
            self._on_warning(warning)
        except Exception as error:
            _log.error("%s: on_warning failed (%s)", warning.doing, type(error).__name__)

    def _log(self, doing: str, text: str) -> None:
        if text in self._logged:
            return
        self._logged[text] = None
        if len(self._logged) > _TEXTS_REMEMBERED:
            del self._logged[next(iter(self._logged))]
        _log.warning("%s: the server warns: %s", doing, text)
