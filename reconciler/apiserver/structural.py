"""
What a schema is inside the server: a tree of nodes, read from JSON keyword by keyword.

Mirrors: apiextensions-apiserver `pkg/apiserver/schema.NewStructural`.
Differs: an unknown keyword is a mistake, where a kube-apiserver drops it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, cast

from reconciler.apiserver import cause
from reconciler.errors import SchemaError

__all__ = ["ABSENT", "LIMITS", "META_FIELDS", "Node", "Rule", "read_schema"]

ABSENT: Final = object()
"""The default of a node that has none; null is a default too."""

META_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})

_NO_NODES: Mapping[str, Node] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`."""

    text: str
    message: str = ""
    message_expression: str = ""
    field_path: str = ""
    reason: str = ""
    old_is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """
    One place in a schema, with what may stand there.

    The same class serves below `allOf`, `anyOf`, `oneOf` and `not`, where only value validations occur.

    Attributes:
        type: "" where any type may stand.
        default: `ABSENT` where there is none.
        additional: The schema of all other fields; None where they are unknown or of any form.
        has_additional: Whether `additionalProperties` is given at all.
        limits: Numbers by keyword: `minLength`, `maxItems`, `multipleOf` and the like.
        never: The schema below `not`.
    """

    type: str = ""
    format: str = ""
    nullable: bool = False
    default: Any = ABSENT
    properties: Mapping[str, Node] = field(default_factory=lambda: _NO_NODES)
    additional: Node | None = None
    has_additional: bool = False
    allows_additional: bool = True
    items: Node | None = None
    required: tuple[str, ...] = ()
    enum: tuple[Any, ...] = ()
    pattern: str = ""
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    all_of: tuple[Node, ...] = ()
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    never: Node | None = None
    int_or_string: bool = False
    preserve: bool = False
    embedded: bool = False
    unique_items: bool = False
    title: str = ""
    description: str = ""
    map_type: str = ""
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        """The JSON types that may stand here; empty for any."""
        if self.int_or_string:
            return ("integer", "string")
        return (self.type,) if self.type else ()

    def child(self, name: str) -> Node | None:
        """Return the node of a field, be it named or one of the others."""
        return self.properties.get(name) or self.additional

    def parts(self) -> Iterator[Node]:
        """Yield the nodes right below, without those of `allOf` and its like."""
        yield from self.properties.values()
        if self.additional is not None:
            yield self.additional
        if self.items is not None:
            yield self.items


def read_schema(schema: Mapping[str, Any], path: str) -> Node:
    """
    Return the tree of a schema, keyword by keyword; whether it is structural is `schemacheck`'s question.

    Args:
        schema: As it stands in a CustomResourceDefinition.
        path: Where it stands there; the start of `SchemaError.field`.

    Raises:
        SchemaError: A keyword is not known or not supported, or its value has the wrong JSON type.
    """
    for keyword, value in schema.items():
        _check_keyword(keyword, value, path)
    fields: dict[str, Any] = {name: schema[keyword] for keyword, name in _PLAIN.items() if keyword in schema}
    fields |= {name: tuple(schema[keyword]) for keyword, name in _LISTS.items() if keyword in schema}
    fields |= {name: _read_all(schema, keyword, path) for keyword, name in _JUNCTORS.items() if keyword in schema}
    fields |= {
        name: read_schema(schema[keyword], f"{path}.{keyword}")
        for keyword, name in _PARTS.items()
        if isinstance(schema.get(keyword), Mapping)
    }
    properties = _parts(schema.get("properties", {}), f"{path}.properties")
    rules = _parts(_numbered(schema, "x-kubernetes-validations"), f"{path}.x-kubernetes-validations")
    return Node(
        **fields,
        properties=MappingProxyType({name: read_schema(part, where) for name, part, where in properties}),
        has_additional="additionalProperties" in schema,
        allows_additional=schema.get("additionalProperties") is not False,
        limits=MappingProxyType({keyword: schema[keyword] for keyword in LIMITS if keyword in schema}),
        rules=tuple(_read_rule(part, where) for _, part, where in rules),
    )


