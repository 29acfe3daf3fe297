"""
What a schema must keep to be structural: a table of checks, each asked at every node.

Mirrors: apiextensions-apiserver `pkg/apiserver/schema.ValidateStructural` and the schema part of
`pkg/apis/apiextensions/validation`.
Differs: the first mistake is raised, instead of all of them being collected; what is wrong with a pattern is said in
RE2's words, not in those of Go's regexp; which keywords may stand at the root beside a status subresource, and how
costly rules are, is not asked. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from reconciler.apiserver import cause, cel
from reconciler.apiserver.cause import FieldError
from reconciler.apiserver.structural import ABSENT, META_FIELDS, Node, Rule
from reconciler.errors import SchemaError

__all__ = ["check_schema", "field_of_path"]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"


def check_schema(node: Node, path: str) -> None:
    """
    Accept a schema of whole objects, or say what is wrong with it.

    Raises:
        SchemaError: With the words that a kube-apiserver has for it, where it refuses the same.
    """
    for found in _walk(node, path, _ROOT):
        raise SchemaError(found.field, found.message, found.reason)


def _walk(node: Node, path: str, level: str) -> Iterator[FieldError]:
    for check in _CHECKS:
        yield from check(node, path, level)
    for where, branch in _branches(node, path):
        # That a branch speaks of what is there is asked at the root only, as by a kube-apiserver.
        yield from _check_branch(branch, where)
        if level == _ROOT:
            yield from _check_completeness(branch, node, where, path)
    for name, part in node.properties.items():
        if name == "metadata" and level == _ROOT:
            yield from _check_metadata(part, f"{path}.properties[metadata]")
        else:
            yield from _walk(part, f"{path}.properties[{name}]", _FIELD)
    if node.additional is not None:
        yield from _walk(node.additional, f"{path}.additionalProperties", _FIELD)
    if node.items is not None:
        yield from _walk(node.items, f"{path}.items", _ITEM)


def _branches(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Yield the value validations below a node, each with its path."""
    is_choice = node.int_or_string and _is_int_or_string_choice(node.any_of)
    for index, branch in enumerate(() if is_choice else node.any_of):
        yield f"{path}.anyOf[{index}]", branch
    for index, branch in enumerate(node.all_of):
        # The second form of the int-or-string pattern.
        is_first_choice = node.int_or_string and index == 0 and _is_int_or_string_choice(branch.any_of)
        yield f"{path}.allOf[{index}]", replace(branch, any_of=()) if is_first_choice else branch
    for index, branch in enumerate(node.one_of):
        yield f"{path}.oneOf[{index}]", branch
    if node.never is not None:
        yield f"{path}.not", node.never


def _is_int_or_string_choice(branches: Sequence[Node]) -> bool:
    return tuple(branches) == (Node(type="integer"), Node(type="string"))


def _check_branch(branch: Node, path: str) -> Iterator[FieldError]:
    """Yield where a value validation says what only the spine of a schema may say."""
    for keyword, attribute, detail in _SPINE_ONLY:
        if getattr(branch, attribute) != getattr(_PLAIN, attribute):
            yield cause.forbidden(f"{path}.{keyword}", detail)
    yield from _check_pattern(branch, path, "")
    if branch.has_additional and branch.allows_additional:
        yield cause.forbidden(f"{path}.additionalProperties", "must be undefined to be structural")
    if "metadata" in branch.properties:
        yield cause.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
    for where, nested in _branches(branch, path):
        yield from _check_branch(nested, where)
    for name, part in branch.properties.items():
        yield from _check_branch(part, f"{path}.properties[{name}]")
    if branch.items is not None:
        yield from _check_branch(branch.items, f"{path}.items")


def _check_completeness(branch: Node, spine: Node | None, path: str, spine_path: str) -> Iterator[FieldError]:
    """Yield where a value validation speaks of a part that the spine does not have."""
    if spine is None:
        yield cause.required(spine_path, f"because it is defined in {path}")
        return
    for where, nested in _branches(branch, path):
        yield from _check_completeness(nested, spine, where, spine_path)
    for name, part in branch.properties.items():
        step = f"properties[{name}]"
        below = spine.properties.get(name)
        yield from _check_completeness(part, below, f"{path}.{step}", f"{spine_path}.{step}")
    if branch.items is not None:
        yield from _check_completeness(branch.items, spine.items, f"{path}.items", f"{spine_path}.items")


