"""
Schemas against a table that a kube-apiserver filled in.

`schema_cases.json` holds schemas and objects, and what v1.36.3 said to them: the causes of its 422, the fields that it
called unknown, and the object that it made. An entry's `spec` is the schema of the field `spec`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.apiserver.schema import FieldError, SchemaError, Structural

TABLE: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "schema_cases.json").read_text())
ROOT = "spec.validation.openAPIV3Schema"

# Go's regexp and RE2 say it in different words.
OTHER_WORDS = {"pattern that does not parse", "pattern of another dialect"}
# A kube-apiserver answers 400, since the JSON does not fit its Go types.
NO_CAUSES = {"negative: exclusive as number"}


def rows(section: str) -> list[Any]:
    return [pytest.param(row, id=row["name"]) for row in TABLE[section]]


def schema_of(spec: Mapping[str, Any], root: Mapping[str, Any] | None = None, **properties: Any) -> Structural:
    return Structural.compile({"type": "object", "properties": {"spec": spec, **properties}, **(root or {})})


def obj(spec: Any, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "rec.dev/v1", "kind": "X", "metadata": {"name": "o"}, "spec": spec, **more}


def taken_in(schema: Structural, raw: Mapping[str, Any]) -> dict[str, Any]:
    pruned, _ = schema.prune(raw)
    return schema.apply_defaults(pruned)


def as_causes(errors: list[FieldError]) -> list[dict[str, str]]:
    return sorted_causes({"field": error.field, "reason": error.reason, "message": error.message} for error in errors)


def sorted_causes(causes: Any) -> list[dict[str, str]]:
    return sorted(causes, key=lambda cause: (cause["field"], cause["reason"], cause["message"]))


@pytest.mark.parametrize("row", rows("cases"))
def test_an_object_is_refused_for_the_causes_that_a_kube_apiserver_names(row: dict[str, Any]) -> None:
    schema = schema_of(row["spec"], row.get("root"))
    errors = schema.validate(taken_in(schema, obj(row["value"])), obj(row["old"]) if "old" in row else None)
    assert as_causes(errors) == sorted_causes(row["causes"])


@pytest.mark.parametrize("row", rows("status"))
def test_a_write_of_status_is_refused_for_the_causes_that_a_kube_apiserver_names(row: dict[str, Any]) -> None:
    schema = schema_of(
        {"type": "object", "properties": {"n": {"type": "integer"}}}, row.get("root"), status=row["schema"]
    )
    old = obj({"n": 1}, status=row["old"])
    new = taken_in(schema, obj({"n": 1}, status=row["value"]))
    assert as_causes(schema.validate(new, old, only_status=True)) == sorted_causes(row["causes"])


@pytest.mark.parametrize("row", rows("refused"))
def test_a_schema_is_refused_for_a_cause_that_a_kube_apiserver_names(row: dict[str, Any]) -> None:
    with pytest.raises(SchemaError) as caught:
        Structural.compile(row["schema"], path=ROOT)
    error = caught.value
    field = error.field.removeprefix(ROOT).removeprefix(".")
    named = {(cause["field"], cause["reason"]): cause["message"] for cause in row["causes"]}
    if row["name"] in NO_CAUSES:
        assert (field, named) == ("properties[spec].properties[x].exclusiveMinimum", {})
        return
    words = named[field, error.reason]
    if row["name"] in OTHER_WORDS:
        assert error.message.partition(": error parsing")[0].startswith(words.partition(": error parsing")[0])
    else:
        assert error.message in {cause["message"] for cause in row["causes"] if cause["field"] == field}


@pytest.mark.parametrize("row", rows("prune"))
def test_pruning_and_defaults_make_the_object_that_a_kube_apiserver_makes(row: dict[str, Any]) -> None:
    schema = schema_of(row["spec"])
    raw = obj(row["value"])
    before = json.dumps(raw)
    pruned, unknown = schema.prune(raw)
    assert schema.apply_defaults(pruned)["spec"] == row["result"]
    assert unknown == row["unknown"]
    assert json.dumps(raw) == before


def test_the_root_keeps_its_metadata_and_drops_other_unknown_fields() -> None:
    schema = schema_of({"type": "object"})
    raw = obj({}, foo=1) | {"metadata": {"name": "a", "labels": {"b": "c"}}}
    pruned, unknown = schema.prune(raw)
    assert pruned == {key: value for key, value in raw.items() if key != "foo"}
    assert unknown == ["foo"]


@pytest.mark.parametrize(
    "keyword",
    ["oneof", "const", "x-kubernetes-foo", "contentEncoding"],
)
def test_an_unknown_keyword_is_refused_with_its_path(keyword: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema_of({"type": "object", "properties": {"a": {"type": "string", keyword: True}}})
    where = f"openAPIV3Schema.properties[spec].properties[a].{keyword}"
    assert caught.value.field == where
    assert caught.value.message == f'unknown field "{where}"'


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        pytest.param("minLength", "1", 'must be an integer, not "1"', id="a text for a number"),
        pytest.param("minLength", True, "must be an integer, not true", id="a flag for a number"),
        pytest.param("nullable", 1, "must be a boolean, not 1", id="a number for a flag"),
        pytest.param("properties", [], "must be an object, not []", id="a list for an object"),
        pytest.param("maximum", "x", 'must be an integer or a number, not "x"', id="a text for a limit"),
    ],
)
def test_a_keyword_with_a_value_of_the_wrong_json_type_is_refused(keyword: str, value: Any, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schema_of({"type": "string", keyword: value})
    assert (caught.value.field, caught.value.message) == (f"openAPIV3Schema.properties[spec].{keyword}", message)


def test_a_rule_that_names_a_time_inside_an_object_is_refused() -> None:
    # The binding takes no times inside objects, and a comparison of texts would be wrong without a word.
    times = {"start": {"type": "string", "format": "date-time"}, "end": {"type": "string", "format": "date-time"}}
    with pytest.raises(SchemaError, match="rules that name the field start of format date-time"):
        schema_of({
            "type": "object", "properties": times, "x-kubernetes-validations": [{"rule": "self.start <= self.end"}],
        })  # fmt: skip


def test_a_rule_may_compare_objects_that_hold_times() -> None:
    schema = schema_of({
        "type": "object", "properties": {"at": {"type": "string", "format": "date-time"}},
        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "immutable"}],
    })  # fmt: skip
    first, second = obj({"at": "2024-01-01T00:00:00Z"}), obj({"at": "2024-01-01T00:00:01Z"})
    assert schema.validate(first, first) == []
    assert [error.message for error in schema.validate(second, first)] == ["Invalid value: immutable"]


def test_the_notification_request_is_checked_as_its_definition_says() -> None:
    # Given the kind that the project brings,
    path = Path(__file__).parents[2] / "reconciler" / "controllers" / "notification" / "crd.yaml"
    definition = yaml.safe_load(path.read_text())
    schema = Structural.compile(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    spec = {"type": "Escalation", "priority": "High", "subject": "s", "body": "b", "retryPolicy": {"maxAttempts": 3}}
    # when a request is created,
    created = taken_in(schema, obj(spec))
    # then its policy is completed, and afterwards it cannot be changed.
    assert schema.validate(created) == []
    assert created["spec"]["retryPolicy"] == {
        "maxAttempts": 3, "initialBackoffSeconds": 30, "backoffMultiplier": 2, "maxBackoffSeconds": 480,
    }  # fmt: skip
    changed = obj({**created["spec"], "body": "c"})
    message = "Invalid value: spec is immutable after creation (DD-NOT-005)"
    assert schema.validate(changed, created) == [FieldError("FieldValueInvalid", message, "spec")]
    wrong = taken_in(schema, obj({**spec, "priority": "Urgent", "subject": ""}))
    assert {error.field for error in schema.validate(wrong)} == {"spec.priority", "spec.subject", "<nil>"}


# --- properties over random schemas and objects -----------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "d"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "yy"])
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=12,
)
LEAVES = st.sampled_from([
    {"type": "string"}, {"type": "string", "default": "x"}, {"type": "string", "nullable": True},
    {"type": "integer", "minimum": 0}, {"type": "integer", "default": 1}, {"type": "boolean"},
    {"x-kubernetes-preserve-unknown-fields": True}, {"x-kubernetes-int-or-string": True},
])  # fmt: skip


def objects_of(below: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda properties, preserve, required, with_default: {
            "type": "object",
            "properties": properties,
            **({"x-kubernetes-preserve-unknown-fields": True} if preserve else {}),
            # What is required must be known: pruning takes what is not.
            **({"required": required} if set(required) <= properties.keys() else {}),
            **({"default": {}} if with_default and not set(required) <= properties.keys() else {}),
        },
        st.dictionaries(NAMES, below, max_size=3),
        st.booleans(),
        st.lists(NAMES, max_size=1),
        st.booleans(),
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda below: (
        objects_of(below)
        | below.map(lambda items: {"type": "array", "items": items})
        | below.map(lambda rest: {"type": "object", "additionalProperties": rest})
    ),
    max_leaves=8,
)


@given(spec=SCHEMAS, value=VALUES)
def test_pruning_twice_is_pruning_once(spec: dict[str, Any], value: Any) -> None:
    schema = schema_of(spec)
    pruned, _ = schema.prune(obj(value))
    assert schema.prune(pruned) == (pruned, [])


@given(spec=SCHEMAS, value=VALUES)
def test_completing_twice_is_completing_once(spec: dict[str, Any], value: Any) -> None:
    schema = schema_of(spec)
    completed = taken_in(schema, obj(value))
    assert schema.apply_defaults(completed) == completed


@given(spec=SCHEMAS, value=VALUES)
def test_defaults_bring_nothing_that_pruning_would_take(spec: dict[str, Any], value: Any) -> None:
    schema = schema_of(spec)
    completed = taken_in(schema, obj(value))
    assert schema.prune(completed) == (completed, [])


@given(spec=SCHEMAS, value=VALUES)
def test_what_pruning_takes_decides_no_validation(spec: dict[str, Any], value: Any) -> None:
    schema = schema_of(spec)
    raw = obj(value)
    pruned, _ = schema.prune(raw)
    assert as_causes(schema.validate(pruned)) == as_causes(schema.validate(raw))


@given(spec=SCHEMAS, value=VALUES, key=NAMES)
def test_an_unknown_field_of_an_object_is_taken_and_named(spec: dict[str, Any], value: Any, key: str) -> None:
    schema = schema_of({"type": "object", "properties": {"known": spec}})
    pruned, unknown = schema.prune(obj({"known": value, key: 1}))
    assert key not in pruned["spec"]
    assert f"spec.{key}" in unknown


@given(spec=SCHEMAS, value=VALUES)
def test_an_object_that_does_not_change_is_never_refused(spec: dict[str, Any], value: Any) -> None:
    schema = schema_of(spec)
    held = taken_in(schema, obj(value))
    assert schema.validate(held, held) == []
