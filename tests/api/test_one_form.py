from __future__ import annotations

from typing import Annotated, Any

import pytest

from reconciler.api import ApiModel, InOneForm, KubeObject, ObjectMeta, ResourceType, in_one_form


def lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Lower = Annotated[str, InOneForm(lower)]


class Part(ApiModel):
    args: list[str] | None = None
    any_dict: dict[str, Any] | None = None
    word: Annotated[str, InOneForm(lower)] | None = None
    words: list[Lower] | None = None
    by_name: dict[str, Lower] | None = None


class Widget(KubeObject):
    resource = ResourceType("example.com", "v1", "Widget", "widgets")
    part: Part = Part()
    parts: list[Part] | None = None
    zones: dict[str, Part] | None = None


class BuiltIn(Widget):
    drops_empty = True


EMPTY: dict[str, Any] = {"args": [], "words": [], "byName": {}, "anyDict": {}, "unknown": [], "more": {}}


def test_of_a_kind_whose_server_drops_them_declared_lists_and_maps_are_absent_where_they_are_empty() -> None:
    obj = BuiltIn.model_validate({"part": EMPTY, "parts": [EMPTY, {}], "zones": {"z": EMPTY}})
    # `{}` says something where no model knows what it is, as in emptyDir: {}.
    kept = {"anyDict": {}, "unknown": [], "more": {}}
    wire = in_one_form(obj).to_wire()
    assert (wire["part"], wire["parts"], wire["zones"]) == (kept, [kept, {}], {"z": kept})
    assert obj.to_wire()["part"] == EMPTY
    assert "parts" not in in_one_form(BuiltIn(parts=[], zones={}, metadata=ObjectMeta(labels={}))).to_wire()


def test_of_a_custom_kind_they_are_kept_since_its_server_keeps_them() -> None:
    obj = Widget.model_validate({"part": EMPTY, "parts": []})
    assert in_one_form(obj).to_wire() == obj.to_wire()


@pytest.mark.parametrize("kind", [Widget, BuiltIn])
def test_values_with_several_spellings_have_one_wherever_the_mark_stands(kind: type[Widget]) -> None:
    part = {"word": "Ab", "words": ["A", "B"], "byName": {"X": "Y"}, "args": ["Z"], "anyDict": {"a": "B"}}
    obj = kind.model_validate({"parts": [part]})
    assert in_one_form(obj).to_wire()["parts"] == [
        {"word": "ab", "words": ["a", "b"], "byName": {"X": "y"}, "args": ["Z"], "anyDict": {"a": "B"}}
    ]
    assert obj.to_wire()["parts"] == [part]
