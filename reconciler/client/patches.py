"""
The forms of a patch, and what each is on the wire. Pure.

A plain mapping is a JSON merge patch. The other forms are classes, so that no call can mix up two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, cast

__all__ = ["APPLY", "MERGE_PATCH", "JsonPatch", "Patch", "PatchForm", "StrategicMergePatch", "form_of"]

APPLY = "application/apply-patch+yaml"
"""The content type of server-side apply; JSON is YAML, so the body is JSON."""

MERGE_PATCH = "application/merge-patch+json"
"""The content type of a JSON merge patch."""

Pointer = str | Sequence[str | int]
"""A JSON pointer as text (`/spec/size`), or its parts, not escaped: `("metadata", "labels", "example.com/team")`."""


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """
    A JSON patch: operations that happen in order, all or none.

    Every method returns a new patch with one operation more. A path is text as in RFC 6901, or better its parts: a `/`
    or `~` inside a part (a label's key) is escaped then. `-` as the last part of `add` is the end of a list.

    ```python
    JsonPatch().test("/spec/size", 1).replace("/spec/size", 2).remove(("metadata", "labels", "example.com/team"))
    ```

    A `test` of `/metadata/resourceVersion` that fails is `InvalidError`, not `ConflictError`.

    Mirrors: RFC 6902; `types.JSONPatchType` of apimachinery.
    """

    operations: tuple[Mapping[str, Any], ...] = ()

    def add(self, path: Pointer, value: Any) -> JsonPatch:
        """Set a field, or insert into a list; what the field stands in must be there."""
        return self._with("add", path, {"value": value})

    def replace(self, path: Pointer, value: Any) -> JsonPatch:
        """
        Set a field, as `add` does, or an element of a list that is there.

        RFC 6902 wants the field to be there, too; a kube-apiserver adds it. `test` that it is there, if that counts.
        """
        return self._with("replace", path, {"value": value})

    def remove(self, path: Pointer) -> JsonPatch:
        """Remove a field that is there; the patch is refused where it is not."""
        return self._with("remove", path, {})

    def test(self, path: Pointer, value: Any) -> JsonPatch:
        """Refuse the patch unless the field has this value."""
        return self._with("test", path, {"value": value})

    def move(self, source: Pointer, path: Pointer) -> JsonPatch:
        """Move a field from `source` to `path`."""
        return self._with("move", path, {"from": _pointer(source)})

    def copy(self, source: Pointer, path: Pointer) -> JsonPatch:
        """Copy a field from `source` to `path`."""
        return self._with("copy", path, {"from": _pointer(source)})

    def _with(self, name: str, path: Pointer, more: Mapping[str, Any]) -> JsonPatch:
        operation = MappingProxyType({"op": name, "path": _pointer(path), **more})
        return JsonPatch((*self.operations, operation))


@dataclass(frozen=True, slots=True)
class StrategicMergePatch:
    """
    A merge patch that knows the lists of built-in kinds: containers are merged by name, and so on.

    Custom kinds do not take it (the server answers 415).

    Mirrors: `types.StrategicMergePatchType` of apimachinery.
    """

    patch: Mapping[str, Any]


Patch = Mapping[str, Any] | JsonPatch | StrategicMergePatch
"""What `patch` takes: a mapping is a JSON merge patch."""


class PatchForm(NamedTuple):
    """
    A patch as it is sent.

    Attributes:
        content_type: Tells the server which form it is.
        body: What is sent, not encoded yet.
        merged: The fields that the object is to have afterwards, as far as the patch alone says so.
        metadata: The metadata that the patch demands or sets; its resource version and UID are preconditions.
    """

    content_type: str
    body: Any
    merged: Mapping[str, Any]
    metadata: Mapping[str, Any]


def form_of(patch: Patch) -> PatchForm:
    """Return how `patch` is sent."""
    if isinstance(patch, JsonPatch):
        return PatchForm("application/json-patch+json", patch.operations, _merged(patch), _demanded(patch))
    content_type = MERGE_PATCH
    if isinstance(patch, StrategicMergePatch):
        content_type, patch = "application/strategic-merge-patch+json", patch.patch
    metadata = patch.get("metadata")
    return PatchForm(content_type, patch, patch, metadata if isinstance(metadata, Mapping) else {})


def _demanded(patch: JsonPatch) -> dict[str, Any]:
    # A test of the version is the precondition that a merge patch has as a field.
    demanded: dict[str, Any] = {}
    for operation in patch.operations:
        name, parts = operation.get("op"), _parts(operation.get("path", ""))
        if name in {"test", "add", "replace"} and parts[:1] == ["metadata"] and len(parts) == 2:
            demanded.setdefault(parts[1], operation.get("value"))
    return demanded


def _merged(patch: JsonPatch) -> dict[str, Any]:
    # Only fields that are reached through objects: what stands at an index of a list depends on the list.
    merged: dict[str, Any] = {}
    for operation in patch.operations:
        # Operations that are not made by the methods may lack anything; what to say of that is the server's.
        name, parts = operation.get("op"), _parts(operation.get("path", ""))
        if name in {"add", "replace"} and parts and not any(map(_is_index, parts)):
            _put(merged, parts, operation.get("value"))
        elif name != "test":
            # What was set before may be another value now.
            for touched in (parts, _parts(operation.get("from", ""))):
                merged.pop(touched[0] if touched else "", None)
    return merged


def _put(target: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    *above, last = parts
    for part in above:
        inner: object = target.get(part)
        # Copied: a value that the caller gave is not ours to change.
        target[part] = dict(cast("Mapping[str, Any]", inner)) if isinstance(inner, Mapping) else {}
        target = target[part]
    target[last] = value


def _is_index(part: str) -> bool:
    return part == "-" or part.isdecimal()


def _pointer(path: Pointer) -> str:
    if not isinstance(path, str):
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    if path and not path.startswith("/"):
        raise ValueError(f"a JSON pointer starts with /, this one is {path!r}; its parts may be given as a tuple")
    return path


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
