"""
Checks that look at several parts of a value at once: lists that are sets or maps, and objects inside objects.

Mirrors: apiextensions-apiserver `pkg/apiserver/schema/listtype` and `.../objectmeta`.
Differs: of an embedded object's `metadata` only its type is checked. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from reconciler.apiserver import cause
from reconciler.apiserver.cause import FieldError
from reconciler.apiserver.structural import Node
from reconciler.apiserver.validation import map_key

__all__ = ["embedded_errors", "list_errors"]


def list_errors(node: Node, value: Any) -> list[FieldError]:
    """Return what keeps lists of type `set` and `map` from being that: items that are there twice."""
    return [error for part, held, path in _visit(node, value, "") for error in _list_errors(part, held, path)]


def embedded_errors(node: Node, value: Any) -> list[FieldError]:
    """Return what keeps the objects marked `x-kubernetes-embedded-resource` from being objects of the API."""
    return [
        error
        for part, held, path in _visit(node, value, "")
        if part.embedded and isinstance(held, Mapping)
        for error in _object_errors(cast("Mapping[str, Any]", held), path)
    ]


def _visit(node: Node, value: Any, path: str) -> Iterator[tuple[Node, Any, str]]:
    yield node, value, path
    if isinstance(value, Mapping):
        for name, field in cast("Mapping[str, Any]", value).items():
            if (part := node.properties.get(name)) is not None:
                yield from _visit(part, field, f"{path}.{name}" if path else name)
            elif node.additional is not None:
                yield from _visit(node.additional, field, f"{path}[{name}]")
    elif isinstance(value, list) and node.items is not None:
        for index, item in enumerate(cast("Sequence[Any]", value)):
            yield from _visit(node.items, item, f"{path}[{index}]")


def _list_errors(node: Node, value: Any, path: str) -> Iterator[FieldError]:
    if node.list_type not in {"set", "map"} or not isinstance(value, list):
        return
    items = cast("Sequence[Any]", value)
    if node.list_type == "map":
        for index, item in enumerate(items):
            if item is not None and not isinstance(item, Mapping):
                detail = "must be an object for an array of list-type map"
                yield cause.invalid(f"{path}[{index}]", item, detail)
                return
    times: dict[bytes, int] = {}
    for index, item in enumerate(items):
        key = _key(node, item)
        times[key] = times.get(key, 0) + 1
        if times[key] == 2:  # said once for each value, however often it comes
            yield cause.duplicate(f"{path}[{index}]", _shown(node, item))


def _key(node: Node, item: Any) -> bytes:
    return cause.canonical(item) if node.list_type == "set" else map_key(node, item if item is not None else {})


def _shown(node: Node, item: Any) -> Any:
    if node.list_type == "set":
        return item
    entry = cast("Mapping[str, Any]", item or {})
    return {key: entry[key] for key in node.list_map_keys if key in entry}


_KIND = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_KIND_RULE = (
    "may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric "
    "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  "
    "or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def _object_errors(obj: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    below = f"{path}." if path else ""
    for name in ("apiVersion", "kind"):
        value, field = obj.get(name), f"{below}{name}"
        if name not in obj:
            yield cause.required(field)
        elif not isinstance(value, str):
            yield cause.invalid(field, value, "must be a string")
        elif not value:
            yield cause.invalid(field, value, "must not be empty")
        elif name == "apiVersion" and value.count("/") > 1:
            yield cause.invalid(field, value, f"unexpected GroupVersion string: {value}")
        elif name == "kind" and _KIND.fullmatch(value.lower()) is None:
            yield cause.invalid(field, value, _KIND_RULE)
    metadata = obj.get("metadata", {})
    if not isinstance(metadata, Mapping):
        yield cause.invalid(f"{below}metadata", metadata, "must be an object")
