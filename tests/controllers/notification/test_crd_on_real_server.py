"""The CRD file against a real kube-apiserver: accepted, and behaving as the schema reads."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.controllers.notification.types import (
    NotificationRequest,
    NotificationRequestSpec,
    custom_resource_definition,
)
from reconciler.envtest import RealServer

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def call(real_server: RealServer) -> Call:
    """One request to the server; right after a CRD is established it may answer 429 for a second."""

    def call(method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        for _ in range(10):
            code, answer = real_server.request(method, path, body)
            if code != 429:
                break
            asyncio.run(asyncio.sleep(1))
        # A path that nothing serves is answered in plain text.
        return code, json.loads(answer) if answer.startswith("{") else {}

    return call


@pytest.fixture
def served(call: Call, real_namespace: str) -> str:
    """The path of the requests of a fresh namespace, in a server that has the CRD."""
    crd = custom_resource_definition()
    code, answer = call("POST", CRDS, crd)
    assert code in {201, 409}, answer
    path = f"/apis/kubernaut.ai/v1alpha1/namespaces/{real_namespace}/notificationrequests"
    for _ in range(100):
        if call("GET", path)[0] == 200:
            return path
        asyncio.run(asyncio.sleep(0.1))
    pytest.fail(f"not served: {call('GET', CRDS + '/' + crd['metadata']['name'])}")


def request(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "NotificationRequest",
        "metadata": {"name": name},
        "spec": {"type": "Simple", "subject": "s", "body": "b", **spec},
    }


def test_the_crd_is_established_as_a_structural_schema_with_the_original_names(call: Call, served: str) -> None:
    code, crd = call("GET", f"{CRDS}/notificationrequests.kubernaut.ai")
    conditions = {item["type"]: item["status"] for item in crd["status"]["conditions"]}
    assert (code, conditions) == (200, {"NamesAccepted": "True", "Established": "True"})
    assert crd["status"]["acceptedNames"]["shortNames"] == ["notif", "notifs"]
    # The server kept what was sent, so it knows every word of it.
    ours = custom_resource_definition()["spec"]["versions"][0]
    assert crd["spec"]["versions"][0]["selectableFields"] == ours["selectableFields"]
    assert crd["spec"]["versions"][0]["schema"] == ours["schema"]


def test_defaults_are_filled_in_only_where_their_object_is_present(call: Call, served: str) -> None:
    _, plain = call("POST", served, request("plain"))
    assert plain["spec"] == {"type": "Simple", "priority": "Medium", "subject": "s", "body": "b", "retentionDays": 7}
    _, policy = call("POST", served, request("policy", retryPolicy={}))
    assert policy["spec"]["retryPolicy"] == {
        "maxAttempts": 5,
        "initialBackoffSeconds": 30,
        "backoffMultiplier": 2,
        "maxBackoffSeconds": 480,
    }


def test_a_changed_spec_is_refused_and_metadata_may_change(call: Call, served: str) -> None:
    _, stored = call("POST", served, request("fixed", severity=""))
    code, answer = call("PUT", f"{served}/fixed", {**stored, "spec": {**stored["spec"], "subject": "other"}})
    assert code == 422
    assert "spec is immutable after creation (DD-NOT-005)" in answer["message"]
    # An explicit empty value that goes away is a change too: hence the models write it back.
    without = {key: value for key, value in stored["spec"].items() if key != "severity"}
    assert call("PUT", f"{served}/fixed", {**stored, "spec": without})[0] == 422
    code, changed = call("PUT", f"{served}/fixed", {**stored, "metadata": {**stored["metadata"], "labels": {"a": "b"}}})
    assert (code, changed["metadata"]["generation"]) == (200, 1)


def test_an_object_read_and_written_back_by_the_models_is_no_change(call: Call, served: str) -> None:
    _, stored = call("POST", served, request("same", severity="", context={"lineage": {}}, extensions={"k": ""}))
    again = NotificationRequest.from_json(json.dumps(stored)).to_wire()
    code, answer = call("PUT", f"{served}/same", again)
    assert (code, answer["metadata"].get("resourceVersion")) == (200, stored["metadata"]["resourceVersion"])


def test_an_object_that_the_models_made_is_accepted(call: Call, served: str) -> None:
    made = NotificationRequest.model_validate({"metadata": {"name": "made"}}).model_copy(
        update={"spec": NotificationRequestSpec(type="Approval", subject="s", body="b", cluster_id="c")}
    )
    code, answer = call("POST", served, made.to_wire())
    assert (code, answer["spec"]["clusterID"]) == (201, "c")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"type": "simple"}, "spec.type", id="a type in small letters"),
        pytest.param({"priority": ""}, "spec.priority", id="an explicit empty priority"),
        pytest.param({"subject": ""}, "spec.subject", id="an empty subject"),
        pytest.param({"subject": "x" * 501}, "spec.subject", id="a subject of 501 characters"),
        pytest.param({"body": ""}, "spec.body", id="an empty body"),
        pytest.param({"reviewSource": "me"}, "spec.reviewSource", id="an unknown review source"),
        pytest.param({"retentionDays": 91}, "spec.retentionDays", id="too many days"),
        pytest.param({"retryPolicy": {"maxAttempts": 11}}, "spec.retryPolicy.maxAttempts", id="11 attempts"),
        pytest.param({"retryPolicy": {"maxBackoffSeconds": 59}}, "spec.retryPolicy.maxBackoffSeconds", id="59 s"),
        pytest.param({"context": {"verification": {}}}, "spec.context.verification.assessed", id="no assessed"),
        pytest.param({"actionLinks": [{"service": "a", "url": "b"}]}, "spec.actionLinks[0].label", id="no label"),
        pytest.param({"extensions": {"a": 1}}, "spec.extensions.a", id="an extension that is no text"),
    ],
)
def test_a_spec_outside_the_schema_is_refused_with_the_path_of_the_field(
    call: Call, served: str, change: dict[str, Any], field: str
) -> None:
    code, answer = call("POST", served, request("bad", **change))
    assert code == 422
    assert field in [cause.get("field") for cause in answer["details"]["causes"]]


def test_status_delivery_is_kept_and_its_lists_refuse_repeats(call: Call, served: str) -> None:
    call("POST", served, request("delivery"))
    at = "2026-01-02T03:04:05.678901Z"
    first, second = ({"channel": "file:a", "attempt": attempt, "at": at} for attempt in (1, 2))
    delivery = {
        "channels": [{"name": "file:a", "errorClass": "throttled", "nextAttemptAt": at, "givenUp": "inDoubt"}],
        "intents": [first, second],
        "inDoubt": [first],
    }

    def put(status: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        _, latest = call("GET", f"{served}/delivery")
        return call("PUT", f"{served}/delivery/status", {**latest, "status": status})

    code, answer = put({"delivery": delivery, "unknown": 1})
    assert (code, answer.get("status")) == (200, {"delivery": delivery}), answer
    refused: list[tuple[dict[str, Any], str]] = [
        ({"delivery": {"intents": [first, first]}}, "status.delivery.intents[1]"),
        ({"delivery": {"inDoubt": [first, first]}}, "status.delivery.inDoubt[1]"),
        ({"delivery": {"channels": [{"name": "a"}, {"name": "a"}]}}, "status.delivery.channels[1]"),
        ({"delivery": {"intents": [{**first, "attempt": 0}]}}, "status.delivery.intents[0].attempt"),
        ({"delivery": {"intents": [{**first, "at": "soon"}]}}, "status.delivery.intents[0].at"),
        ({"phase": "Delivering"}, "status.phase"),
    ]
    for status, field in refused:
        code, answer = put(status)
        assert code == 422
        assert field in [cause["field"] for cause in answer["details"]["causes"]]


def test_requests_can_be_selected_by_type_and_severity(call: Call, served: str) -> None:
    call("POST", served, request("mild", severity="info"))
    call("POST", served, request("grave", severity="critical"))
    _, found = call("GET", f"{served}?fieldSelector=spec.type%3DSimple,spec.severity%3Dcritical")
    assert [item["metadata"]["name"] for item in found["items"]] == ["grave"]


def test_kubectl_explains_every_part_and_shows_the_columns(
    call: Call, served: str, real_server: RealServer, real_namespace: str, require_kubectl: str
) -> None:
    call("POST", served, request("shown"))

    def kubectl(*words: str) -> str:
        command = [require_kubectl, "--kubeconfig", str(real_server.kubeconfig), "-n", real_namespace, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert kubectl("get", "notif", "shown", "-o", "wide").split()[:7] == (
        ["NAME", "TYPE", "PRIORITY", "PHASE", "ATTEMPTS", "REASON", "AGE"]
    )
    explained = kubectl("explain", "notif.status.delivery.channels")
    assert "Why the channel gets no more attempts" in " ".join(explained.split())
