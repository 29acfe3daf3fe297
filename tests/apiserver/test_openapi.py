from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from reconciler.apiserver.openapi import KindSchema, v2_document, v3_document, v3_index

from .api import WIDGET_CRD, Api

GVK = {"group": "example.com", "version": "v1", "kind": "Widget"}
NAME = "com.example.v1.Widget"
BASE = "/apis/example.com/v1"
WITHIN = f"{BASE}/namespaces/{{namespace}}/widgets"
WIDGETS = KindSchema(
    group="example.com", version="v1", kind="Widget", list_kind="WidgetList", plural="widgets", is_namespaced=True,
    has_status=True, schema=WIDGET_CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
)  # fmt: skip
NAMESPACES = KindSchema(
    group="", version="v1", kind="Namespace", list_kind="NamespaceList", plural="namespaces", is_namespaced=False,
    has_status=True, schema={"type": "object", "properties": {"spec": {"type": "object"}}},
    can_delete_collection=False,
)  # fmt: skip


def operations(document: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (path, method): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in cast("Mapping[str, Any]", value).items():
            if key == "$ref":
                yield part
            yield from references(part)
    elif isinstance(value, list):
        for part in cast("list[Any]", value):
            yield from references(part)


def served_document(api: Api) -> dict[str, Any]:
    # A real server writes the document of a new definition a moment later.
    pause = threading.Event()
    for _ in range(100):
        answer = api.request("GET", f"/openapi/v3{BASE}", accept="application/json")
        if answer.status == 200:
            return answer.json
        pause.wait(0.1)
    raise AssertionError(answer.text)


def test_both_servers_describe_the_same_operations_of_a_kind(api: Api) -> None:
    found = operations(served_document(api))
    assert {place: operation["x-kubernetes-action"] for place, operation in found.items()} == {
        (f"{BASE}/widgets", "get"): "list",
        (WITHIN, "get"): "list",
        (WITHIN, "post"): "post",
        (WITHIN, "delete"): "deletecollection",
        (f"{WITHIN}/{{name}}", "get"): "get",
        (f"{WITHIN}/{{name}}", "put"): "put",
        (f"{WITHIN}/{{name}}", "patch"): "patch",
        (f"{WITHIN}/{{name}}", "delete"): "delete",
        (f"{WITHIN}/{{name}}/status", "get"): "get",
        (f"{WITHIN}/{{name}}/status", "put"): "put",
        (f"{WITHIN}/{{name}}/status", "patch"): "patch",
    }
    assert all(operation["x-kubernetes-group-version-kind"] == GVK for operation in found.values())
    assert found[WITHIN, "post"]["operationId"] == "createExampleComV1NamespacedWidget"
    assert found[f"{WITHIN}/{{name}}/status", "patch"]["operationId"] == "patchExampleComV1NamespacedWidgetStatus"
    assert found[f"{BASE}/widgets", "get"]["operationId"] == "listExampleComV1WidgetForAllNamespaces"


def test_both_servers_say_that_they_validate_what_is_written(api: Api) -> None:
    # kubectl looks here to decide who validates.
    for (_, method), operation in operations(served_document(api)).items():
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert ("fieldValidation" in names) == (method in {"post", "put", "patch"})


def test_both_servers_describe_objects_and_lists_under_the_same_names(api: Api) -> None:
    schemas = served_document(api)["components"]["schemas"]
    assert schemas[NAME]["x-kubernetes-group-version-kind"] == [GVK]
    assert set(schemas[NAME]["properties"]) == {"apiVersion", "kind", "metadata", "spec", "data", "status"}
    assert schemas[NAME]["properties"]["spec"]["properties"]["type"]["enum"] == ["Escalation", "Simple"]
    assert schemas[f"{NAME}List"]["properties"]["items"]["items"] == {"$ref": f"#/components/schemas/{NAME}"}
    meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert schemas[NAME]["properties"]["metadata"]["allOf"] == [{"$ref": f"#/components/schemas/{meta}"}]
    assert {"name", "labels", "ownerReferences"} <= set(schemas[meta]["properties"])


def test_both_servers_list_their_documents(api: Api) -> None:
    served_document(api)
    paths = api.request("GET", "/openapi/v3").json["paths"]
    for base in ("api/v1", "apis/apiextensions.k8s.io/v1", "apis/example.com/v1"):
        assert paths[base]["serverRelativeURL"].partition("?")[0] == f"/openapi/v3/{base}"


def test_the_index_leads_from_each_group_and_version_to_its_document() -> None:
    assert v3_index([("example.com", "v1"), ("", "v1")]) == {
        "paths": {
            "api/v1": {"serverRelativeURL": "/openapi/v3/api/v1"},
            "apis/example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/example.com/v1"},
        }
    }


@pytest.mark.parametrize("kinds", [[WIDGETS], [NAMESPACES, WIDGETS]])
def test_every_reference_of_a_document_leads_somewhere(kinds: list[KindSchema]) -> None:
    third = v3_document("example.com", "v1", kinds)
    assert set(references(third)) <= {f"#/components/schemas/{name}" for name in third["components"]["schemas"]}
    second = v2_document(kinds)
    assert set(references(second)) <= {f"#/definitions/{name}" for name in second["definitions"]}


def test_a_document_leaves_the_kinds_of_other_groups_out() -> None:
    document = v3_document("", "v1", [NAMESPACES, WIDGETS])
    assert set(document["paths"]) == {
        "/api/v1/namespaces", "/api/v1/namespaces/{name}", "/api/v1/namespaces/{name}/status",
    }  # fmt: skip
    assert NAME not in document["components"]["schemas"]
    assert "delete" not in document["paths"]["/api/v1/namespaces"]


def test_a_swagger_document_says_nothing_that_swagger_cannot_say() -> None:
    field = {
        "type": "object", "nullable": True, "oneOf": [{"required": ["anyOf"]}],
        "properties": {"anyOf": {"type": "string", "nullable": True}}, "default": {"nullable": True},
    }  # fmt: skip
    kind = KindSchema(
        group="example.com", version="v1", kind="Widget", list_kind="WidgetList", plural="widgets",
        is_namespaced=False, has_status=False, schema={"type": "object", "properties": {"spec": field}},
    )  # fmt: skip
    shown = v2_document([kind])["definitions"][NAME]["properties"]
    # A property may have any name, and a default any content.
    assert shown["spec"] == {
        "type": "object", "properties": {"anyOf": {"type": "string"}}, "default": {"nullable": True},
    }  # fmt: skip
    assert shown["metadata"]["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def test_a_document_does_not_change_the_schema_that_it_is_made_from() -> None:
    before = json.dumps(WIDGETS.schema, sort_keys=True)
    v3_document("example.com", "v1", [WIDGETS])
    v2_document([WIDGETS])
    assert json.dumps(WIDGETS.schema, sort_keys=True) == before
