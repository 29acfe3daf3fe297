from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from reconciler.controllers.notification.phases import Phase
from reconciler.controllers.notification.types import (
    DeliveryAttempt,
    DeliveryChannel,
    DeliveryStatus,
    NotificationRequest,
    NotificationRequestSpec,
    NotificationRequestStatus,
    RetryPolicy,
    custom_resource_definition,
)

BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "format")


def crd_schema() -> dict[str, Any]:
    schema: dict[str, Any] = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


# --- the models say what the CRD says --------------------------------------------------------------------------------


def facts_of_crd(schema: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Every field of the schema: path -> what the schema says about its value."""
    facts: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        key = f"{path}.{name}" if path else name
        said = {word: field[word] for word in ("type", "enum", "default", *BOUNDS) if word in field}
        if said.get("format") == "int64":
            del said["format"]
        facts[key] = {**said, "required": name in schema.get("required", [])}
        facts |= facts_of_crd(field, key)
        facts |= facts_of_crd(field.get("items", {}), f"{key}[]")
        if "additionalProperties" in field:
            facts[f"{key}{{}}"] = field["additionalProperties"]
    return facts


def facts_of_model(model: type[BaseModel], path: str = "") -> dict[str, Any]:
    """The same, out of pydantic's JSON schema."""
    schema = model.model_json_schema(mode="validation")
    always: dict[str, Any] = {model.__name__: getattr(model, "always_written", frozenset())}
    return _facts(schema, schema.get("$defs", {}), path, always)


def _facts(schema: dict[str, Any], defs: dict[str, Any], path: str, always: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        key = f"{path}.{name}" if path else name
        options = [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]
        # An empty default stands for absence here.
        value = {word: says for word, says in options[0].items() if word != "default" or says}
        value = value | defs.get(str(value.get("$ref", "")).rpartition("/")[2], {})
        said = {word: value[word] for word in ("type", "enum", "default", *BOUNDS) if word in value}
        is_required = name in schema.get("required", []) or name in always.get(schema["title"], ())
        facts[key] = {**said, "required": is_required}
        if isinstance(value.get("additionalProperties"), dict):
            facts[f"{key}{{}}"] = value["additionalProperties"]
        facts |= _facts(value, defs, key, always)
        items = value.get("items", {})
        facts |= _facts(items | defs.get(str(items.get("$ref", "")).rpartition("/")[2], {}), defs, f"{key}[]", always)
    return facts


def test_the_spec_models_have_the_fields_bounds_enums_and_defaults_of_the_crd() -> None:
    assert facts_of_model(NotificationRequestSpec) == facts_of_crd(crd_schema()["properties"]["spec"])


def test_the_status_models_have_the_fields_bounds_and_enums_of_the_crd() -> None:
    def comparable(facts: dict[str, Any]) -> dict[str, Any]:
        # Conditions are the library's own type, which leaves their lengths to the server; the phase is in phases.py.
        return {key: value for key, value in facts.items() if not key.startswith("conditions[]") and key != "phase"}

    assert comparable(facts_of_model(NotificationRequestStatus)) == comparable(
        facts_of_crd(crd_schema()["properties"]["status"])
    )


def test_the_phases_of_the_table_are_the_phases_of_the_crd() -> None:
    allowed = crd_schema()["properties"]["status"]["properties"]["phase"]["enum"]
    assert sorted(allowed) == sorted(phase.value for phase in Phase if phase.value)


def test_the_resource_of_the_model_is_the_kind_of_the_crd() -> None:
    spec = custom_resource_definition()["spec"]
    resource = NotificationRequest.resource
    assert (resource.group, resource.version) == (spec["group"], spec["versions"][0]["name"])
    assert (resource.kind, resource.plural) == (spec["names"]["kind"], spec["names"]["plural"])
    assert resource.is_namespaced is (spec["scope"] == "Namespaced")


def test_every_field_of_the_crd_has_a_description() -> None:
    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        here = [] if "description" in schema or path == ".metadata" else [path]
        parts = {f"{path}.{name}": field for name, field in schema.get("properties", {}).items()}
        if "items" in schema:
            parts[f"{path}[]"] = schema["items"]
        return here + [found for key, part in parts.items() for found in undescribed(part, key)]

    assert undescribed(crd_schema(), "") == []


# --- on the wire -----------------------------------------------------------------------------------------------------


def minimal(**status: Any) -> NotificationRequest:
    spec = NotificationRequestSpec(type="Simple", subject="s", body="b")
    return NotificationRequest(spec=spec, status=NotificationRequestStatus(**status))


def test_a_new_request_carries_what_the_schema_requires_and_no_status() -> None:
    assert minimal().to_wire() == {
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "NotificationRequest",
        "metadata": {},
        "spec": {"type": "Simple", "priority": "Medium", "subject": "s", "body": "b", "retentionDays": 7},
    }


def test_zero_counters_empty_texts_and_empty_lists_are_absent_from_the_status() -> None:
    # Given a status whose fields were set to nothing one by one,
    request = minimal(phase="Pending", reason="", total_attempts=0)
    request.status.failed_deliveries = 0
    request.status.conditions = []
    request.status.delivery = DeliveryStatus(channels=[DeliveryChannel(name="console")], intents=[])
    # then only what is something is on the wire.
    assert request.to_wire()["status"] == {"phase": "Pending", "delivery": {"channels": [{"name": "console"}]}}


def test_what_an_attempt_requires_is_written_and_the_rest_only_if_it_says_something() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    attempt = DeliveryAttempt(channel="console", attempt=1, timestamp=at, status="success")
    assert attempt.to_wire() == {
        "channel": "console",
        "attempt": 1,
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "status": "success",
    }


def test_a_timestamp_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        DeliveryAttempt(channel="c", attempt=1, timestamp=datetime(2026, 1, 1), status="failed")  # noqa: DTZ001


FROM_SERVER: dict[str, Any] = {
    "apiVersion": "kubernaut.ai/v1alpha1",
    "kind": "NotificationRequest",
    "metadata": {
        "name": "a",
        "namespace": "default",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {"x": ""},
        "newMeta": {"a": []},
    },
    "spec": {
        "type": "Approval",
        "priority": "High",
        "subject": "s",
        "body": "b",
        "severity": "",
        "clusterID": "",
        "remediationRequestRef": {"name": "rr", "uid": ""},
        "context": {"lineage": {}, "verification": {"assessed": False, "degraded": False, "new": 0}},
        "extensions": {"k": ""},
        "actionLinks": [],
        "retryPolicy": {
            "maxAttempts": 3,
            "initialBackoffSeconds": 1,
            "backoffMultiplier": 2,
            "maxBackoffSeconds": 60,
            "newKnob": None,
        },
        "retentionDays": 7,
        "newField": {"empty": {}},
    },
    "status": {
        "phase": "Retrying",
        "deliveryAttempts": [
            {
                "channel": "console",
                "attempt": 1,
                "timestamp": "2026-01-02T03:04:06.000001Z",
                "status": "failed",
                "error": "no",
                "durationSeconds": 0.125,
                "newNumber": 0,
            }
        ],
        "totalAttempts": 1,
        "delivery": {
            "channels": [{"name": "console", "errorClass": "transient", "nextAttemptAt": "2026-01-02T03:04:07Z"}],
            "inDoubt": [{"channel": "console", "attempt": 2, "at": "2026-01-02T03:04:07.5Z", "why": ""}],
        },
        "newList": [],
    },
    "newTop": "",
}


def test_a_round_trip_of_what_a_server_sent_loses_nothing() -> None:
    # Given an object with fields the models do not know, and empty values in the immutable spec,
    sent = json.loads(json.dumps(FROM_SERVER))
    # when it is read and written back,
    back = NotificationRequest.from_json(json.dumps(sent)).to_wire()
    # then it is the same, but for an unknown null and the form of a fraction.
    del sent["spec"]["retryPolicy"]["newKnob"]
    sent["status"]["delivery"]["inDoubt"][0]["at"] = "2026-01-02T03:04:07.500000Z"
    assert back == sent


def test_a_request_without_a_spec_reads_as_an_empty_one_and_is_written_back_without() -> None:
    raw: dict[str, Any] = {"metadata": {"name": "a"}, "status": {"phase": "Pending"}}
    request = NotificationRequest.from_json(json.dumps(raw))
    assert (request.spec.type, request.spec.subject, request.spec.context) == ("", "", None)
    assert "spec" not in request.to_wire()


def test_the_copy_of_a_request_does_not_share_its_status() -> None:
    request = minimal()
    other = request.model_copy(deep=True)
    other.status.conditions.append(None)  # type: ignore[arg-type]  # any item will do
    assert request.status.conditions == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("maxAttempts", 11, id="more attempts than 10"),
        pytest.param("maxAttempts", 0, id="no attempt"),
        pytest.param("maxBackoffSeconds", 59, id="a bound below a minute"),
        pytest.param("initialBackoffSeconds", 301, id="a first wait above five minutes"),
    ],
)
def test_a_policy_outside_the_bounds_is_refused(field: str, value: int) -> None:
    with pytest.raises(ValidationError, match=field):
        RetryPolicy.model_validate({field: value})
