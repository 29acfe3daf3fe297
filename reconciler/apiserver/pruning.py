"""
What the server does to an object before it judges it: unknown fields go, defaults come.

Mirrors: apiextensions-apiserver `pkg/apiserver/schema/pruning` and `.../defaulting`.
Differs: a whole number written as `1.0` stays so, where a kube-apiserver stores and shows 1. Pure: the input stays as
it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from reconciler.apiserver.structural import ABSENT, META_FIELDS, Node

__all__ = ["complete", "prune"]


def prune(node: Node, value: Any, *, is_root: bool) -> tuple[Any, list[str]]:
    """
    Return a value without the fields that its schema does not know, and the paths of those, sorted.

    Args:
        node: The schema.
        value: A JSON value.
        is_root: Whether it is a whole object, whose `apiVersion`, `kind` and `metadata` stay in any case.
    """
    unknown: list[str] = []
    pruned = _pruned(node, value, "", unknown, is_root=is_root, preserve=False)
    return pruned, sorted(unknown)


def _pruned(
    node: Node | None, value: Any, path: str, unknown: list[str], *, is_root: bool = False, preserve: bool
) -> Any:
    # Preserving reaches down into lists and, through fields that the schema does not name, into everything below.
    preserve = node is not None and (preserve or node.preserve)
    if isinstance(value, list):
        items = cast("Sequence[Any]", value)
        part = node.items if node is not None else None
        if preserve and part is None:
            return _copied(value)
        return [_pruned(part, item, f"{path}[{index}]", unknown, preserve=preserve) for index, item in enumerate(items)]
    if not isinstance(value, Mapping):
        return value
    kept: dict[str, Any] = {}
    keeps_meta = is_root or (node is not None and node.embedded)
    for name, field in cast("Mapping[str, Any]", value).items():
        where = f"{path}.{name}" if path else name
        if keeps_meta and name in META_FIELDS:
            kept[name] = _copied(field)
        elif node is not None and (name in node.properties or node.has_additional):
            kept[name] = _pruned(node.child(name), field, where, unknown, preserve=False)
        elif preserve:
            kept[name] = _copied(field)
        else:
            unknown.append(where)
    return kept


def complete(node: Node | None, value: Any) -> Any:
    """
    Return a value with its defaults, and without nulls where the schema allows none.

    A default comes where a field of an object that is there is absent, or is null and may not be; such a null without
    a default goes. A default may itself hold objects with defaults. In a list such a null stays, to be refused.
    """
    if isinstance(value, list):
        part = node.items if node is not None else None
        return [complete(part, _instead_of_null(part, item)) for item in cast("Sequence[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    completed: dict[str, Any] = {}
    for name, field in cast("Mapping[str, Any]", value).items():
        part = node.child(name) if node is not None else None
        field = _instead_of_null(part, field)  # noqa: PLW2901 - the field, as it is from here on
        if field is not None or part is None or part.nullable:
            completed[name] = complete(part, field)
    for name, part in node.properties.items() if node is not None else ():
        if name not in completed and part.default not in (ABSENT, None):
            completed[name] = complete(part, _copied(part.default))
    return completed


def _instead_of_null(node: Node | None, value: Any) -> Any:
    if value is not None or node is None or node.nullable or node.default is ABSENT:
        return value
    return _copied(node.default)


def _copied(value: Any) -> Any:
    # Several times faster than copy.deepcopy, which must expect more than JSON.
    if isinstance(value, Mapping):
        return {name: _copied(field) for name, field in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_copied(item) for item in cast("Sequence[Any]", value)]
    return value
