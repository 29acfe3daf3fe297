"""
Label and field selectors, built from Python values. Pure.

`str()` of one is the text that the API server takes. Values are checked while it is built, since a selector with a
wrong value is refused by the server at best, and selects something else at worst.

Wherever a selector is taken, one rule holds: a selector of the right class, its text, a mapping of what must be equal,
or None for everything (`label_selector_text`, `field_selector_text`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

__all__ = ["FieldSelector", "LabelSelector", "field_selector_text", "label_selector_text", "pinned_namespace"]

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LENGTH_MAX = 63
_PREFIX_LENGTH_MAX = 253
_FIELD = re.compile(r"[^\s,=!\\]+")
_COMMA = re.compile(r"(?<!\\),")
_NAMESPACE_PIN = re.compile(r"\s*metadata\.namespace\s*==?\s*([a-z0-9]([-a-z0-9]*[a-z0-9])?)\s*")


class _Selector:
    """Requirements that must all hold, as text; immutable."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ",".join(self._parts)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self) or 'everything'}>"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash((type(self), self._parts))


class LabelSelector(_Selector):
    """
    Selects objects by their labels; every requirement must hold, and an empty selector selects everything.

    Every method returns a new selector with one requirement more.

    ```python
    LabelSelector({"app": "web"}).in_("zone", ["a", "b"]).not_equal("tier", "db").exists("owner").absent("canary")
    ```

    Args:
        equal: Labels that must have these values.

    Raises:
        ValueError: A key or value breaks the rules of labels, or what is given is no mapping; names it.

    Mirrors: apimachinery `labels.Selector`, `labels.NewRequirement`.
    """

    __slots__ = ()

    def __init__(self, equal: Mapping[str, str] | None = None) -> None:
        super().__init__()
        items = _items(equal, "LabelSelector", "{'app': 'web'}")
        self._parts = tuple(f"{_label_key(key)}={_label_value(key, value)}" for key, value in items)

    @classmethod
    def nothing(cls) -> LabelSelector:
        """
        Return a selector that no object fits: it demands a label, and that it is absent.

        Mirrors: apimachinery `labels.Nothing`.
        Differs: its text selects nothing, too; in Go it is empty, which selects everything.
        """
        return cls().exists("nothing").absent("nothing")

    def equal(self, key: str, value: str) -> LabelSelector:
        """Select objects whose label has this value."""
        return self._with(f"{_label_key(key)}={_label_value(key, value)}")

    def not_equal(self, key: str, value: str) -> LabelSelector:
        """Select objects whose label has another value, and those without the label."""
        return self._with(f"{_label_key(key)}!={_label_value(key, value)}")

    def in_(self, key: str, values: Iterable[str]) -> LabelSelector:
        """Select objects whose label has one of these values."""
        return self._with(f"{_label_key(key)} in {_label_values(key, values)}")

    def not_in(self, key: str, values: Iterable[str]) -> LabelSelector:
        """Select objects whose label has none of these values, and those without the label."""
        return self._with(f"{_label_key(key)} notin {_label_values(key, values)}")

    def exists(self, key: str) -> LabelSelector:
        """Select objects that have the label, whatever its value."""
        return self._with(_label_key(key))

    def absent(self, key: str) -> LabelSelector:
        """Select objects without the label."""
        return self._with(f"!{_label_key(key)}")

    def _with(self, part: str) -> LabelSelector:
        more = LabelSelector()
        more._parts = (*self._parts, part)
        return more


class FieldSelector(_Selector):
    """
    Selects objects by fields; every requirement must hold, and an empty selector selects everything.

    Which fields a kind can be selected by is the server's to know: `metadata.name` and `metadata.namespace` always,
    others for each kind (`status.phase` of Pods, `selectableFields` of a CustomResourceDefinition).

    Args:
        equal: Fields that must have these values, such as `{"metadata.name": "a"}`.

    Raises:
        ValueError: A field's path is empty or holds a character that has a meaning in selectors, or what is given is no
            mapping.

    Mirrors: apimachinery `fields.Selector`, `fields.OneTermEqualSelector`.
    """

    __slots__ = ()

    def __init__(self, equal: Mapping[str, str] | None = None) -> None:
        super().__init__()
        items = _items(equal, "FieldSelector", "{'metadata.name': 'a'}")
        self._parts = tuple(f"{_field(path)}={_escaped(path, value)}" for path, value in items)

    def equal(self, path: str, value: str) -> FieldSelector:
        """Select objects whose field has this value."""
        return self._with(f"{_field(path)}={_escaped(path, value)}")

    def not_equal(self, path: str, value: str) -> FieldSelector:
        """Select objects whose field has another value."""
        return self._with(f"{_field(path)}!={_escaped(path, value)}")

    def _with(self, part: str) -> FieldSelector:
        more = FieldSelector()
        more._parts = (*self._parts, part)
        return more


