"""
What an error may say in public: in `status`, where everyone who can read the request reads it. Pure.

A webhook's URL is its secret, and client libraries put it into their messages; so addresses, user names and tokens
leave, whoever wrote the message.
"""

from __future__ import annotations

import re

from reconciler.errors import ReconcilerError

__all__ = ["LENGTH_MAX", "error_text"]

LENGTH_MAX = 1024
"""No text is longer, in characters."""

_CUT = " ... (cut)"
# What lies further back cannot reach the answer, unless nearly all before it is removed; and it bounds the work.
_READ_MAX = 4 * LENGTH_MAX

_SPACES = re.compile(r"[\s\x1c-\x1f\x85\u2028\u2029]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# In this order: an address takes its user-info along, and a header its token.
_SECRETS = (
    (re.compile(r"""(?<![\w+.\-])[\w+.\-]*://[^\s"<>`]*"""), "<url removed>"),
    (
        re.compile(r"""(?i)\b((?:proxy-)?authorization["']?\s*[:=]\s*)["']?(?:\w+\s+)?[^\s"',;]+"""),
        r"\1<token removed>",
    ),
    (re.compile(r"""(?i)\bbearer\s+[^\s"',;]+"""), "Bearer <token removed>"),
    (re.compile(r"""(?<![^\s/@:"'=(])[^\s/@:"'=(]+:[^\s/@"]+@"""), "<user removed>@"),
)


def error_text(error: BaseException) -> str:
    """
    Return what may be stored about `error`: one line, never empty, at most `LENGTH_MAX` characters.

    Removed: anything with `://`, `user:password@`, bearer tokens, authorization headers, control and invisible
    characters. A longer text is cut and says so. Errors from outside the library get their class in front, since
    many say little without it.
    """
    name = type(error).__name__
    # Paths that are no valid text come as lone surrogates, which no JSON encoder takes.
    said = str(error).encode("utf-8", "replace").decode("utf-8")
    is_longer = len(said) > _READ_MAX
    text = _CONTROLS.sub("", _SPACES.sub(" ", said[:_READ_MAX])).strip()
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    if not isinstance(error, ReconcilerError | OSError):
        text = f"{name}: {text}" if text else name
    text = text or name
    if is_longer or len(text) > LENGTH_MAX:
        text = text[: LENGTH_MAX - len(_CUT)] + _CUT
    return text
