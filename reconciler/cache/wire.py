"""
The bytes of a list and of a watch, decoded: pages, and what a watch's lines say. Pure.

Everything returned owns its bytes: nothing pins the page or the line that it came in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import msgspec

from reconciler.api import EncodedObject, ObjectKey
from reconciler.cache.store import Unreadable
from reconciler.client import api_error, parse_status
from reconciler.errors import ApiError, MalformedObjectError

__all__ = ["Bookmark", "Change", "ChangeType", "Line", "Page", "UnreadableChange", "decode_line", "decode_page"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `continue_token` is empty on the last one."""

    objects: tuple[EncodedObject, ...]
    resource_version: str
    continue_token: str = ""
    unreadable: tuple[Unreadable, ...] = ()


class ChangeType(Enum):
    """What a watch says about an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """An object has this state now, or had it when it was deleted."""

    type: ChangeType
    object: EncodedObject


@dataclass(frozen=True, slots=True)
class UnreadableChange:
    """An object changed, and could not be read; `resource_version` is empty where even that could not."""

    type: ChangeType
    unreadable: Unreadable
    resource_version: str


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to this version has been sent; `is_list_end` after the last object of a list that is streamed."""

    resource_version: str
    is_list_end: bool = False


Line = Change | UnreadableChange | Bookmark | ApiError
"""What one line of a watch says; an `ApiError` is an ERROR event, after which the server ends the watch."""


def decode_page(body: bytes, read: Callable[[msgspec.Raw], EncodedObject] = EncodedObject.from_json) -> Page:
    """
    Return the page that `body` holds; an object that `read` refuses is named in it, and the others are there.

    Raises:
        MalformedObjectError: It is not a list.
    """
    try:
        wire = _page.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedObjectError(f"the answer to a list is not a list of objects: {error}") from error
    if not wire.metadata.resource_version:
        raise MalformedObjectError("the answer to a list names no resource version")
    objects, unreadable = _read_all(wire.items or [], read)
    return Page(objects, wire.metadata.resource_version, wire.metadata.continue_ or "", unreadable)


def decode_line(
    line: bytes, *, doing: str, read: Callable[[msgspec.Raw], EncodedObject] = EncodedObject.from_json
) -> Line:
    """
    Return what one line of a watch says; `doing` names the watch in words, for errors.

    Raises:
        MalformedObjectError: It is no watch event, or one of an unknown type.
    """
    try:
        said, version = _decode(line, doing, read)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedObjectError(f"{doing}: a line is no watch event: {error}") from error
    if not version:
        raise MalformedObjectError(f"{doing}: an event names no resource version")
    return said


def _decode(line: bytes, doing: str, read: Callable[[msgspec.Raw], EncodedObject]) -> tuple[Line, str]:
    wire = _line.decode(line)
    if wire.type == "ERROR":
        return api_error(parse_status(bytes(wire.object)), doing), "none"
    if wire.type == "BOOKMARK":
        metadata = _bookmark.decode(wire.object).metadata
        is_end = metadata.annotations.get("k8s.io/initial-events-end") == "true"
        return Bookmark(metadata.resource_version, is_end), metadata.resource_version
    change_type = ChangeType(wire.type)
    try:
        changed = read(wire.object)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        unreadable, version = _unreadable(wire.object, error)
        return UnreadableChange(change_type, unreadable, version), version or "none"
    return Change(change_type, changed), changed.resource_version


def _read_all(
    items: list[msgspec.Raw], read: Callable[[msgspec.Raw], EncodedObject]
) -> tuple[tuple[EncodedObject, ...], tuple[Unreadable, ...]]:
    try:
        return tuple(map(read, items)), ()
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Rare, so the way that asks at each object is only taken then.
        objects: list[EncodedObject] = []
        unreadable: list[Unreadable] = []
        for item in items:
            try:
                objects.append(read(item))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                unreadable.append(_unreadable(item, error)[0])
        return tuple(objects), tuple(unreadable)


def _unreadable(raw: msgspec.Raw, error: Exception) -> tuple[Unreadable, str]:
    """Return which object it is, as far as that can be read, and its version."""
    try:
        metadata = _loose.decode(raw).metadata
    except (msgspec.DecodeError, UnicodeDecodeError):
        metadata = {}
    name, namespace, version = (_string(metadata.get(field)) for field in ("name", "namespace", "resourceVersion"))
    # A codec error quotes bytes of the object; msgspec's messages name types and paths only.
    reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    return Unreadable(ObjectKey(namespace if name else "", name), reason), version


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


class _ListMetadata(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _Line(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _BookmarkMetadata(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] = {}


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _BookmarkMetadata


class _Loose(msgspec.Struct):
    metadata: dict[str, object] = {}


_page = msgspec.json.Decoder(_Page)
_line = msgspec.json.Decoder(_Line)
_bookmark = msgspec.json.Decoder(_Bookmark)
_loose = msgspec.json.Decoder(_Loose)
