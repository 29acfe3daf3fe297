"""What writes do, on the embedded server and on a real one."""

from __future__ import annotations

from typing import Any

import pytest

from .api import JSON_PATCH, MERGE, STRATEGIC, Api, widget


def version(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["resourceVersion"])


# --- create -----------------------------------------------------------------------------------------------------------


def test_a_created_object_carries_what_only_the_server_may_set(api: Api) -> None:
    sent = {"uid": "mine", "generation": 7, "creationTimestamp": "2001-01-01T00:00:00Z", "selfLink": "/x"}
    held = api.create("a", metadata=sent)["metadata"]
    assert held["uid"] != "mine"
    assert held["generation"] == 1
    assert not held["creationTimestamp"].startswith("2001")
    assert held["namespace"] == api.namespace
    assert int(held["resourceVersion"]) > 0
    assert "selfLink" not in held


def test_a_created_object_gets_its_defaults_and_loses_status_and_unknown_fields(api: Api) -> None:
    spec = {"type": "Simple", "subject": "s", "bogus": 1}
    created = api.create("a", spec=spec, other=3, status={"phase": "Sent"})
    assert created["spec"] == {"type": "Simple", "subject": "s", "priority": "Medium"}
    assert "status" not in created
    assert "other" not in created


def test_unknown_fields_are_warned_about_unless_the_client_says_otherwise(api: Api) -> None:
    loud = api.request("POST", api.widgets, widget("a", other=3, metadata={"foo": 1}))
    quiet = api.request("POST", api.widgets, widget("b", other=3), query="fieldValidation=Ignore")
    assert '299 - "unknown field \\"metadata.foo\\""' in loud.warnings
    assert '299 - "unknown field \\"other\\""' in loud.warnings
    assert (quiet.status, quiet.warnings) == (201, "")


def test_a_finalizer_without_a_domain_is_warned_about(api: Api) -> None:
    answer = api.request("POST", api.widgets, widget("a", metadata={"finalizers": ["foo"]}))
    assert 'metadata.finalizers: \\"foo\\": prefer a domain-qualified finalizer name' in answer.warnings


def test_generate_name_makes_a_name_of_the_prefix_and_five_letters(api: Api) -> None:
    answer = api.request("POST", api.widgets, widget(metadata={"generateName": "gen-"}))
    name = answer.json["metadata"]["name"]
    assert name.startswith("gen-")
    assert len(name) == len("gen-") + 5


def test_empty_maps_and_lists_in_metadata_are_dropped(api: Api) -> None:
    held = api.create("a", metadata={"labels": {}, "finalizers": [], "annotations": {"a": ""}})["metadata"]
    assert "labels" not in held
    assert "finalizers" not in held
    assert held["annotations"] == {"a": ""}


def test_yaml_is_taken_as_json_is(api: Api) -> None:
    body = (
        b"apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\nspec: {type: Simple, subject: '2020-01-01'}\n"
    )
    answer = api.request("POST", api.widgets, body, content_type="application/yaml")
    assert answer.json["spec"]["subject"] == "2020-01-01"


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_dry_run_answers_as_if_and_writes_nothing(api: Api, method: str) -> None:
    before = api.create("a")
    path = api.widgets if method == "POST" else f"{api.widgets}/a"
    body = {"POST": widget("new"), "PATCH": {"metadata": {"labels": {"x": "y"}}}, "DELETE": None}[method]
    answer = api.request(
        method, path, body, query="dryRun=All", content_type=MERGE if method == "PATCH" else "application/json"
    )
    assert answer.status in (200, 201)
    assert api.get("a") == before
    assert api.request("GET", f"{api.widgets}/new").status == 404


# --- update -----------------------------------------------------------------------------------------------------------


def test_a_put_of_the_object_ignores_status(api: Api) -> None:
    api.create("a")
    before = api.patch("a", {"status": {"phase": "Pending"}}, subresource="status").json
    after = api.put({**before, "status": {"phase": "Sent"}, "data": {"k": "v"}}).json
    assert after["status"] == {"phase": "Pending"}
    assert after["data"] == {"k": "v"}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_write_of_the_status_ignores_the_rest(api: Api, method: str) -> None:
    before = api.create("a", metadata={"annotations": {"a": "b"}})
    wanted = {
        **before,
        "metadata": {**before["metadata"], "labels": {"x": "y"}, "annotations": {}, "finalizers": ["a.b/c"]},
        "data": {"k": "v"},
        "status": {"phase": "Sent"},
    }
    answer = api.put(wanted, subresource="status") if method == "PUT" else api.patch("a", wanted, subresource="status")
    after = answer.json
    assert after["status"] == {"phase": "Sent"}
    assert "data" not in after
    assert after["metadata"] | {"resourceVersion": ""} == before["metadata"] | {
        "resourceVersion": "",
        **({"managedFields": after["metadata"]["managedFields"]} if "managedFields" in after["metadata"] else {}),
    }


