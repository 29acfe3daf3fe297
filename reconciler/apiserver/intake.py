"""
From a client's object to one that the verbs can take: checked type, cleaned metadata, pruned, defaulted. Pure.

What the schema does not know is dropped; whether that is silent, a warning or a refusal is the client's choice
(`fieldValidation`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.api import ResourceType
from reconciler.apiserver import metadata
from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.failure import StatusError, bad_request, invalid
from reconciler.apiserver.options import FieldValidation
from reconciler.apiserver.resource import Resource
from reconciler.apiserver.schema import FieldError

__all__ = ["Admitted", "admit", "admit_patched", "check_place"]


@dataclass(frozen=True, slots=True)
class Admitted:
    """An object that may go on to a verb, and what to warn its sender about."""

    obj: JsonObject
    warnings: Sequence[str] = ()


def admit(raw: JsonObject, resource: Resource, repeated: Sequence[str], validation: FieldValidation) -> Admitted:
    """
    Return the object of a create or a PUT as the kind's schema sees it.

    Args:
        raw: As parsed.
        resource: The kind that the path serves.
        repeated: Paths of fields that stand in the body twice.
        validation: What to do about fields that are not known.

    Raises:
        StatusError: 400 for what cannot be decoded, or a field unknown to `Strict`; 422 for another kind.
    """
    type_ = resource.type
    cannot = f'{type_.kind} in version "{type_.version}" cannot be handled as a {type_.kind}'
    _check_version(raw, type_)
    try:
        obj, complaints = _decode(raw, resource, repeated)
    except metadata.DecodeError as error:
        raise bad_request(f"{cannot}: {error}") from error
    _check_kind(raw, type_)
    if not resource.is_custom and (mistyped := _mistyped(obj, resource)):
        raise bad_request(f"{cannot}: {mistyped}")
    if complaints and validation is FieldValidation.STRICT:
        raise bad_request(f"{cannot}: strict decoding error: {', '.join(complaints)}")
    return Admitted(obj, () if validation is FieldValidation.IGNORE else complaints)


def admit_patched(raw: JsonObject, resource: Resource, validation: FieldValidation) -> Admitted:
    """
    Return the outcome of a patch as the kind's schema sees it.

    Raises:
        StatusError: 422: it cannot be decoded, is of another kind, or has a field unknown to `Strict`.
    """
    try:
        obj, complaints = _decode(raw, resource, ())
    except metadata.DecodeError as error:
        raise _bad_patch(raw, str(error)) from error
    if not resource.is_custom and (mistyped := _mistyped(obj, resource)):
        raise _bad_patch(raw, mistyped)
    if raw.get("apiVersion") != resource.type.api_version:
        text = f'Invalid value: "{raw.get("apiVersion", "")}": must be {resource.type.api_version}'
        cause = FieldError("FieldValueInvalid", text, "apiVersion")
        raise invalid(resource.type.group, resource.type.kind, _name(raw), [cause])
    _check_kind(raw, resource.type)
    if complaints and validation is FieldValidation.STRICT:
        raise _bad_patch(raw, f"strict decoding error: {', '.join(complaints)}")
    return Admitted(obj, () if validation is FieldValidation.IGNORE else complaints)


def check_place(obj: JsonObject, namespace: str, name: str | None) -> JsonObject:
    """
    Return `obj` with its namespace filled in from the URL.

    Args:
        obj: Admitted.
        namespace: Of the URL; empty for cluster-scoped kinds.
        name: Of the URL; None for a create, whose URL names no object.

    Raises:
        StatusError: 400: the object names another place than the URL.
    """
    held: JsonObject = obj["metadata"]
    if name is not None:
        if not held.get("name"):
            raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
        if held["name"] != name:
            raise bad_request(f"the name of the object ({held['name']}) does not match the name on the URL ({name})")
    if held.get("namespace", namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return {**obj, "metadata": {**held, "namespace": namespace}} if namespace else obj


def _mistyped(obj: JsonObject, resource: Resource) -> str:
    """Return what a Go decoder would refuse: core kinds have Go types, where custom resources have only a schema."""
    errors = resource.structural.validate(obj)
    wrong = next((error for error in errors if error.reason == "FieldValueTypeInvalid"), None)
    return f"json: cannot unmarshal into Go struct field {resource.type.kind}.{wrong.field}" if wrong else ""


def _name(raw: JsonObject) -> str:
    held = raw.get("metadata")
    return str(held.get("name", "")) if isinstance(held, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # JSON


def _check_version(raw: JsonObject, type_: ResourceType) -> None:
    found = raw.get("apiVersion", "")
    if found != type_.api_version:
        raise bad_request(
            f"the API version in the data ({found}) does not match the expected API version ({type_.api_version})"
        )


def _check_kind(raw: JsonObject, type_: ResourceType) -> None:
    kind = raw.get("kind", "")
    if kind != type_.kind:
        cause = FieldError("FieldValueInvalid", f'Invalid value: "{kind}": must be {type_.kind}', "kind")
        raise invalid(type_.group, str(kind), _name(raw), [cause])


def _bad_patch(raw: JsonObject, why: str) -> StatusError:
    text = f"Invalid value: {json.dumps(json.dumps(raw, sort_keys=True, separators=(',', ':')))}: {why}"
    return invalid("", "", "", [FieldError("FieldValueInvalid", text, "patch")])


def _decode(raw: JsonObject, resource: Resource, repeated: Sequence[str]) -> tuple[JsonObject, list[str]]:
    kept, unknown_metadata = metadata.clean(raw.get("metadata"))
    pruned, unknown = resource.structural.prune({**raw, "metadata": kept})
    defaulted = resource.structural.apply_defaults(pruned)
    complaints = [f'duplicate field "{path}"' for path in repeated]
    complaints += [f'unknown field "{path}"' for path in [*unknown_metadata, *sorted(unknown)]]
    return {**defaulted, "metadata": kept}, complaints
