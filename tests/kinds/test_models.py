from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError
from rich.pretty import pretty_repr

from reconciler import kinds
from reconciler.api import KubeObject, ObjectMeta
from reconciler.client import decode_object
from reconciler.errors import MalformedObjectError
from reconciler.kinds import ConfigMap, Deployment, Lease, LeaseSpec, Pod, PodSpec, Secret

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
