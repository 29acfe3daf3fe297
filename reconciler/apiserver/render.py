"""
How answers look: plain objects, lists, Tables, bare metadata, JSON or YAML, as the client's Accept header asks. Pure.

Protobuf and CBOR are not offered; a client that takes nothing else gets 406.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import yaml

from reconciler.apiserver.exchange import JsonObject
from reconciler.apiserver.failure import not_acceptable
from reconciler.apiserver.paging import Page
from reconciler.apiserver.printer import table
from reconciler.apiserver.resource import Resource
from reconciler.apiserver.storage import Entry

__all__ = ["Form", "Renderer", "Shape", "negotiate"]

_OFFERED = ("application/json", "application/yaml")
_META_GROUP = "meta.k8s.io"
_META_VERSION = "meta.k8s.io/v1"


class Shape(enum.Enum):
    """What stands in for an object."""

    PLAIN = ""
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"
    METADATA_LIST = "PartialObjectMetadataList"


@dataclass(frozen=True, slots=True)
class Form:
    """The shape and the encoding of an answer; `include_object` is for Tables: `None`, `Metadata` or `Object`."""

    media_type: str = "application/json"
    shape: Shape = Shape.PLAIN
    include_object: str = "Metadata"

    def encode(self, value: Any) -> bytes:
        """Return `value` in this form's encoding."""
        if self.media_type == "application/yaml":
            return yaml.safe_dump(value, sort_keys=True, allow_unicode=True).encode()
        return msgspec.json.encode(value)


def negotiate(accept: str, include_object: str = "") -> Form:
    """
    Return the first form of an Accept header that is offered; quality values are not weighed.

    Raises:
        StatusError: 406: none of them is.
    """
    for clause in (accept or "*/*").split(","):
        media_type, *rest = [part.strip() for part in clause.split(";")]
        parameters = {name: value for name, _, value in (part.partition("=") for part in rest)}
        chosen = _offered(media_type.lower())
        if chosen and (shape := _shape(parameters)) is not None:
            return Form(chosen, shape, include_object or "Metadata")
    raise not_acceptable(_OFFERED)


def _offered(media_type: str) -> str:
    if media_type in ("*/*", "application/*"):
        return "application/json"
    return media_type if media_type in _OFFERED else ""


def _shape(parameters: Mapping[str, str]) -> Shape | None:
    name = parameters.get("as", "")
    if not name:
        return Shape.PLAIN
    if parameters.get("g") != _META_GROUP or parameters.get("v") != "v1":
        return None
    return next((shape for shape in Shape if shape.value == name), None)


def _partial(obj: JsonObject) -> JsonObject:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META_VERSION, "metadata": obj["metadata"]}


@dataclass(slots=True)
class Renderer:
    """
    Writes objects of one kind in one form; ages in Tables are those at `now`.

    The columns of a Table are sent once in a watch, as the real server does.
    """

    resource: Resource
    form: Form
    now: datetime
    _columns_sent: bool = False

    def object(self, entry: Entry) -> bytes:
        """Return one object."""
        if self.form.shape is Shape.PLAIN and self.form.media_type == "application/json":
            return entry.json
        return self.form.encode(self.value(entry.obj))

    def value(self, obj: JsonObject) -> JsonObject:
        """Return one object in this form's shape, not yet encoded."""
        if self.form.shape is Shape.TABLE:
            return self._table([obj], obj["metadata"].get("resourceVersion", ""))
        return obj if self.form.shape is Shape.PLAIN else _partial(obj)

    def list(self, page: Page) -> bytes:
        """Return one page of a list."""
        meta: JsonObject = {"resourceVersion": str(page.revision)}
        if page.continue_token:
            meta["continue"] = page.continue_token
        elif self.resource.is_custom and self.form.shape is Shape.PLAIN:
            # A quirk of the real server's custom resources.
            meta["continue"] = ""
        if page.remaining is not None:
            meta["remainingItemCount"] = page.remaining
        if self.form.shape is Shape.TABLE:
            return self.form.encode(self._table([entry.obj for entry in page.entries], meta["resourceVersion"], meta))
        if self.form.shape is not Shape.PLAIN:
            return self.form.encode(
                {"kind": "PartialObjectMetadataList", "apiVersion": _META_VERSION, "metadata": meta,
                 "items": [_partial(entry.obj) for entry in page.entries]}
            )  # fmt: skip
        whole: JsonObject = {
            "apiVersion": self.resource.type.api_version, "kind": self.resource.list_kind, "metadata": meta,
        }  # fmt: skip
        if self.form.media_type == "application/json":
            return msgspec.json.encode({**whole, "items": [msgspec.Raw(entry.json) for entry in page.entries]})
        return self.form.encode({**whole, "items": [entry.obj for entry in page.entries]})

    def event(self, type_: str, entry: Entry) -> bytes:
        """Return one line of a watch."""
        if self.form.shape is Shape.PLAIN:
            return b'{"type":"' + type_.encode() + b'","object":' + entry.json + b"}\n"
        value = self.value(entry.obj)
        if self.form.shape is Shape.TABLE:
            if self._columns_sent:
                value["columnDefinitions"] = None
            self._columns_sent = True
        return msgspec.json.encode({"type": type_, "object": value}) + b"\n"

    def bookmark(self, revision: int, *, ends_initial_events: bool = False) -> bytes:
        """Return a bookmark line: everything up to `revision` has been sent."""
        meta: JsonObject = {"resourceVersion": str(revision)}
        if ends_initial_events:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        type_ = self.resource.type
        value: JsonObject = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": meta}
        if self.form.shape is Shape.TABLE:
            value = {**self._table([], str(revision)), "columnDefinitions": None}
        elif self.form.shape is not Shape.PLAIN:
            value = _partial(value)
        return msgspec.json.encode({"type": "BOOKMARK", "object": value}) + b"\n"

    def _table(self, objects: Sequence[JsonObject], version: str, meta: JsonObject | None = None) -> JsonObject:
        return table(
            self.resource.columns, objects,
            now=self.now, resource_version=version, include_object=self.form.include_object, list_metadata=meta,
        )  # fmt: skip
