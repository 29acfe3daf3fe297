from __future__ import annotations

import sys

import msgspec
import pytest

from reconciler.api import EncodedObject, ObjectKey
from reconciler.cache.store import Unreadable
from reconciler.cache.wire import Bookmark, Change, ChangeType, Page, UnreadableChange, decode_line, decode_page
from reconciler.errors import ApiError, ExpiredError, MalformedObjectError

from .objects import bookmark, line, status, wire


def page(*items: dict[str, object], **metadata: str) -> bytes:
    return msgspec.json.encode({"kind": "WidgetList", "metadata": metadata, "items": items})


def test_a_page_has_its_objects_version_and_token() -> None:
    got = decode_page(page(wire("a", 1), wire("b", 2), resourceVersion="7", **{"continue": "t"}))
    assert [item.key.name for item in got.objects] == ["a", "b"]
    assert (got.resource_version, got.continue_token) == ("7", "t")


@pytest.mark.parametrize("items", [b"null", b"[]"])
def test_a_page_without_objects_is_empty(items: bytes) -> None:
    # Go sends null for a list that was never filled.
    assert decode_page(b'{"metadata":{"resourceVersion":"7"},"items":' + items + b"}") == Page((), "7")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="not JSON"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"[]", id="not an object"),
        pytest.param(b'{"items":[]}', id="no metadata"),
        pytest.param(b'{"metadata":{},"items":[]}', id="no version"),
        pytest.param(b'{"metadata":{"resourceVersion":"7"}}', id="no items"),
    ],
)
def test_a_body_that_is_no_list_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedObjectError, match=r"^list widgets: the answer to a list ") as caught:
        decode_page(body, doing="list widgets")
    assert caught.value.doing == "list widgets"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("kind", "says"),
    [("Secret", " is a Secret, not a list of"), ("<hunter2>", " is not a list of"), (3, " is not a list")],
)
def test_an_object_is_no_empty_list(kind: object, says: str) -> None:
    body = msgspec.json.encode({"kind": kind, "metadata": {"resourceVersion": "7"}, "data": {"a": "hunter2"}})
    with pytest.raises(MalformedObjectError, match=says) as caught:
        decode_page(body)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("item", "key"),
    [
        pytest.param(b'{"spec":{}}', ObjectKey("", ""), id="no metadata"),
        pytest.param(b'{"metadata":{}}', ObjectKey("", ""), id="no name"),
        pytest.param(b'{"metadata":{"name":"\xff"}}', ObjectKey("", ""), id="not UTF-8"),
        pytest.param(b'{"metadata":{"name":7,"namespace":"n"}}', ObjectKey("", ""), id="a name that is a number"),
        pytest.param(b'"text"', ObjectKey("", ""), id="not an object"),
        pytest.param(b'{"metadata":{"name":"b","namespace":"n","generation":"x"}}', ObjectKey("n", "b"), id="a field"),
    ],
)
def test_an_item_that_cannot_be_read_is_named_and_the_others_are_there(item: bytes, key: ObjectKey) -> None:
    body = b'{"metadata":{"resourceVersion":"7"},"items":[%s,%s]}' % (item, msgspec.json.encode(wire("a", 1)))
    got = decode_page(body)
    assert [each.key.name for each in got.objects] == ["a"]
    assert [each.key for each in got.unreadable] == [key]
    assert got.unreadable[0].reason


def deep(name: str) -> bytes:
    """Return an object with more levels than the interpreter takes, and fewer than a server does."""
    metadata = b'"metadata":{"name":"%s","namespace":"ns","uid":"u","resourceVersion":"9"}' % name.encode()
    return (
        b'{"apiVersion":"v1","kind":"ConfigMap","data":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"," + metadata + b"}"
    )


def test_an_item_that_is_nested_too_deeply_is_named_and_the_others_are_there() -> None:
    limit = sys.getrecursionlimit()
    body = page(wire("a", 1), wire("b", 2), resourceVersion="7").replace(
        b'"items":[', b'"items":[' + deep("deep") + b","
    )
    got = decode_page(body)
    assert [each.key.name for each in got.objects] == ["a", "b"]
    assert got.unreadable == (Unreadable(ObjectKey("ns", "deep"), "it is nested too deeply"),)
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("rest", [b"", b',"more":1'], ids=["as servers write it", "in another shape"])
def test_a_change_that_is_nested_too_deeply_names_object_and_version(rest: bytes) -> None:
    said = decode_line(b'{"type":"MODIFIED","object":' + deep("deep") + rest + b"}", doing="watch")
    assert isinstance(said, UnreadableChange)
    assert said.unreadable == Unreadable(ObjectKey("ns", "deep"), "it is nested too deeply")
    assert (said.type, said.resource_version) == (ChangeType.MODIFIED, "9")


