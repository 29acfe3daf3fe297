"""
Whether a value fits a node, keyword by keyword, and the causes where it does not.

What is said and in which order follows the kube-apiserver, oddities included: a value of the wrong type is still asked
for its other keywords, `anyOf` shows the mistakes of the branch that came closest, and on an update a part that did not
change is let through whatever it holds (ratcheting).

Mirrors: kube-openapi `pkg/validation/validate`, apiextensions-apiserver `pkg/apiserver/validation`.
Differs: `oneOf` and `anyOf` branches run in full, and fields are visited in the schema's order. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from reconciler.apiserver import cause, cel, formats
from reconciler.apiserver.cause import NO_FIELD, FieldError
from reconciler.apiserver.structural import Node

__all__ = ["NO_OLD", "find_errors", "items_by_key", "map_key"]

NO_OLD: Final = object()
"""In place of an old value where none corresponds; null is a value."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the object: `name` as the messages write it, below `above`, which only the field's path shows."""

    name: str = ""
    above: str = ""

    def key(self, name: str) -> _Place:
        return _Place(f"{self.name}.{name}" if self.name else name, self.above)

    def index(self, index: int) -> _Place:
        return _Place(f"{self.name}[{index}]", self.above)

    @property
    def field(self) -> str:
        return ".".join(part for part in (self.above, self.name.removeprefix(".")) if part) or NO_FIELD

    @property
    def root(self) -> str:
        return self.above or NO_FIELD


@dataclass(slots=True)
class _Result:
    """Errors, and how many checks a value came through: that decides which branch of `anyOf` is shown."""

    errors: list[FieldError] = field(default_factory=list[FieldError])
    matches: int = 0

    def add(self, *errors: FieldError) -> None:
        self.errors.extend(error for error in errors if error not in self.errors)

    def merge(self, other: _Result) -> None:
        if other.errors:
            self.add(*other.errors)
        self.matches += other.matches


_INT64_END: Final = 1 << 63
_EXACT_END: Final = (1 << 53) - 1


def find_errors(node: Node, value: Any, old: Any = NO_OLD, *, above: str = "") -> list[FieldError]:
    """
    Return what is wrong with a value, without list types, embedded objects and rules.

    Args:
        node: What may stand there.
        value: A JSON value.
        old: The value it replaces, or `NO_OLD`.
        above: The path of the value in its object; messages name fields from the value on, as the server does for
            writes of `/status`.
    """
    return _check(node, value, old, _Place(above=above)).errors


def _check(node: Node, value: Any, old: Any, place: _Place) -> _Result:
    # Ratcheting: what did not change may stay, even if it is wrong.
    if old is not NO_OLD and cause.canonical(value) == cause.canonical(old):
        return _Result()
    result = _Result()
    if isinstance(value, int) and not -_INT64_END <= value < _INT64_END:
        value = float(value)  # what Go makes of a number that is too big
    if value is None:
        result.merge(_check_type(node, value, place))
        result.add(*_check_enum(node, value, place))
    else:
        for check in _CHECKS[_json_type(value)]:
            found = check(node, value, old, place)
            if found is not None:
                result.merge(found)
                result.matches += 1
        result.matches += 1
    return result


def _check_types(node: Node, value: Any, old: Any, place: _Place) -> _Result | None:
    del old
    return _check_type(node, value, place) if node.types or _checked_format(node) else None


def _check_type(node: Node, value: Any, place: _Place) -> _Result:
    if value is None:
        if node.types and not node.nullable:
            return _Result([_type_error(place, ",".join(node.types), "null")])
        return _Result(matches=1)
    found, checked = _json_type(value), _checked_format(node)
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_END and "integer" in node.types
    fits = found in node.types or is_whole or (found == "integer" and "number" in node.types)
    is_text_or_list = isinstance(value, str | list)
    if not is_text_or_list and checked and not fits:
        return _Result([_type_error(place, checked, _FORMAT_OF_TYPE.get(found, ""))])
    if is_text_or_list and checked and not {"number", "integer"}.intersection(node.types):
        return _Result(matches=1)
    if not fits:
        return _Result([_type_error(place, ",".join(node.types), found)])
    return _Result(matches=1)


_FORMAT_OF_TYPE = {"integer": "int64", "number": "float64"}


def _type_error(place: _Place, wanted: str, found: str) -> FieldError:
    text = f"{place.name} in body must be of type {wanted}: {cause.quote(found)}"
    return cause.type_invalid(place.field, found, text)


def _json_type(value: Any) -> str:
    return _JSON_TYPES.get(value.__class__, "object")


_JSON_TYPES: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    type(None): "null",
}


def _checked_format(node: Node) -> str:
    known = _FORMATS_OF.get(node.type)
    if known is not None:
        return node.format if node.format in known else ""
    if node.type in {"", "string"} and formats.normalized(node.format) in formats.STRING_FORMATS:
        return node.format
    return ""


_FORMATS_OF = {"integer": ("int32", "int64"), "number": ("float", "double")}


