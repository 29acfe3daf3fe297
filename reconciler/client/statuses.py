"""
What the API server said, as `ApiStatus` and as an exception. Pure.

The table decides by code and reason; a body that is no `Status` (a proxy's page, plain text) decides by its code.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import msgspec

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

_TEXT_LENGTH_MAX = 200


def api_error(status: ApiStatus, doing: str = "") -> ApiError:
    """Return the exception for a refusal; `doing` names the request in words."""
    by_code = _BY_CODE.get(status.code, ApiError)
    return _BY_CODE_AND_REASON.get((status.code, status.reason), by_code)(status, doing)


def parse_status(body: bytes, *, code: int = 0, headers: Mapping[str, str] | None = None) -> ApiStatus:
    """
    Return what a refusal's body says.

    Args:
        body: A `Status` in JSON; anything else becomes the message, cut short.
        code: The HTTP status; 0 takes the one in the body (a watch's ERROR event has no other).
        headers: With lower-case names; `retry-after` wins over the body's.
    """
    wire = _object(_decode(body))
    if wire.get("kind") != "Status":
        return ApiStatus(code, message=_text(body), retry_after_seconds=_retry_after(headers, {}))
    details = _object(wire.get("details"))
    causes = details.pop("causes", None)
    return ApiStatus(
        code=code or _integer(wire.get("code")),
        reason=_string(wire.get("reason")),
        message=_string(wire.get("message")),
        causes=tuple(map(_cause, cast("list[object]", causes))) if isinstance(causes, list) else (),
        details=details,
        retry_after_seconds=_retry_after(headers, details),
    )


def _decode(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _text(body: bytes) -> str:
    lines = body[:4096].decode(errors="replace").strip().splitlines()
    return lines[0][:_TEXT_LENGTH_MAX] if lines else ""


def _cause(value: object) -> StatusCause:
    wire = _object(value)
    return StatusCause(_string(wire.get("reason")), _string(wire.get("message")), _string(wire.get("field")))


def _retry_after(headers: Mapping[str, str] | None, details: Mapping[str, object]) -> float | None:
    # The header's other form, a date, would need a wall clock; no API server sends it.
    said = (headers or {}).get("retry-after", "").strip()
    if said.isdecimal():
        return float(said)
    in_body = _integer(details.get("retryAfterSeconds"))
    return float(in_body) if in_body > 0 else None


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _integer(value: object) -> int:
    return value if isinstance(value, int) else 0
