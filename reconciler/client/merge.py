"""
JSON merge patches from two versions of an object, and whether two versions mean the same. Pure.

A difference is one of JSON: `True` is not 1, and a field that is null is not one that is absent, except in a patch,
which has no other word for removal. Two versions may differ and mean the same; what that is, the models say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from reconciler.api import KubeObject, in_one_form
from reconciler.client.codec import encode, encode_object, header_of
from reconciler.client.contract import JsonObject

__all__ = ["difference", "is_same", "meaning", "merge_from", "plain", "with_version"]

# Of untyped objects; models say it of themselves.
_EMPTY_IS_ABSENT = ("labels", "annotations", "finalizers", "ownerReferences")


def merge_from(
    old: KubeObject | Mapping[str, Any], new: KubeObject | Mapping[str, Any], *, optimistic_lock: bool = False
) -> JsonObject:
    """
    Return the JSON merge patch that makes `new` of `old`; empty where they are equal.

    A field that `new` lacks is None in the patch, which removes it. A list that differs is in the patch as a whole. A
    None in `new` counts as absent: a merge patch cannot set one.

    Args:
        old: The object as it was read, kept aside: `old = obj.model_copy(deep=True)`.
        new: The object as it should be.
        optimistic_lock: Whether the patch carries the resource version of `old`, and so is refused if somebody wrote
            since. Without it the patch carries none.

    Raises:
        ValueError: `optimistic_lock`, and `old` has no resource version.

    Mirrors: controller-runtime `client.MergeFrom`, `client.MergeFromWithOptimisticLock`; RFC 7386.
    Differs: without the lock Go sends a resource version where the two objects differ in it.
    """
    before, after = plain(old), plain(new)
    version = header_of(before).resource_version
    if optimistic_lock and not version:
        raise ValueError("optimistic_lock needs an object with a resource version: one that was read")
    for wire in (before, after):
        metadata = wire.get("metadata")
        if isinstance(metadata, dict):
            cast("JsonObject", metadata).pop("resourceVersion", None)
    patch = difference(before, after)
    return with_version(patch, version) if optimistic_lock else patch


def plain(obj: KubeObject | Mapping[str, Any]) -> JsonObject:
    """Return the object as JSON gives it back: a deep copy of nothing but plain values."""
    body = encode_object(obj, obj.resource) if isinstance(obj, KubeObject) else encode(obj)
    return cast("JsonObject", msgspec.json.decode(body))


def with_version(patch: JsonObject, version: str) -> JsonObject:
    """Return the patch, refused by the server unless the object still has that version; as it is for an empty one."""
    if not version:
        return patch
    return {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": version}}


def difference(before: JsonObject, after: JsonObject) -> JsonObject:
    """Return the JSON merge patch that makes `after` of `before`; both are plain."""
    patch: JsonObject = {}
    for name, new in after.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := difference(cast("JsonObject", old), cast("JsonObject", new)):
                patch[name] = inner
        elif new is not None and not is_same(old, new):
            patch[name] = new
    for name, old in before.items():
        if name not in after or (after[name] is None and old is not None):
            patch[name] = None
    return patch


def meaning(obj: KubeObject | Mapping[str, Any]) -> JsonObject:
    """
    Return the plain form in which two objects that mean the same are the same; it is for comparing alone.

    Models say what that is (`in_one_form`). An untyped object is as it is, but for lists and maps of its metadata.

    Mirrors: apimachinery `equality.Semantic.DeepEqual`.
    """
    wire = plain(in_one_form(obj) if isinstance(obj, KubeObject) else obj)
    metadata = cast("JsonObject", wire.get("metadata") or {})
    kept = {name: value for name, value in metadata.items() if value or name not in _EMPTY_IS_ABSENT}
    return {**wire, "metadata": kept}


def is_same(one: Any, other: Any) -> bool:
    """Return whether two plain values are the same JSON."""
    # Python's True equals 1; JSON's does not.
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = cast("JsonObject", one), cast("JsonObject", other)
        return ours.keys() == theirs.keys() and all(is_same(value, theirs[name]) for name, value in ours.items())
    if isinstance(one, list) and isinstance(other, list):
        mine, yours = cast("Sequence[Any]", one), cast("Sequence[Any]", other)
        return len(mine) == len(yours) and all(map(is_same, mine, yours))
    return bool(one == other)