def label_selector_text(selector: object) -> str:
    """
    Return the text of whatever is taken for a label selector; empty where it selects everything.

    Args:
        selector: A `LabelSelector`, text as in kubectl's `-l`, labels that must be equal, or None.

    Raises:
        TypeError: It is anything else, such as a `FieldSelector`.
        ValueError: A key or value of a mapping breaks the rules of labels.
    """
    return _text(selector, LabelSelector, "label_selector")


def field_selector_text(selector: object) -> str:
    """
    Return the text of whatever is taken for a field selector; empty where it selects everything.

    Args:
        selector: A `FieldSelector`, text as in kubectl's `--field-selector`, fields that must be equal, or None.

    Raises:
        TypeError: It is anything else, such as a `LabelSelector`.
        ValueError: A field's path breaks the rules.
    """
    return _text(selector, FieldSelector, "field_selector")


def pinned_namespace(field_selector: str) -> str:
    """
    Return the one namespace that the text of a field selector allows by `metadata.namespace=...`; empty for none.

    A list of it is asked for at that namespace's path: kube-apiserver (1.36) answers it at the path of all namespaces
    with continue tokens that lead back, so that its pages repeat objects.
    """
    pins = {found[1] for part in _COMMA.split(field_selector) if (found := _NAMESPACE_PIN.fullmatch(part))}
    return pins.pop() if len(pins) == 1 else ""


def _text(selector: object, right: type[LabelSelector] | type[FieldSelector], name: str) -> str:
    if selector is None:
        return ""
    if isinstance(selector, (str, right)):
        return str(selector)
    if isinstance(selector, Mapping):
        return str(right(cast("Mapping[str, str]", selector)))
    raise TypeError(
        f"{name} takes a {right.__name__}, its text or a mapping of what must be equal, not a {type(selector).__name__}"
    )


def _items(equal: object, name: str, example: str) -> Iterable[tuple[str, str]]:
    if equal is None:
        return ()
    if not isinstance(equal, Mapping):
        raise ValueError(  # noqa: TRY004  # as for every other wrong argument of a selector
            f"{name} is given {equal!r}; a mapping such as {example} is expected (text goes where the selector would)"
        )
    return cast("Mapping[str, str]", equal).items()


def _label_key(key: str) -> str:
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"label key {key!r} is no text")  # noqa: TRY004
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= _PREFIX_LENGTH_MAX and _PREFIX.fullmatch(prefix)):
        raise ValueError(f"label key {key!r}: the part before the slash must be a lower-case DNS name")
    if not (len(name) <= _NAME_LENGTH_MAX and _NAME.fullmatch(name)):
        raise ValueError(
            f"label key {key!r}: the name must be 1 to {_NAME_LENGTH_MAX} letters, digits, '-', '_' or '.', and begin "
            "and end with a letter or digit"
        )
    return key


def _label_value(key: str, value: str) -> str:
    # A bool or a number is refused on purpose: True would become "True", where Kubernetes users write "true".
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"label {key}: the value {value!r} is no text")  # noqa: TRY004
    if value and not (len(value) <= _NAME_LENGTH_MAX and _NAME.fullmatch(value)):
        raise ValueError(
            f"label {key}: the value {value!r} must be empty, or at most {_NAME_LENGTH_MAX} letters, digits, '-', '_' "
            "or '.', and begin and end with a letter or digit"
        )
    return value


def _label_values(key: str, values: Iterable[str]) -> str:
    if isinstance(values, str):
        raise ValueError(f"label {key}: the values are one text, {values!r}; a list of texts is expected")  # noqa: TRY004
    # In order and once, so that equal selectors have equal texts.
    checked = sorted({_label_value(key, value) for value in values})
    if not checked:
        raise ValueError(f"label {key}: no value is given, so nothing could ever fit")
    return f"({','.join(checked)})"


def _field(path: str) -> str:
    if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"field {path!r} is no text")  # noqa: TRY004
    if not _FIELD.fullmatch(path):
        raise ValueError(f"field {path!r}: a path such as metadata.name is expected, without any of = ! , \\ or spaces")
    return path


def _escaped(path: str, value: str) -> str:
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"field {path}: the value {value!r} is no text")  # noqa: TRY004
    return re.sub(r"([\\,=])", r"\\\1", value)