def test_a_put_of_the_status_without_status_removes_it(api: Api) -> None:
    api.create("a")
    before = api.patch("a", {"status": {"phase": "Pending"}}, subresource="status").json
    after = api.put({key: value for key, value in before.items() if key != "status"}, subresource="status").json
    assert "status" not in after


def test_the_generation_counts_changes_outside_metadata_and_status(api: Api) -> None:
    api.create("a")
    assert api.patch("a", {"metadata": {"labels": {"x": "1"}}}).json["metadata"]["generation"] == 1
    assert api.patch("a", {"status": {"phase": "Sent"}}, subresource="status").json["metadata"]["generation"] == 1
    assert api.patch("a", {"data": {"k": "v"}}).json["metadata"]["generation"] == 2


def test_a_write_that_changes_nothing_keeps_the_resource_version(api: Api) -> None:
    before = api.create("a", metadata={"labels": {"x": "1"}})
    assert version(api.put(before).json) == version(before)
    assert version(api.patch("a", {"metadata": {"labels": {"x": "1"}}}).json) == version(before)
    assert version(api.patch("a", {"metadata": {"generation": 9}}).json) == version(before)


def test_a_put_takes_the_uid_as_a_precondition_and_a_status_patch_does_not(api: Api) -> None:
    before = api.create("a")
    other = {**before, "metadata": {**before["metadata"], "uid": "other"}}
    refused = api.put(other)
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: other, UID in object meta: " in refused.message
    patched = api.patch("a", {"metadata": {"uid": "other"}, "status": {"count": 1}}, subresource="status")
    assert patched.status == 200


def test_a_put_need_not_repeat_what_the_server_set(api: Api) -> None:
    before = api.create("a")
    after = api.put(widget("a", metadata={"resourceVersion": version(before)})).json
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["creationTimestamp"] == before["metadata"]["creationTimestamp"]


def test_a_merge_patch_removes_what_is_null(api: Api) -> None:
    api.create("a", metadata={"labels": {"x": "1", "y": "2"}}, data={"k": "v"})
    after = api.patch("a", {"metadata": {"labels": {"x": None}}, "data": None}).json
    assert after["metadata"]["labels"] == {"y": "2"}
    assert "data" not in after


def test_a_json_patch_adds_under_an_escaped_key(api: Api) -> None:
    api.create("a", metadata={"labels": {"x": "1"}})
    patch = [
        {"op": "add", "path": "/metadata/labels/a.b~1c", "value": "1"},
        {"op": "remove", "path": "/metadata/labels/x"},
    ]
    after = api.request("PATCH", f"{api.widgets}/a", patch, content_type=JSON_PATCH)
    assert after.json["metadata"]["labels"] == {"a.b/c": "1"}


def test_a_patch_to_an_unknown_field_is_warned_about_and_changes_nothing(api: Api) -> None:
    before = api.create("a")
    answer = api.patch("a", {"spec": {"bogus": 1}})
    assert '299 - "unknown field \\"spec.bogus\\""' in answer.warnings
    assert version(answer.json) == version(before)


def test_a_strict_patch_to_an_unknown_field_is_refused(api: Api) -> None:
    api.create("a")
    answer = api.patch("a", {"spec": {"bogus": 1}}, query="fieldValidation=Strict")
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.json["details"]["causes"][0]["field"] == "patch"
    assert answer.message.endswith('strict decoding error: unknown field "spec.bogus"')


# --- delete -----------------------------------------------------------------------------------------------------------


def test_a_deletion_without_finalizers_removes_the_object_and_says_which(api: Api) -> None:
    created = api.create("a")
    answer = api.request("DELETE", f"{api.widgets}/a")
    uid = created["metadata"]["uid"]
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "group": "example.com", "kind": "widgets", "uid": uid}
    assert api.request("GET", f"{api.widgets}/a").status == 404


def test_a_finalizer_holds_the_object_until_it_is_removed(api: Api) -> None:
    api.create("a", metadata={"finalizers": ["example.com/f"]})
    # When it is deleted, it is only marked, and the mark counts as a change of generation;
    marked = api.request("DELETE", f"{api.widgets}/a").json["metadata"]
    assert marked["deletionTimestamp"]
    assert (marked["deletionGracePeriodSeconds"], marked["generation"]) == (0, 2)
    # deleting it again changes nothing, and the mark cannot be taken away;
    again = api.request("DELETE", f"{api.widgets}/a").json["metadata"]
    unmarked = api.patch("a", {"metadata": {"deletionTimestamp": None}}).json["metadata"]
    assert again["resourceVersion"] == unmarked["resourceVersion"] == marked["resourceVersion"]
    # no new finalizer may come,
    refused = api.patch("a", {"metadata": {"finalizers": ["example.com/f", "example.com/g"]}})
    assert refused.message == (
        'Widget.example.com "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the '
        'object is being deleted, found new finalizers []string{"example.com/g"}'
    )
    # and with the last one the object goes.
    last = api.patch("a", {"metadata": {"finalizers": None}}).json["metadata"]
    assert "finalizers" not in last
    assert last["resourceVersion"] == marked["resourceVersion"]
    assert api.request("GET", f"{api.widgets}/a").status == 404


