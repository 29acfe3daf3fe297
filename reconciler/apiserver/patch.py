"""
The patch formats: JSON merge patch (RFC 7386), JSON patch (RFC 6902), and strategic merge for the core kinds. Pure.

Strategic merge patch here merges maps, merges `metadata.finalizers` as a set (with `$deleteFromPrimitiveList`), and
replaces every other list whole, which is less than the real server does: it knows a merge key for many lists. The
kinds served here (Namespace, Event) have none that kubectl edits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, cast

from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.failure import StatusError, bad_request

__all__ = ["json_patch", "merge_patch", "strategic_patch"]


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def merge_patch(target: object, patch: object) -> Any:
    """Return `target` with a merge patch applied: null removes, maps merge, all else replaces. Changes neither."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged: dict[str, Any] = dict(cast("JsonObject", target)) if isinstance(target, dict) else {}
    for key, value in cast("JsonObject", patch).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


# --- strategic --------------------------------------------------------------------------------------------------------


def strategic_patch(target: JsonObject, patch: JsonObject) -> JsonObject:
    """Return `target` with a strategic merge patch applied, within the limits the module names. Changes neither."""
    return _strategic(target, patch, ())


def _strategic(target: JsonObject, patch: JsonObject, path: tuple[str, ...]) -> JsonObject:
    directive = patch.get("$patch")
    body = {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive == "replace":
        replaced: JsonObject = merge_patch({}, body)
        return replaced
    if directive == "delete":
        return {}
    merged = dict(target)
    for key, gone in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            held: list[Any] = merged.get(name) or []
            merged[name] = [item for item in held if item not in gone]
    for key, value in body.items():
        merged = _strategic_field(merged, key, value, (*path, key))
    return merged


def _strategic_field(merged: JsonObject, key: str, value: Any, path: tuple[str, ...]) -> JsonObject:
    held: object = merged.get(key)
    if value is None:
        return {name: item for name, item in merged.items() if name != key}
    if isinstance(value, dict):
        inner = cast("JsonObject", held) if isinstance(held, dict) else {}
        return {**merged, key: _strategic(inner, cast("JsonObject", value), path)}
    if path == ("metadata", "finalizers") and _is_list(held):
        return {**merged, key: [*held, *(item for item in value if item not in held)]}
    return {**merged, key: copy.deepcopy(value)}


# --- JSON patch -------------------------------------------------------------------------------------------------------


class _PatchFailedError(Exception):
    pass


def json_patch(document: JsonObject, operations: object) -> Any:
    """
    Return `document` with the operations applied in order. Changes neither.

    As in a kube-apiserver, and unlike RFC 6902, a field that an object lacks reads as null: `replace` adds it, `test`
    for null passes, `copy` of it sets null. So does an operation's `value` that is missing.

    Raises:
        StatusError: 400 where the patch is no list of operations; 422 where one of them cannot be done.
    """
    if not _is_list(operations):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    # A box around the document lets an operation replace the root as well.
    box: dict[str, Any] = {"": copy.deepcopy(document)}
    try:
        for operation in operations:
            _OPERATIONS[operation["op"]](box, operation)
    except (_PatchFailedError, KeyError, TypeError, IndexError, AttributeError) as error:
        # The real server says no more than this.
        message = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", message, details={}) from error
    return box[""]


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise _PatchFailedError(f"not a pointer: {pointer}")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]


def _index(container: list[Any], step: str, *, may_append: bool) -> int:
    if step == "-" and may_append:
        return len(container)
    if not step.isdecimal():
        raise _PatchFailedError(f"not an index: {step}")
    index = int(step)
    if index > len(container) or (index == len(container) and not may_append):
        raise _PatchFailedError(f"index out of range: {step}")
    return index


def _parent(box: Any, pointer: str) -> tuple[Any, str]:
    *path, last = _steps(pointer)
    container: Any = box
    for step in path:
        container = container[_index(container, step, may_append=False)] if _is_list(container) else container[step]
    return container, last


def _read(box: Any, pointer: str) -> Any:
    container, last = _parent(box, pointer)
    return container[_index(container, last, may_append=False)] if _is_list(container) else container.get(last)


def _add(box: Any, pointer: str, value: Any) -> None:
    container, last = _parent(box, pointer)
    if _is_list(container):
        container.insert(_index(container, last, may_append=True), value)
    elif isinstance(container, dict):
        container[last] = value
    else:
        raise _PatchFailedError(f"not a container: {pointer}")


def _remove(box: Any, pointer: str) -> Any:
    container, last = _parent(box, pointer)
    if _is_list(container):
        return container.pop(_index(container, last, may_append=False))
    return container.pop(last)


def _replace(box: Any, pointer: str, value: Any) -> None:
    container, last = _parent(box, pointer)
    if _is_list(container):
        container[_index(container, last, may_append=False)] = value
    else:
        container[last] = value


def _test(box: Any, pointer: str, value: Any) -> None:
    if _read(box, pointer) != value:
        raise _PatchFailedError(f"test failed: {pointer}")


def _move(box: Any, source: str, target: str) -> None:
    if target.startswith(f"{source}/"):
        raise _PatchFailedError(f"cannot move {source} into itself")
    _add(box, target, _remove(box, source))


_OPERATIONS: Mapping[str, Callable[[Any, Any], object]] = {
    "add": lambda box, op: _add(box, op["path"], copy.deepcopy(op.get("value"))),
    "remove": lambda box, op: _remove(box, op["path"]),
    "replace": lambda box, op: _replace(box, op["path"], copy.deepcopy(op.get("value"))),
    "move": lambda box, op: _move(box, op["from"], op["path"]),
    "copy": lambda box, op: _add(box, op["path"], copy.deepcopy(_read(box, op["from"]))),
    "test": lambda box, op: _test(box, op["path"], op.get("value")),
}
