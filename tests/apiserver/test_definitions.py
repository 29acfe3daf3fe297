"""Definitions and namespaces: how kinds and places come and go on the embedded server."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .api import DEFINITIONS, MERGE, WIDGET_CRD, Answer, Api, EmbeddedWire, widget


@pytest.fixture
def server(embedded: EmbeddedWire) -> Api:
    return Api(embedded)


def definition(**spec: Any) -> dict[str, Any]:
    """A second definition of the group."""
    names = {"plural": "gadgets", "kind": "Gadget"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    whole = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version], **spec}
    name = f"{whole['names']['plural']}.{whole['group']}"
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**kind, "metadata": {"name": name}, "spec": whole}


def conditions(answer: Answer) -> dict[str, tuple[str, str]]:
    return {held["type"]: (held["status"], held["reason"]) for held in answer.json["status"]["conditions"]}


def test_a_definition_is_completed_and_established_at_once(server: Api) -> None:
    answer = server.request("POST", DEFINITIONS, definition())
    assert answer.json["spec"]["names"] == {
        "plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList",
    }  # fmt: skip
    assert answer.json["spec"]["conversion"] == {"strategy": "None"}
    assert conditions(answer) == {
        "NamesAccepted": ("True", "NoConflicts"), "Established": ("True", "InitialNamesAccepted"),
    }  # fmt: skip
    assert answer.json["status"]["storedVersions"] == ["v1"]
    assert server.request("GET", "/apis/example.com/v1/gadgets").json["kind"] == "GadgetList"


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        pytest.param(
            {"plural": "others", "kind": "Widget", "singular": "x", "listKind": "X"}, "KindConflict", id="kind"
        ),
        pytest.param({"plural": "others", "kind": "Widget"}, "ListKindConflict", id="the last of several"),
        pytest.param({"plural": "others", "kind": "Other", "singular": "widget"}, "SingularConflict", id="singular"),
        pytest.param(
            {"plural": "others", "kind": "Other", "shortNames": ["wd"]}, "ShortNamesConflict", id="short name"
        ),
    ],
)
def test_a_definition_whose_names_are_taken_is_not_served(server: Api, names: dict[str, Any], reason: str) -> None:
    answer = server.request("POST", DEFINITIONS, definition(names=names))
    assert conditions(answer) == {"NamesAccepted": ("False", reason), "Established": ("False", "NotAccepted")}
    assert server.request("GET", "/apis/example.com/v1/others").status == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"scope": ""}, "spec.scope", id="no scope"),
        pytest.param({"scope": "Everywhere"}, "spec.scope", id="an unknown scope"),
        pytest.param({"versions": []}, "spec.versions", id="no version"),
        pytest.param(
            {"versions": [{"name": "v1", "served": True, "storage": True}]},
            "spec.versions[0].schema.openAPIV3Schema",
            id="no schema",
        ),
        pytest.param({"conversion": {"strategy": "Webhook"}}, "spec.conversion.strategy", id="a conversion"),
        pytest.param(
            {"versions": [{"name": "v1", "served": True, "storage": True,
                           "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}}}]},
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].type",
            id="a schema that is not structural",
        ),
    ],
)  # fmt: skip
def test_a_definition_that_makes_no_sense_is_refused(server: Api, change: dict[str, Any], field: str) -> None:
    answer = server.request("POST", DEFINITIONS, definition(**change))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert field in [cause["field"] for cause in answer.json["details"]["causes"]]


def test_a_definition_of_another_name_than_its_kind_is_refused(server: Api) -> None:
    crd = definition()
    crd["metadata"]["name"] = "x"
    answer = server.request("POST", DEFINITIONS, crd)
    assert 'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group' in answer.message


def test_a_definition_that_cannot_be_decoded_is_refused_before_it_is_read(server: Api) -> None:
    answer = server.request("POST", DEFINITIONS, {**definition(), "spec": "x"})
    assert (answer.status, answer.reason) == (400, "BadRequest")


def test_the_scope_of_a_definition_cannot_change(server: Api) -> None:
    server.request("POST", DEFINITIONS, definition())
    path = f"{DEFINITIONS}/gadgets.example.com"
    answer = server.request("PATCH", path, {"spec": {"scope": "Namespaced"}}, content_type=MERGE)
    assert answer.status == 422
    assert 'spec.scope: Invalid value: "Namespaced": field is immutable' in answer.message


def test_a_changed_schema_rules_what_was_stored_before(server: Api) -> None:
    # Given an object, when a field gets a default and another field is taken away,
    server.create("a", data={"k": "v"})
    schema = copy.deepcopy(WIDGET_CRD["spec"]["versions"][0])
    properties = schema["schema"]["openAPIV3Schema"]["properties"]
    del properties["data"]
    properties["spec"]["properties"]["size"] = {"type": "integer", "default": 3}
    path = f"{DEFINITIONS}/widgets.example.com"
    server.request("PATCH", path, {"spec": {"versions": [schema]}}, content_type=MERGE)
    # then a read shows the object as the new schema has it.
    shown = server.get("a")
    assert shown["spec"]["size"] == 3
    assert "data" not in shown


def test_two_versions_show_the_same_object(server: Api) -> None:
    versions = copy.deepcopy(WIDGET_CRD["spec"]["versions"])
    versions.append({**copy.deepcopy(versions[0]), "name": "v2", "storage": False})
    path = f"{DEFINITIONS}/widgets.example.com"
    server.request("PATCH", path, {"spec": {"versions": versions}}, content_type=MERGE)
    created = server.create("a")
    shown = server.request("GET", f"{server.widgets.replace('/v1/', '/v2/')}/a").json
    assert (shown["apiVersion"], shown["metadata"]) == ("example.com/v2", created["metadata"])
    preferred = server.request("GET", "/apis/example.com").json["preferredVersion"]["version"]
    assert preferred == "v2"


def test_a_deleted_definition_takes_its_objects_with_it(server: Api) -> None:
    server.create("a")
    answer = server.request("DELETE", f"{DEFINITIONS}/widgets.example.com")
    assert answer.status == 200
    assert server.request("GET", server.widgets).status == 404
    # and when it comes back, it is empty.
    assert server.request("POST", DEFINITIONS, WIDGET_CRD).status == 201
    assert server.request("GET", server.widgets).json["items"] == []


def test_a_definition_stays_while_a_finalizer_holds_one_of_its_objects(server: Api) -> None:
    server.create("a", metadata={"finalizers": ["example.com/f"]})
    path = f"{DEFINITIONS}/widgets.example.com"
    server.request("DELETE", path)
    assert server.request("GET", path).json["metadata"]["deletionTimestamp"]
    refused = server.request("POST", server.widgets, widget("b"))
    assert (refused.status, refused.reason) == (405, "MethodNotAllowed")
    server.patch("a", {"metadata": {"finalizers": None}})
    assert server.request("GET", path).status == 404


def test_a_deleted_namespace_takes_its_content_with_it(server: Api) -> None:
    server.create("a")
    path = f"/api/v1/namespaces/{server.namespace}"
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}}
    server.request("POST", server.events, {**event, "involvedObject": {"namespace": server.namespace}})
    answer = server.request("DELETE", path)
    assert answer.json["status"]["phase"] == "Terminating"
    assert server.request("GET", path).status == 404
    assert server.request("GET", "/apis/example.com/v1/widgets").json["items"] == []
    assert server.request("GET", "/api/v1/events").json["items"] == []


def test_a_namespace_stays_while_a_finalizer_holds_something_in_it(server: Api) -> None:
    server.create("a", metadata={"finalizers": ["example.com/f"]})
    path = f"/api/v1/namespaces/{server.namespace}"
    server.request("DELETE", path)
    assert server.request("GET", path).json["status"]["phase"] == "Terminating"
    # Meanwhile nothing new may come,
    refused = server.request("POST", server.widgets, widget("b"))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        'widgets.example.com "b" is forbidden: unable to create new content in namespace '
        f"{server.namespace} because it is being terminated"
    )
    assert refused.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    # and with the last thing in it, it goes.
    server.patch("a", {"metadata": {"finalizers": None}})
    assert server.request("GET", path).status == 404


def test_a_namespace_is_not_deleted_by_the_collection(server: Api) -> None:
    answer = server.request("DELETE", "/api/v1/namespaces")
    assert (answer.status, answer.reason) == (405, "MethodNotAllowed")


def test_an_event_is_forgotten_an_hour_after_it_came() -> None:
    from reconciler.apiserver import ApiServer, ServerRequest
    from reconciler.clock import LoopWallClock
    from reconciler.testing import run_virtual

    async def main() -> list[str]:
        import asyncio
        import json

        server = ApiServer(wall=LoopWallClock())
        path = "/api/v1/namespaces/default/events"

        async def create(name: str) -> None:
            body = json.dumps({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}}).encode()
            assert (await server.handle(ServerRequest("POST", path, body=body))).status == 201

        await create("a")
        await asyncio.sleep(1800)
        await create("b")
        await asyncio.sleep(1801)
        await create("c")
        response = await server.handle(ServerRequest("GET", path))
        assert isinstance(response.body, bytes)
        return [item["metadata"]["name"] for item in json.loads(response.body)["items"]]

    assert run_virtual(main()) == ["b", "c"]


def test_a_definition_without_status_subresource_keeps_status_as_any_field(server: Api) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    server.request("POST", DEFINITIONS, definition(versions=[version]))
    gadget = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "g"}, "status": {"x": 1}}
    created = server.request("POST", "/apis/example.com/v1/gadgets", gadget).json
    assert created["status"] == {"x": 1}
    created["status"] = {"x": 2}
    updated = server.request("PUT", "/apis/example.com/v1/gadgets/g", created).json
    assert (updated["status"], updated["metadata"]["generation"]) == ({"x": 2}, 2)
    assert server.request("GET", "/apis/example.com/v1/gadgets/g/status").status == 404


def test_a_definition_that_waited_for_its_names_is_served_when_they_are_free(server: Api) -> None:
    server.request("POST", DEFINITIONS, definition(names={"plural": "others", "kind": "Widget"}))
    assert server.request("GET", "/apis/example.com/v1/others").status == 404
    server.request("DELETE", f"{DEFINITIONS}/widgets.example.com")
    assert server.request("GET", "/apis/example.com/v1/others").status == 200
