from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.api import EncodedObject
from reconciler.event import (
    CreateEvent,
    DeleteEvent,
    GenericEvent,
    UpdateEvent,
    changed_between,
    fields_changed,
    is_status_only,
)
from reconciler.journal import FIELDS_MAX, Changed

OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}


def encoded(name: str, version: int, **metadata: Any) -> EncodedObject:
    header = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return EncodedObject.from_json(json.dumps({"metadata": header | metadata}).encode())


def test_one_and_the_same_version_has_no_change() -> None:
    assert changed_between(encoded("a", 1), encoded("a", 1)) is Changed.NOTHING


@pytest.mark.parametrize(
    ("metadata", "changed"),
    [
        pytest.param({}, Changed.OTHER, id="nothing that metadata shows: mostly status"),
        pytest.param({"generation": 2}, Changed.GENERATION, id="generation"),
        pytest.param({"labels": {"a": "b"}}, Changed.LABELS, id="labels"),
        pytest.param({"annotations": {"a": "b"}}, Changed.ANNOTATIONS, id="annotations"),
        pytest.param({"finalizers": ["example.com/f"]}, Changed.FINALIZERS, id="finalizers"),
        pytest.param({"ownerReferences": [OWNER]}, Changed.OWNERS, id="owners"),
        pytest.param({"deletionTimestamp": "2026-01-01T00:00:00Z"}, Changed.DELETION, id="deletion"),
        pytest.param({"uid": "another"}, Changed.UID, id="uid"),
        pytest.param(
            {"generation": 2, "labels": {"a": "b"}}, Changed.GENERATION | Changed.LABELS, id="several at once"
        ),
    ],
)
def test_what_changed_is_a_set_of_bits(metadata: dict[str, Any], changed: Changed) -> None:
    assert UpdateEvent(encoded("a", 1), encoded("a", 2, **metadata)).changed == changed


def test_the_order_of_labels_is_no_change() -> None:
    old, new = encoded("a", 1, labels={"x": "1", "y": "2"}), encoded("a", 2, labels={"y": "2", "x": "1"})
    assert changed_between(old, new) is Changed.OTHER


def test_events_say_what_they_know_by_the_same_names() -> None:
    a, b = encoded("a", 1), encoded("a", 2)
    events = (CreateEvent(a, is_initial=True), UpdateEvent(a, b), DeleteEvent(b), GenericEvent(a.key))

    assert [event.verb for event in events] == ["create", "update", "delete", "generic"]
    assert [event.old for event in events] == [None, a, b, None]
    assert [event.new for event in events] == [a, b, None, None]
    assert [event.latest for event in events] == [a, b, b, None]
    assert [event.is_initial for event in events] == [True, False, False, False]
    assert {event.key for event in events} == {a.key}


def with_status(status: dict[str, Any]) -> EncodedObject:
    return EncodedObject.from_json(json.dumps({"metadata": {"name": "a"}, "status": status}).encode())


def test_fields_that_changed_are_named_by_their_paths_and_never_by_their_values() -> None:
    old = with_status({"url": "https://secret/1", "attempts": [1], "deep": {"same": 1, "other": 2}})
    new = with_status({"url": "https://secret/2", "attempts": [1, 2], "deep": {"same": 1}})
    assert fields_changed(old, new) == ("status.attempts", "status.deep.other", "status.url")
    assert fields_changed(old, old) == ()


def test_no_more_fields_are_named_than_a_record_takes() -> None:
    many = with_status({f"f{number}": number for number in range(50)})
    none = with_status({})
    assert len(fields_changed(none, many)) == FIELDS_MAX


def a_version(number: int, *, generation: int = 1, uid: str = "u", **parts: Any) -> EncodedObject:
    header = {"name": "a", "uid": uid, "resourceVersion": str(number), "generation": generation}
    return EncodedObject.from_json(json.dumps({"metadata": header, **parts}).encode())


BEFORE = a_version(1, spec={"size": 1}, status={"seen": 1})


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        pytest.param(a_version(2, spec={"size": 1}, status={"seen": 2}), True, id="status"),
        pytest.param(a_version(2, spec={"size": 1}), True, id="status goes"),
        # As where a kind has no status subresource.
        pytest.param(
            a_version(2, generation=2, spec={"size": 1}, status={"seen": 2}), True, id="status, and the generation"
        ),
        pytest.param(a_version(2, generation=2, spec={"size": 2}, status={"seen": 2}), False, id="status and spec"),
        pytest.param(a_version(1, spec={"size": 1}, status={"seen": 1}), True, id="the same version"),
        pytest.param(
            a_version(2, spec={"size": 1}, status={"seen": 1}), False, id="another version, nothing to be seen"
        ),
        pytest.param(
            a_version(2, generation=2, spec={"size": 1}, status={"seen": 1}), False, id="another generation, the same"
        ),
        pytest.param(a_version(2, uid="v", spec={"size": 1}, status={"seen": 2}), False, id="another object"),
    ],
)
def test_a_change_of_status_alone_is_one_that_is_seen(new: EncodedObject, expected: bool) -> None:
    assert is_status_only(BEFORE, new) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(1, 1, True, id="the generation stands"),
        pytest.param(1, 2, False, id="it moved: perhaps by what is not held"),
        pytest.param(0, 0, False, id="the kind has none"),
    ],
)
def test_of_objects_in_part_only_the_generation_shows_that_the_rest_is_the_same(
    before: int, after: int, expected: bool
) -> None:
    old, new = a_version(1, generation=before, status={"seen": 1}), a_version(2, generation=after, status={"seen": 2})
    assert is_status_only(old, new, is_whole=False) is expected
    assert is_status_only(old, new)