def _check_junctors(node: Node, value: Any, old: Any, place: _Place) -> _Result:
    del old  # what a branch says is not ratcheted
    result = _Result(matches=1)
    if not (node.any_of or node.one_of or node.all_of or node.never):
        return result
    name = cause.quote(place.name)
    _merge_any_of(result, node, value, place)
    _merge_one_of(result, node, value, place)
    branches = [_check(branch, value, NO_OLD, place) for branch in node.all_of]
    for branch in branches:
        result.merge(branch)
    if any(branch.errors for branch in branches):
        none_fits = ". None validated" if all(branch.errors for branch in branches) else ""
        result.add(cause.invalid(place.root, "", f"{name} must validate all the schemas (allOf){none_fits}"))
    if node.never is not None and not _check(node.never, value, NO_OLD, place).errors:
        result.add(cause.invalid(place.root, "", f"{name} must not validate the schema (not)"))
    return result


def _merge_any_of(result: _Result, node: Node, value: Any, place: _Place) -> None:
    if not node.any_of:
        return
    branches = [_check(branch, value, NO_OLD, place) for branch in node.any_of]
    fitting = next((branch for branch in branches if not branch.errors), None)
    if fitting is None:
        text = f"{cause.quote(place.name)} must validate at least one schema (anyOf)"
        result.add(cause.invalid(place.root, "", text))
        fitting = max(branches, key=lambda branch: branch.matches)
    result.merge(fitting)


def _merge_one_of(result: _Result, node: Node, value: Any, place: _Place) -> None:
    if not node.one_of:
        return
    branches = [_check(branch, value, NO_OLD, place) for branch in node.one_of]
    fitting = [branch for branch in branches if not branch.errors]
    if len(fitting) == 1:
        result.merge(fitting[0])
        return
    said = f"Found {len(fitting)} valid alternatives" if fitting else "Found none valid"
    text = f"{cause.quote(place.name)} must validate one and only one schema (oneOf). {said}"
    result.add(cause.invalid(place.root, "", text))
    if not fitting:
        result.merge(max(branches, key=lambda branch: branch.matches))


def _check_string(node: Node, value: Any, old: Any, place: _Place) -> _Result:
    del old
    longest, shortest = node.limits.get("maxLength"), node.limits.get("minLength")
    if longest is not None and len(value) > longest:
        return _Result([cause.too_long(place.field, int(longest))])
    if shortest is not None and len(value) < shortest:
        return _invalid(place, value, f"should be at least {shortest} chars long")
    if node.pattern and not cel.matcher(node.pattern)(value):
        return _invalid(place, value, f"should match '{node.pattern}'")
    return _Result()


def _check_format(node: Node, value: Any, old: Any, place: _Place) -> _Result | None:
    del old
    predicate = formats.STRING_FORMATS.get(formats.normalized(_checked_format(node)))
    if predicate is None:
        return None
    return _Result() if predicate(value) else _Result([_type_error(place, node.format, value)])


def _check_number(node: Node, value: Any, old: Any, place: _Place) -> _Result:
    del old
    result = _Result(matches=1)
    result.add(*_range_errors(node, value, "Checked", place))
    for keyword, (title, breaks, words, exclusive_words) in _BOUNDS.items():
        if (limit := node.limits.get(keyword)) is None:
            continue
        wrong = list(_range_errors(node, limit, title, place))
        # An integer is compared with the limit's whole part, unless the limit is out of the type's range.
        bound = int(limit) if isinstance(value, int) and not wrong else float(limit)
        is_exclusive = {"minimum": node.exclusive_minimum, "maximum": node.exclusive_maximum}.get(keyword, False)
        result.add(*wrong)
        if keyword == "multipleOf" and bound <= 0:
            result.add(_multiple_of_nothing(place, bound))
        elif breaks(value, bound) or (is_exclusive and value == bound):
            said = exclusive_words if is_exclusive else words
            result.merge(_invalid(place, value, f"{said} {_number(bound)}"))
    return result


def _is_no_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor != 0
    quotient = 1 / factor * value if factor < 1 else value / factor
    return abs(quotient - round(quotient)) > _TOLERANCE * max(1.0, abs(quotient))


_TOLERANCE: Final = 1e-9
_BOUNDS: Mapping[str, tuple[str, Callable[[float, float], bool], str, str]] = {
    "multipleOf": ("MultipleOf", _is_no_multiple, "should be a multiple of", ""),
    "minimum": (
        "Minimum boundary", lambda value, bound: value < bound,
        "should be greater than or equal to", "should be greater than",
    ),
    "maximum": (
        "Maximum boundary", lambda value, bound: value > bound,
        "should be less than or equal to", "should be less than",
    ),
}  # fmt: skip


def _multiple_of_nothing(place: _Place, factor: float) -> FieldError:
    text = f"factor MultipleOf declared for {place.name} must be positive: {_number(factor)}"
    return cause.invalid(place.field, factor, text)


