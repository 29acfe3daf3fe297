"""
Bytes to objects and back: typed ones through their models, untyped ones as dictionaries. Pure.

Messages name the object and the field, never a value: an object may be a Secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar, cast, overload

import msgspec
from pydantic import ValidationError

from reconciler.api import ApiModel, KubeObject, ResourceType
from reconciler.client.contract import JsonObject
from reconciler.errors import MalformedObjectError

__all__ = [
    "Header",
    "decode_json",
    "decode_list",
    "decode_object",
    "encode",
    "encode_object",
    "read_header",
    "resource_of",
]

ObjectT = TypeVar("ObjectT", bound=KubeObject)

_FIELDS_SHOWN_MAX = 5


class Header(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of an object's metadata that says which object, and which version of it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Object(msgspec.Struct, frozen=True, gc=False):
    metadata: Header = Header()


class _ListHeader(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class ListPage(msgspec.Struct, frozen=True):
    """One page of a list; `items` are views of the page's bytes."""

    metadata: _ListHeader
    items: list[msgspec.Raw] | None = None


_header_decoder = msgspec.json.Decoder(_Object)
_page_decoder = msgspec.json.Decoder(ListPage)


def resource_of(kind: type[KubeObject] | ResourceType) -> ResourceType:
    """Return the resource type of a model, or the resource type itself."""
    return kind if isinstance(kind, ResourceType) else kind.resource


def read_header(body: bytes) -> Header:
    """Return the header of the object in `body`; an empty one where there is none."""
    try:
        return _header_decoder.decode(body).metadata
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Header()


@overload
def decode_object(kind: type[ObjectT], body: bytes | memoryview) -> ObjectT: ...
@overload
def decode_object(kind: ResourceType, body: bytes | memoryview) -> JsonObject: ...
def decode_object(kind: type[ObjectT] | ResourceType, body: bytes | memoryview) -> ObjectT | JsonObject:
    """
    Return the object that `body` holds.

    An object in a list of a built-in kind carries no `apiVersion` and `kind`; they are filled in.

    Raises:
        MalformedObjectError: It is not JSON, or does not fit the model; names the object and the field.
    """
    if isinstance(kind, ResourceType):
        return _decode_untyped(kind, body)
    try:
        obj = kind.from_json(bytes(body))
    except ValidationError as error:
        _refuse(kind, bytes(body), error)
    if not obj.kind:
        obj.api_version, obj.kind = kind.resource.api_version, kind.resource.kind
    return obj


def decode_list(resource: ResourceType, body: bytes) -> ListPage:
    """
    Return the page that `body` holds, its items not decoded yet.

    Raises:
        MalformedObjectError: It is not a list.
    """
    try:
        return _page_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedObjectError(f"list of {resource}: the answer is not a list: {error}") from error


def encode_object(obj: KubeObject | JsonObject, resource: ResourceType) -> bytes:
    """Return the JSON of an object; a dictionary without `apiVersion` and `kind` gets those of `resource`."""
    if isinstance(obj, KubeObject):
        return encode(obj.to_wire())
    return encode({"apiVersion": resource.api_version, "kind": resource.kind, **obj})


def encode(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """Return the JSON of a patch or options; models and aware datetimes inside it are fine, None becomes null."""
    return msgspec.json.encode(value, enc_hook=_encode_model)


def _encode_model(value: object) -> object:
    if isinstance(value, ApiModel):
        return value.to_wire()
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def decode_json(what: str, body: bytes | memoryview) -> JsonObject:
    """
    Return the JSON object that `body` holds, as it is; `what` says in words what it is.

    Raises:
        MalformedObjectError: It is not JSON, or no object.
    """
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedObjectError(f"{what}: the answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedObjectError(f"{what}: the answer is not an object but {type(value).__name__}")
    return cast("JsonObject", value)


def _decode_untyped(resource: ResourceType, body: bytes | memoryview) -> JsonObject:
    obj = decode_json(str(resource), body)
    obj.setdefault("apiVersion", resource.api_version)
    obj.setdefault("kind", resource.kind)
    return obj


class _Mistake(NamedTuple):
    field: str
    text: str


def _refuse(kind: type[KubeObject], body: bytes, error: ValidationError) -> NoReturn:
    header = read_header(body)
    name = f"{header.namespace}/{header.name}" if header.namespace else header.name
    mistakes = [
        _Mistake(".".join(map(str, found["loc"])) or "the whole object", found["msg"])
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    shown = "; ".join(f"{field}: {text}" for field, text in mistakes[:_FIELDS_SHOWN_MAX])
    more = f"; and {len(mistakes) - _FIELDS_SHOWN_MAX} more" if len(mistakes) > _FIELDS_SHOWN_MAX else ""
    # Not "from error": pydantic's text quotes the values.
    raise MalformedObjectError(
        f"{kind.resource} {name or '(no name)'} does not fit the model {kind.__name__}: {shown}{more}"
    ) from None
