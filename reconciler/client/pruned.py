"""
Which fields of a write the server dropped or changed. Pure, but for the log.

A server answers 200 to a field that it drops because the schema does not know it, or because the subresource does not
write it. Compared is what was sent with what came back: fields that were added (defaults, what admission puts in) and
what the server alone manages do not count. Paths are named, values never.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

import msgspec

from reconciler.api import ResourceType
from reconciler.kinds import amount_of

__all__ = ["Lost", "LostFields", "lost_fields", "status_may_be_lost"]

_log = logging.getLogger("reconciler.client")

_PATHS_MAX = 10
_FIELDS_REMEMBERED = 1_000

_SERVERS_OWN = frozenset({
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generateName", "generation",
    "managedFields", "resourceVersion", "selfLink", "uid",
})  # fmt: skip
_PRUNED = (
    "%s: the server did not keep what was sent in %s (said once for each field; does the schema know it, does this "
    "subresource write it?)"
)
_CHANGED = (
    "%s: the server changed what was sent in %s (said once for each field; does a webhook, a rule of the kind or "
    "another field set it, does this subresource write it?)"
)
# Fields that are taken and never shown.
_WRITE_ONLY: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType({("", "Secret"): frozenset({"stringData"})})
# By which field the elements of a list are told apart, where they all have it.
_ELEMENT_NAMES = ("name", "type", "uid", "key")
_IN_STATUS = re.compile(r"status(?![-\w$])")
_PLAIN = re.compile(r"[A-Za-z_$][-\w$]*")


class _Missing:
    """Stands for a field that is not there."""


_MISSING: Final = _Missing()


class Lost(NamedTuple):
    """
    The paths of the fields that were sent and did not come back as they were sent, in order.

    Attributes:
        pruned: Not there any more: the schema does not know them, or this subresource does not write them.
        changed: There with another value: a webhook, the kind's own rules, or a value that is taken from elsewhere.
    """

    pruned: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class _Path(NamedTuple):
    path: str
    is_changed: bool


def lost_fields(resource: ResourceType, sent: bytes, answer: bytes, *, subresource: str = "") -> Lost:
    """
    Return which fields were sent and did not come back as they were sent.

    Args:
        resource: The kind that was written.
        sent: JSON of an object, or of a merge patch; None and empty values ask for nothing.
        answer: What the server stored, in JSON; anything that is no object of a kind gives no path.
        subresource: With `status` the rest of the object is not written by design. A field of it is named only where it
            was sent on purpose: in a patch, or in a whole object of a known version with another value than is stored.

    Returns:
        Paths such as `spec.containers[].image` and `metadata.labels[example.com/team]`, of each sort at most ten, then
        how many more there are. Elements of a list share a path.
    """
    wanted, stored = _object(sent), _object(answer)
    if not stored.get("metadata") or stored.get("kind") == "Status":
        return Lost()
    is_whole = subresource == "status" and "kind" in wanted
    if is_whole and not _has_version(wanted):
        wanted = {"status": wanted.get("status")}
    ignored = _WRITE_ONLY.get((resource.group, resource.kind), frozenset())
    compared = {name: value for name, value in wanted.items() if name not in ignored | {"apiVersion", "kind"}}
    if isinstance(metadata := compared.get("metadata"), dict):
        held = cast("dict[str, Any]", metadata)
        compared["metadata"] = {name: value for name, value in held.items() if name not in _SERVERS_OWN}
    paths = list(dict.fromkeys(_lost(compared, stored, "")))
    if is_whole:
        # What a model adds to the object that was read is no change that somebody made.
        paths = [each for each in paths if each.is_changed or _IN_STATUS.match(each.path)]
    return Lost(
        _cut([path for path, is_changed in paths if not is_changed]),
        _cut([path for path, is_changed in paths if is_changed]),
    )


def _cut(paths: list[str]) -> tuple[str, ...]:
    more = len(paths) - _PATHS_MAX
    return (*paths[:_PATHS_MAX], f"{more} more") if more > 0 else tuple(paths)


_is_status_expected = ContextVar("_is_status_expected", default=True)


@contextmanager
def status_may_be_lost() -> Generator[None]:
    """Within it the log does not tell of a `status` that a write of the object itself lost; the record still does."""
    token = _is_status_expected.set(False)
    try:
        yield
    finally:
        _is_status_expected.reset(token)


class LostFields:
    """Logs lost fields, once for each kind and field."""

    def __init__(self) -> None:
        self._logged: dict[tuple[ResourceType, str, str, str], None] = {}

    def tell(self, doing: str, resource: ResourceType, subresource: str, lost: Lost) -> None:
        """Log those of the paths that are new; `doing` names the write in words."""
        pruned = lost.pruned
        if not subresource and not _is_status_expected.get():
            pruned = tuple(path for path in pruned if path != "status")
        self._tell(_PRUNED, doing, (resource, subresource), pruned)
        self._tell(_CHANGED, doing, (resource, subresource), lost.changed)

    def _tell(self, words: str, doing: str, of: tuple[ResourceType, str], paths: Sequence[str]) -> None:
        places = [(*of, words, path) for path in paths]
        fresh = [place for place in places if place not in self._logged]
        if not fresh:
            return
        for place in fresh:
            self._logged[place] = None
            if len(self._logged) > _FIELDS_REMEMBERED:
                del self._logged[next(iter(self._logged))]
        _log.warning(words, doing, ", ".join(path for *_, path in fresh))


def _lost(sent: Any, stored: Any, path: str) -> Iterator[_Path]:
    if sent == stored:
        return  # the common case, at the speed of C
    if isinstance(sent, dict):
        yield from _lost_in_object(cast("dict[str, Any]", sent), stored, path)
    elif isinstance(sent, list) and isinstance(stored, list):
        yield from _lost_in_list(cast("list[object]", sent), cast("list[object]", stored), path)
    elif not _asks_nothing(sent, stored) and not _is_same(sent, stored):
        yield _Path(path, stored is not _MISSING)


def _lost_in_object(sent: dict[str, Any], stored: Any, path: str) -> Iterator[_Path]:
    if not isinstance(stored, dict):
        # One path says it all, unless nothing in there asked for anything.
        if next(_lost_in_object(sent, {}, path), None) is not None:
            yield _Path(path, stored is not _MISSING)
        return
    held = cast("dict[str, Any]", stored)
    for name, value in sent.items():
        if not name.startswith("$"):  # a directive of a strategic merge patch
            yield from _lost(value, held.get(name, _MISSING), _below(path, name))


def _lost_in_list(given: list[Any], stored: list[Any], path: str) -> Iterator[_Path]:
    # Not those that are directives of a strategic merge patch, such as one to delete an element.
    sent: list[Any] = [each for each in given if not (isinstance(each, dict) and "$patch" in each)]
    if name := _name_of_elements(sent, stored):
        by_name = {element[name]: element for element in stored}
        pairs = [(element, by_name.get(element[name], _MISSING)) for element in sent]
    elif all(isinstance(element, (dict, list)) for element in sent):
        pairs = [(element, stored[index] if index < len(stored) else _MISSING) for index, element in enumerate(sent)]
    else:
        # Plain values: elements may be added and put in order, none may go.
        if not all(any(_is_same(element, other) for other in stored) for element in sent):
            yield _Path(path, len(stored) >= len(sent))
        return
    for element, other in pairs:
        if other is _MISSING:
            yield _Path(path, is_changed=False)
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
    amounts = [amount_of(text) for text in (sent, stored)]
    return amounts[0] is not None and amounts[0] == amounts[1]


def _has_version(wire: Mapping[str, Any]) -> bool:
    metadata: object = wire.get("metadata")
    return isinstance(metadata, dict) and bool(cast("dict[str, Any]", metadata).get("resourceVersion"))


def _object(body: bytes) -> dict[str, Any]:
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
