"""Label selectors as functions, field selectors as requirements, both read from kubectl's notation. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["FieldRequirement", "LabelTest", "parse_field_selector", "parse_label_selector"]

LabelTest = Callable[[Mapping[str, str]], bool]


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """The field has this value, or (where `is_equal` is False) another one or none."""

    field: str
    is_equal: bool
    value: str


_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_VALUE = r"[-A-Za-z0-9_.]*"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_COMPARED = re.compile(rf"({_KEY})\s*([<>])\s*(-?[0-9]+)")
_DIGITS_MAX = 63  # no label is longer; Python turns no number of thousands of digits into one
_NUMBER = re.compile(r"[-+]?[0-9]+")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
# A backslash takes the meaning from a comma, an equal sign and itself.
_FIELD = re.compile(r"([^\s=!\\]+)\s*(==|=|!=)\s*((?:\\[\\,=]|[^\\=\s])*)")
# Both end at the first try, whatever the text: nothing is looked at twice over.
_FIELDS = re.compile(r"((?:\\.|[^,])*)(?:,|$)")
_LABELS = re.compile(r"((?:\([^()]*\)|[^,])*)(?:,|$)")
_ESCAPED = re.compile(r"\\(.)")


def parse_label_selector(text: str) -> LabelTest:
    """
    Return the test for a selector such as `app=web,tier!=db,zone in (a,b),size notin (xl),!canary,owner`.

    An object without the label fits `!=` and `notin`, as on the API server; one whose label is no number fits neither
    `size>3` nor `size<3`. Empty text fits all.

    Raises:
        ValueError: It is no label selector.

    Mirrors: apimachinery `labels.Parse`.
    """
    tests = [_label_test(part) for part in _parts(text, _LABELS)]
    return lambda labels: all(test(labels) for test in tests)


def parse_field_selector(text: str) -> tuple[FieldRequirement, ...]:
    """
    Return what a selector such as `metadata.name=a,spec.owner!=b` requires; empty text requires nothing.

    Raises:
        ValueError: It is no field selector.

    Mirrors: apimachinery `fields.ParseSelector`.
    """
    return tuple(_requirement(part) for part in _parts(text, _FIELDS))


def _parts(text: str, pattern: re.Pattern[str]) -> list[str]:
    if not text.strip():
        return []
    parts = [found[1].strip() for found in pattern.finditer(text)]
    if not text.endswith(","):
        parts.pop()  # the empty match at the very end
    return parts


def _label_test(part: str) -> LabelTest:
    if found := _SET.fullmatch(part):
        name, values = found[1], frozenset(value.strip() for value in found[3].split(","))
        if found[2] == "in":
            return lambda labels: labels.get(name) in values
        return lambda labels: labels.get(name) not in values
    if found := _EQUAL.fullmatch(part):
        name, wanted = found[1], found[3]
        if found[2] == "!=":
            return lambda labels: labels.get(name) != wanted
        return lambda labels: labels.get(name) == wanted
    if found := _COMPARED.fullmatch(part):
        return _compared(found[1], int(found[3]), is_greater=found[2] == ">")
    if found := _EXISTS.fullmatch(part):
        name, is_present = found[2], not found[1]
        return lambda labels: (name in labels) is is_present
    raise ValueError(f"label selector: {part!r} is none of key=value, key!=value, key in (...), key, !key, key>1")


def _compared(name: str, limit: int, *, is_greater: bool) -> LabelTest:
    def test(labels: Mapping[str, str]) -> bool:
        value = labels.get(name, "")
        if len(value) > _DIGITS_MAX or not _NUMBER.fullmatch(value):
            return False
        return int(value) > limit if is_greater else int(value) < limit

    return test


def _requirement(part: str) -> FieldRequirement:
    found = _FIELD.fullmatch(part)
    if found is None:
        raise ValueError(f"field selector: {part!r} is neither field=value nor field!=value")
    return FieldRequirement(found[1], found[2] != "!=", _ESCAPED.sub(r"\1", found[3]))
