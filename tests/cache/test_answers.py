"""What answers to writes say: a table."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from reconciler.api import ObjectKey, ResourceType
from reconciler.cache.answers import Fate, Outcome, outcomes
from reconciler.client import Written

from .objects import WIDGETS, wire
from .world import KEY

PODS = ResourceType("", "v1", "Pod", "pods")
NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
NOW = "2026-01-01T00:00:00Z"


def ending(**metadata: Any) -> dict[str, Any]:
    return wire("a", 5, **{"deletionTimestamp": NOW, "deletionGracePeriodSeconds": 0, **metadata})


def told(
    verb: str, answer: object, *, resource: ResourceType = WIDGETS, subresource: str = "", old_version: str = ""
) -> tuple[Outcome, ...]:
    written = Written("c", verb, resource, KEY, subresource, old_version, msgspec.json.encode(answer))
    return outcomes(written)


@pytest.mark.parametrize(
    ("verb", "answer", "fate"),
    [
        pytest.param("patch", wire("a", 5), Fate.STORED, id="stored"),
        pytest.param("patch", ending(finalizers=["x/y"]), Fate.STORED, id="a finalizer is left"),
        pytest.param("patch", ending(finalizers=["foregroundDeletion"]), Fate.STORED, id="dependents go first"),
        pytest.param("patch", ending(), Fate.GONE, id="the last finalizer is removed"),
        pytest.param("update", ending(finalizers=[]), Fate.GONE, id="the last finalizer is removed by an update"),
        pytest.param("apply", ending(deletionGracePeriodSeconds=None), Fate.GONE, id="no time of grace is named"),
        pytest.param("patch", ending(deletionGracePeriodSeconds=30), Fate.STORED, id="a pod ends within its time"),
        pytest.param("delete", ending(deletionGracePeriodSeconds=30), Fate.STORED, id="a pod is given its time"),
        pytest.param("delete", ending(finalizers=["x/y"]), Fate.STORED, id="a deletion that must wait"),
        pytest.param("delete", ending(), Fate.GONE, id="a deletion answered with the object"),
        pytest.param("delete", wire("a", 5), Fate.GONE, id="a deletion answered with the object as it was"),
    ],
)
def test_an_object_in_the_answer_is_stored_or_gone(verb: str, answer: dict[str, Any], fate: Fate) -> None:
    assert told(verb, answer) == (Outcome(KEY, fate, "uid-a", "5", {}),)


def test_a_namespace_that_is_being_deleted_is_there_while_its_own_finalizers_are() -> None:
    metadata = {"name": "a", "uid": "u", "resourceVersion": "5", "deletionTimestamp": NOW}
    for finalizers, fate in ((["kubernetes"], Fate.STORED), ([], Fate.GONE)):
        answer = {"kind": "Namespace", "metadata": metadata, "spec": {"finalizers": finalizers}}
        assert [each.fate for each in told("delete", answer, resource=NAMESPACES)] == [fate]


def test_a_status_says_whom_a_deletion_ended_and_a_precondition_which_version_was_the_last() -> None:
    answer = {"kind": "Status", "status": "Success", "details": {"name": "a", "uid": "u"}}
    assert told("delete", answer, old_version="4") == (Outcome(KEY, Fate.GONE, "u", "4"),)
    assert told("create", answer, subresource="eviction", resource=PODS) == ()


def test_a_deleted_collection_is_told_object_by_object_as_gone_or_marked() -> None:
    answer = {"kind": "WidgetList", "metadata": {"resourceVersion": "9"}, "items": [wire("a", 5), wire("b", 6)]}
    assert [(each.key.name, each.fate, each.uid, each.version) for each in told("deletecollection", answer)] == [
        ("a", Fate.GONE_OR_MARKED, "uid-a", "5"),
        ("b", Fate.GONE_OR_MARKED, "uid-b", "6"),
    ]


def test_of_a_subresource_of_another_kind_the_version_is_known_and_the_labels_are_not() -> None:
    answer = {"kind": "Scale", "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "7"}}
    assert told("update", answer, subresource="scale") == (Outcome(KEY, Fate.STORED, "u", "7", None),)


@pytest.mark.parametrize(
    "answer", [[], "text", {}, {"kind": "Status", "status": "Success"}, {"metadata": {"name": 5}}, {"items": 5}]
)
@pytest.mark.parametrize("verb", ["create", "delete", "deletecollection"])
def test_an_answer_that_says_nothing_of_an_object_tells_nothing(verb: str, answer: object) -> None:
    assert told(verb, answer) == ()


def test_labels_are_those_of_the_answer() -> None:
    (found,) = told("create", wire("a", 5, labels={"app": "web"}))
    assert (found.key, found.labels) == (ObjectKey("default", "a"), {"app": "web"})
