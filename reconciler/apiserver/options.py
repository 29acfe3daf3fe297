"""The query parameters and DeleteOptions that the verbs take, checked as the real server checks them. Pure."""

from __future__ import annotations

import base64
import binascii
import enum
import json
from dataclasses import dataclass
from typing import Any, cast

from reconciler.apiserver.body import read_body
from reconciler.apiserver.exchange import JsonObject, ServerRequest
from reconciler.apiserver.failure import bad_request, invalid_options
from reconciler.apiserver.schema import FieldError

__all__ = [
    "ContinueToken",
    "DeleteOptions",
    "FieldValidation",
    "ListOptions",
    "WriteOptions",
    "delete_options",
    "list_options",
    "write_options",
]


class FieldValidation(enum.Enum):
    """What happens to fields that the schema does not know."""

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of create, update and patch."""

    is_dry_run: bool = False
    field_validation: FieldValidation = FieldValidation.WARN


def _unsupported(field: str, value: str, supported: str) -> FieldError:
    return FieldError("FieldValueNotSupported", f"Unsupported value: {value}: supported values: {supported}", field)


def _dry_run_errors(values: list[Any]) -> list[FieldError]:
    if all(value == "All" for value in values):
        return []
    return [_unsupported("dryRun", json.dumps(values), '"All"')]


def write_options(request: ServerRequest, kind: str) -> WriteOptions:
    """Read the options of a write; `kind` is such as `CreateOptions`. Raises 422 as StatusError."""
    dry_run = request.parameters("dryRun")
    errors = _dry_run_errors(dry_run)
    validation = request.parameter("fieldValidation") or FieldValidation.WARN.value
    if validation not in {choice.value for choice in FieldValidation}:
        supported = '"", "Ignore", "Strict", "Warn"'
        errors.append(_unsupported("fieldValidation", f'"{validation}"', supported))
    if len(request.parameter("fieldManager").encode()) > 128:
        errors.append(FieldError("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager"))
    if errors:
        raise invalid_options(kind, errors)
    return WriteOptions(bool(dry_run), FieldValidation(validation))


# --- list and watch ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContinueToken:
    """
    Where a list goes on: after the key `start`, at `revision`; -1 means whatever is current.

    The token is opaque to clients.
    """

    revision: int
    start: str

    def encode(self) -> str:
        """Return the token's text."""
        text = json.dumps({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start}, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> ContinueToken:
        """Return what `text` says. Raises 400 as StatusError."""
        try:
            raw = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            revision, start = raw["rv"], raw["start"]
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
        if not isinstance(revision, int) or not isinstance(start, str):
            raise bad_request(
                "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion"
            )
        return cls(revision, start)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Options of list, watch and deletecollection. Selectors stay text: what they may name depends on the kind."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    token: ContinueToken | None = None
    resource_version: str = ""
    match: str = ""
    is_watch: bool = False
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout_seconds: int | None = None


def _boolean(text: str) -> bool:
    # Go's conversion of query parameters: everything but these is true.
    return text.lower() not in ("", "false", "0")


def _whole(request: ServerRequest, name: str) -> int | None:
    text = request.parameter(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def list_options(request: ServerRequest) -> ListOptions:
    """Read the options of list, watch and deletecollection. Raises 400 or 422 as StatusError."""
    options = ListOptions(
        label_selector=request.parameter("labelSelector"),
        field_selector=request.parameter("fieldSelector"),
        limit=max(0, _whole(request, "limit") or 0),
        resource_version=request.parameter("resourceVersion"),
        match=request.parameter("resourceVersionMatch"),
        is_watch=_boolean(request.parameter("watch")),
        allow_bookmarks=_boolean(request.parameter("allowWatchBookmarks")),
        send_initial_events=_optional_boolean(request, "sendInitialEvents"),
        timeout_seconds=_whole(request, "timeoutSeconds"),
        token=None,
    )
    text = request.parameter("continue")
    if errors := _list_errors(options, has_token=bool(text)):
        raise invalid_options("ListOptions", errors)
    if not text:
        return options
    if options.resource_version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    return _with_token(options, ContinueToken.decode(text))


def _with_token(options: ListOptions, token: ContinueToken) -> ListOptions:
    return ListOptions(options.label_selector, options.field_selector, options.limit, token, is_watch=options.is_watch)


def _optional_boolean(request: ServerRequest, name: str) -> bool | None:
    return _boolean(request.parameter(name)) if request.parameters(name) else None


def _list_errors(options: ListOptions, *, has_token: bool) -> list[FieldError]:
    def forbidden(field: str, why: str) -> FieldError:
        return FieldError("FieldValueForbidden", f"Forbidden: {why}", field)

    match, version = options.match, options.resource_version
    if options.is_watch and options.send_initial_events is not None:
        if match != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            return [forbidden("resourceVersionMatch", why)]
        return []
    if options.send_initial_events is not None:
        return [forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
    if options.is_watch and match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        return [forbidden("resourceVersionMatch", why)]
    if options.is_watch and has_token:
        return [forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")]
    if not match:
        return []
    if not version:
        return [
            forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided")
        ]
    if has_token:
        return [forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")]
    if match not in ("Exact", "NotOlderThan"):
        return [_unsupported("resourceVersionMatch", f'"{match}"', '"Exact", "NotOlderThan", ""')]
    if match == "Exact" and version == "0":
        return [forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')]
    return []


# --- delete -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """
    Options of delete and deletecollection; empty strings mean "not given".

    `policy` is `Background`, `Foreground`, `Orphan` or empty.
    """

    uid: str = ""
    resource_version: str = ""
    policy: str = ""
    is_dry_run: bool = False


_POLICIES = ("Foreground", "Background", "Orphan")


def delete_options(request: ServerRequest) -> DeleteOptions:
    """Read DeleteOptions from the body, or without one from the query. Raises 400, 415 or 422 as StatusError."""
    raw = _delete_body(request) if request.body else _delete_query(request)
    preconditions: Any = raw.get("preconditions") or {}
    if not isinstance(preconditions, dict):
        text = "json: cannot unmarshal number into Go struct field DeleteOptions.preconditions of type v1.Preconditions"
        raise bad_request(text)
    dry_run: list[Any] = raw.get("dryRun") or []
    policy = raw.get("propagationPolicy") or ""
    errors = _dry_run_errors(dry_run)
    if policy and policy not in _POLICIES:
        supported = '"Foreground", "Background", "Orphan", "nil"'
        errors.append(_unsupported("propagationPolicy", json.dumps(policy), supported))
    if errors:
        raise invalid_options("DeleteOptions", errors)
    named = cast("JsonObject", preconditions)
    return DeleteOptions(
        str(named.get("uid") or ""), str(named.get("resourceVersion") or ""), str(policy or ""), bool(dry_run)
    )


def _delete_query(request: ServerRequest) -> JsonObject:
    return {"dryRun": request.parameters("dryRun"), "propagationPolicy": request.parameter("propagationPolicy")}


def _delete_body(request: ServerRequest) -> JsonObject:
    try:
        raw = read_body(request.body, request.header("Content-Type"))
    except ValueError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(raw, dict):
        raise bad_request("couldn't get version/kind; json parse error: json: cannot unmarshal into DeleteOptions")
    found = cast("JsonObject", raw)
    kind = found.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        version = found.get("apiVersion") or "v1"
        raise bad_request(
            f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        )
    return found
