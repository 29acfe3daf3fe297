"""
The server's refusals: `Status` objects with the words, codes and details that a kube-apiserver would use.

Pure. Each function returns a `StatusError` for the caller to raise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from reconciler.api import ResourceType
from reconciler.apiserver.exchange import JsonObject

__all__ = [
    "Cause",
    "PageNotFoundError",
    "StatusError",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "internal",
    "invalid",
    "invalid_options",
    "method_not_allowed",
    "not_acceptable",
    "not_found",
    "qualified",
    "too_large_resource_version",
    "unauthorized",
    "unsupported_media_type",
]


class Cause(Protocol):
    """A mistake in one field. Mirrors: apimachinery `field.Error`."""

    @property
    def reason(self) -> str:
        """The machine-readable kind of mistake, such as `FieldValueRequired`."""
        ...

    @property
    def message(self) -> str:
        """The mistake in words, without the field."""
        ...

    @property
    def field(self) -> str:
        """The path of the field, such as `spec.type`."""
        ...


class StatusError(Exception):
    """The server says no; `status` is the body of its answer."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: JsonObject | None = None,
        metadata: JsonObject | None = None,
    ) -> None:
        """`details` and `metadata` are those of the `Status` object."""
        super().__init__(message)
        self.code = code
        self.status: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata or {},
            "status": "Failure",
            "message": message,
        }
        if reason:
            self.status["reason"] = reason
        if details is not None:
            self.status["details"] = details
        self.status["code"] = code

    @property
    def retry_after_seconds(self) -> int | None:
        """How long the client is asked to wait, in seconds."""
        details: JsonObject = self.status.get("details", {})
        return details.get("retryAfterSeconds")


class PageNotFoundError(Exception):
    """Nothing is served at this path: plain text, as the real server answers."""


def qualified(name: str, group: str) -> str:
    """Return a resource or kind as messages name it: `widgets.example.com`, or `events` in the core group."""
    return f"{name}.{group}" if group else name


def _details(name: str, group: str, kind: str, causes: Iterable[JsonObject] = ()) -> JsonObject:
    details: JsonObject = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    if listed := list(causes):
        details["causes"] = listed
    return details


def not_found(resource: ResourceType, name: str) -> StatusError:
    """404: the object is not there."""
    what = qualified(resource.plural, resource.group)
    details = _details(name, resource.group, resource.plural)
    return StatusError(404, "NotFound", f'{what} "{name}" not found', details=details)


def already_exists(resource: ResourceType, name: str) -> StatusError:
    """409: an object of that name is there already."""
    what = qualified(resource.plural, resource.group)
    details = _details(name, resource.group, resource.plural)
    return StatusError(409, "AlreadyExists", f'{what} "{name}" already exists', details=details)


def conflict(resource: ResourceType, name: str, why: str, *, by_kind: bool = False) -> StatusError:
    """409: somebody else wrote first. `by_kind` names the kind in place of the plural, as deletions do."""
    word = resource.kind if by_kind else resource.plural
    what = qualified(word, resource.group)
    message = f'Operation cannot be fulfilled on {what} "{name}": {why}'
    return StatusError(409, "Conflict", message, details=_details(name, resource.group, word))


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> StatusError:
    """422: the object breaks rules, listed as causes; the message says each text once."""
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    message = f'{qualified(kind, group)} "{name}" is invalid: {joined}'
    return StatusError(422, "Invalid", message, details=_details(name, group, kind, listed))


def invalid_options(kind: str, causes: Sequence[Cause]) -> StatusError:
    """422: the query parameters break rules; `kind` is such as `ListOptions`."""
    return invalid("meta.k8s.io", kind, "", causes)


def forbidden(resource: ResourceType, name: str, why: str, causes: Iterable[JsonObject] = ()) -> StatusError:
    """403: the request is understood and refused."""
    what = qualified(resource.plural, resource.group)
    details = _details(name, resource.group, resource.plural, causes)
    return StatusError(403, "Forbidden", f'{what} "{name}" is forbidden: {why}', details=details)


def bad_request(message: str) -> StatusError:
    """400: the request makes no sense."""
    return StatusError(400, "BadRequest", message)


def internal(message: str) -> StatusError:
    """500 without a reason: where the real server lets a parse error of its own through."""
    return StatusError(500, "", message)


def unauthorized() -> StatusError:
    """401: no token, or a wrong one."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def method_not_allowed(resource: ResourceType, verb: str) -> StatusError:
    """405: the resource is served, but not with this verb."""
    what = qualified(resource.plural, resource.group)
    message = f'{verb} is not supported on resources of kind "{what}"'
    return StatusError(405, "MethodNotAllowed", message, details=_details("", resource.group, resource.plural))


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    """406: the client accepts no form that the server has."""
    return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(accepted)}")


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    """415: the body has a form that is not understood here."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", message)


def expired(message: str, *, continue_token: str = "") -> StatusError:
    """410: the revision asked for is no longer kept."""
    metadata: JsonObject = {"continue": continue_token} if continue_token else {}
    return StatusError(410, "Expired", message, metadata=metadata)


def too_large_resource_version(asked: int, current: int) -> StatusError:
    """504: the client has seen a revision that this server has not reached."""
    details: JsonObject = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return StatusError(504, "Timeout", message, details=details)
