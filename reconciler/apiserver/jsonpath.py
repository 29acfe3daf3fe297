"""
The part of JSONPath that printer columns use: fields, list positions and slices, `*`, and filters with one comparison.

Mirrors: client-go `util/jsonpath` with missing keys allowed.
Differs: recursive descent, unions and text around a path are refused when the path is read. Pure.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

__all__ = ["JsonPath", "JsonPathError", "read_path"]


class JsonPathError(ValueError):
    """A path does not parse, or cannot be followed in this object."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str

    def follow(self, values: Sequence[Any]) -> list[Any]:
        objects = (cast("Mapping[str, Any]", value) for value in values if isinstance(value, Mapping))
        return [held[self.name] for held in objects if self.name in held]


@dataclass(frozen=True, slots=True)
class _All:
    def follow(self, values: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if isinstance(value, Mapping):
                found.extend(cast("Mapping[str, Any]", value).values())
            elif isinstance(value, list):
                found.extend(cast("Sequence[Any]", value))
        return found


@dataclass(frozen=True, slots=True)
class _Slice:
    """List positions from `start` up to `stop`; None is the end that is not given."""

    start: int | None
    stop: int | None
    step: int

    def follow(self, values: Sequence[Any]) -> list[Any]:
        return [item for value in values if value is not None for item in self._items(value)]

    def _items(self, value: Any) -> Sequence[Any]:
        items = _as_list(value)
        start = (self.start or 0) + (len(items) if (self.start or 0) < 0 else 0)
        stop = len(items) if self.stop is None else self.stop + (len(items) if self.stop < 0 else 0)
        if start == stop:
            return []
        if not (0 <= start < len(items) and start <= stop <= len(items)):
            raise JsonPathError(f"[{self.start}:{self.stop}] is outside a list of {len(items)}")
        return items[start : stop : self.step]


@dataclass(frozen=True, slots=True)
class _Position:
    index: int

    def follow(self, values: Sequence[Any]) -> list[Any]:
        try:
            return [_as_list(value)[self.index] for value in values if value is not None]
        except IndexError as error:
            raise JsonPathError(f"[{self.index}] is outside the list") from error


@dataclass(frozen=True, slots=True)
class _Filter:
    """The items of a list that have something at `path` or, with a comparison, where that compares so."""

    path: JsonPath
    compares: Callable[[Any, Any], bool] | None
    literal: Any

    def follow(self, values: Sequence[Any]) -> list[Any]:
        return [item for value in values for item in _as_list(value) if self._holds(item)]

    def _holds(self, item: Any) -> bool:
        found = self.path.find(item)
        if self.compares is None or not found:
            return bool(found)
        if len(found) > 1:
            raise JsonPathError("can only compare one element at a time")
        if type(found[0]) is not type(self.literal):
            raise JsonPathError("incompatible types for comparison")
        return self.compares(found[0], self.literal)


_Step = _Field | _All | _Slice | _Position | _Filter


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A path that was read."""

    steps: tuple[_Step, ...]

    def find(self, value: Any) -> list[Any]:
        """
        Return what the path leads to; nothing where a field is missing.

        Raises:
            JsonPathError: A list stands where none is expected, or the other way round, or it is too short.
        """
        values = [value]
        for step in self.steps:
            values = step.follow(values)
        return values


def _as_list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise JsonPathError("not a list")
    return cast("Sequence[Any]", value)


_STEP = re.compile(
    r"""\.(?P<field>(?:\\.|[^\s.,\[\]$@{}\\])+)
    | \[\s*'(?P<key>[^']*)'\s*\]
    | (?P<all>\[\*\])
    | \[(?P<index>-?\d+)\]
    | \[(?P<start>-?\d*):(?P<stop>-?\d*)(?::(?P<step>\d*))?\]
    | \[\?\((?P<filter>(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"')])*)\)\]""",
    re.VERBOSE,
)
_COMPARISON = re.compile(r"\s*@(?P<path>[^!<>=]*?)\s*(?:(?P<operator>[!<>=]+)\s*(?P<literal>.+?)\s*)?", re.DOTALL)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_LITERAL = re.compile(r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<flag>true|false)|(?P<number>[+-]?[\d.]+)""")


def read_path(text: str) -> JsonPath:
    """
    Return the path that a text such as `.status.conditions[?(@.type=="Ready")].reason` describes.

    Raises:
        JsonPathError: It does not parse, or uses what this server does not know.
    """
    steps: list[_Step] = []
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            raise JsonPathError(f"not supported at {text[position:]!r}")
        steps.append(_step(found))
        position = found.end()
    return JsonPath(tuple(steps))


def _step(found: re.Match[str]) -> _Step:
    if (field := found["field"]) is not None:
        return _All() if field == "*" else _Field(field.replace("\\", ""))
    if (key := found["key"]) is not None:
        return _Field(key)
    if found["all"]:
        return _All()
    if (index := found["index"]) is not None:
        return _Position(int(index))
    if (comparison := found["filter"]) is not None:
        return _filter(comparison)
    start, stop, step = found["start"], found["stop"], found["step"]
    return _Slice(int(start) if start else None, int(stop) if stop else None, int(step) if step else 1)


def _filter(text: str) -> _Filter:
    found = _COMPARISON.fullmatch(text)
    if found is None or (found["operator"] or "==") not in _OPERATORS:
        raise JsonPathError(f"filter not supported: {text!r}")
    path = read_path(found["path"])
    if found["operator"] is None:
        return _Filter(path, None, None)
    return _Filter(path, _OPERATORS[found["operator"]], _literal(found["literal"]))


def _literal(text: str) -> Any:
    found = _LITERAL.fullmatch(text)
    if found is None:
        raise JsonPathError(f"not a literal: {text!r}")
    if found["text"] is not None:
        return re.sub(r"\\(.)", r"\1", found["text"][1:-1])
    if found["flag"]:
        return found["flag"] == "true"
    return float(text) if "." in text else int(text)
