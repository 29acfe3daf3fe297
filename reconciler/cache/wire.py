"""
The bytes of a list and of a watch, decoded: pages, and what a watch's lines say. Pure.

Everything returned owns its bytes: nothing pins the page or the line that it came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec

from reconciler.api import EncodedObject
from reconciler.client import api_error, parse_status
from reconciler.errors import ApiError, MalformedObjectError

__all__ = ["Bookmark", "Change", "ChangeType", "Line", "Page", "decode_line", "decode_page"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `continue_token` is empty on the last one."""

    objects: tuple[EncodedObject, ...]
    resource_version: str
    continue_token: str = ""


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
class Bookmark:
    """Everything up to this version has been sent."""

    resource_version: str


Line = Change | Bookmark | ApiError
"""What one line of a watch says; an `ApiError` is an ERROR event, after which the server ends the watch."""


def decode_page(body: bytes) -> Page:
    """
    Return the page that `body` holds.

    Raises:
        MalformedObjectError: It is not a list of objects.
    """
    try:
        wire = _page.decode(body)
        objects = tuple(map(EncodedObject.from_json, wire.items or ()))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedObjectError(f"the answer to a list is not a list of objects: {error}") from error
    if not wire.metadata.resource_version:
        raise MalformedObjectError("the answer to a list names no resource version")
    return Page(objects, wire.metadata.resource_version, wire.metadata.continue_ or "")


def decode_line(line: bytes, *, doing: str) -> Line:
    """
    Return what one line of a watch says; `doing` names the watch in words, for errors.

    Raises:
        MalformedObjectError: It is no watch event, or one of an unknown type.
    """
    try:
        said, version = _decode(line, doing)
    except (msgspec.DecodeError, ValueError) as error:
        raise MalformedObjectError(f"{doing}: a line is no watch event: {error}") from error
    if not version:
        raise MalformedObjectError(f"{doing}: an event names no resource version")
    return said


def _decode(line: bytes, doing: str) -> tuple[Line, str]:
    wire = _line.decode(line)
    if wire.type == "ERROR":
        return api_error(parse_status(bytes(wire.object)), doing), "none"
    if wire.type == "BOOKMARK":
        version = _bookmark.decode(wire.object).metadata.resource_version
        return Bookmark(version), version
    changed = EncodedObject.from_json(wire.object)
    return Change(ChangeType(wire.type), changed), changed.resource_version


class _ListMetadata(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _Line(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _ListMetadata


_page = msgspec.json.Decoder(_Page)
_line = msgspec.json.Decoder(_Line)
_bookmark = msgspec.json.Decoder(_Bookmark)
