"""
Which fields of a write the server did not keep as they were sent. Pure, but for the log.

A server answers 200 to a field that it drops because the schema does not know it, or because the subresource does not
write it. Compared is what was sent with what came back: fields that were added (defaults, what admission puts in) and
what the server alone manages do not count. Paths are named, values never.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec

from reconciler.api import ResourceType

__all__ = ["LostFields", "lost_fields"]

_log = logging.getLogger("reconciler.client")

_PATHS_MAX = 10
_FIELDS_REMEMBERED = 1_000

_SERVERS_OWN = frozenset({
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generateName", "generation",
    "managedFields", "resourceVersion", "selfLink", "uid",
})  # fmt: skip
# Fields that are taken and never shown.
_WRITE_ONLY: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType({("", "Secret"): frozenset({"stringData"})})
# By which field the elements of a list are told apart, where they all have it.
_ELEMENT_NAMES = ("name", "type", "uid", "key")
_PLAIN = re.compile(r"[A-Za-z_$][-\w$]*")
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{1,3})?")
_SCALES: Mapping[str, Decimal] = MappingProxyType({
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal("1e3"),
    "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"), "E": Decimal("1e18"),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
})  # fmt: skip


class _Missing:
    """Stands for a field that is not there."""


_MISSING: Final = _Missing()


def lost_fields(resource: ResourceType, sent: bytes, answer: bytes, *, subresource: str = "") -> tuple[str, ...]:
    """
    Return the paths of the fields that were sent and did not come back as they were sent, in order.

    Args:
        resource: The kind that was written.
        sent: JSON of an object, or of a merge patch; None and empty values ask for nothing.
        answer: What the server stored, in JSON; anything that is no object of a kind gives no path.
        subresource: With `status` only `status` is compared: the rest is ignored by design.

    Returns:
        At most ten paths such as `spec.containers[].image` and `metadata.labels[example.com/team]`, then how many more
        there are. Elements of a list share a path.
    """
    wanted, stored = _object(sent), _object(answer)
    if not stored.get("metadata") or stored.get("kind") == "Status":
        return ()
    if subresource == "status":
        wanted = {"status": wanted.get("status")}
    ignored = _WRITE_ONLY.get((resource.group, resource.kind), frozenset())
    compared = {name: value for name, value in wanted.items() if name not in ignored | {"apiVersion", "kind"}}
    if isinstance(metadata := compared.get("metadata"), dict):
        held = cast("dict[str, Any]", metadata)
        compared["metadata"] = {name: value for name, value in held.items() if name not in _SERVERS_OWN}
    paths = list(dict.fromkeys(_lost(compared, stored, "")))
    if len(paths) > _PATHS_MAX:
        return (*paths[:_PATHS_MAX], f"{len(paths) - _PATHS_MAX} more")
    return tuple(paths)


class LostFields:
    """Logs lost fields, once for each kind and field."""

    def __init__(self) -> None:
        self._logged: dict[tuple[ResourceType, str, str], None] = {}

    def tell(self, doing: str, resource: ResourceType, subresource: str, paths: Sequence[str]) -> None:
        """Log those of `paths` that are new; `doing` names the write in words."""
        places = [(resource, subresource, path) for path in paths]
        fresh = [place for place in places if place not in self._logged]
        if not fresh:
            return
        for place in fresh:
            self._logged[place] = None
            if len(self._logged) > _FIELDS_REMEMBERED:
                del self._logged[next(iter(self._logged))]
        _log.warning(
            "%s: the server did not keep what was sent in %s (said once for each field; does the schema know it, "
            "does this subresource write it?)",
            doing,
            ", ".join(path for _, _, path in fresh),
        )


def _lost(sent: Any, stored: Any, path: str) -> Iterator[str]:
    if sent == stored:
        return  # the common case, at the speed of C
    if isinstance(sent, dict):
        yield from _lost_in_object(cast("dict[str, Any]", sent), stored, path)
    elif isinstance(sent, list) and isinstance(stored, list):
        yield from _lost_in_list(cast("list[object]", sent), cast("list[object]", stored), path)
    elif not _asks_nothing(sent, stored) and not _is_same(sent, stored):
        yield path


def _lost_in_object(sent: dict[str, Any], stored: Any, path: str) -> Iterator[str]:
    if not isinstance(stored, dict):
        # One path says it all, unless nothing in there asked for anything.
        if next(_lost_in_object(sent, {}, path), None) is not None:
            yield path
        return
    held = cast("dict[str, Any]", stored)
    for name, value in sent.items():
        if not name.startswith("$"):  # a directive of a strategic merge patch
            yield from _lost(value, held.get(name, _MISSING), _below(path, name))


def _lost_in_list(sent: list[Any], stored: list[Any], path: str) -> Iterator[str]:
    if name := _name_of_elements(sent, stored):
        by_name = {element[name]: element for element in stored}
        pairs = [(element, by_name.get(element[name], _MISSING)) for element in sent]
    elif all(isinstance(element, (dict, list)) for element in sent):
        pairs = [(element, stored[index] if index < len(stored) else _MISSING) for index, element in enumerate(sent)]
    else:
        # Plain values: elements may be added and put in order, none may go.
        if not all(any(_is_same(element, other) for other in stored) for element in sent):
            yield path
        return
    for element, other in pairs:
        if isinstance(element, dict) and "$patch" in element:
            continue  # a directive of a strategic merge patch, such as one to delete the element
        if other is _MISSING:
            yield path
        else:
            yield from _lost(element, other, f"{path}[]")


def _name_of_elements(sent: list[Any], stored: list[Any]) -> str:
    def has(element: Any, name: str) -> bool:
        return isinstance(element, dict) and isinstance(cast("dict[str, Any]", element).get(name), str)

    for name in _ELEMENT_NAMES:
        is_everywhere = bool(sent) and all(has(element, name) for element in (*sent, *stored))
        if is_everywhere and len({element[name] for element in stored}) == len(stored):
            return name
    return ""


def _below(path: str, name: str) -> str:
    if not _PLAIN.fullmatch(name):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, (bool, int, float)) and not value)


def _asks_nothing(sent: Any, stored: Any) -> bool:
    # Go leaves out empty values ("omitempty"), and a removed field may come back as a default.
    return sent is None or (_is_empty(sent) and (stored is _MISSING or _is_empty(stored)))


def _is_same(sent: Any, stored: Any) -> bool:
    if sent == stored:
        return True
    if isinstance(stored, str) and isinstance(sent, (str, int, float)):
        return _is_same_time(str(sent), stored) or _is_same_quantity(str(sent), stored)
    return False


def _is_same_time(sent: str, stored: str) -> bool:
    try:
        before, after = datetime.fromisoformat(sent), datetime.fromisoformat(stored)
    except ValueError:
        return False
    if (before.tzinfo is None) is not (after.tzinfo is None):
        return False
    # Most times of built-in kinds are kept in whole seconds.
    return before == after or before.replace(microsecond=0) == after


def _is_same_quantity(sent: str, stored: str) -> bool:
    amounts = [_quantity(text) for text in (sent, stored)]
    return amounts[0] is not None and amounts[0] == amounts[1]


def _quantity(text: str) -> Decimal | None:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    suffix: str = found[2] or ""
    scale = _SCALES.get(suffix)
    return Decimal(found[1]) * (scale if scale is not None else Decimal(f"1{suffix}"))


def _object(body: bytes) -> dict[str, Any]:
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
