from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import ApiModel, KubeObject, ObjectMeta, ResourceType
from reconciler.client import merge_from


class Spec(ApiModel):
    size: int | None = None
    parts: list[str] | None = None
    since: datetime | None = None


class Widget(KubeObject):
    resource = ResourceType("example.com", "v1", "Widget", "widgets")
    spec: Spec = Spec()


def widget(version: str = "7", **spec: Any) -> Widget:
    return Widget(metadata=ObjectMeta(name="a", namespace="default", resource_version=version), spec=Spec(**spec))


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, {}, id="equal"),
        pytest.param({"a": 1}, {"a": 2}, {"a": 2}, id="a value"),
        pytest.param({"a": 1}, {}, {"a": None}, id="a field that is gone"),
        pytest.param({"a": 1}, {"a": None}, {"a": None}, id="a field that is None counts as gone"),
        pytest.param({}, {"a": None}, {}, id="a None that was not there"),
        pytest.param({"a": None}, {}, {"a": None}, id="a null that is gone"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}, id="a field inside"),
        pytest.param({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}, id="an object that is emptied"),
        pytest.param({}, {"a": {}}, {"a": {}}, id="an empty object"),
        pytest.param({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}, id="an object for a value"),
        pytest.param({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 3]}, id="a list is whole"),
        pytest.param({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1, "c": 2}]}, id="objects in a list"),
        pytest.param({"a": 1}, {"a": True}, {"a": True}, id="true is not 1"),
        pytest.param({"a": [0]}, {"a": [False]}, {"a": [False]}, id="false in a list is not 0"),
        pytest.param({"a": [{"b": 0}]}, {"a": [{"b": False}]}, {"a": [{"b": False}]}, id="false deep in a list"),
    ],
)
def test_the_patch_says_what_differs(old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]) -> None:
    found = merge_from(old, new)
    assert found == patch
    assert repr(found) == repr(patch)  # == does not tell True from 1


def test_the_patch_of_models_has_the_names_of_the_wire() -> None:
    old = widget(size=1, parts=["a"])
    new = old.model_copy(deep=True)
    new.spec.size = None
    new.spec.since = datetime(2026, 1, 1, tzinfo=UTC)
    new.metadata.labels = {"team": "blue"}
    assert merge_from(old, new) == {
        "metadata": {"labels": {"team": "blue"}},
        "spec": {"size": None, "since": "2026-01-01T00:00:00Z"},
    }


def test_the_lock_is_the_version_that_was_read() -> None:
    old, new = widget("7", size=1), widget("9", size=2)
    assert merge_from(old, new) == {"spec": {"size": 2}}
    assert merge_from(old, new, optimistic_lock=True) == {"metadata": {"resourceVersion": "7"}, "spec": {"size": 2}}
    new.metadata.labels = {"a": "b"}
    locked = merge_from(old, new, optimistic_lock=True)
    assert locked["metadata"] == {"labels": {"a": "b"}, "resourceVersion": "7"}


def test_a_lock_without_a_version_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an object with a resource version"):
        merge_from(widget(""), widget("", size=2), optimistic_lock=True)


def test_the_objects_stay_as_they_were() -> None:
    old: dict[str, Any] = {"metadata": {"resourceVersion": "1"}, "a": {"b": [1]}}
    new: dict[str, Any] = {"metadata": {"resourceVersion": "2"}, "a": {"b": [2]}}
    patch = merge_from(old, new)
    patch["a"]["b"].append(3)
    assert (old["metadata"], new["metadata"], new["a"]) == (
        {"resourceVersion": "1"},
        {"resourceVersion": "2"},
        {"b": [2]},
    )


def applied(target: Any, patch: Any) -> Any:
    """The algorithm of RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = applied(result.get(name), value)
    return result


NAMES = st.sampled_from(["a", "b", "c"])
LEAVES = st.booleans() | st.integers(0, 2) | st.sampled_from(["", "x"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner), max_leaves=6)
OBJECTS = st.dictionaries(NAMES, VALUES)


@given(OBJECTS, OBJECTS)
def test_the_patch_of_any_two_objects_makes_the_second_of_the_first(old: dict[str, Any], new: dict[str, Any]) -> None:
    patch = merge_from(old, new)
    made = applied(old, patch)
    assert sorted_repr(made) == sorted_repr(new)
    assert (patch == {}) == (sorted_repr(old) == sorted_repr(new))


def sorted_repr(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {sorted_repr(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(sorted_repr, value)) + "]"
    return repr(value)
