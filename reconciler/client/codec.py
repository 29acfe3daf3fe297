"""
Bytes to objects and back: typed ones through their models, untyped ones as dictionaries. Pure.

Messages name the object and the field, never a value: an object may be a Secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast, get_args, overload

import msgspec
from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

from reconciler.api import ApiModel, KubeObject, ModelError, ObjectKey, ResourceType
from reconciler.client.contract import JsonObject
from reconciler.errors import MalformedObjectError

__all__ = [
    "UNREADABLE",
    "Header",
    "ListPage",
    "check_answered",
    "check_deleted",
    "decode_json",
    "decode_list",
    "decode_object",
    "encode",
    "encode_object",
    "header_of",
    "read_header",
    "resource_of",
    "success_in",
]

ObjectT = TypeVar("ObjectT", bound=KubeObject)

_FIELDS_SHOWN_MAX = 5
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding of JSON raises; the last where values lie inside each other deeper than Python goes."""
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_QUOTING = {
    "assertion_error", "bytes_invalid_encoding", "union_tag_invalid", "url_parsing", "url_syntax_violation",
    "uuid_parsing", "value_error",
}  # fmt: skip
_PLAIN_MISTAKES = frozenset(get_args(ErrorType)) - _QUOTING
"""Pydantic's mistakes whose words hold nothing of the value."""


