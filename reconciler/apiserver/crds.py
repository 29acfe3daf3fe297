"""
CustomResourceDefinitions: the kind itself, and the kinds that come from them. Pure.

Not served: conversion webhooks (strategy `None` alone), the `scale` subresource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ResourceType
from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.printer import CRD_COLUMNS, Column, crd_columns
from reconciler.apiserver.resource import Resource, Rules
from reconciler.apiserver.schema import FieldError, SchemaError, Structural

__all__ = ["CRDS", "is_established", "resources_of", "with_status"]

_STRING: Mapping[str, Any] = {"type": "string"}
_ANYTHING: Mapping[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_STRINGS: Mapping[str, Any] = {"type": "array", "items": _STRING}
_BOOLEAN: Mapping[str, Any] = {"type": "boolean"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_VERSION = _object(
    name=_STRING,
    served=_BOOLEAN,
    storage=_BOOLEAN,
    deprecated=_BOOLEAN,
    deprecationWarning=_STRING,
    schema=_object(openAPIV3Schema=_ANYTHING),
    subresources=_object(status=_ANYTHING, scale=_ANYTHING),
    additionalPrinterColumns=_list(
        _object(
            name=_STRING,
            type=_STRING,
            format=_STRING,
            description=_STRING,
            jsonPath=_STRING,
            priority={"type": "integer"},
        )
    ),
    selectableFields=_list(_object(jsonPath=_STRING)),
)

_SCHEMA = _object(
    apiVersion=_STRING,
    kind=_STRING,
    metadata={"type": "object"},
    spec=_object(
        group=_STRING,
        scope=_STRING,
        names=_object(
            plural=_STRING, singular=_STRING, kind=_STRING, listKind=_STRING, shortNames=_STRINGS, categories=_STRINGS
        ),
        versions=_list(_VERSION),
        conversion=_ANYTHING,
        preserveUnknownFields=_BOOLEAN,
    ),
    status=_ANYTHING,
)


def _names(crd: JsonObject) -> JsonObject:
    names: JsonObject = crd["spec"]["names"]
    return names


def _prepare(new: JsonObject, old: JsonObject | None) -> JsonObject:
    """Fill in names that follow from others, the conversion, and a status for a new definition."""
    spec: JsonObject = new.get("spec") or {}
    names: JsonObject = spec.get("names") or {}
    if kind := names.get("kind"):
        names = {"singular": kind.lower(), "listKind": f"{kind}List", **names}
    prepared = {
        **new,
        "spec": {**spec, "names": names, "conversion": {"strategy": "None", **spec.get("conversion", {})}},
    }
    if old is None:
        prepared.pop("status", None)
    return prepared


def _check(new: JsonObject, old: JsonObject | None) -> Sequence[FieldError]:
    errors = [*_name_errors(new), *_version_errors(new)]
    if old is not None:
        errors += _immutable_errors(new, old)
    if errors:
        return errors
    for index, version in enumerate(new["spec"]["versions"]):
        errors += _schema_errors(version, f"spec.versions[{index}]")
    return errors


def _name_errors(crd: JsonObject) -> list[FieldError]:
    spec, names = crd["spec"], _names(crd)
    errors: list[FieldError] = []
    name = crd["metadata"].get("name", "")
    if name != f"{names.get('plural', '')}.{spec.get('group', '')}":
        text = f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group'
        errors.append(FieldError("FieldValueInvalid", text, "metadata.name"))
    required = [("spec.group", spec.get("group")), ("spec.scope", spec.get("scope"))]
    required += [(f"spec.names.{key}", names.get(key)) for key in ("plural", "singular", "kind", "listKind")]
    errors += [FieldError("FieldValueRequired", "Required value", field) for field, value in required if not value]
    if spec.get("scope") not in (None, "", "Cluster", "Namespaced"):
        text = f'Unsupported value: "{spec["scope"]}": supported values: "Cluster", "Namespaced"'
        errors.append(FieldError("FieldValueNotSupported", text, "spec.scope"))
    if (strategy := spec["conversion"]["strategy"]) != "None":
        text = f'Unsupported value: "{strategy}": supported values: "None"'
        errors.append(FieldError("FieldValueNotSupported", text, "spec.conversion.strategy"))
    return errors


def _version_errors(crd: JsonObject) -> list[FieldError]:
    versions: list[JsonObject] = crd["spec"].get("versions") or []
    errors: list[FieldError] = []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "Invalid value: null: must have exactly one version marked as storage version"
        errors.append(FieldError("FieldValueInvalid", text, "spec.versions"))
    for index, version in enumerate(versions):
        schema: JsonObject = version.get("schema", {})
        if not schema.get("openAPIV3Schema"):
            field = f"spec.versions[{index}].schema.openAPIV3Schema"
            errors.append(FieldError("FieldValueRequired", "Required value", field))
    return errors


def _immutable_errors(new: JsonObject, old: JsonObject) -> list[FieldError]:
    # Once the names are accepted, objects are stored under them.
    pairs = {
        "spec.scope": (new["spec"].get("scope"), old["spec"].get("scope")),
        "spec.names.kind": (_names(new).get("kind"), _names(old).get("kind")),
        "spec.names.plural": (_names(new).get("plural"), _names(old).get("plural")),
        "spec.group": (new["spec"].get("group"), old["spec"].get("group")),
    }
    return [
        FieldError("FieldValueInvalid", f'Invalid value: "{now}": field is immutable', field)
        for field, (now, before) in pairs.items()
        if now != before
    ]


def _schema_errors(version: JsonObject, field: str) -> list[FieldError]:
    try:
        Structural.compile(version["schema"]["openAPIV3Schema"], path=f"{field}.schema.openAPIV3Schema")
        crd_columns(version.get("additionalPrinterColumns") or [], field=f"{field}.additionalPrinterColumns")
    except SchemaError as error:
        return [FieldError(error.reason, error.message, error.field)]
    return []


CRDS = Resource(
    type=CUSTOM_RESOURCE_DEFINITION,
    singular="customresourcedefinition",
    list_kind="CustomResourceDefinitionList",
    schema=_SCHEMA,
    structural=Structural.compile(_SCHEMA),
    columns=CRD_COLUMNS,
    selectable={"metadata.name": "metadata.name"},
    rules=Rules(has_status=True, takes_strategic_patch=True, prepare=_prepare, check=_check),
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    stored_api_version="apiextensions.k8s.io/v1",
)


# --- status -----------------------------------------------------------------------------------------------------------


_NAME_CONFLICTS = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("shortNames", "ShortNamesConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)


def _words(names: JsonObject, key: str) -> list[str]:
    held: Any = names.get(key) or []
    return [held] if isinstance(held, str) else held


def _accept(crd: JsonObject, others: Iterable[JsonObject]) -> tuple[JsonObject, tuple[str, str] | None]:
    """Return the names that are free in the group, and reason and message of the last one that is taken."""
    accepted = [other["status"]["acceptedNames"] for other in others if other["spec"]["group"] == crd["spec"]["group"]]
    taken = {word for names in accepted for key in ("plural", "singular", "shortNames") for word in _words(names, key)}
    taken_kinds = {word for names in accepted for key in ("kind", "listKind") for word in _words(names, key)}
    free: JsonObject = {"plural": "", "kind": ""}
    clash: tuple[str, str] | None = None
    for key, reason in _NAME_CONFLICTS:
        in_use = taken_kinds if key in ("kind", "listKind") else taken
        conflicts = [word for word in _words(_names(crd), key) if word in in_use]
        if conflicts:
            clash = reason, f'"{conflicts[0]}" is already in use'
        elif key in _names(crd):
            free[key] = _names(crd)[key]
    return free if clash else _names(crd), clash


def with_status(crd: JsonObject, others: Iterable[JsonObject], *, now: str) -> JsonObject:
    """
    Return `crd` with the conditions that follow from its names and those of the `others`.

    Differs: a real server establishes a definition some time after its creation; here it is done at once.
    """
    status: JsonObject = crd.get("status") or {}
    before: dict[str, JsonObject] = {held["type"]: held for held in status.get("conditions") or ()}
    accepted, clash = _accept(crd, others)
    if clash:
        conditions = [
            {"type": "NamesAccepted", "status": "False", "reason": clash[0], "message": clash[1]},
            {
                "type": "Established",
                "status": "False",
                "reason": "NotAccepted",
                "message": "not all names are accepted",
            },
        ]
    else:
        conditions = [
            {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"},
            {"type": "Established", "status": "True", "reason": "InitialNamesAccepted",
             "message": "the initial names have been accepted"},
        ]  # fmt: skip
    for condition in conditions:
        held = before.pop(condition["type"], None)
        same = held is not None and held["status"] == condition["status"]
        condition["lastTransitionTime"] = held["lastTransitionTime"] if held and same else now
    storage = next(version["name"] for version in crd["spec"]["versions"] if version["storage"])
    stored = list(dict.fromkeys([*status.get("storedVersions", []), storage]))
    return {
        **crd,
        "status": {
            "conditions": [*conditions, *before.values()],
            "acceptedNames": accepted,
            "storedVersions": stored,
        },
    }


def is_established(crd: JsonObject) -> bool:
    """Return whether the kinds of `crd` are served."""
    conditions: list[JsonObject] = crd["status"]["conditions"]
    return any(held["type"] == "Established" and held["status"] == "True" for held in conditions)


# --- from a definition to what is served ------------------------------------------------------------------------------


def resources_of(crd: JsonObject) -> list[Resource]:
    """Return one resource for each served version of a definition that passed its checks."""
    spec = crd["spec"]
    stored = next(version["name"] for version in spec["versions"] if version["storage"])
    return [_resource(crd, version, f"{spec['group']}/{stored}") for version in spec["versions"] if version["served"]]


def _resource(crd: JsonObject, version: JsonObject, stored_api_version: str) -> Resource:
    spec, names = crd["spec"], _names(crd)
    schema: Mapping[str, Any] = version["schema"]["openAPIV3Schema"]
    is_namespaced = spec["scope"] == "Namespaced"
    return Resource(
        type=ResourceType(spec["group"], version["name"], names["kind"], names["plural"], is_namespaced),
        singular=names["singular"],
        list_kind=names["listKind"],
        schema=schema,
        structural=Structural.compile(schema),
        columns=_columns(version),
        selectable=_selectable(version, is_namespaced=is_namespaced),
        rules=Rules(has_status="status" in (version.get("subresources") or {})),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        stored_api_version=stored_api_version,
        epoch=crd["metadata"]["generation"],
        is_custom=True,
        has_rules=_has_rules(schema),
    )


def _has_rules(schema: object) -> bool:
    if isinstance(schema, dict):
        inner = cast("JsonObject", schema)
        return "x-kubernetes-validations" in inner or any(_has_rules(value) for value in inner.values())
    return isinstance(schema, list) and any(_has_rules(value) for value in cast("list[object]", schema))


def _columns(version: JsonObject) -> Sequence[Column]:
    return crd_columns(version.get("additionalPrinterColumns") or [])


def _selectable(version: JsonObject, *, is_namespaced: bool) -> dict[str, str]:
    fields = ["metadata.name", *(["metadata.namespace"] if is_namespaced else [])]
    fields += [item["jsonPath"].lstrip(".") for item in version.get("selectableFields", [])]
    return {field: field for field in fields}
