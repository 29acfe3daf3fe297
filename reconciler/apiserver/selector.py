"""Label and field selectors: read from the query, matched against objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.failure import bad_request

__all__ = ["FieldSelector", "LabelSelector", "parse_fields", "parse_labels"]


@dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return _OPERATORS[self.operator](labels.get(self.key), self.values)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[+-]?\d+", text) else None


def _compared(text: str | None, values: frozenset[str], is_more: bool) -> bool:
    number, bound = _number(text), _number(next(iter(values)))
    if number is None or bound is None:
        return False
    return number > bound if is_more else number < bound


# What each operator says about a label's value, None where the label is absent. As in Kubernetes,
# `!=` and `notin` also hold for objects without the label.
_OPERATORS: Mapping[str, Callable[[str | None, frozenset[str]], bool]] = {
    "exists": lambda value, values: value is not None,
    "!": lambda value, values: value is None,
    "=": lambda value, values: value in values,
    "==": lambda value, values: value in values,
    "in": lambda value, values: value in values,
    "!=": lambda value, values: value not in values,
    "notin": lambda value, values: value not in values,
    "gt": lambda value, values: _compared(value, values, True),
    "lt": lambda value, values: _compared(value, values, False),
}


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Requirements that must all hold; none at all matches everything."""

    requirements: tuple[_Requirement, ...] = ()

    def matches(self, obj: JsonObject) -> bool:
        """Return whether the labels of `obj` satisfy every requirement."""
        if not self.requirements:
            return True
        labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)


_TOKEN = re.compile(r"\s*(?:(?P<symbol>==|!=|[=!,()<>])|(?P<word>[^\s=!,()<>]+))")


class _Tokens:
    """The words of a label selector, with one word of look-ahead."""

    def __init__(self, text: str) -> None:
        self._words = [match.group("symbol") or match.group("word") for match in _TOKEN.finditer(text.rstrip())]
        self._at = 0

    def peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def next(self) -> str:
        word = self.peek()
        self._at += 1
        return word

    def word(self) -> str:
        """Return the next word if it is a name or value, "" if a sign stands there (then nothing is taken)."""
        return "" if not self.peek() or self.peek() in _SIGNS else self.next()


_SIGNS = frozenset({"==", "!=", "=", "!", ",", "(", ")", "<", ">"})


def parse_labels(text: str) -> LabelSelector:
    """
    Read a label selector: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, `a>1`, `a<1`, with commas.

    Raises:
        StatusError: 400, in the real server's words.
    """
    if not text.strip():
        return LabelSelector()
    tokens = _Tokens(text)
    requirements = [_requirement(tokens)]
    while tokens.peek() == ",":
        tokens.next()
        requirements.append(_requirement(tokens))
    if tokens.peek():
        raise bad_request(f"found '{tokens.peek()}', expected: ',' or 'end of string'")
    return LabelSelector(tuple(requirements))


def _requirement(tokens: _Tokens) -> _Requirement:
    if tokens.peek() == "!":
        tokens.next()
        return _Requirement(_key(tokens), "!")
    key = _key(tokens)
    operator = tokens.peek()
    if operator in ("", ","):
        return _Requirement(key, "exists")
    if operator in ("in", "notin"):
        tokens.next()
        return _Requirement(key, operator, frozenset(_value_list(tokens)))
    named = {"=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt"}.get(operator)
    if named is None:
        raise bad_request(f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
    tokens.next()
    return _Requirement(key, named, frozenset({tokens.word()}))


def _key(tokens: _Tokens) -> str:
    if key := tokens.word():
        return key
    raise bad_request(
        f"unable to parse requirement: found '{tokens.peek()}', expected: !, identifier, or 'end of string'"
    )


def _value_list(tokens: _Tokens) -> Sequence[str]:
    if tokens.peek() != "(":
        raise bad_request(f"unable to parse requirement: found '{tokens.peek()}', expected: '('")
    tokens.next()
    values: list[str] = []
    while True:
        values.append(tokens.word())
        sign = tokens.next()
        if sign == ")":
            return values
        if sign != ",":
            raise bad_request(f"unable to parse requirement: found '{sign}', expected: ',', ')' or identifier")


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Exact comparisons of fields: (path, value, whether they must be equal)."""

    terms: tuple[tuple[str, str, bool], ...] = ()

    def matches(self, obj: JsonObject) -> bool:
        """Return whether every comparison holds; an absent field counts as ""."""
        return all((_value_at(obj, path) == value) is equal for path, value, equal in self.terms)

    def __bool__(self) -> bool:
        return bool(self.terms)


def parse_fields(text: str, supported: Mapping[str, str]) -> FieldSelector:
    """
    Read a field selector such as `metadata.name=a,spec.type!=b`.

    Args:
        text: As the query has it; a backslash escapes a comma, an equals sign or a backslash.
        supported: The labels that may be selected by, with the path each stands for.

    Raises:
        StatusError: 400: not understood, or a field that cannot be selected by.
    """
    terms: list[tuple[str, str, bool]] = []
    for term in filter(None, re.split(r"(?<!\\),", text)):
        match = re.fullmatch(r"(?P<label>[^!=]+)(?P<sign>==|!=|=)(?P<value>.*)", term, re.DOTALL)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        label = match["label"]
        if label not in supported:
            raise bad_request(f"field label not supported: {label}")
        value = re.sub(r"\\([\\,=])", r"\1", match["value"])
        terms.append((supported[label], value, match["sign"] != "!="))
    return FieldSelector(tuple(terms))


def _value_at(obj: JsonObject, path: str) -> str:
    value: object = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # JSON below the root has no types
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)  # pyright: ignore[reportUnknownArgumentType]  # as above
