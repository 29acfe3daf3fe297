from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import ApiModel, KubeObject, LabelSelector, ModelError, ObjectMeta, ResourceType
from reconciler.errors import ReconcilerError


class Part(ApiModel):
    name: str
    size: int | None = None


class WidgetSpec(ApiModel):
    first_part: Part | None = None
    parts: list[Part] | None = None
    by_zone: dict[str, Part] | None = None
    labels: dict[str, str] | None = None
    selector: Part = Part(name="x")


class Widget(KubeObject):
    resource = ResourceType("example.com", "v1", "Widget", "widgets")
    spec: WidgetSpec = WidgetSpec()


def widget() -> Widget:
    spec = WidgetSpec(
        first_part=Part(name="f"), parts=[Part(name="a"), Part(name="b")], by_zone={"z": Part(name="c")}, labels={}
    )
    return Widget(metadata=ObjectMeta(name="a", namespace="default"), spec=spec)


def _anything(value: object) -> Any:
    return value


def _set(path: str, value: object) -> Callable[[Widget], None]:
    def change(obj: Widget) -> None:
        exec(f"obj.{path} = value", {"obj": obj, "value": value})

    return change


@pytest.mark.parametrize(
    ("change", "field", "found"),
    [
        pytest.param(_set("spec.labels['pw']", b"hunter2"), "spec.labels.pw", "bytes", id="in a map"),
        pytest.param(_set("spec.labels", "hunter2"), "spec.labels", "str", id="a map"),
        pytest.param(_set("spec.first_part.size", "hunter2"), "spec.firstPart.size", "str", id="deep"),
        pytest.param(_set("spec.parts[1].name", 7), "spec.parts[1].name", "int", id="in a list"),
        pytest.param(_set("spec.parts[1]", {"name": "hunter2"}), "spec.parts[1]", "dict", id="a dictionary in a list"),
        pytest.param(_set("spec.by_zone['z'].size", "hunter2"), "spec.byZone.z.size", "str", id="deep in a map"),
        pytest.param(_set("spec", {"labels": {}}), "spec", "dict", id="a dictionary for a model"),
        pytest.param(_set("spec.selector", LabelSelector()), "spec.selector", "LabelSelector", id="another selector"),
        pytest.param(_set("metadata.labels", ["hunter2"]), "metadata.labels", "list", id="metadata"),
        pytest.param(_set("spec.unknown", {"a": object()}), "spec.unknown.a", "object", id="what has no JSON"),
    ],
)
def test_a_value_that_a_field_does_not_take_is_an_error_that_names_object_and_field_and_no_value(
    change: Callable[[Widget], None], field: str, found: str
) -> None:
    obj = widget()
    change(obj)
    with warnings.catch_warnings(record=True) as warned, pytest.raises(ModelError) as raised:
        obj.to_wire()
    assert str(raised.value) == (
        f"widgets.example.com default/a: {field} holds a value of type {found}, which this field does not take"
    )
    assert warned == []
    assert isinstance(raised.value, ReconcilerError)
    assert (raised.value.__cause__, raised.value.__suppress_context__) == (None, True)


@pytest.mark.parametrize("value", ["hunter2", {"name": "hunter2"}])
def test_metadata_that_is_none_is_named_too(value: object) -> None:
    obj = widget()
    obj.metadata = _anything(value)
    with pytest.raises(ModelError, match=r"^widgets\.example\.com: metadata holds a value of type"):
        obj.to_wire()


def test_a_piece_of_an_object_names_its_model() -> None:
    part = Part(name="a")
    part.size = _anything("hunter2")
    with pytest.raises(ModelError, match=r"^Part: size holds a value of type str, which this field does not take$"):
        part.to_wire()


def test_what_the_fields_take_is_written_without_a_word() -> None:
    obj = widget()
    obj.spec.first_part = None
    obj.spec.parts = []
    obj.spec.labels = {"a": "b"}
    obj.metadata.labels = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wire = obj.to_wire()
    assert wire["spec"] == {
        "parts": [],
        "byZone": {"z": {"name": "c"}},
        "labels": {"a": "b"},
        "selector": {"name": "x"},
    }


def test_the_name_on_the_wire_of_a_known_field_means_that_field() -> None:
    spec: Any = WidgetSpec()
    spec.byZone = {"z": Part(name="a")}
    assert spec.by_zone == spec.byZone == {"z": Part(name="a")}
    assert spec.model_extra == {}
    spec.notKnown = 1
    assert (spec.notKnown, spec.to_wire()["notKnown"]) == (1, 1)
    with pytest.raises(AttributeError, match="neverSet"):
        _ = spec.neverSet
    for other in (copy.copy(spec), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert (other, other.byZone, other.notKnown) == (spec, spec.by_zone, 1)
