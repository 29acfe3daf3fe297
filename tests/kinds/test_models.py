from __future__ import annotations

import traceback
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError
from rich.pretty import pretty_repr

from reconciler import kinds
from reconciler.api import KubeObject, ModelError, ObjectMeta, in_one_form
from reconciler.client import JsonObject, decode_object
from reconciler.errors import MalformedObjectError
from reconciler.kinds import (
    ConfigMap,
    Container,
    Deployment,
    LabelSelectorRequirement,
    Lease,
    LeaseSpec,
    Pod,
    PodSelector,
    PodSpec,
    ResourceRequirements,
    Secret,
    amount_of,
    label_selector_of,
)

KINDS = [found for name in kinds.__all__ if isinstance(found := getattr(kinds, name), type)]
OBJECTS = [found for found in KINDS if issubclass(found, KubeObject)]


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.__name__)
def test_an_object_needs_no_more_than_a_name(kind: type[KubeObject]) -> None:
    wire = kind(metadata=ObjectMeta(name="a")).to_wire()
    assert (wire["apiVersion"], wire["kind"]) == (kind.resource.api_version, kind.resource.kind)
    assert wire["metadata"] == {"name": "a"}


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.__name__)
def test_two_objects_share_nothing(kind: type[KubeObject]) -> None:
    one, other = kind(), kind()
    shared = [
        name
        for name in kind.model_fields
        if getattr(one, name) is getattr(other, name) and not isinstance(getattr(one, name), str | None)
    ]
    assert shared == []


def test_lists_of_two_pods_are_two_lists() -> None:
    assert PodSpec().containers is not PodSpec().containers
    assert Deployment().spec.template.spec.containers is not Deployment().spec.template.spec.containers


SECRET = Secret(
    metadata=ObjectMeta(
        name="a",
        namespace="default",
        annotations={"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"password":"aHVudGVyMg=="}}'},
    ),
    data={"password": b"hunter2"},
    string_data={"user": "hunter2"},
)


@pytest.mark.parametrize("show", [repr, str, pretty_repr, "{}".format, lambda secret: f"{[secret]}"])
def test_a_secret_is_shown_by_its_names_alone(show: object) -> None:
    assert callable(show)
    shown = show(SECRET)
    assert "default/a" in shown
    assert "password" in shown
    assert "user" in shown
    assert "hunter2" not in shown
    assert "aHVudGVyMg" not in shown


def test_an_unknown_field_of_a_secret_is_not_shown_either() -> None:
    secret = Secret.from_json('{"metadata": {"name": "a"}, "dataV2": "hunter2"}')
    assert "hunter2" not in repr(secret)
    assert secret.to_wire()["dataV2"] == "hunter2"


def test_errors_about_a_secret_quote_nothing() -> None:
    with pytest.raises(ValidationError) as raised:
        Secret.model_validate({"data": {"password": "hunter2!"}, "stringData": {"user": ["hunter3"]}})
    assert "hunter" not in str(raised.value)
    assert "data.password" in str(raised.value)
    with pytest.raises(
        MalformedObjectError, match=r"secrets a does not fit the model Secret: data\.password"
    ) as refused:
        decode_object(Secret, b'{"metadata": {"name": "a"}, "data": {"password": "hunter2!"}}')
    assert "hunter" not in str(refused.value)


def test_a_value_of_a_secret_that_does_not_fit_is_refused_without_a_word_of_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for change in ({"string_data": {"pw": b"hunter2"}}, {"data": {"pw": "hunter2"}}, {"data": {"pw": 7}}):
        secret = Secret(metadata=ObjectMeta(name="a", namespace="default"))
        for name, value in change.items():
            setattr(secret, name, value)
        with pytest.raises(ModelError, match=r"^secrets default/a: \w+\.pw holds a value of type \w+, which") as raised:
            secret.to_wire()
        shown = "".join(traceback.format_exception(raised.value))
        assert "hunter2" not in shown + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, "nothing,!nothing"),
        ({}, ""),
        ({"matchLabels": {"app": "web"}}, "app=web"),
        (PodSelector(match_labels={"a": "b"}), "a=b"),
        (
            PodSelector(
                match_labels={"a": "b"},
                match_expressions=[
                    LabelSelectorRequirement(key="zone", operator="In", values=["b", "a"]),
                    LabelSelectorRequirement(key="tier", operator="NotIn", values=["db"]),
                    LabelSelectorRequirement(key="owner", operator="Exists", values=[]),
                    LabelSelectorRequirement(key="canary", operator="DoesNotExist"),
                ],
            ),
            "a=b,zone in (a,b),tier notin (db),owner,!canary",
        ),
    ],
)
def test_a_selector_in_a_field_is_one_to_list_by(selector: Any, text: str) -> None:
    assert str(label_selector_of(selector)) == text


