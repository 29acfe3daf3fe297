"""
Every error of the library, on one screen.

The tree answers two questions: whose fault is it, and does a retry help? Foreign exceptions become one of these in
the file that makes the foreign call, with `raise ... from error`. Cancellation is never wrapped.

All of them can be copied and pickled. No text holds an object: a server's message is shown without what it quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    "NoMatchError",
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how it is made again: by its text and attributes, not by calling an initializer with the text."""
        return _made_again, (type(self), self.args), self.__dict__


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
    # Not in the repr: it may quote the object.
    message: str = field(default="", repr=False)
    field: str = ""


@dataclass(frozen=True, slots=True)
class ApiStatus:
    """
    A `Status` object as the API server sent it, reduced to what decides.

    `code` is the HTTP status, `reason` the machine-readable word (`NotFound`, `Conflict`, ...). `has_retry_after` tells
    whether `retry_after_seconds` stood in the header, and not in the body alone. `message` and those of
    the `causes` are the server's own words; they may quote the whole object, so they stand in no repr. Log an
    `ApiError` instead.
    """

    code: int
    reason: str = ""
    message: str = field(default="", repr=False)
    causes: Sequence[StatusCause] = ()
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    retry_after_seconds: float | None = None
    has_retry_after: bool = False


class ApiError(ReconcilerError):
    """
    The API server said no. `status` holds its answer, `doing` the request in words: verb, kind and object.

    The text has the server's message without what that quotes: objects, lists and long texts are left out, of a Secret
    every value. Numbers and short texts stay (`Invalid value: 0: must be greater than 1`). `status` is as it was sent.
    """

    def __init__(self, status: ApiStatus, doing: str = "", *, hint: str = "") -> None:
        """
        Put the request, the server's answer and a hint into one line.

        Args:
            status: What the server said.
            doing: The request in words, such as `get notificationrequests default/a`.
            hint: What to look at, where the server's own words do not say it.
        """
        self.status = status
        self.doing = doing
        super().__init__(_after(doing, f"{status.code} {_said(status, doing)}" + (f"; {hint}" if hint else "")))


class BadRequestError(ApiError):
    """400: the request itself makes no sense to the server."""


class UnauthorizedError(ApiError):
    """401: the server does not know who asks."""


class ForbiddenError(ApiError):
    """403: the server knows who asks, and does not allow it."""


class NotFoundError(ApiError):
    """404: no such object; or no such kind, which is `NoMatchError`."""


class NoMatchError(NotFoundError):
    """
    404, and not for want of an object: the server serves no such kind or version, or the kind has no such subresource.

    It is a `NotFoundError`, so who takes that for "the object is gone" asks for this one first.

    Mirrors: apimachinery `meta.NoKindMatchError` and `NoResourceMatchError`.
    """


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
    """
    No answer came: refused, reset, TLS refused, timed out. Whether a write happened is unknown, unless `is_unsent`.

    `is_unsent` is True where nothing of the request left this process, so that a write can safely be tried again.
    """

    def __init__(self, message: str, doing: str = "", *, is_unsent: bool = False) -> None:
        """`doing` names the request in words, as in `ApiError`."""
        self.doing = doing
        self.is_unsent = is_unsent
        super().__init__(_after(doing, message))


class MalformedObjectError(ReconcilerError):
    """
    What the server returned is not JSON, is of another kind, or does not fit the model. No value is in the message.

    A write that is answered so has happened.
    """

    def __init__(self, message: str, doing: str = "") -> None:
        """`doing` names the request in words, as in `ApiError`."""
        self.doing = doing
        super().__init__(_after(doing, message))


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


def _after(doing: str, said: str) -> str:
    return f"{doing}: {said}" if doing else said


def _made_again(kind: type[ReconcilerError], args: tuple[object, ...]) -> ReconcilerError:
    return kind.__new__(kind, *args)


# --- a server's message, without what it quotes -----------------------------------------------------------------------

_OBJECT_CODES = frozenset({400, 422, 500})
"""Answers about the content of a request; others speak of names and users."""

_TEXT_LENGTH_MAX = 100
_UNSHOWN = "(not shown)"
_BAD_VALUE = re.compile(r"(?:Invalid value|Unsupported value|Duplicate value|Not found|Too many): (?=[\"\[{])")
# Go's forms of maps and structs, a patch's directive, and the surroundings of a mistake in JSON. They have no end that
# could be found, so the rest goes with them.
_UNENDED = re.compile(r"(?<!of type )\bmap\[|&[\w.]*\{|\b\w+\.\w+\{|(?<=unknown patch type: )|(?<=error found in )#")
_SAFE_WORDS = re.compile(
    r'(?:unknown|duplicate) field "[^"]{1,100}"'
    r"|json: cannot unmarshal \w+ into Go struct field [\w.]+ of type [\w\[\]]+"
    r"|\.[\w.]+: (?:expected \w+|field not declared in schema)"
    r"|illegal base64 data at input byte \d+"
    r"|may not be more than \d+ bytes|field is immutable"
)
"""What may be said of a Secret: names, types and lengths."""

_WEBHOOK_FAILED = re.compile(r"Internal error occurred: failed calling webhook ")


def _said(status: ApiStatus, doing: str) -> str:
    message = status.message
    if not message:
        return status.reason or "no message"
    if status.code in _OBJECT_CODES and _is_of_secret(status, doing) and not _WEBHOOK_FAILED.match(message):
        return _said_of_secret(status)
    return _without_unended(_without_values(message))


def _is_of_secret(status: ApiStatus, doing: str) -> bool:
    kind = str(status.details.get("kind", "")).lower()
    return kind in {"secret", "secrets"} or any(word.partition(".")[0] == "secrets" for word in doing.split())


def _said_of_secret(status: ApiStatus) -> str:
    # A label's value and a key of `data` are quoted as well, and a patch's directive, so only known words are shown.
    words = list(dict.fromkeys(_SAFE_WORDS.findall(_without_values(status.message))))
    fields = [f"{cause.field}: {cause.reason}" for cause in status.causes if cause.field or cause.reason]
    said = "; ".join([*dict.fromkeys(map(_without_key, fields)), *words])
    reason = status.reason or "refused"
    return f"{reason} ({said})" if said else f"{reason} (the server's words are not shown: they may quote the Secret)"


def _without_key(path: str) -> str:
    return re.sub(r"\[[^\]]*\]", "[]", path)


def _without_values(message: str) -> str:
    shown: list[str] = []
    position = 0
    while found := _BAD_VALUE.search(message, position):
        shown.append(message[position : found.end()])
        try:
            value, position = json.JSONDecoder().raw_decode(message, found.end())
        except ValueError:
            # Go escapes a few characters in its own way, so the end is not known.
            return "".join([*shown, _UNSHOWN])
        shown.append(message[found.end() : position] if _is_short_text(value) else _UNSHOWN)
    return "".join([*shown, message[position:]])


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT_LENGTH_MAX and not value.startswith(("{", "[", "map[", "&"))


def _without_unended(message: str) -> str:
    found = _UNENDED.search(message)
    return message if found is None else message[: found.start()] + _UNSHOWN
