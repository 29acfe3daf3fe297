"""
Every error of the library, on one screen.

The tree answers two questions: whose fault is it, and does a retry help? Foreign exceptions become one of these in
the file that makes the foreign call, with `raise ... from error`. Cancellation is never wrapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "AlreadyExistsError",
    "ApiError",
    "ApiStatus",
    "BadRequestError",
    "CacheNotSyncedError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "DeliveryError",
    "ExpiredError",
    "ForbiddenError",
    "InvalidError",
    "InvariantError",
    "MalformedObjectError",
    "MethodNotAllowedError",
    "NotFoundError",
    "NotHeldError",
    "PermanentDeliveryError",
    "PhaseError",
    "ReconcilerError",
    "RetryError",
    "SchemaError",
    "ServerTimeoutError",
    "ShutdownError",
    "StatusCause",
    "TerminalError",
    "TooManyRequestsError",
    "TransientDeliveryError",
    "UnauthorizedError",
]


class ReconcilerError(Exception):
    """The root of every error that a user of the library may want to catch."""


class TerminalError(ReconcilerError):
    """
    Raised by a reconciler: retrying cannot help, so the key is not queued again.

    Mirrors: controller-runtime `reconcile.TerminalError`.
    """


class RetryError(ReconcilerError):
    """
    Raised by a reconciler that wants its key back after the backoff, as after any error, but at another priority.

    Mirrors: a controller-runtime reconciler that returns an error beside `Result{Priority: ...}`.
    """

    def __init__(self, message: str, *, priority: int | None = None) -> None:
        """`priority` is that of the requeue; None keeps the one that the key was handed out with."""
        super().__init__(message)
        self.priority = priority


class ConfigurationError(ReconcilerError):
    """Something is wired wrongly; raised while building, never later."""


class CacheNotSyncedError(ReconcilerError):
    """A cache was read before its first list was complete, or did not sync in time."""


class ShutdownError(ReconcilerError):
    """Something did not run as long as it should have, or not end when it should have; the message names it."""


class NotHeldError(ReconcilerError):
    """A key was given to `done` that nobody holds: `done` twice, or without `get`."""


class PhaseError(ReconcilerError):
    """A move between two phases is not in the phase table."""


class SchemaError(ReconcilerError):
    """
    A schema, rule or printer column is not one that the embedded API server can keep.

    `field` is its path inside the CustomResourceDefinition or schema, `reason` the word of a `StatusCause`.
    """

    def __init__(self, field: str, message: str, reason: str = "FieldValueInvalid") -> None:
        """`message` says what was expected and what was seen, without the path."""
        self.field = field
        self.message = message
        self.reason = reason
        super().__init__(f"{field}: {message}")


@dataclass(frozen=True, slots=True)
class StatusCause:
    """One cause inside a `Status`: which field, what kind of mistake, in words."""

    reason: str = ""
    message: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class ApiStatus:
    """
    A `Status` object as the API server sent it, reduced to what decides.

    `code` is the HTTP status, `reason` the machine-readable word (`NotFound`, `Conflict`, ...).
    """

    code: int
    reason: str = ""
    message: str = ""
    causes: Sequence[StatusCause] = ()
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    retry_after_seconds: float | None = None


class ApiError(ReconcilerError):
    """The API server said no. `status` holds its answer."""

    def __init__(self, status: ApiStatus, doing: str = "") -> None:
        """`doing` names the request in words, such as `get notificationrequests default/a`."""
        self.status = status
        self.doing = doing
        said = status.message or status.reason or "no message"
        super().__init__(f"{doing}: {status.code} {said}" if doing else f"{status.code} {said}")


class BadRequestError(ApiError):
    """400: the request itself makes no sense to the server."""


class UnauthorizedError(ApiError):
    """401: the server does not know who asks."""


class ForbiddenError(ApiError):
    """403: the server knows who asks, and does not allow it."""


class NotFoundError(ApiError):
    """404: no such object, or no such resource (then `status.details` has no name)."""


class MethodNotAllowedError(ApiError):
    """405: the resource exists, but not with this verb."""


class AlreadyExistsError(ApiError):
    """409 with reason `AlreadyExists`: an object of that name is there already."""


class ConflictError(ApiError):
    """409 with reason `Conflict`: somebody else wrote first; read again and re-apply."""


class ExpiredError(ApiError):
    """410: the resource version or the continue token is too old; list again."""


class InvalidError(ApiError):
    """422: the object breaks its schema; `status.causes` name the fields."""


class TooManyRequestsError(ApiError):
    """429: wait `status.retry_after_seconds`, then ask again."""


class ServerTimeoutError(ApiError):
    """503 or 504: the server could not answer in time; asking again may help."""


class ConnectionFailedError(ReconcilerError):
    """No answer came: refused, reset, TLS refused, timed out. Whether a write happened is unknown."""


class MalformedObjectError(ReconcilerError):
    """What the server returned is not JSON, or does not fit the model it was read into. No value is in the message."""


class DeliveryError(ReconcilerError):
    """A delivery did not happen. Its text goes into `status`: it must carry no secret and no URL."""


class TransientDeliveryError(DeliveryError):
    """Trying again later may help."""


class PermanentDeliveryError(DeliveryError):
    """Trying again cannot help."""


class InvariantError(AssertionError):
    """
    A promise that this library makes to itself is broken: our bug.

    Outside the family on purpose, so that no `except ReconcilerError` hides it; going on would be a guess.
    """