@pytest.mark.parametrize(
    ("selector", "named"),
    [
        ({"app": "web"}, r"this one has app; labels alone are LabelSelector\(labels\)"),
        ({"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}, "label a: 'Is' is none of In, NotIn"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, "label a: no value is given"),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            "label a: Exists takes no values",
        ),
        ({"matchLabels": {"a b": "c"}}, "label key 'a b'"),
    ],
)
def test_a_selector_in_a_field_that_is_none_is_refused_by_name(selector: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        label_selector_of(selector)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", 1), ("1000m", 1), ("1e3", 1000), ("1k", 1000), ("1Ki", 1024), (".5", 0.5), ("-1M", -1e6),
     ("", None), ("1 Gi", None), ("x", None)],
)  # fmt: skip
def test_a_quantity_says_an_amount(text: str, amount: float | None) -> None:
    found = amount_of(text)
    assert (None if found is None else float(found)) == amount


def test_two_spellings_of_one_amount_are_one_where_objects_are_compared() -> None:
    def pod(cpu: int | str, limits: dict[str, int | str] | None = None) -> JsonObject:
        found = Container(name="a", resources=ResourceRequirements(requests={"cpu": cpu}, limits=limits))
        return in_one_form(Pod(spec=PodSpec(containers=[found]))).to_wire()

    assert pod("1000m") == pod("1") == pod(1) == pod("1.0", limits={})
    assert pod("1001m") != pod("1")
    assert pod("half") == pod("half")


def test_bytes_are_base64_on_the_wire_only() -> None:
    config = ConfigMap(binary_data={"a": b"\xff\x00\xfe"})
    assert config.to_wire()["binaryData"] == {"a": "/wD+"}
    assert ConfigMap.model_validate(config.to_wire()).binary_data == {"a": b"\xff\x00\xfe"}
    # Long values stay on one line: the server refuses line breaks of MIME.
    assert "\n" not in ConfigMap(binary_data={"a": b"x" * 200}).to_wire()["binaryData"]["a"]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00.000000Z"),
        (datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC), "2026-01-01T00:00:00.000005Z"),
        (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T00:00:00.000000Z"),
        (datetime(800, 1, 1, tzinfo=UTC), "0800-01-01T00:00:00.000000Z"),
    ],
)
def test_a_micro_time_has_six_digits_and_is_utc(at: datetime, text: str) -> None:
    assert Lease(spec=LeaseSpec(renew_time=at)).to_wire()["spec"] == {"renewTime": text}
    assert LeaseSpec.model_validate({"renewTime": text}).renew_time == at


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        LeaseSpec(renew_time=datetime(2026, 1, 1))  # noqa: DTZ001


def test_fields_that_no_model_knows_stay_at_every_depth() -> None:
    body = (
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "new": 1}, "new": {"x": [null, 2]},'
        ' "spec": {"containers": [{"name": "m", "new": {"y": null}}], "new": 3}, "status": {"new": "4"}}'
    )
    assert Pod.from_json(body).to_wire() == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "new": 1},
        "new": {"x": [None, 2]},
        "spec": {"containers": [{"name": "m", "new": {"y": None}}], "new": 3},
        "status": {"new": "4"},
    }
