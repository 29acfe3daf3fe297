"""
Rules in CEL over an object: which of them are asked, of what, and what is said where one does not hold.

Mirrors: apiextensions-apiserver `pkg/apiserver/schema/cel`.
Differs: besides what `cel` lists, a rule over an object may not name a field of format `date`, `date-time`, `duration`
or `byte` inside it (a rule at such a field, or at a list or map of them, may), since the binding takes no such values
inside an object; where whole objects are compared, these fields are compared as text. Lists of type `set` and `map`
are equal in any order, as they are there, since `oldSelf` is shown in the order of `self`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from reconciler.apiserver import cause, cel
from reconciler.apiserver.cause import OMITTED, FieldError, Verbatim
from reconciler.apiserver.cel_values import NESTED_AS_TEXT, declared_type, identifier, in_order_of, to_cel
from reconciler.apiserver.schemacheck import field_of_path
from reconciler.apiserver.structural import Node, Rule
from reconciler.apiserver.validation import NO_OLD, items_by_key, map_key
from reconciler.errors import SchemaError

__all__ = ["RuleBook"]

_MESSAGE_BYTES_MAX: Final = 5 * 1024
_Pair = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class _Bound:
    """A rule with its programs; `field` is what `fieldPath` adds to the path of its node."""

    rule: Rule
    program: cel.Program
    message: cel.Program | None
    field: str


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules of a node and of the nodes below it; parts without rules are left out."""

    _node: Node
    _rules: tuple[_Bound, ...]
    _fields: Mapping[str, RuleBook]
    _others: RuleBook | None
    _items: RuleBook | None

    @classmethod
    def bind(cls, node: Node, path: str, *, uncorrelated: str = "") -> RuleBook | None:
        """
        Return the rules of a schema, compiled, or None where it has none.

        Args:
            node: The schema; that of a whole object is marked as embedded.
            path: Where it stands; the start of `SchemaError.field`.
            uncorrelated: The path of the list above whose items have no old value; "" where there is none.

        Raises:
            SchemaError: A rule does not compile, or can never be asked.
        """
        where = f"{path}.x-kubernetes-validations"
        rules = tuple(
            _bind_rule(rule, node, f"{where}[{index}]", uncorrelated) for index, rule in enumerate(node.rules)
        )
        fields = {
            name: book
            for name, part in node.properties.items()
            if (book := cls.bind(part, f"{path}.properties[{name}]", uncorrelated=uncorrelated))
        }
        others = items = None
        if node.additional is not None:
            others = cls.bind(node.additional, f"{path}.additionalProperties", uncorrelated=uncorrelated)
        if node.items is not None:
            below = uncorrelated or ("" if node.list_type == "map" else path)
            items = cls.bind(node.items, f"{path}.items", uncorrelated=below)
        return cls(node, rules, fields, others, items) if rules or fields or others or items else None

    def find_errors(self, value: Any, old: Any = NO_OLD, *, path: str = "") -> list[FieldError]:
        """Return what the rules have against a value at `path`, where `old` is what it replaces, or `NO_OLD`."""
        pair = None if old is NO_OLD else (value, old)
        return list(self._ask(value, old, path, pair))

    def _ask(self, value: Any, old: Any, path: str, pair: _Pair | None) -> Iterator[FieldError]:
        # `pair` is the value and its old one here or, where none corresponds, at the nearest place above.
        if value is None:
            return
        for bound in self._rules:
            error = _ask_rule(bound, self._node, value, old, path, pair)
            if error is not None:
                yield error
        if isinstance(value, Mapping):
            yield from self._ask_fields(cast("Mapping[str, Any]", value), old, path, pair)
        elif isinstance(value, list) and self._items is not None:
            held = items_by_key(self._node, old)
            for index, item in enumerate(cast("Sequence[Any]", value)):
                old_item = held.get(map_key(self._node, item), NO_OLD) if held else NO_OLD
                below = pair if old_item is NO_OLD else (item, old_item)
                yield from self._items._ask(item, old_item, f"{path}[{index}]", below)

    def _ask_fields(self, fields: Mapping[str, Any], old: Any, path: str, pair: _Pair | None) -> Iterator[FieldError]:
        old_fields: Mapping[str, Any] = cast("Mapping[str, Any]", old) if isinstance(old, Mapping) else {}
        for name, value in fields.items():
            old_value = old_fields.get(name, NO_OLD)
            below = pair if old_value is NO_OLD else (value, old_value)
            if self._others is not None and name not in self._node.properties:
                yield from self._others._ask(value, old_value, f"{path}[{name}]", below)
            if (book := self._fields.get(name)) is not None:
                yield from book._ask(value, old_value, f"{path}.{name}" if path else name, below)


def _is_same(pair: _Pair | None) -> bool:
    return pair is not None and cause.canonical(pair[0]) == cause.canonical(pair[1])


