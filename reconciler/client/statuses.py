"""
What the API server said, as `ApiStatus` and as an exception. Pure.

The table decides by code and reason; a body that is no `Status` (a proxy's page, plain text) decides by its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

import msgspec

from reconciler.client.codec import UNREADABLE
from reconciler.errors import (
    AlreadyExistsError,
    ApiError,
    ApiStatus,
    BadRequestError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    MethodNotAllowedError,
    NoMatchError,
    NotFoundError,
    ServerTimeoutError,
    StatusCause,
    TooManyRequestsError,
    UnauthorizedError,
)

__all__ = ["api_error", "parse_status"]

_BY_CODE_AND_REASON: Mapping[tuple[int, str], type[ApiError]] = MappingProxyType({
    (409, "AlreadyExists"): AlreadyExistsError,
    # Go's NewServerTimeout is a 500 in spite of its name.
    (500, "ServerTimeout"): ServerTimeoutError,
})  # fmt: skip

_BY_CODE: Mapping[int, type[ApiError]] = MappingProxyType({
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    409: ConflictError,
    410: ExpiredError,
    422: InvalidError,
    429: TooManyRequestsError,
    503: ServerTimeoutError,
    504: ServerTimeoutError,
})  # fmt: skip

_HINTS: Mapping[type[ApiError], str] = MappingProxyType({
    UnauthorizedError: "has the token or the client certificate expired, or is it another cluster's?",
    NoMatchError: "is the kind installed there, served in this version, and has it that subresource?",
})  # fmt: skip
"""What to look at, where a server says no more than the code."""

_TEXT_LENGTH_MAX = 200


def api_error(status: ApiStatus, doing: str = "") -> ApiError:
    """
    Return the exception for a refusal; `doing` names the request in words.

    A 404 that names no object is `NoMatchError`: the path itself is not known, for its kind or its subresource.
    """
    by_code = _BY_CODE.get(status.code, ApiError)
    found = _BY_CODE_AND_REASON.get((status.code, status.reason), by_code)
    if found is NotFoundError and not status.details.get("name"):
        found = NoMatchError
    return found(status, doing, hint=_HINTS.get(found, ""))


def parse_status(body: bytes, *, code: int = 0, headers: Mapping[str, str] | None = None) -> ApiStatus:
    """
    Return what a refusal's body says.

    Args:
        body: A `Status` in JSON. Of plain text the first line becomes the message, cut short; of other JSON its
            `message` or `error` alone: it may be an object, with secrets in it.
        code: The HTTP status; 0 takes the one in the body (a watch's ERROR event has no other).
        headers: With lower-case names; `retry-after` wins over the body's.
    """
    found = _decode(body)
    wire = _object(found)
    in_header = _retry_after_in(headers)
    if wire.get("kind") != "Status":
        said = _text(body).removeprefix(f"{code} ") if found is None else _words_of(wire)
        if 300 <= code < 400:
            said = _redirect(headers)
        return ApiStatus(code, message=said, retry_after_seconds=in_header, has_retry_after=in_header is not None)
    details = _object(wire.get("details"))
    causes = details.pop("causes", None)
    return ApiStatus(
        code=code or _integer(wire.get("code")),
        reason=_string(wire.get("reason")),
        message=_string(wire.get("message")),
        causes=tuple(map(_cause, cast("list[object]", causes))) if isinstance(causes, list) else (),
        details=details,
        retry_after_seconds=_retry_after_of(details) if in_header is None else in_header,
        has_retry_after=in_header is not None,
    )


def _decode(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        return None


def _text(body: bytes) -> str:
    if body.lstrip()[:1] in {b"{", b"["}:
        return "the answer is half a JSON document"
    lines = body[:4096].decode(errors="replace").strip().splitlines()
    return lines[0][:_TEXT_LENGTH_MAX] if lines else ""


def _words_of(wire: Mapping[str, object]) -> str:
    said = _string(wire.get("message")) or _string(wire.get("error"))
    return said[:_TEXT_LENGTH_MAX] or "the answer is JSON, and no Status"


def _cause(value: object) -> StatusCause:
    wire = _object(value)
    return StatusCause(_string(wire.get("reason")), _string(wire.get("message")), _string(wire.get("field")))


def _retry_after_in(headers: Mapping[str, str] | None) -> float | None:
    # The header's other form, a date, would need a wall clock; no API server sends it.
    said = (headers or {}).get("retry-after", "").strip()
    return float(said) if said.isdecimal() else None


def _retry_after_of(details: Mapping[str, object]) -> float | None:
    in_body = _integer(details.get("retryAfterSeconds"))
    return float(in_body) if in_body > 0 else None


def _redirect(headers: Mapping[str, str] | None) -> str:
    try:
        host = urlsplit((headers or {}).get("location", "")).hostname
    except ValueError:
        host = None
    # The host alone: path and query may hold a token.
    return f"the answer is a redirect{f' to {host}' if host else ''}, and redirects are not followed"


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _integer(value: object) -> int:
    # JSON's integers have no bound, and one that is no finite float would end in an error of another kind.
    return value if isinstance(value, int) and abs(value) < 2**53 else 0
