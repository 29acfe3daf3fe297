"""
OpenAPI documents of what is served: what clients read before they write, explain or complete.

kubectl (1.32) reads the v3 index and the document of a group and version as JSON; it looks for the query parameter
`fieldValidation` on a kind's patch, and where it stands leaves validation to the server. It asks for v2 only where v3
is missing, and then in protobuf alone, which this server does not speak; the v2 document is for other clients.

Mirrors: apiextensions-apiserver `pkg/controller/openapi/builder`.
Differs: descriptions are short, index entries carry no hash, so that nothing is cached past a change of a
CustomResourceDefinition. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

from reconciler.apiserver.openapi_meta import META, META_SCHEMAS, TYPE_META, V3_REF, Json, meta_ref

__all__ = ["KindSchema", "v2_document", "v3_document", "v3_index"]


@dataclass(frozen=True, slots=True)
class KindSchema:
    """
    What a document says about one kind.

    Attributes:
        group: "" for the core group.
        schema: Its `openAPIV3Schema`.
    """

    group: str
    version: str
    kind: str
    list_kind: str
    plural: str
    is_namespaced: bool
    has_status: bool
    schema: Mapping[str, Any]
    can_delete_collection: bool = True

    @property
    def base(self) -> str:
        """The path of its group and version, without a slash before it."""
        return f"apis/{self.group}/{self.version}" if self.group else f"api/{self.version}"

    def component(self, kind: str) -> str:
        """Return the name of the schema of its objects or of their list."""
        parts = reversed(self.group.split(".")) if self.group else ("io", "k8s", "api", "core")
        return ".".join((*parts, self.version, kind))

    def gvk(self, kind: str) -> Json:
        """Return what says whose schema this is."""
        return {"group": self.group, "version": self.version, "kind": kind}


def v3_index(groups: Iterable[tuple[str, str]]) -> Json:
    """Return what `/openapi/v3` answers: where the document of each pair of group and version is."""
    bases = (f"apis/{group}/{version}" if group else f"api/{version}" for group, version in groups)
    return {"paths": {base: {"serverRelativeURL": f"/openapi/v3/{base}"} for base in sorted(bases)}}


def v3_document(group: str, version: str, kinds: Sequence[KindSchema]) -> Json:
    """Return the OpenAPI 3.0 document of the kinds of one group and version; other kinds are left out."""
    chosen = [kind for kind in kinds if (kind.group, kind.version) == (group, version)]
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": {path: _v3_path(kind, place) for kind in chosen for place, path in _paths(kind)},
        "components": {"schemas": _components(chosen)},
    }


def v2_document(kinds: Sequence[KindSchema]) -> Json:
    """Return the Swagger 2.0 document of all kinds, which says less: without `nullable`, `anyOf` and their like."""
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {path: _v2_path(kind, place) for kind in kinds for place, path in _paths(kind)},
        "definitions": {name: _as_v2(schema) for name, schema in _components(kinds).items()},
    }


_INFO: Final = {"title": "Kubernetes", "version": "v1"}
_COLLECTION, _EVERYWHERE, _OBJECT, _STATUS = "collection", "everywhere", "object", "status"


def _paths(kind: KindSchema) -> Iterator[tuple[str, str]]:
    within = f"/{kind.base}/namespaces/{{namespace}}/{kind.plural}" if kind.is_namespaced else ""
    outside = f"/{kind.base}/{kind.plural}"
    if within:
        yield _EVERYWHERE, outside
    yield _COLLECTION, within or outside
    yield _OBJECT, f"{within or outside}/{{name}}"
    if kind.has_status:
        yield _STATUS, f"{within or outside}/{{name}}/status"


@dataclass(frozen=True, slots=True)
class _Operation:
    place: str
    method: str
    action: str
    verb: str
    query: tuple[str, ...]
    body: str = ""
    answer: str = "object"


_LIST = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "propagationPolicy")
_OPERATIONS = (
    _Operation(_EVERYWHERE, "get", "list", "list", _LIST, answer="list"),
    _Operation(_COLLECTION, "get", "list", "list", _LIST, answer="list"),
    _Operation(_COLLECTION, "post", "post", "create", _WRITE, body="object"),
    _Operation(_COLLECTION, "delete", "deletecollection", "deleteCollection", _LIST, answer="Status"),
    _Operation(_OBJECT, "get", "get", "read", ("resourceVersion",)),
    _Operation(_OBJECT, "put", "put", "replace", _WRITE, body="object"),
    _Operation(_OBJECT, "patch", "patch", "patch", (*_WRITE, "force"), body="Patch"),
    _Operation(_OBJECT, "delete", "delete", "delete", _DELETE, body="DeleteOptions", answer="Status"),
    _Operation(_STATUS, "get", "get", "read", ("resourceVersion",)),
    _Operation(_STATUS, "put", "put", "replace", _WRITE, body="object"),
    _Operation(_STATUS, "patch", "patch", "patch", (*_WRITE, "force"), body="Patch"),
)
_QUERY: Mapping[str, tuple[str, str]] = MappingProxyType({
    "allowWatchBookmarks": ("boolean", "Whether a watch may send bookmarks."),
    "continue": ("string", "Where the next page of a list begins, as the page before it said."),
    "dryRun": ("string", "With All, everything is done but storing."),
    "fieldManager": ("string", "Who makes the change, in at most 128 characters."),
    "fieldSelector": ("string", "Which objects, by their fields."),
    "fieldValidation": ("string", "What unknown or duplicate fields lead to: Ignore, Warn (the default) or Strict."),
    "force": ("boolean", "Takes over fields that others manage; for apply only."),
    "gracePeriodSeconds": ("integer", "How long the object may take to end."),
    "labelSelector": ("string", "Which objects, by their labels."),
    "limit": ("integer", "How many objects a page has at most."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "From which version on."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with what is there, up to a bookmark."),
    "timeoutSeconds": ("integer", "How long a list or a watch may last."),
    "watch": ("boolean", "Follows changes instead of listing."),
})  # fmt: skip
_PATCHES = ("application/json-patch+json", "application/merge-patch+json")
_BODIES = ("application/json", "application/yaml")


def _operations(kind: KindSchema, place: str) -> Iterator[tuple[_Operation, Json]]:
    """Yield the operations of a path with what v2 and v3 say alike."""
    camel = "".join(part.capitalize() for part in (kind.group or "core").replace("-", ".").split("."))
    for operation in _OPERATIONS:
        if operation.place != place or (operation.action == "deletecollection" and not kind.can_delete_collection):
            continue
        within = "Namespaced" if kind.is_namespaced and place != _EVERYWHERE else ""
        rest = {_STATUS: "Status", _EVERYWHERE: "ForAllNamespaces"}.get(place, "")
        version = kind.version.capitalize()
        yield (
            operation,
            {
                "tags": [f"{camel[0].lower()}{camel[1:]}_{kind.version}"],
                "description": f"{operation.verb} {kind.kind}{f' {rest.lower()}' if place == _STATUS else ''}",
                "operationId": f"{operation.verb}{camel}{version}{within}{kind.kind}{rest}",
                "x-kubernetes-action": operation.action,
                "x-kubernetes-group-version-kind": kind.gvk(kind.kind),
            },
        )


def _component_of(kind: KindSchema, what: str) -> str:
    own = {"object": kind.kind, "list": kind.list_kind}.get(what)
    return kind.component(own) if own else f"{META}.{what}"


def _v3_path(kind: KindSchema, place: str) -> Json:
    item: Json = {
        "parameters": [_v3_parameter(name, "path", "string", text) for name, text in _path_names(kind, place)]
    }
    for operation, common in _operations(kind, place):
        query = [_v3_parameter(name, "query", *_QUERY[name]) for name in operation.query]
        answer = _v3_content(kind, operation.answer)
        item[operation.method] = common | {
            "parameters": query,
            "responses": {"200": {"description": "OK", "content": answer}, "401": {"description": "Unauthorized"}},
        }
        if operation.body:
            required = operation.body != "DeleteOptions"
            body = {"content": _v3_content(kind, operation.body), "required": required}
            item[operation.method]["requestBody"] = body
    return item


def _v3_parameter(name: str, place: str, kind: str, text: str) -> Json:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": text, **required, "schema": {"type": kind, "uniqueItems": True}}


def _path_names(kind: KindSchema, place: str) -> Iterator[tuple[str, str]]:
    if place in {_OBJECT, _STATUS}:
        yield "name", f"name of the {kind.kind}"
    if kind.is_namespaced and place != _EVERYWHERE:
        yield "namespace", "object name and auth scope, such as for teams and projects"


def _v3_content(kind: KindSchema, what: str) -> Json:
    schema = {"$ref": f"{V3_REF}{_component_of(kind, what)}"}
    return {media_type: {"schema": schema} for media_type in (_PATCHES if what == "Patch" else _BODIES)}


def _v2_path(kind: KindSchema, place: str) -> Json:
    names = _path_names(kind, place)
    item: Json = {"parameters": [_v2_parameter(name, "path", "string", text) for name, text in names]}
    for operation, common in _operations(kind, place):
        query = [_v2_parameter(name, "query", *_QUERY[name]) for name in operation.query]
        if operation.body:
            schema = {"$ref": f"{_V2_REF}{_component_of(kind, operation.body)}"}
            query.insert(0, {"name": "body", "in": "body", "required": True, "schema": schema})
        answer = {"$ref": f"{_V2_REF}{_component_of(kind, operation.answer)}"}
        item[operation.method] = common | {
            "consumes": list(_PATCHES if operation.body == "Patch" else _BODIES),
            "produces": list(_BODIES),
            "parameters": query,
            "responses": {"200": {"description": "OK", "schema": answer}, "401": {"description": "Unauthorized"}},
        }
    return item


def _v2_parameter(name: str, place: str, kind: str, text: str) -> Json:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": text, **required, "type": kind, "uniqueItems": True}


_V2_REF: Final = "#/definitions/"


def _components(kinds: Sequence[KindSchema]) -> Json:
    found: Json = {f"{META}.{name}": schema for name, schema in META_SCHEMAS.items()}
    for kind in kinds:
        found[kind.component(kind.kind)] = _object_schema(kind)
        found[kind.component(kind.list_kind)] = _list_schema(kind)
    return dict(sorted(found.items()))


def _object_schema(kind: KindSchema) -> Json:
    properties = dict(kind.schema.get("properties", {}))
    for name, schema in TYPE_META.items():
        properties[name] = schema | dict(properties.get(name, {}))
    properties["metadata"] = meta_ref("ObjectMeta", "Standard object's metadata.")
    return {
        **kind.schema,
        "properties": dict(sorted(properties.items())),
        "x-kubernetes-group-version-kind": [kind.gvk(kind.kind)],
    }


def _list_schema(kind: KindSchema) -> Json:
    items = {"type": "array", "items": {"$ref": f"{V3_REF}{kind.component(kind.kind)}"}}
    return {
        "description": f"{kind.list_kind} is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **TYPE_META,
            "items": items | {"description": f"List of {kind.plural}."},
            "metadata": meta_ref("ListMeta", "Standard list metadata."),
        },
        "x-kubernetes-group-version-kind": [kind.gvk(kind.list_kind)],
    }


_NOT_IN_V2 = frozenset({"nullable", "anyOf", "oneOf", "not", "x-kubernetes-validations"})


def _as_v2(schema: Any, *, is_properties: bool = False) -> Any:
    """Return a schema in the words of Swagger 2.0; the names of properties are nobody's keywords."""
    if isinstance(schema, list):
        return [_as_v2(part) for part in cast("Sequence[Any]", schema)]
    if not isinstance(schema, Mapping):
        return schema
    held = cast("Mapping[str, Any]", schema)
    if not is_properties and "$ref" in held:
        return {"$ref": held["$ref"].replace(V3_REF, _V2_REF)}
    if not is_properties and len(held.get("allOf", ())) == 1 and "$ref" in held["allOf"][0]:
        return {key: value for key, value in held.items() if key != "allOf"} | _as_v2(held["allOf"][0])
    return {
        key: value if key in {"default", "enum", "example"} and not is_properties
        else _as_v2(value, is_properties=key == "properties" and not is_properties)
        for key, value in held.items()
        if is_properties or key not in _NOT_IN_V2
    }  # fmt: skip
