"""How far a request has come: whether it waits for a connection, and whether anything of it was sent."""

from __future__ import annotations

from typing import Any, cast

import aiohttp

__all__ = ["Progress", "progress_trace"]


class Progress:
    """How far a request has come; the session's trace keeps it up to date."""

    __slots__ = ("is_queued", "is_sent")

    def __init__(self) -> None:
        self.start_again()

    def start_again(self) -> None:
        """Forget a try that did not get to the server, or was not executed there."""
        self.is_queued = False
        self.is_sent = False


def progress_trace() -> aiohttp.TraceConfig:
    """Return what keeps the `Progress` up to date that a request has as its `trace_request_ctx`."""
    trace = aiohttp.TraceConfig()

    async def queued(session: object, context: Any, parameters: object) -> None:
        _progress_of(context).is_queued = True

    async def unqueued(session: object, context: Any, parameters: object) -> None:
        _progress_of(context).is_queued = False

    async def sending(session: object, context: Any, parameters: object) -> None:
        _progress_of(context).is_sent = True

    trace.on_connection_queued_start.append(queued)
    trace.on_connection_queued_end.append(unqueued)
    # It comes before the first byte.
    trace.on_request_headers_sent.append(sending)
    return trace


def _progress_of(context: Any) -> Progress:
    return cast("Progress", context.trace_request_ctx)