_NUMBER = (int, float)
LIMITS: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType({
    "maximum": _NUMBER, "minimum": _NUMBER, "multipleOf": _NUMBER,
    "maxLength": (int,), "minLength": (int,), "maxItems": (int,), "minItems": (int,),
    "maxProperties": (int,), "minProperties": (int,),
})  # fmt: skip
_PLAIN = MappingProxyType({
    "type": "type", "format": "format", "nullable": "nullable", "default": "default", "pattern": "pattern",
    "title": "title", "description": "description",
    "uniqueItems": "unique_items", "exclusiveMinimum": "exclusive_minimum", "exclusiveMaximum": "exclusive_maximum",
    "x-kubernetes-int-or-string": "int_or_string", "x-kubernetes-preserve-unknown-fields": "preserve",
    "x-kubernetes-embedded-resource": "embedded", "x-kubernetes-list-type": "list_type",
    "x-kubernetes-map-type": "map_type",
})  # fmt: skip
_LISTS = MappingProxyType({
    "required": "required", "enum": "enum", "x-kubernetes-list-map-keys": "list_map_keys",
})  # fmt: skip
_PARTS = MappingProxyType({"additionalProperties": "additional", "items": "items", "not": "never"})
_JUNCTORS = MappingProxyType({"allOf": "all_of", "anyOf": "any_of", "oneOf": "one_of"})
_KEYWORDS: Mapping[str, tuple[type, ...]] = MappingProxyType({
    **LIMITS,
    **dict.fromkeys(("type", "format", "pattern", "title", "description"), (str,)),
    **dict.fromkeys(("x-kubernetes-list-type", "x-kubernetes-map-type"), (str,)),
    **dict.fromkeys(("nullable", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum"), (bool,)),
    **dict.fromkeys(("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"), (bool,)),
    **dict.fromkeys(("x-kubernetes-embedded-resource",), (bool,)),
    **dict.fromkeys(("enum", "required", "allOf", "anyOf", "oneOf"), (list,)),
    **dict.fromkeys(("x-kubernetes-list-map-keys", "x-kubernetes-validations"), (list,)),
    **dict.fromkeys(("properties", "items", "not", "externalDocs"), (dict,)),
    **dict.fromkeys(("default", "example"), (object,)),
    "additionalProperties": (dict, bool),
})  # fmt: skip
_REFUSED = frozenset({"$ref", "id", "patternProperties", "dependencies", "additionalItems", "definitions", "$schema"})
_RULE_KEYWORDS = MappingProxyType({
    "rule": "text", "message": "message", "messageExpression": "message_expression", "fieldPath": "field_path",
    "reason": "reason", "optionalOldSelf": "old_is_optional",
})  # fmt: skip


def _check_keyword(keyword: str, value: Any, path: str) -> None:
    where = f"{path}.{keyword}"
    if keyword in _REFUSED:
        raise SchemaError(where, f"Forbidden: {keyword} is not supported", "FieldValueForbidden")
    if keyword not in _KEYWORDS:
        raise SchemaError(where, f'unknown field "{where}"')
    if keyword == "x-kubernetes-preserve-unknown-fields" and value is False:
        raise SchemaError(where, "Invalid value: false: must be true or undefined")
    wanted = _KEYWORDS[keyword]
    # A bool is an int to Python.
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted and object not in wanted):
        if keyword == "items" and isinstance(value, list):
            raise SchemaError(where, "Forbidden: items must be a schema object and not an array", "FieldValueForbidden")
        names = " or ".join(_JSON_NAMES[kind] for kind in wanted)
        raise SchemaError(where, f"must be {names}, not {cause.canonical(value).decode()}", "FieldValueTypeInvalid")


_JSON_NAMES = MappingProxyType({
    str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "an array", dict: "an object",
})  # fmt: skip


def _parts(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    for name, part in value.items():
        if not isinstance(part, Mapping):
            raise SchemaError(f"{path}[{name}]", "must be an object", "FieldValueTypeInvalid")
        yield name, cast("Mapping[str, Any]", part), f"{path}[{name}]"


def _numbered(schema: Mapping[str, Any], keyword: str) -> dict[str, Any]:
    return {str(index): part for index, part in enumerate(schema.get(keyword, ()))}


def _read_all(schema: Mapping[str, Any], keyword: str, path: str) -> tuple[Node, ...]:
    parts = _parts(_numbered(schema, keyword), f"{path}.{keyword}")
    return tuple(read_schema(part, where) for _, part, where in parts)


def _read_rule(rule: Mapping[str, Any], path: str) -> Rule:
    unknown = sorted(rule.keys() - _RULE_KEYWORDS.keys())
    if unknown:
        raise SchemaError(f"{path}.{unknown[0]}", f'unknown field "{path}.{unknown[0]}"')
    return Rule(**{name: rule[keyword] for keyword, name in _RULE_KEYWORDS.items() if keyword in rule})
