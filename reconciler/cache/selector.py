"""Label and field selectors, read from kubectl's notation, as functions that say whether an object fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from reconciler.api import ObjectKey

__all__ = ["FieldTest", "LabelTest", "parse_field_selector", "parse_label_selector"]

LabelTest = Callable[[Mapping[str, str]], bool]
FieldTest = Callable[[ObjectKey], bool]

_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_VALUE = r"[-A-Za-z0-9_.]*"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_FIELD = re.compile(r"metadata\.(name|namespace)\s*(==|=|!=)\s*(\S*)")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^()]*\))")


def parse_label_selector(text: str) -> LabelTest:
    """
    Return the test for a selector such as `app=web,tier!=db,zone in (a,b),size notin (xl),!canary,owner`.

    An object without the label fits `!=` and `notin`, as on the API server. Empty text fits all.

    Raises:
        ValueError: It is no label selector.

    Mirrors: apimachinery `labels.Parse`.
    Differs: `<` and `>` are refused.
    """
    tests = [_label_test(part.strip()) for part in _parts(text)]
    return lambda labels: all(test(labels) for test in tests)


def parse_field_selector(text: str) -> FieldTest:
    """
    Return the test for a selector over `metadata.name` and `metadata.namespace`; empty text fits all.

    Raises:
        ValueError: It is none, or names another field: the cache has no index of that.
    """
    tests = [_field_test(part.strip()) for part in _parts(text)]
    return lambda key: all(test(key) for test in tests)


def _parts(text: str) -> list[str]:
    return _COMMA_OUTSIDE_PARENTHESES.split(text) if text.strip() else []


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
    if found := _EXISTS.fullmatch(part):
        name, is_present = found[2], not found[1]
        return lambda labels: (name in labels) is is_present
    raise ValueError(f"label selector: {part!r} is none of key=value, key!=value, key in (...), key, !key")


def _field_test(part: str) -> FieldTest:
    found = _FIELD.fullmatch(part)
    if found is None:
        raise ValueError(
            f"field selector {part!r}: the cache selects by metadata.name and metadata.namespace with = or != only"
        )
    field, is_equal, wanted = found[1], found[2] != "!=", found[3]
    return lambda key: ((key.name if field == "name" else key.namespace) == wanted) is is_equal