_PLAIN: Final = Node()
_SPINE_ONLY = (
    ("type", "type", "must be empty to be structural"),
    ("default", "default", "must be undefined to be structural"),
    ("title", "title", "must be empty to be structural"),
    ("description", "description", "must be empty to be structural"),
    ("nullable", "nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "preserve", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "embedded", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "int_or_string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "list_map_keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "list_type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "map_type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "rules", "must be empty to be structural"),
)


def _check_type(node: Node, path: str, level: str) -> Iterator[FieldError]:
    where = f"{path}.type"
    if node.type == "null":
        yield cause.forbidden(where, "type cannot be set to null, use nullable as an alternative")
    if node.type and node.type not in _TYPES:
        yield cause.not_supported(where, node.type, _TYPES)
    if node.embedded and node.type != "object":
        yield _required_or_invalid(where, node.type, "must be object if x-kubernetes-embedded-resource is true")
    elif not (node.type or node.int_or_string or node.preserve):
        yield cause.required(where, f"must not be empty {level}")
    if level == _ROOT and node.type != "object":
        yield cause.invalid(where, node.type, "must be object at the root")
    if level == _ROOT and node.nullable:
        yield cause.forbidden(f"{path}.nullable", "nullable cannot be true at the root")


def _required_or_invalid(field: str, value: str, detail: str) -> FieldError:
    return cause.invalid(field, value, detail) if value else cause.required(field, detail)


def _check_object(node: Node, path: str, level: str) -> Iterator[FieldError]:
    where = f"{path}.additionalProperties"
    if node.has_additional and level == _ROOT:
        yield cause.forbidden(where, "must not be used at the root")
    if node.has_additional and node.embedded:
        yield cause.forbidden(where, "must not be used if x-kubernetes-embedded-resource is set")
    if node.properties and (node.additional is not None or not node.allows_additional):
        yield cause.forbidden(where, "additionalProperties and properties are mutual exclusive")
    if node.map_type:
        yield from _check_topology(node.type, "object", node.map_type, path, "map-type", ("atomic", "granular"))
    if node.embedded and not (node.preserve or node.properties):
        detail = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        yield cause.required(f"{path}.properties", detail)
    for name in ("kind", "apiVersion") if level == _ROOT or node.embedded else ():
        part = node.properties.get(name)
        if part is not None and part.type != "string":
            yield cause.invalid(f"{path}.properties[{name}].type", part.type, "must be string")


def _check_topology(
    found: str, wanted: str, value: str, path: str, keyword: str, supported: Sequence[str]
) -> Iterator[FieldError]:
    if found != wanted:
        detail = f"must be {wanted} if x-kubernetes-{keyword} is specified"
        yield _required_or_invalid(f"{path}.type", found, detail)
    if value not in supported:
        yield cause.not_supported(f"{path}.x-kubernetes-{keyword}", value, supported)


def _check_metadata(node: Node, path: str) -> Iterator[FieldError]:
    if node.type != "object":
        yield cause.invalid(f"{path}.type", node.type, "must be object")
    if node.default is not ABSENT:
        yield cause.forbidden(f"{path}.default", "must not be set in top-level metadata")
    named = node.properties.keys() <= {"name", "generateName"}
    rest = replace(node, type="", properties={} if named else node.properties, default=ABSENT)
    if replace(rest, properties=dict(rest.properties), limits={}) != Node(properties={}, limits={}):
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield cause.forbidden(path, detail)


def _check_default(node: Node, path: str, level: str) -> Iterator[FieldError]:
    if level != _ROOT:
        return
    for name in META_FIELDS & node.properties.keys():
        if name != "metadata" and node.properties[name].default is not ABSENT:
            yield cause.forbidden(f"{path}.properties[{name}].default", f"must not be set in top-level {name}")


def _check_extensions(node: Node, path: str, level: str) -> Iterator[FieldError]:
    del level
    if node.int_or_string and node.preserve:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield cause.invalid(where, True, "must be false if x-kubernetes-int-or-string is true")
    if node.int_or_string and node.embedded:
        where = f"{path}.x-kubernetes-embedded-resource"
        yield cause.invalid(where, True, "must be false if x-kubernetes-int-or-string is true")


def _check_array(node: Node, path: str, level: str) -> Iterator[FieldError]:
    del level
    if node.type == "array" and node.items is None:
        yield cause.required(f"{path}.items", "must be specified")
    if node.unique_items:
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield cause.forbidden(f"{path}.uniqueItems", detail)
    if node.list_type:
        yield from _check_topology(node.type, "array", node.list_type, path, "list-type", ("atomic", "set", "map"))
    if node.list_map_keys and node.list_type != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield _required_or_invalid(f"{path}.x-kubernetes-list-type", node.list_type, detail)
    items = node.items
    if items is None or node.list_type not in {"set", "map"}:
        return
    if items.nullable:
        yield cause.forbidden(
            f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {node.list_type}"
        )
    yield from _check_set(items, f"{path}.items") if node.list_type == "set" else _check_map(node, items, path)


def _check_set(items: Node, path: str) -> Iterator[FieldError]:
    detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.type == "array" and items.list_type not in {"", "atomic"}:
        yield cause.invalid(f"{path}.x-kubernetes-list-type", items.list_type, detail)
    if items.type == "object" and items.map_type != "atomic":
        yield cause.invalid(f"{path}.x-kubernetes-map-type", items.list_type or None, detail)


def _check_map(node: Node, items: Node, path: str) -> Iterator[FieldError]:
    where = f"{path}.x-kubernetes-list-map-keys"
    keys = list(node.list_map_keys)
    if not keys:
        yield cause.required(where, "must not be empty if x-kubernetes-list-type is map")
    if items.type != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        yield cause.invalid(f"{path}.items.type", items.type, detail)
    if len(set(keys)) != len(keys):
        yield cause.invalid(where, keys, "must not contain duplicate entries")
    for key in keys:
        part = items.properties.get(key)
        at = f"{path}.items.properties[{key}]"
        if part is None:
            yield cause.invalid(where, keys, "entries must all be names of item properties")
            continue
        if part.type in {"array", "object"}:
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield cause.invalid(f"{at}.type", items.type, detail)
        if key not in items.required and part.default is ABSENT:
            detail = "so it must have a default or be a required property"
            yield cause.required(f"{at}.default", f"this property is in x-kubernetes-list-map-keys, {detail}")
        if part.nullable:
            detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield cause.forbidden(f"{at}.nullable", detail)


def _check_pattern(node: Node, path: str, level: str) -> Iterator[FieldError]:
    del level
    if not node.pattern:
        return
    try:
        cel.matcher(node.pattern)
    except cel.ExpressionError as error:
        detail = f"must be a valid regular expression, but isn't: {error}"
        yield cause.invalid(f"{path}.pattern", node.pattern, detail)


def _check_rules(node: Node, path: str, level: str) -> Iterator[FieldError]:
    del level
    for index, rule in enumerate(node.rules):
        yield from _check_rule(node, rule, f"{path}.x-kubernetes-validations[{index}]")


def _check_rule(node: Node, rule: Rule, path: str) -> Iterator[FieldError]:
    text, message = rule.text.strip(), rule.message.strip()
    if not text:
        yield cause.required(f"{path}.rule", "rule is not specified")
    elif rule.message and not message:
        yield cause.invalid(f"{path}.message", rule.message, "must be non-empty if specified")
    elif "\n" in message:
        yield cause.invalid(f"{path}.message", rule.message, "must not contain line breaks")
    elif "\n" in text and not message:
        yield cause.required(f"{path}.message", "message must be specified if rule contains line breaks")
    if rule.message_expression and not rule.message_expression.strip():
        detail = "messageExpression must be non-empty if specified"
        yield cause.required(f"{path}.messageExpression", detail)
    if rule.reason and rule.reason not in _REASONS:
        yield cause.not_supported(f"{path}.reason", rule.reason, _REASONS)
    if rule.field_path and field_of_path(node, rule.field_path) is None:
        yield cause.invalid(f"{path}.fieldPath", rule.field_path, "must be a valid path")


_STEP = re.compile(r"\.([^.\[\]']+)|\['((?:[^'\\]|\\.)*)'\]")


def field_of_path(node: Node, field_path: str) -> str | None:
    """Return a rule's `fieldPath` as field paths are written, or None where the schema has no such field."""
    position, written, at = 0, "", node
    while position < len(field_path):
        step = _STEP.match(field_path, position)
        if step is None:
            return None
        name = step[1] or re.sub(r"\\(.)", r"\1", step[2])
        below = at.child(name)
        if below is None:
            return None
        dot = "." if written else ""
        written += f"{dot}{name}" if at.properties else f"[{name}]"
        position, at = step.end(), below
    return written


_Check = Callable[[Node, str, str], Iterator[FieldError]]
_CHECKS: Sequence[_Check] = (
    _check_type, _check_object, _check_default, _check_extensions, _check_array, _check_pattern, _check_rules,
)  # fmt: skip
