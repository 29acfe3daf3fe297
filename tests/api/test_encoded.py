from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest
from pydantic import ValidationError

from reconciler.api import ApiModel, EncodedObject, KubeObject, ObjectKey, ResourceType

POD = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u1", "controller": True}
NODE = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u2"}


class Sized(ApiModel):
    size: int = 0


class Widget(KubeObject):
    resource: ClassVar[ResourceType] = ResourceType("example.com", "v1", "Widget", "widgets")

    spec: Sized = Sized()


def encoded(**metadata: Any) -> EncodedObject:
    header = {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "7"}
    return EncodedObject.from_json(msgspec.json.encode({"metadata": header | metadata, "spec": {"size": 3}}))


def test_the_header_is_read_from_the_metadata() -> None:
    a = encoded(generation=4, deletionTimestamp="2026-01-01T00:00:00Z")
    assert a.key == ObjectKey("default", "a")
    assert (a.uid, a.resource_version, a.generation, a.is_being_deleted) == ("u", "7", 4, True)


def test_a_cluster_scoped_object_that_was_never_changed_has_empty_fields() -> None:
    a = EncodedObject.from_json(b'{"metadata":{"name":"n"}}')
    assert a.key == ObjectKey("", "n")
    assert (a.generation, a.is_being_deleted) == (0, False)


def test_equal_namespaces_are_one_string() -> None:
    assert encoded().key.namespace is encoded(name="b").key.namespace


@pytest.mark.parametrize("make", [EncodedObject.from_json, EncodedObject.from_change])
def test_metadata_which_everybody_shares_cannot_be_changed(make: Callable[[bytes], EncodedObject]) -> None:
    a = make(b'{"metadata":{"name":"a","labels":{"x":"1"},"annotations":{"y":"2"}}}')
    for shared in (a.metadata.labels, a.metadata.annotations):
        with pytest.raises(TypeError):
            shared["x"] = "EVIL"  # type: ignore[index]  # the error is the test
    assert dict(a.metadata.labels) == {"x": "1"}


def test_metadata_is_decoded_once_and_typed() -> None:
    a = encoded(labels={"x": "1"}, finalizers=["f"], ownerReferences=[NODE, POD])
    assert a.metadata is a.metadata
    assert a.metadata.labels == {"x": "1"}
    assert a.metadata.annotations == {}
    assert a.metadata.finalizers == ("f",)
    controller = a.metadata.controller
    assert controller is not None
    assert (controller.kind, controller.uid) == ("Pod", "u1")


def test_an_object_that_nobody_controls_has_no_controller() -> None:
    assert encoded(ownerReferences=[NODE]).metadata.controller is None


def test_a_typed_read_is_a_new_model_each_time() -> None:
    a = encoded()
    first, second = a.decode(Widget), a.decode(Widget)
    first.spec.size = 99
    assert second.spec.size == 3
    with pytest.raises(ValidationError):
        EncodedObject.from_json(b'{"metadata":{"name":"a"},"spec":{"size":"x"}}').decode(Widget)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"metadata":{}}', b'{"metadata":{"name":"a"'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        EncodedObject.from_json(body)


def test_what_an_encoded_object_hands_out_is_the_callers_own() -> None:
    a = encoded(labels={"x": "1"})
    first = a.to_dict()
    first["metadata"]["labels"]["x"] = "changed"
    assert a.to_dict()["metadata"]["labels"] == {"x": "1"}


def test_an_encoded_object_has_no_managed_fields_unless_they_are_asked_for() -> None:
    body = b'{"metadata":{"name":"a","managedFields":[{"manager":"m"}],"labels":{"x":"1"}},"spec":{"n": 1.50}}'
    # Everything else stays as the server wrote it, byte for byte.
    assert EncodedObject.from_json(body).body == b'{"metadata":{"name":"a","labels":{"x":"1"}},"spec":{"n": 1.50}}'
    assert EncodedObject.from_json(body, keep_managed_fields=True).body == body


MANAGED = '"managedFields":[{"manager":"m","fieldsV1":{"f:data":{}}}]'


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        pytest.param(f'{{{MANAGED},"name":"a"}}', '{"name":"a"}', id="first"),
        pytest.param(f'{{"name":"a",{MANAGED},"uid":"u"}}', '{"name":"a","uid":"u"}', id="in the middle"),
        pytest.param(f'{{"name":"a",{MANAGED}}}', '{"name":"a"}', id="last"),
        pytest.param(f'{{"name":"a", {MANAGED} ,"uid":"u"}}', '{"name":"a","uid":"u"}', id="between spaces"),
        pytest.param('{"name":"a","managedFields": [1],"uid":"u"}', '{"name":"a","uid":"u"}', id="after a space"),
        pytest.param('{"name":"a","managedFields":[]}', '{"name":"a"}', id="empty"),
        pytest.param('{"name":"a","managedFields":null}', '{"name":"a"}', id="null"),
    ],
)
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param("{}", id="alone"),
        pytest.param(f'{{{MANAGED},"n":1}}', id="another of the same text"),
        pytest.param(f'{{"text":{msgspec.json.encode("{" + MANAGED + "}").decode()}}}', id="within a string"),
    ],
)
@pytest.mark.parametrize("is_spec_first", [False, True])
def test_only_the_managed_fields_of_the_object_itself_leave(
    metadata: str, kept: str, spec: str, is_spec_first: bool
) -> None:
    def text(metadata: str) -> bytes:
        parts = [f'"metadata":{metadata}', f'"spec":{spec}']
        return ("{" + ",".join(reversed(parts) if is_spec_first else parts) + "}").encode()

    assert EncodedObject.from_json(text(metadata)).body == text(kept)


def test_an_object_from_a_change_is_the_same_and_knows_its_metadata() -> None:
    fields = {"labels": {"x": "1"}, "annotations": {"y": "2"}, "finalizers": ["f"], "ownerReferences": [POD, NODE]}
    a = encoded(generation=4, managedFields=[{"manager": "m"}], **fields)
    b = EncodedObject.from_change(msgspec.json.encode({"metadata": {**a.to_dict()["metadata"]}, "spec": {"size": 3}}))
    assert (b.key, b.uid, b.resource_version, b.generation, b.body) == (a.key, "u", "7", 4, a.body)
    assert b.metadata == a.metadata
    assert b.metadata is b.metadata


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"metadata":{}}', b'{"metadata":{"name":"a"'])
def test_what_is_no_object_is_refused_as_a_change_too(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        EncodedObject.from_change(body)


def test_labels_that_are_none_do_not_make_a_change_unreadable() -> None:
    # Who asks for them is told; the object itself is as readable as one from a list.
    a = EncodedObject.from_change(b'{"metadata":{"name":"a","labels":7}}')
    assert a.key.name == "a"
    with pytest.raises(msgspec.ValidationError):
        _ = a.metadata


def test_the_metadata_of_many_objects_is_not_remembered_for_ever() -> None:
    many = [encoded(name=f"n{number}") for number in range(1_000)]
    first = many[0].metadata
    for each in many:
        _ = each.metadata
    assert many[0].metadata == first
    assert many[0].metadata is not first


def test_an_encoded_object_does_not_pin_the_page_it_came_in() -> None:
    page = bytearray(b'{"metadata":{"name":"a"}}')
    a = EncodedObject.from_json(memoryview(page))
    page[:] = b" " * len(page)
    assert a.body == b'{"metadata":{"name":"a"}}'
    assert a.key.name == "a"