def test_a_change_that_cannot_be_read_names_object_and_version_as_far_as_they_can_be() -> None:
    said = decode_line(line("MODIFIED", wire("a", 3, generation="secret")), doing="watch")
    assert isinstance(said, UnreadableChange)
    assert (said.type, said.unreadable.key, said.resource_version) == (
        ChangeType.MODIFIED,
        ObjectKey("default", "a"),
        "3",
    )
    assert "generation" in said.unreadable.reason
    assert "secret" not in str(said.unreadable)


def test_the_bookmark_that_ends_a_streamed_list_says_so() -> None:
    mark = bookmark(9)
    mark["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
    assert decode_line(line("BOOKMARK", mark), doing="watch") == Bookmark("9", is_list_end=True)


@pytest.mark.parametrize("type_", list(ChangeType))
def test_a_change_has_its_type_and_object(type_: ChangeType) -> None:
    said = decode_line(line(type_.value, wire("a", 3)), doing="watch")
    assert isinstance(said, Change)
    assert said.type is type_
    assert said.object.resource_version == "3"


OBJECT = b'{"metadata":{"name":"a","resourceVersion":"3"},"spec":{"size":1}}'


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(b'{"type":"MODIFIED","object":%s}', id="as a server writes it"),
        pytest.param(b'{"object":%s,"type":"MODIFIED"}', id="the object first"),
        pytest.param(b'{"type":"MODIFIED","object":%s,"more":{}}', id="something after the object"),
        pytest.param(b'{"type":"MODIFIED","more":{},"object":%s}', id="something before the object"),
        pytest.param(b'{"type":"MODIFIED","object":%s,"type":"MODIFIED"}', id="a field twice"),
        pytest.param(b'{"type":"MODIFIED","object": %s}', id="a space before the object"),
        pytest.param(b'{"type":"MODIFIED","object":%s }', id="a space after the object"),
        pytest.param(b'{ "type" : "MODIFIED" , "object" : %s } ', id="spaces"),
        pytest.param(b'{"type":"MODIFI\\u0045D","object":%s}', id="an escape in the type"),
    ],
)
def test_a_change_is_the_same_in_whatever_shape_it_comes(shape: bytes) -> None:
    said = decode_line(shape % OBJECT, doing="watch")
    assert isinstance(said, Change)
    assert (said.type, said.object.body) == (ChangeType.MODIFIED, OBJECT)


@pytest.mark.parametrize("rest", [b"", b',"more":{}'], ids=["alone", "with more"])
def test_an_object_that_is_refused_is_read_once(rest: bytes) -> None:
    read: list[bytes] = []

    def refuse(body: bytes | msgspec.Raw) -> EncodedObject:
        # As a transform does: it takes only what is JSON.
        msgspec.json.decode(body)
        read.append(bytes(body))
        raise msgspec.ValidationError("refused")

    said = decode_line(b'{"type":"DELETED","object":%s%s}' % (OBJECT, rest), doing="watch", read=refuse)
    assert isinstance(said, UnreadableChange)
    assert (said.type, said.resource_version, said.unreadable.reason) == (ChangeType.DELETED, "3", "refused")
    assert read == [OBJECT]


def test_a_bookmark_has_its_version() -> None:
    assert decode_line(line("BOOKMARK", bookmark(9)), doing="watch") == Bookmark("9")


def test_an_error_event_is_the_error_of_its_code() -> None:
    said = decode_line(line("ERROR", status(410, "Expired", "too old")), doing="watch widgets")
    assert isinstance(said, ExpiredError)
    assert str(said) == "watch widgets: 410 too old"


def test_an_error_event_of_an_unknown_code_is_an_api_error() -> None:
    said = decode_line(line("ERROR", status(500)), doing="watch widgets")
    assert type(said) is ApiError


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"garbage", id="not JSON"),
        pytest.param(b'{"type":"ADDED"', id="cut"),
        pytest.param(line("ADDED", wire("a", 3))[:-1], id="cut at its last brace"),
        pytest.param(line("ADDED", wire("a", 3)) + b"}", id="one brace more"),
        pytest.param(line("RENAMED", wire("a", 3)), id="unknown type"),
        pytest.param(line("ADDED", {"metadata": {"name": "a"}}), id="an object without a version"),
        pytest.param(line("BOOKMARK", {"metadata": {}}), id="a bookmark without a version"),
    ],
)
def test_a_line_that_is_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedObjectError, match=r"^watch widgets: ") as caught:
        decode_line(body, doing="watch widgets")
    assert caught.value.doing == "watch widgets"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
