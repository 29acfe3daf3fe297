"""
Objects in the form in which those that mean the same are the same. Pure.

Mirrors: apimachinery `equality.Semantic`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from reconciler.api.meta import ApiModel, KubeObject

__all__ = ["InOneForm", "in_one_form"]

ObjectT = TypeVar("ObjectT", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class InOneForm:
    """
    Says of a field that its values have several spellings: `Annotated[str, InOneForm(lower)]`.

    It may stand at the field, or at the elements of a list or map.

    Attributes:
        form: Returns the one spelling of a value; it must take anything, since a field may hold what it does not take.

    Mirrors: apimachinery `conversion.Equalities.AddFunc`.
    """

    form: Callable[[object], object]


class _Rule(NamedTuple):
    is_collection: bool
    form: Callable[[object], object] | None


def in_one_form(obj: ObjectT) -> ObjectT:
    """
    Return a copy of the object for comparing it with another one.

    Values with several spellings (`InOneForm`) have one. Where the kind drops empty lists and maps (`drops_empty`), one
    that a model declares is None instead; but `dict[str, Any]` is no map but an object without a model, in which `{}`
    may say something, as in `emptyDir: {}`.

    Mirrors: apimachinery `equality.Semantic.DeepEqual`, which takes empty slices and maps for nil ones.
    Differs: of custom kinds they are not the same, since a server keeps them apart.
    """
    copy = obj.model_copy(deep=True)
    for model in _models(copy):
        held = cast("dict[str, object]", model.__dict__)
        for name, rule in _rules(type(model)).items():
            value = held.get(name)
            if obj.drops_empty and rule.is_collection and value in ([], {}):
                held[name] = None
            elif rule.form is not None and value is not None:
                held[name] = _formed(value, rule.form)
    return copy


def _models(value: object) -> Iterator[ApiModel]:
    if isinstance(value, ApiModel):
        yield value
        for inner in list(value.__dict__.values()):
            yield from _models(inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _models(inner)
    elif isinstance(value, dict):
        for inner in cast("dict[str, object]", value).values():
            yield from _models(inner)


def _formed(value: object, form: Callable[[object], object]) -> object:
    if isinstance(value, dict):
        return {name: form(inner) for name, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [form(inner) for inner in cast("list[object]", value)]
    return form(value)


@cache
def _rules(kind: type[ApiModel]) -> Mapping[str, _Rule]:
    rules: dict[str, _Rule] = {}
    for name, field in kind.model_fields.items():
        rule = _Rule(_is_collection(field.annotation), _form_in((field.annotation, *field.metadata)))
        if any(rule):
            rules[name] = rule
    return MappingProxyType(rules)


def _is_collection(annotation: Any) -> bool:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in {Union, UnionType}:
        return any(map(_is_collection, inner))
    if origin is Annotated:
        return _is_collection(inner[0])
    return origin is list or (origin is dict and inner[1] is not Any)


def _form_in(annotations: tuple[Any, ...]) -> Callable[[object], object] | None:
    for each in annotations:
        if isinstance(each, InOneForm):
            return each.form
        if (found := _form_in(get_args(each))) is not None:
            return found
    return None