class Header(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of an object's metadata that says which object, and which version of it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.namespace, self.name)


class _Object(msgspec.Struct, frozen=True, gc=False):
    metadata: Header = Header()


class _Answer(msgspec.Struct, frozen=True, gc=False):
    kind: str = ""
    status: msgspec.Raw = msgspec.Raw(b"null")


class _Deleted(_Answer, frozen=True, gc=False):
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET  # None where Go encoded an empty one as null


class _ListHeader(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class ListPage(msgspec.Struct, frozen=True):
    """One page of a list; `items` are views of the page's bytes, and None where Go encoded an empty one as null."""

    metadata: _ListHeader
    # No default: an answer of another kind has none, and must not be taken for an empty list.
    items: list[msgspec.Raw] | None
    kind: str = ""


_header_decoder = msgspec.json.Decoder(_Object)
_answer_decoder = msgspec.json.Decoder(_Answer)
_deleted_decoder = msgspec.json.Decoder(_Deleted)
_page_decoder = msgspec.json.Decoder(ListPage)


def resource_of(kind: type[KubeObject] | ResourceType) -> ResourceType:
    """Return the resource type of a model, or the resource type itself."""
    return kind if isinstance(kind, ResourceType) else kind.resource


def read_header(body: bytes) -> Header:
    """Return the header of the object in `body`; an empty one where there is none."""
    try:
        return _header_decoder.decode(body).metadata
    except UNREADABLE:
        return Header()


def header_of(obj: KubeObject | Mapping[str, Any]) -> Header:
    """Return the header of an object, typed or not; what is missing, or no mapping, is empty."""
    if isinstance(obj, KubeObject):
        # Not through its JSON form, which a wrong value in a label would spoil before the object has a name.
        held = obj.metadata
        return Header(held.name, held.namespace, held.uid, held.resource_version)
    metadata: object = obj.get("metadata")
    found: Mapping[str, Any] = cast("Mapping[str, Any]", metadata) if isinstance(metadata, Mapping) else {}
    return Header(*(found.get(name) or "" for name in ("name", "namespace", "uid", "resourceVersion")))


def check_deleted(body: bytes, resource: ResourceType, *, doing: str) -> None:
    """
    Raise `MalformedObjectError` unless `body` is what a deletion is answered with.

    That is an object of the kind, a list of them, or a `Status` that tells of no failure.
    """
    try:
        answer = _deleted_decoder.decode(body)
    except UNREADABLE as error:
        raise MalformedObjectError(f"the answer is no JSON object: {error}", doing) from None
    if answer.kind == "Status":
        if bytes(answer.status) == b'"Failure"':
            raise MalformedObjectError(_FAILED, doing)
    elif answer.kind != resource.kind and not _is_list_answer(answer, resource):
        raise MalformedObjectError(f"the answer is {_named(answer.kind)}, not {resource.kind} or Status", doing)


def check_answered(answer: JsonObject, *, doing: str) -> None:
    """
    Raise `MalformedObjectError` unless a subresource is answered with an object, of whatever kind.

    One that names neither a kind nor an object is none, nor is a `Status` that says, in spite of the HTTP code, that it
    failed.
    """
    if answer.get("kind") == "Status" and answer.get("status") == "Failure":
        raise MalformedObjectError(_FAILED, doing)
    if not answer.get("kind") and not header_of(answer).name:
        raise MalformedObjectError(f"the answer is {_named('')}", doing)


def success_in(body: bytes) -> JsonObject | None:
    """Return the `Status` in `body`, where it is one that tells of success and not an object."""
    try:
        if _answer_decoder.decode(body).kind != "Status":
            return None
        answer: JsonObject = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    return answer if answer.get("status") == "Success" else None


@overload
def decode_object(kind: type[ObjectT], body: bytes | memoryview, *, doing: str = "") -> ObjectT: ...
@overload
def decode_object(kind: ResourceType, body: bytes | memoryview, *, doing: str = "") -> JsonObject: ...
def decode_object(
    kind: type[ObjectT] | ResourceType, body: bytes | memoryview, *, doing: str = ""
) -> ObjectT | JsonObject:
    """
    Return the object that `body` holds; `doing` names in words the request that brought it.

    An object in a list of a built-in kind carries no `apiVersion` and `kind`; they are filled in.

    Raises:
        MalformedObjectError: It is not JSON, is of another kind or of none (it names neither a kind nor an object), or
            does not fit the model; names the object and the field.
    """
    if isinstance(kind, ResourceType):
        return _decode_untyped(kind, body, doing)
    try:
        obj = kind.from_json(bytes(body))
    except ValidationError as error:
        # Another kind does not fit the model, mostly, and that is the better reason.
        _check_kind(kind.resource, _kind_in(body), doing, is_named=True)
        # Not "from error": pydantic's text quotes the values.
        raise _refusal(kind, bytes(body), error, doing) from None
    _check_kind(kind.resource, obj.kind, doing, is_named=bool(obj.metadata.name))
    if not obj.kind:
        obj.api_version, obj.kind = kind.resource.api_version, kind.resource.kind
    return obj


def decode_list(body: bytes, resource: ResourceType | None = None, *, doing: str) -> ListPage:
    """
    Return the page that `body` holds, its items not decoded yet; `doing` names in words the request that brought it.

    Raises:
        MalformedObjectError: It is not a list, or of a built-in kind other than `resource`.
    """
    try:
        page = _page_decoder.decode(body)
    except UNREADABLE as error:
        found = _kind_in(body)
        named = f"{_named(found)}, not a list" if found else "not a list"
        raise MalformedObjectError(f"the answer is {named}: {error}", doing) from None
    if resource is not None and page.kind and not _is_list_of(page.kind, resource):
        raise MalformedObjectError(f"the answer is {_named(page.kind)}, not {resource.kind}List", doing)
    return page


def encode_object(obj: KubeObject | JsonObject, resource: ResourceType, *, doing: str = "") -> bytes:
    """
    Return the JSON of an object; a dictionary without `apiVersion` and `kind` gets those of `resource`.

    Raises:
        ModelError: A field of a typed object holds what it does not take; `doing` names the write in words.
    """
    if isinstance(obj, KubeObject):
        try:
            return encode(obj.to_wire())
        except ModelError as error:
            raise ModelError(doing or error.what, error.field, error.found) from None
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


def decode_json(body: bytes | memoryview, *, doing: str) -> JsonObject:
    """
    Return the JSON object that `body` holds, as it is; `doing` names in words the request that brought it.

    Raises:
        MalformedObjectError: It is not JSON, or no object.
    """
    try:
        value: object = msgspec.json.decode(body)
    except UNREADABLE as error:
        raise MalformedObjectError(f"the answer is not JSON: {error}", doing) from None
    if not isinstance(value, dict):
        raise MalformedObjectError(f"the answer is not an object but {type(value).__name__}", doing)
    return cast("JsonObject", value)


def _decode_untyped(resource: ResourceType, body: bytes | memoryview, doing: str) -> JsonObject:
    obj = decode_json(body, doing=doing or str(resource))
    kind = _kind_of_value(resource, obj)
    if kind:
        return {"apiVersion": resource.api_version, "kind": kind, **obj}
    _check_kind(resource, obj.get("kind"), doing or str(resource), is_named=bool(header_of(obj).name))
    obj.setdefault("apiVersion", resource.api_version)
    obj.setdefault("kind", resource.kind)
    return obj


_FAILED = "the answer is a Status that tells of a failure, with an HTTP code that tells of success"


def _check_kind(resource: ResourceType, found: object, doing: str, *, is_named: bool) -> None:
    # One that lacks its kind stands in a list, and has a name; a review has no name, and says its kind.
    if found in (resource.kind, _METADATA_ONLY) or (not found and is_named):
        return
    raise MalformedObjectError(f"the answer is {_named(found)}, not {resource.kind}", doing or str(resource))


_METADATA_ONLY = "PartialObjectMetadata"
# Their values are no objects: they lie in lists alone, without a name, and mostly without a kind. Discovery gives their
# resources the kind of the list.
_GROUPS_OF_VALUES = frozenset({"custom.metrics.k8s.io", "external.metrics.k8s.io"})


def _kind_of_value(resource: ResourceType, obj: JsonObject) -> str:
    """Return the kind of a metric's value; empty for anything else."""
    kind = resource.kind.removesuffix("List")
    is_value = resource.group in _GROUPS_OF_VALUES and "value" in obj and obj.get("kind", kind) == kind
    return kind if is_value else ""


def _is_list_of(kind: str, resource: ResourceType) -> bool:
    if kind == "Status":
        return False
    if kind in (f"{resource.kind}List", f"{_METADATA_ONLY}List", "List"):
        return True
    # A CustomResourceDefinition may call its lists anything; their items say their kind.
    return "." in resource.group


def _is_list_answer(answer: _Deleted, resource: ResourceType) -> bool:
    if not answer.kind or answer.items is msgspec.UNSET or not _is_list_of(answer.kind, resource):
        return False
    # A word that a definition made up for its lists looks like the kind of any page; a list has its metadata too.
    return answer.kind.endswith("List") or answer.metadata is not msgspec.UNSET


def _kind_in(body: bytes | memoryview) -> str:
    try:
        return _answer_decoder.decode(body).kind
    except UNREADABLE:
        return ""


def _named(kind: object) -> str:
    """Return a kind in words; what is no kind at all is not quoted."""
    return kind if isinstance(kind, str) and _KIND.fullmatch(kind) else "an object of no kind"


def _refusal(kind: type[KubeObject], body: bytes, error: ValidationError, doing: str) -> MalformedObjectError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    mistakes = [_mistake(each["type"], ".".join(map(str, each["loc"])), each["msg"]) for each in found]
    shown = "; ".join(mistakes[:_FIELDS_SHOWN_MAX])
    if found[0]["type"] == "json_invalid":
        return MalformedObjectError(f"the answer is not JSON: {shown}", doing or str(kind.resource))
    more = f"; and {len(mistakes) - _FIELDS_SHOWN_MAX} more" if len(mistakes) > _FIELDS_SHOWN_MAX else ""
    header = read_header(body)
    name = f"{header.namespace}/{header.name}" if header.namespace else header.name
    which = name or "the answer" if doing else f"{kind.resource} {name or '(no name)'}"
    return MalformedObjectError(f"{which} does not fit the model {kind.__name__}: {shown}{more}", doing)


def _mistake(kind: str, field: str, text: str) -> str:
    # Rules that a model's author wrote may quote the value, and so do a few of pydantic's own.
    words = text if kind in _PLAIN_MISTAKES else f"refused by the model ({kind})"
    return f"{field}: {words}" if field else words
