"""Protobuf bodies, as Go's clients write them."""

from __future__ import annotations

import pytest

from reconciler.apiserver.protobuf import MEDIA_TYPE, parse_protobuf

from .api import Api


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def envelope(kind: str, raw: bytes, version: str = "v1") -> bytes:
    type_ = field(1, version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, type_) + field(2, raw) + field(3, b"") + field(4, b"")


def label(key: str, value: str) -> bytes:
    return field(1, key.encode()) + field(2, value.encode())


def test_a_namespace_is_read_without_its_zero_values() -> None:
    metadata = (
        field(1, b"n")
        + field(2, b"")
        + field(7, 0)
        + field(8, b"")
        + field(11, label("a", "b"))
        + field(11, label("c", ""))
    )
    raw = field(1, metadata) + field(2, b"") + field(3, field(1, b""))
    assert parse_protobuf(envelope("Namespace", raw)) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "n", "labels": {"a": "b", "c": ""}},
    }


def test_an_event_is_read_with_its_times() -> None:
    seconds = 1_767_225_600  # 2026-01-01
    raw = (
        field(1, field(1, b"e") + field(14, b"x/y"))
        + field(2, field(1, b"Widget") + field(3, b"a"))
        + field(6, field(1, seconds) + field(2, 0))
        + field(8, 3)
        + field(10, field(1, seconds) + field(2, 1_500_000))
        + field(99, b"from a newer version")
    )
    assert parse_protobuf(envelope("Event", raw)) == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "finalizers": ["x/y"]},
        "involvedObject": {"kind": "Widget", "name": "a"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "count": 3,
        "eventTime": "2026-01-01T00:00:00.001500Z",
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"{}", "does not appear to be a protobuf message", id="JSON"),
        pytest.param(envelope("Pod", b""), "no protobuf is known for kind 'Pod'", id="a kind without a table"),
        pytest.param(envelope("Namespace", b"\x0a\x7f"), "unexpected end", id="a field that is cut off"),
        pytest.param(envelope("Namespace", b"\xff"), "unexpected end", id="a number that is cut off"),
        pytest.param(envelope("Namespace", b"\x0b"), "wire type 3", id="a group"),
    ],
)
def test_what_is_no_protobuf_of_ours_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_protobuf(body)


def test_an_event_may_be_created_and_deleted_in_protobuf(api: Api) -> None:
    about = field(2, api.namespace.encode()) + field(3, b"a")
    raw = field(1, field(1, b"e")) + field(2, about) + field(4, b"it happened") + field(8, 2)
    created = api.request("POST", api.events, envelope("Event", raw), content_type=MEDIA_TYPE)
    assert (created.status, created.json["message"], created.json["count"]) == (201, "it happened", 2)
    options = envelope("DeleteOptions", field(2, field(1, b"wrong")))
    refused = api.request("DELETE", f"{api.events}/e", options, content_type=MEDIA_TYPE)
    assert (refused.status, refused.reason) == (409, "Conflict")


def test_a_body_that_is_no_protobuf_gets_400(api: Api) -> None:
    answer = api.request("POST", api.events, b"nonsense", content_type=MEDIA_TYPE)
    assert (answer.status, answer.reason) == (400, "BadRequest")