def test_preconditions_guard_a_deletion(api: Api) -> None:
    created = api.create("a")
    uid, number = created["metadata"]["uid"], version(created)
    wrong_uid = api.request("DELETE", f"{api.widgets}/a", {"preconditions": {"uid": "x", "resourceVersion": "1"}})
    assert (wrong_uid.status, wrong_uid.reason) == (409, "Conflict")
    assert wrong_uid.message == (
        'Operation cannot be fulfilled on Widget.example.com "a": the UID in the precondition (x) does not match the '
        f"UID in record ({uid}). The object might have been deleted and then recreated"
    )
    wrong_version = api.request("DELETE", f"{api.widgets}/a", {"preconditions": {"resourceVersion": "1"}})
    assert wrong_version.message == (
        'Operation cannot be fulfilled on Widget.example.com "a": the ResourceVersion in the precondition (1) does '
        f"not match the ResourceVersion in record ({number}). The object might have been modified"
    )
    right = {"preconditions": {"uid": uid, "resourceVersion": number}}
    assert api.request("DELETE", f"{api.widgets}/a", right).status == 200


@pytest.mark.parametrize(("policy", "finalizer"), [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")])
def test_a_policy_leaves_its_finalizer_for_a_garbage_collector(api: Api, policy: str, finalizer: str) -> None:
    api.create("a")
    marked = api.request("DELETE", f"{api.widgets}/a", {"propagationPolicy": policy}).json["metadata"]
    assert marked["finalizers"] == [finalizer]


def test_a_collection_is_deleted_as_far_as_it_is_selected(api: Api) -> None:
    api.create("a", metadata={"labels": {"x": "1"}})
    api.create("b", metadata={"labels": {"x": "2"}})
    answer = api.request("DELETE", api.widgets, query="labelSelector=x%3D1")
    assert [item["metadata"]["name"] for item in answer.json["items"]] == ["a"]
    left = api.request("GET", api.widgets).json["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


# --- core kinds -------------------------------------------------------------------------------------------------------


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, **fields}


def test_an_event_shows_the_fields_that_always_stand_in_it(api: Api) -> None:
    created = api.request("POST", api.events, event("e", involvedObject={"namespace": api.namespace, "name": "a"})).json
    always = ("source", "firstTimestamp", "lastTimestamp", "eventTime", "reportingComponent", "reportingInstance")
    assert [created[key] for key in always] == [{}, None, None, None, "", ""]
    assert "generation" not in created["metadata"]


def test_an_event_is_patched_strategically_and_put_without_a_version(api: Api) -> None:
    involved = {"namespace": api.namespace, "name": "a"}
    created = api.request("POST", api.events, event("e", involvedObject=involved, count=1)).json
    patched = api.request("PATCH", f"{api.events}/e", {"count": 2}, content_type=STRATEGIC).json
    assert (patched["count"], patched["involvedObject"]) == (2, involved)
    del created["metadata"]["resourceVersion"]
    assert api.request("PUT", f"{api.events}/e", {**created, "count": 3}).json["count"] == 3


def test_an_event_about_another_namespace_is_refused(api: Api) -> None:
    answer = api.request("POST", api.events, event("e", involvedObject={"namespace": "x"}))
    assert (answer.status, answer.message) == (
        422,
        'Event "e" is invalid: involvedObject.namespace: Invalid value: "x": does not match event.namespace',
    )


def test_an_event_with_a_value_of_another_type_cannot_be_decoded(api: Api) -> None:
    answer = api.request("POST", api.events, event("e", involvedObject={"namespace": api.namespace}, count="x"))
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert answer.message.startswith('Event in version "v1" cannot be handled as a Event: json: cannot unmarshal')


def test_events_are_selected_by_what_they_are_about(api: Api) -> None:
    for name in ("a", "b"):
        api.request("POST", api.events, event(f"e-{name}", involvedObject={"namespace": api.namespace, "name": name}))
    found = api.request("GET", api.events, query="fieldSelector=involvedObject.name%3Db").json["items"]
    assert [item["metadata"]["name"] for item in found] == ["e-b"]


def test_a_namespace_is_active_and_labelled_by_its_name(api: Api) -> None:
    held = api.request("GET", f"/api/v1/namespaces/{api.namespace}").json
    assert held["status"] == {"phase": "Active"}
    assert held["spec"] == {"finalizers": ["kubernetes"]}
    assert held["metadata"]["labels"] == {"kubernetes.io/metadata.name": api.namespace}


def test_a_namespace_name_is_a_label(api: Api) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "Probe.x"}}
    answer = api.request("POST", "/api/v1/namespaces", namespace)
    assert answer.status == 422
    assert answer.message.startswith(
        'Namespace "Probe.x" is invalid: metadata.name: Invalid value: "Probe.x": a lowercase RFC 1123 label must '
    )
