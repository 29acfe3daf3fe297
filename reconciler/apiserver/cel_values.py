"""
A JSON value as a rule sees it: fields that the schema names, under names that CEL can say.

Mirrors: apiserver `pkg/cel/common.UnstructuredToVal`, `pkg/cel.Escape`. Differs: see `rules`. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from reconciler.apiserver import cause
from reconciler.apiserver.structural import Node
from reconciler.apiserver.validation import map_key

__all__ = ["NESTED_AS_TEXT", "declared_type", "identifier", "in_order_of", "to_cel"]

NESTED_AS_TEXT: Final = frozenset({"byte", "date", "date-time", "duration"})
"""Formats that are values of their own kind in CEL, but stay text inside an object."""

_RESERVED = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


def identifier(name: str) -> str | None:
    """Return the name by which a rule selects a field, or None where it cannot."""
    if name in _RESERVED:
        return f"__{name}__"
    if re.fullmatch(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*", name) is None:
        return None
    return re.sub(r"__|[-./]", lambda found: _ESCAPES[found[0]], name)


def declared_type(node: Node) -> str:
    """
    Return the CEL type of what stands at a node.

    Numbers are `dyn`, since the binding's type checker allows no comparison of an integer with a double; so is what
    may be null.
    """
    if node.nullable or node.int_or_string:
        return "dyn"
    if node.type == "array" and node.items is not None:
        return f"list<{declared_type(node.items)}>"
    if node.type == "object" and node.additional is not None:
        return f"map<{declared_type(node.additional)}>"
    if node.type == "string":
        return _TYPE_OF_FORMAT.get(node.format, "string")
    return "bool" if node.type == "boolean" else "dyn"


_TYPE_OF_FORMAT = {"byte": "bytes", "date": "timestamp", "date-time": "timestamp", "duration": "duration"}


def to_cel(node: Node, value: Any, *, inside_object: bool = False) -> Any:
    """
    Return a value as rules see it.

    Fields that rules cannot select stay under a name that CEL cannot say, so that comparisons of whole objects count
    them. A null in a field is the same as no field.
    """
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        if node.additional is not None and not node.properties:
            part = node.additional
            return {name: to_cel(part, field, inside_object=inside_object) for name, field in fields.items()}
        return dict(_field(node, name, field) for name, field in fields.items() if field is not None)
    if isinstance(value, list) and node.items is not None:
        part = node.items
        return [to_cel(part, item, inside_object=inside_object) for item in cast("Sequence[Any]", value)]
    if node.type == "number" and isinstance(value, int):
        return float(value)
    if isinstance(value, str) and node.type == "string" and not (inside_object or node.nullable):
        read = _READERS.get(node.format)
        return value if read is None else read(value)
    return cast("object", value)


def _field(node: Node, name: str, value: Any) -> tuple[str, Any]:
    part = _META.get(name) if node.embedded else None
    part = part or node.properties.get(name)
    selectable = identifier(name)
    if part is None or selectable is None or not (part.type or part.int_or_string):
        return f"\0{name}", value
    return selectable, to_cel(part, value, inside_object=True)


_TEXT: Final = Node(type="string")
_META: Mapping[str, Node] = {
    "apiVersion": _TEXT,
    "kind": _TEXT,
    "metadata": Node(type="object", properties={"name": _TEXT, "generateName": _TEXT}),
}


def in_order_of(node: Node, value: Any, old: Any) -> Any:
    """Return an old value with its lists of type `set` and `map` in the order of the new one's."""
    if isinstance(value, Mapping) and isinstance(old, Mapping):
        new_fields, old_fields = cast("Mapping[str, Any]", value), cast("Mapping[str, Any]", old)
        return {
            name: in_order_of(part, new_fields.get(name), field) if (part := node.child(name)) is not None else field
            for name, field in old_fields.items()
        }
    if isinstance(value, list) and isinstance(old, list) and node.list_type in {"set", "map"}:
        return _in_order_of(node, cast("Sequence[Any]", value), cast("Sequence[Any]", old))
    return cast("object", old)


def _in_order_of(node: Node, items: Sequence[Any], old_items: Sequence[Any]) -> list[Any]:
    def key(item: Any) -> bytes:
        return cause.canonical(item) if node.list_type == "set" else map_key(node, item)

    by_key = {key(item): item for item in items}
    places = {place: index for index, place in enumerate(by_key)}
    ordered = sorted(old_items, key=lambda item: places.get(key(item), len(places)))
    part = node.items
    return [in_order_of(part, by_key.get(key(item)), item) if part is not None else item for item in ordered]


def _read_time(text: str) -> Any:
    return datetime.fromisoformat(text.upper())


def _read_date(text: str) -> Any:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _read_bytes(text: str) -> Any:
    try:
        return base64.urlsafe_b64decode(text)
    except binascii.Error:
        return text


_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800,
}  # fmt: skip


def _read_duration(text: str) -> Any:
    sign = -1 if text.startswith("-") else 1
    parts = re.findall(r"(\d+\.?\d*|\.\d+)\s*([a-zµμ]+)", text.lower())
    return sign * sum((timedelta(seconds=float(count) * _unit(unit)) for count, unit in parts), timedelta())


def _unit(word: str) -> float:
    # After Go's own units come words such as `hr`, `min` and `weeks`.
    if word in _SECONDS:
        return _SECONDS[word]
    long = {"nano": 1e-9, "micro": 1e-6, "milli": 1e-3}
    return next((size for start, size in long.items() if word.startswith(start)), _SECONDS.get(word[0], 0))


_READERS: Mapping[str, Callable[[str], Any]] = {
    "byte": _read_bytes,
    "date": _read_date,
    "date-time": _read_time,
    "duration": _read_duration,
}
