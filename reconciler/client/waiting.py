"""How long a request waits: for its answer, and because the server asked it to."""

from __future__ import annotations

import asyncio
import logging

from reconciler.errors import ApiError

__all__ = ["check_timeout", "wait_out"]

_log = logging.getLogger("reconciler.client")

_LONG_SECONDS = 1.0


async def wait_out(error: ApiError, waits: int, *, waits_max: int, seconds_max: float) -> None:
    """
    Wait as long as the server asks for after a 429 or 5xx; raise `error` where it names no time, or too long a one.

    Args:
        error: The refusal.
        waits: How often this request has waited before.
        waits_max: How often it may.
        seconds_max: The longest wait.

    Mirrors: client-go `rest` `checkWait` and `withRetry`.
    """
    status = error.status
    seconds = status.retry_after_seconds
    # A 5xx body's own `retryAfterSeconds` does not count, as in Go: the header says that a repetition is wanted.
    may_wait = status.code == 429 or (status.code >= 500 and status.has_retry_after)
    if seconds is None or not may_wait or waits >= waits_max or seconds > seconds_max:
        raise error
    if seconds > _LONG_SECONDS:
        _log.warning(
            "%s: the server answers %d and asks to wait %g s; wait %d of %d at most",
            error.doing, status.code, seconds, waits + 1, waits_max,
        )  # fmt: skip
    await asyncio.sleep(seconds)


def check_timeout(seconds: float) -> None:
    """Raise ValueError unless `seconds` is more than 0."""
    if not seconds > 0:
        raise ValueError(f"timeout_seconds must be more than 0, is {seconds:g}")