def _range_errors(node: Node, number: float, title: str, place: _Place) -> Iterator[FieldError]:
    fits = True
    if node.type == "integer":
        bits = 32 if node.format == "int32" else 64
        fits = float(number).is_integer() and -(1 << bits - 1) <= number < 1 << bits - 1
    elif node.type == "number" and node.format == "float":
        fits = abs(number) <= _LARGEST_FLOAT
    if not fits:
        checked = _checked_format(node)
        form = f"with format {checked}" if checked else "(default format)"
        text = f"{title} value must be of type {node.type} {form} in {place.name}"
        yield cause.invalid(place.root, "", text)


_LARGEST_FLOAT: Final = 3.4028234663852886e38


def _number(value: float) -> str:
    return cause.go_float(value) if isinstance(value, float) else str(value)


def _check_array(node: Node, value: Any, old: Any, place: _Place) -> _Result:
    items = cast("Sequence[Any]", value)
    result = _Result()
    if node.items is not None:
        held = items_by_key(node, old)
        for index, item in enumerate(items):
            old_item = held.get(map_key(node, item), NO_OLD) if held else NO_OLD
            result.merge(_check(node.items, item, old_item, place.index(index)))
    fewest, most = node.limits.get("minItems"), node.limits.get("maxItems")
    if fewest is not None and len(items) < fewest:
        result.merge(_invalid(place, len(items), f"should have at least {fewest} items"))
    if most is not None and len(items) > most:
        result.add(cause.too_many(place.field, len(items), int(most)))
    result.matches += 1
    return result


def map_key(node: Node, item: Any) -> bytes:
    """Return what identifies an item in a list of type `map`: its key fields, those that it has."""
    if not isinstance(item, Mapping):
        return b""
    entry = cast("Mapping[str, Any]", item)
    return cause.canonical({key: entry[key] for key in node.list_map_keys if key in entry})


def items_by_key(node: Node, items: Any) -> Mapping[bytes, Any]:
    """Return the items of a list of type `map` by their keys; nothing for another list."""
    if node.list_type != "map" or not isinstance(items, list):
        return {}
    return {map_key(node, item): item for item in cast("Sequence[Any]", items)}


def _check_enum(node: Node, value: Any, place: _Place) -> list[FieldError]:
    # Null is in no enumeration, not even in one that lists it.
    if not node.enum or (value is not None and any(_equals(value, allowed) for allowed in node.enum)):
        return []
    return [cause.not_supported(place.field, value, node.enum)]


def _equals(value: Any, allowed: Any) -> bool:
    return isinstance(value, bool) == isinstance(allowed, bool) and value == allowed


def _check_common(node: Node, value: Any, old: Any, place: _Place) -> _Result:
    del old
    return _Result(_check_enum(node, value, place))


def _check_object(node: Node, value: Any, old: Any, place: _Place) -> _Result:
    fields = cast("Mapping[str, Any]", value)
    result = _Result()
    fewest, most = node.limits.get("minProperties"), node.limits.get("maxProperties")
    if fewest is not None and len(fields) < fewest:
        result.merge(_invalid(place, len(fields), f"should have at least {fewest} properties"))
    if most is not None and len(fields) > most:
        result.add(cause.too_many(place.field, len(fields), int(most)))
    for name, part in fields.items():
        if (child := node.child(name)) is not None:
            result.merge(_check(child, part, _old_field(name, old, place), place.key(name)))
        elif not node.allows_additional:
            result.merge(_forbidden_property(place, name))
    missing = (name for name in node.required if name not in fields)
    result.add(*(cause.required(place.key(name).field) for name in missing))
    return result


def _forbidden_property(place: _Place, name: str) -> _Result:
    return _Result([cause.invalid(place.field, name, f"{place.name}.{name} in body is a forbidden property")])


def _old_field(name: str, old: Any, place: _Place) -> Any:
    # The version of an object is not seen by ratcheting: old and new are converted to the same.
    if not isinstance(old, Mapping) or (not place.name and name in {"apiVersion", "kind"}):
        return NO_OLD
    return cast("Mapping[str, Any]", old).get(name, NO_OLD)


def _invalid(place: _Place, value: Any, detail: str) -> _Result:
    return _Result([cause.invalid(place.field, value, f"{place.name} in body {detail}")])


_Check = Callable[[Node, Any, Any, _Place], _Result | None]
# By the type of the value; None is the answer of a check that does not apply, which counts for nothing.
_CHECKS: Mapping[str, Sequence[_Check]] = {
    "string": (_check_types, _check_junctors, _check_string, _check_format, _check_common),
    "integer": (_check_types, _check_junctors, _check_number, _check_common),
    "number": (_check_types, _check_junctors, _check_number, _check_common),
    "boolean": (_check_types, _check_junctors, _check_common),
    "array": (_check_types, _check_junctors, _check_array, _check_common),
    "object": (_check_types, _check_junctors, _check_common, _check_object),
}
