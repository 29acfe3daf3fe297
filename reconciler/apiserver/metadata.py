"""
`metadata` of objects: which fields exist, what they may hold, what of them a client may change. Pure.

The server does not keep `managedFields`: they are dropped on the way in (server-side apply is not served).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.schema import FieldError

__all__ = [
    "DecodeError",
    "carry_over",
    "clean",
    "finalizer_warnings",
    "name_mistakes",
    "validate",
    "validate_update",
]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_NAME_PART})?"
_ANNOTATIONS_BYTES_MAX = 256 * 1024

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_NAME_PART_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME_PART}')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_LABEL_VALUE}')"
)


class DecodeError(Exception):
    """A field has a JSON type that its Go type cannot hold. The message is what Go's decoder would say."""


# --- decoding ---------------------------------------------------------------------------------------------------------


def _go_kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _expect(value: object, type_: type, field: str, go_type: str) -> None:
    if not isinstance(value, type_) or (type_ is int and isinstance(value, bool)):
        raise DecodeError(f"json: cannot unmarshal {_go_kind(value)} into Go struct field {field} of type {go_type}")


def _string(value: object, field: str) -> object:
    _expect(value, str, field, "string")
    return value


def _integer(value: object, field: str) -> object:
    _expect(value, int, field, "int64")
    return value


def _time(value: object, field: str) -> object:
    _expect(value, str, field, "string")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", cast("str", value)):
        raise DecodeError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"')
    return value


def _string_map(value: object, field: str) -> object:
    _expect(value, dict, field, "map[string]string")
    return {key: _string(item, field) for key, item in cast("JsonObject", value).items()}


def _string_list(value: object, field: str) -> object:
    _expect(value, list, field, "[]string")
    return [_string(item, field) for item in cast("list[object]", value)]


_OWNER_FIELDS = frozenset({"apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"})


def _owners(value: object, field: str) -> object:
    _expect(value, list, field, "[]v1.OwnerReference")
    owners: list[JsonObject] = []
    for item in cast("list[object]", value):
        _expect(item, dict, field, "v1.OwnerReference")
        owner = {key: held for key, held in cast("JsonObject", item).items() if key in _OWNER_FIELDS}
        for key, held in owner.items():
            is_flag = key in ("controller", "blockOwnerDeletion")
            _expect(held, bool if is_flag else str, f"OwnerReference.{key}", "bool" if is_flag else "string")
        # The four strings have no omitempty in Go: they are always there.
        owners.append({"apiVersion": "", "kind": "", "name": "", "uid": "", **owner})
    return owners


def _dropped(value: object, field: str) -> object:
    del value, field
    return None


_FIELDS: Mapping[str, Callable[[object, str], object]] = {
    "name": _string,
    "generateName": _string,
    "namespace": _string,
    "selfLink": _dropped,
    "uid": _string,
    "resourceVersion": _string,
    "generation": _integer,
    "creationTimestamp": _time,
    "deletionTimestamp": _time,
    "deletionGracePeriodSeconds": _integer,
    "labels": _string_map,
    "annotations": _string_map,
    "ownerReferences": _owners,
    "finalizers": _string_list,
    "managedFields": _dropped,
}


def clean(value: object) -> tuple[JsonObject, list[str]]:
    """
    Return metadata as the server keeps it, and the paths of fields that do not exist.

    Empty maps, lists and strings are left out, as Go's `omitempty` does.

    Raises:
        DecodeError: A field has the wrong JSON type.
    """
    if value is None:
        return {}, []
    _expect(value, dict, "Object.metadata", "v1.ObjectMeta")
    kept: JsonObject = {}
    unknown: list[str] = []
    for key, item in cast("JsonObject", value).items():
        if (decode := _FIELDS.get(key)) is None:
            unknown.append(f"metadata.{key}")
        elif item is not None and (decoded := decode(item, f"ObjectMeta.{key}")) not in (None, "", {}, []):
            kept[key] = decoded
    return kept, sorted(unknown)


# --- validation -------------------------------------------------------------------------------------------------------


def _subdomain_mistakes(text: str) -> list[str]:
    mistakes = ["must be no more than 253 characters"] if len(text) > 253 else []
    return mistakes if re.fullmatch(_SUBDOMAIN, text) else [*mistakes, _SUBDOMAIN_RULE]


def _label_mistakes(text: str) -> list[str]:
    mistakes = ["must be no more than 63 characters"] if len(text) > 63 else []
    return mistakes if re.fullmatch(_LABEL, text) else [*mistakes, _LABEL_RULE]


def _qualified_mistakes(text: str) -> list[str]:
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_NAME_PART_RULE} {optional}"]
    mistakes: list[str] = []
    if slash:
        mistakes += [
            f"prefix part {text}" for text in (_subdomain_mistakes(prefix) if prefix else ["must be non-empty"])
        ]
    if not name:
        mistakes.append("name part must be non-empty")
    elif len(name) > 63:
        mistakes.append("name part must be no more than 63 characters")
    if not re.fullmatch(_NAME_PART, name):
        mistakes.append(f"name part {_NAME_PART_RULE}")
    return mistakes


