"""
The causes of a 422: what is wrong with a field, in the server's own words.

Values stand in these messages as Go prints them, so that a client sees the same text from both servers. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from reconciler.errors import StatusCause

__all__ = [
    "NO_FIELD",
    "OMITTED",
    "FieldError",
    "Verbatim",
    "canonical",
    "duplicate",
    "forbidden",
    "go_float",
    "go_json",
    "invalid",
    "not_supported",
    "quote",
    "required",
    "too_long",
    "too_many",
    "type_invalid",
]

FieldError = StatusCause
"""A cause as the server makes it has the shape of a cause as a client reads it: reason, message, field."""

NO_FIELD: Final = "<nil>"
"""What the server writes where an error belongs to no field."""


class _Omitted:
    """The type of `OMITTED`."""


OMITTED: Final = _Omitted()
"""In place of a value that is too big to be shown."""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """In place of a value that is shown in a form of its own."""

    text: str


_HTML_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def required(field: str, detail: str = "") -> FieldError:
    """Return the cause for a value that is not there."""
    return _cause("FieldValueRequired", "Required value", field, detail)


def forbidden(field: str, detail: str) -> FieldError:
    """Return the cause for a value that is well-formed and still not allowed here."""
    return _cause("FieldValueForbidden", "Forbidden", field, detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """Return the cause for a value that breaks a rule; `OMITTED` keeps the value out of the message."""
    return _cause("FieldValueInvalid", _with_value("Invalid value", value), field, detail)


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    """Return the cause for a value of the wrong JSON type."""
    return _cause("FieldValueTypeInvalid", _with_value("Invalid value", value), field, detail)


def duplicate(field: str, value: Any) -> FieldError:
    """Return the cause for the second of two equal values in a set."""
    return _cause("FieldValueDuplicate", _with_value("Duplicate value", value), field, "")


def not_supported(field: str, value: Any, supported: Sequence[Any]) -> FieldError:
    """Return the cause for a value outside an enumeration."""
    texts = (quote(value if isinstance(value, str) else go_json(value)) for value in supported)
    return _cause(
        "FieldValueNotSupported",
        _with_value("Unsupported value", value),
        field,
        f"supported values: {', '.join(texts)}",
    )


def too_long(field: str, limit: int) -> FieldError:
    """Return the cause for a string longer than `limit`; the server counts characters and says bytes."""
    unit = "byte" if limit == 1 else "bytes"
    return _cause("FieldValueTooLong", "Too long", field, f"may not be more than {limit} {unit}")


def too_many(field: str, count: int, limit: int) -> FieldError:
    """Return the cause for a list or an object with more than `limit` entries."""
    unit = "item" if limit == 1 else "items"
    return _cause("FieldValueTooMany", f"Too many: {count}", field, f"must have at most {limit} {unit}")


def canonical(value: Any) -> bytes:
    """Return JSON that is equal exactly for equal values: 1, 1.0 and true differ, the order of keys does not count."""
    return msgspec.json.encode(value, order="deterministic")


def go_float(value: float) -> str:
    """Return a float as Go's `%v` prints it: the shortest form, with an exponent from 1e+06 upwards and below 1e-04."""
    sign, digits, power = cast("tuple[int, tuple[int, ...], int]", Decimal(repr(value)).normalize().as_tuple())
    first, *rest = digits
    exponent = len(rest) + power
    if value == 0 or -4 <= exponent < 6:  # the bounds of Go's %g
        return f"{value:.{max(0, len(rest) - exponent)}f}"
    point = "." if rest else ""
    return f"{'-' if sign else ''}{first}{point}{''.join(map(str, rest))}e{exponent:+03d}"


def quote(text: str) -> str:
    """Return a text in double quotes as Go's `%q` prints it."""
    return '"' + "".join(_ESCAPES.get(char) or _quoted(char) for char in text) + '"'


def go_json(value: Any) -> str:
    """Return a value as Go marshals it: keys sorted, no spaces, safe inside HTML."""
    text = json.dumps(_whole_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_HTML_SAFE)


_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    '"': '\\"', "\\": "\\\\",
}  # fmt: skip


def _quoted(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code <= 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _cause(reason: str, text: str, field: str, detail: str) -> FieldError:
    return FieldError(reason=reason, message=f"{text}: {detail}" if detail else text, field=field or NO_FIELD)


def _with_value(text: str, value: Any) -> str:
    if value is OMITTED:
        return text
    return f"{text}: {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Verbatim):
        return value.text
    if isinstance(value, float):
        return go_float(value)
    return go_json(value)


def _whole_numbers(value: Any) -> Any:
    # Go writes 1.0 as 1, up to where it goes over to exponents.
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in cast("Sequence[Any]", value)]
    return value