def _bind_rule(rule: Rule, node: Node, path: str, uncorrelated: str) -> _Bound:
    declared = declared_type(node)
    shown = _shown(rule)
    _refuse_nested_times(rule, node, path)
    program = _compiled(rule.text, f"{path}.rule", declared, "bool", rule, shown)
    if program.uses_old_self and uncorrelated:
        detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        raise _schema_error(cause.invalid(f"{path}.rule", rule.text, detail))
    if rule.old_is_optional and not program.uses_old_self:
        detail = "may not be set if oldSelf is not used in rule"
        raise _schema_error(cause.invalid(f"{path}.optionalOldSelf", True, detail))
    message = None
    if rule.message_expression:
        where = f"{path}.messageExpression"
        message = _compiled(rule.message_expression, where, declared, "string", rule, shown)
    return _Bound(rule, program, message, (field_of_path(node, rule.field_path) or "") if rule.field_path else "")


def _shown(rule: Rule) -> Verbatim:
    """Return a rule as Go marshals its internal form."""
    fields = (
        ("Rule", rule.text),
        ("Message", rule.message),
        ("MessageExpression", rule.message_expression),
        ("Reason", rule.reason or None),
        ("FieldPath", rule.field_path),
        ("OptionalOldSelf", rule.old_is_optional or None),
    )
    return Verbatim("{" + ",".join(f'"{name}":{cause.go_json(value)}' for name, value in fields) + "}")


def _compiled(text: str, path: str, declared: str, returns: cel.Returns, rule: Rule, shown: Verbatim) -> cel.Program:
    try:
        return cel.compile_expression(
            text.strip(), declared=declared, returns=returns, old_is_optional=rule.old_is_optional
        )
    except cel.ExpressionError as error:
        words = str(error)
        if returns == "string":
            words = words.replace("cel expression", "messageExpression").replace("compil", "messageExpression compil")
        raise _schema_error(cause.invalid(path, shown, words)) from error


def _schema_error(found: FieldError) -> SchemaError:
    return SchemaError(found.field, found.message, found.reason)


def _refuse_nested_times(rule: Rule, node: Node, path: str) -> None:
    for name, form in _nested_times(node, "", inside_object=False):
        if re.search(rf"(?<![\w'\"]){re.escape(name)}\b", f"{rule.text}\n{rule.message_expression}"):
            detail = f"rules that name the field {name} of format {form} inside an object are not supported"
            raise _schema_error(cause.invalid(f"{path}.rule", rule.text, detail))


def _nested_times(node: Node, name: str, *, inside_object: bool) -> Iterator[tuple[str, str]]:
    if inside_object and node.type == "string" and node.format in NESTED_AS_TEXT:
        yield name, node.format
    for field, part in node.properties.items():
        yield from _nested_times(part, identifier(field) or field, inside_object=True)
    for below in (node.additional, node.items):
        if below is not None:
            yield from _nested_times(below, name, inside_object=inside_object)


def _ask_rule(bound: _Bound, node: Node, value: Any, old: Any, path: str, pair: _Pair | None) -> FieldError | None:
    has_old = old is not NO_OLD and old is not None
    if bound.program.uses_old_self and not (has_old or bound.program.old_is_optional):
        return None  # a rule about a change, and nothing changed
    self_value = to_cel(node, value)
    old_value = to_cel(node, in_order_of(node, value, old)) if has_old else cel.NOTHING
    said = (bound.rule.message or bound.rule.text).strip()
    try:
        if bound.program.evaluate(self_value, old_value) is True:
            return None
    except cel.ExpressionError as error:
        words = f"{error} evaluating rule: {said}"
        if str(error) == "no such overload":
            words = (
                "'no such overload': call arguments did not match a supported operator, "
                f"function or macro signature for rule: {said}"
            )
        return cause.invalid(path, node.type, words)
    if not bound.program.uses_old_self and _is_same(pair):
        return None  # ratcheting: what was wrong may stay as it is
    field = ".".join(part for part in (path, bound.field) if part)
    shown = OMITTED if node.type in {"object", "array"} else value
    detail = _message(bound, self_value, old_value) or (said if bound.rule.message else f"failed rule: {said}")
    return _for_reason(bound.rule.reason, field, shown, detail)


def _message(bound: _Bound, self_value: Any, old_value: Any) -> str:
    """Return what the message expression comes to, or "" where that is no message."""
    if bound.message is None:
        return ""
    try:
        found = bound.message.evaluate(self_value, old_value)
    except cel.ExpressionError:
        return ""
    text = found.strip() if isinstance(found, str) else ""
    return "" if "\n" in text or len(text.encode()) > _MESSAGE_BYTES_MAX else text


def _for_reason(reason: str, field: str, shown: Any, detail: str) -> FieldError:
    if reason == "FieldValueForbidden":
        return cause.forbidden(field, detail)
    if reason == "FieldValueRequired":
        return cause.required(field, detail)
    if reason == "FieldValueDuplicate":
        return cause.duplicate(field, shown)
    return cause.invalid(field, shown, detail)