def _label_value_mistakes(text: str) -> list[str]:
    mistakes = ["must be no more than 63 characters"] if len(text) > 63 else []
    return mistakes if re.fullmatch(_LABEL_VALUE, text) else [*mistakes, _LABEL_VALUE_RULE]


def name_mistakes(name: str, *, is_label: bool) -> list[str]:
    """Return what is wrong with an object's name: a DNS label for namespaces, else a DNS subdomain."""
    return _label_mistakes(name) if is_label else _subdomain_mistakes(name)


def _bad(field: str, value: str, mistakes: list[str]) -> list[FieldError]:
    return [FieldError("FieldValueInvalid", f'Invalid value: "{value}": {mistake}', field) for mistake in mistakes]


def validate(metadata: JsonObject, *, name_is_label: bool = False) -> list[FieldError]:
    """Return every mistake in `metadata` of an object about to be stored."""
    errors: list[FieldError] = []
    if prefix := metadata.get("generateName", ""):
        # A generated suffix follows, so a trailing dash is no mistake.
        probe = prefix[:-1] + "a" if prefix.endswith("-") else prefix
        errors += _bad("metadata.generateName", prefix, name_mistakes(probe, is_label=name_is_label))
    if name := metadata.get("name", ""):
        errors += _bad("metadata.name", name, name_mistakes(name, is_label=name_is_label))
    else:
        text = "Required value: name or generateName is required"
        errors.append(FieldError("FieldValueRequired", text, "metadata.name"))
    for key, value in metadata.get("labels", {}).items():
        errors += _bad("metadata.labels", key, _qualified_mistakes(key))
        errors += _bad("metadata.labels", value, _label_value_mistakes(value))
    errors += _annotation_errors(metadata.get("annotations", {}))
    errors += _owner_errors(metadata.get("ownerReferences", []))
    for finalizer in metadata.get("finalizers", []):
        errors += _bad("metadata.finalizers", finalizer, _qualified_mistakes(finalizer))
    return errors


def _annotation_errors(annotations: Mapping[str, str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in annotations:
        errors += _bad("metadata.annotations", key, _qualified_mistakes(key.lower()))
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_BYTES_MAX:
        text = f"Too long: may not be more than {_ANNOTATIONS_BYTES_MAX} bytes"
        errors.append(FieldError("FieldValueTooLong", text, "metadata.annotations"))
    return errors


_OWNER_RULES = (
    ("apiVersion", "version must not be empty"),
    ("kind", "must not be empty"),
    ("name", "must not be empty"),
    ("uid", "must not be empty"),
)


def _owner_errors(owners: list[JsonObject]) -> list[FieldError]:
    errors: list[FieldError] = []
    for owner in owners:
        for key, rule in _OWNER_RULES:
            if not owner[key]:
                errors += _bad(f"metadata.ownerReferences.{key}", "", [rule])
    controllers = [owner["name"] for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        text = (
            'Invalid value: "array": Only one reference can have Controller set to true. '
            f'Found "true" in references for {controllers[0]} and {controllers[1]}'
        )
        errors.append(FieldError("FieldValueInvalid", text, "metadata.ownerReferences"))
    return errors


def finalizer_warnings(metadata: JsonObject) -> list[str]:
    """Return the warnings about finalizers without a domain."""
    advice = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
    return [
        f'metadata.finalizers: "{finalizer}": {advice}'
        for finalizer in metadata.get("finalizers", [])
        if "/" not in finalizer
    ]


# --- updates ----------------------------------------------------------------------------------------------------------

_SERVER_OWNED = ("namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds")


def carry_over(new: JsonObject, old: JsonObject) -> JsonObject:
    """
    Return the metadata of an update, with what the client left out taken from `old`.

    `creationTimestamp`, `generation` and `resourceVersion` are always those of `old`.
    """
    merged: dict[str, Any] = {key: old[key] for key in _SERVER_OWNED if key in old} | new
    for key in ("creationTimestamp", "generation", "resourceVersion"):
        merged.pop(key, None)
        if key in old:
            merged[key] = old[key]
    return merged


def validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return the mistakes of changing `old` to `new`: what is immutable, and finalizers added while deleting."""
    errors: list[FieldError] = []
    for key in ("name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(key) != old.get(key):
            value = f'"{new.get(key)}"' if isinstance(new.get(key), str) else new.get(key)
            text = f"Invalid value: {value}: field is immutable"
            errors.append(FieldError("FieldValueInvalid", text, f"metadata.{key}"))
    if "deletionTimestamp" in old:
        added = [item for item in new.get("finalizers", []) if item not in old.get("finalizers", [])]
        if added:
            listed = ", ".join(f'"{item}"' for item in sorted(added))
            text = (
                "Forbidden: no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            errors.append(FieldError("FieldValueForbidden", text, "metadata.finalizers"))
    return errors
