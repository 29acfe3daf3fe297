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
from reconciler.client.codec import UNREADABLE, header_of
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
# By which fields the elements of a list are told apart, where they all have them and no two of them the same: the merge
# keys of the built-in kinds, the most common ones first.
_ELEMENT_KEYS = (
    ("name",), ("type",), ("uid",), ("key",), ("containerPort", "protocol"), ("port", "protocol"), ("mountPath",),
    ("devicePath",), ("ip",), ("topologyKey", "whenUnsatisfiable"), ("topologyKey",), ("hostname",), ("host",),
)  # fmt: skip
_KEY_DEFAULTS: Mapping[str, str] = MappingProxyType({"protocol": "TCP"})
# Deeper fields are not compared, and no more elements are tried one against the other.
_DEPTH_MAX = 100
_TRIES_MAX = 10_000
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
        how many more there are. Elements of a list share a path. An element is looked for by the merge keys of the
        built-in kinds (name, containerPort and protocol, mountPath, ...); where none of them fits, it is kept if any
        element holds all of it. Fields more than 100 levels deep are not compared.
    """
    wanted, stored = _object(sent), _object(answer)
    if not stored.get("metadata") or stored.get("kind") == "Status":
        return Lost()
    is_whole = subresource == "status" and "kind" in wanted
    if is_whole and not header_of(wanted).resource_version:
        wanted = {"status": wanted.get("status")}
    ignored = _WRITE_ONLY.get((resource.group, resource.kind), frozenset())
    compared = {name: value for name, value in wanted.items() if name not in ignored | {"apiVersion", "kind"}}
    if isinstance(metadata := compared.get("metadata"), dict):
        held = cast("dict[str, Any]", metadata)
        compared["metadata"] = {name: value for name, value in held.items() if name not in _SERVERS_OWN}
    try:
        paths = list(dict.fromkeys(_Look().lost(compared, stored, "")))
    except RecursionError:  # deeper than Python itself compares; the write has happened, and must not look failed
        return Lost()
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
        is_status_told = bool(subresource) or _is_status_expected.get()
        for words, paths in ((_PRUNED, lost.pruned), (_CHANGED, lost.changed)):
            told = [path for path in paths if is_status_told or not _IN_STATUS.match(path)]
            self._tell(words, doing, (resource, subresource), told)

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


class _Look:
    """One comparison. How deep it goes and how much it tries is bounded: the writer chooses the object's shape."""

    def __init__(self) -> None:
        self._tries_left = _TRIES_MAX

    def lost(self, sent: Any, stored: Any, path: str, depth: int = 0) -> Iterator[_Path]:
        if depth > _DEPTH_MAX or sent == stored:  # equal is the common case, at the speed of C
            return
        if isinstance(sent, dict):
            yield from self._lost_in_object(cast("dict[str, Any]", sent), stored, path, depth)
        elif isinstance(sent, list) and isinstance(stored, list):
            yield from self._lost_in_list(cast("list[object]", sent), cast("list[object]", stored), path, depth)
        elif not _asks_nothing(sent, stored) and not _is_same(sent, stored):
            yield _Path(path, stored is not _MISSING)

    def _lost_in_object(self, sent: dict[str, Any], stored: Any, path: str, depth: int) -> Iterator[_Path]:
        if not isinstance(stored, dict):
            # One path says it all, unless nothing in there asked for anything.
            if next(self._lost_in_object(sent, {}, path, depth), None) is not None:
                yield _Path(path, stored is not _MISSING)
            return
        held = cast("dict[str, Any]", stored)
        for name, value in sent.items():
            if not name.startswith("$"):  # a directive of a strategic merge patch
                yield from self.lost(value, held.get(name, _MISSING), _below(path, name), depth + 1)

    def _lost_in_list(self, given: list[Any], stored: list[Any], path: str, depth: int) -> Iterator[_Path]:
        # Not those that are directives of a strategic merge patch, such as one to delete an element.
        sent: list[Any] = [each for each in given if not (isinstance(each, dict) and "$patch" in each)]
        if not all(isinstance(element, (dict, list)) for element in sent):
            # Plain values: elements may be added and put in order, none may go.
            if not self._are_among(sent, stored):
                yield _Path(path, len(stored) >= len(sent))
            return
        places = _places(sent, stored)
        found = [
            [_Path(path, is_changed=False)]
            if place is None
            else list(self.lost(element, stored[place], f"{path}[]", depth + 1))
            for element, place in zip(sent, places.at, strict=True)
        ]
        kept = {place for place, paths in zip(places.at, found, strict=True) if not paths}
        others = [element for place, element in enumerate(stored) if place not in kept]
        for element, place, paths in zip(sent, places.at, found, strict=True):
            # A place that is a guess proves nothing: the server may have put the element somewhere else.
            is_sure = places.are_by_key and place is not None
            if paths and (is_sure or not self._take(element, others, depth)):
                yield from paths

    def _take(self, element: Any, others: list[Any], depth: int) -> bool:
        """Take one of the others that holds all of the element out of them; return whether there is one."""
        for index, other in enumerate(others):
            if self._is_spent():
                return True
            if next(self.lost(element, other, "", depth + 1), None) is None:
                del others[index]
                return True
        return False

    def _are_among(self, sent: list[Any], stored: list[Any]) -> bool:
        known = {each for each in stored if isinstance(each, (str, int, float))}
        rest = [each for each in sent if not (isinstance(each, (str, int, float)) and each in known)]
        return all(any(self._is_spent() or _is_same(element, other) for other in stored) for element in rest)

    def _is_spent(self) -> bool:
        # Where it is, nothing more is searched, and what was not found counts as kept: no alarm without a proof.
        self._tries_left -= 1
        return self._tries_left < 0


class _Places(NamedTuple):
    """Where in the stored list each element that was sent should be: by a key that tells them apart, or by its turn."""

    at: list[int | None]
    are_by_key: bool


def _places(sent: list[Any], stored: list[Any]) -> _Places:
    for fields in _ELEMENT_KEYS:
        keys = [_key(element, fields) for element in stored]
        wanted = [_key(element, fields) for element in sent]
        if sent and all((*keys, *wanted)) and len(set(keys)) == len(keys):
            at = {key: place for place, key in enumerate(keys)}
            return _Places([at.get(key) for key in wanted], are_by_key=True)
    return _Places([place if place < len(stored) else None for place in range(len(sent))], are_by_key=False)


def _key(element: Any, fields: tuple[str, ...]) -> tuple[str | int, ...]:
    """Return what tells an element of a list apart; empty where it has no such fields."""
    if not isinstance(element, dict):
        return ()
    held = cast("dict[str, Any]", element)
    values = (held.get(field, _KEY_DEFAULTS.get(field)) for field in fields)
    key = tuple(value for value in values if isinstance(value, (str, int)))
    return key if len(key) == len(fields) else ()


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


def _object(body: bytes) -> dict[str, Any]:
    try:
        value: object = msgspec.json.decode(body)
    except UNREADABLE:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
