"""What a pass may look at while it runs: whether its time has run out, or its controller stops."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Literal

from reconciler.instant import Clock, Instant

__all__ = ["ContextError", "PassContext", "context_of_pass", "current_context"]

ContextError = Literal["context deadline exceeded", "context canceled"]
"""Go's words for a context whose time has run out, and for one whose controller stops."""


class PassContext:
    """
    The deadline of a pass and the stop of its controller, as Go's `context.Context` tells them.

    Nothing is interrupted by it: a pass that works long asks `error`, or waits with `wait`.
    """

    __slots__ = ("_clock", "_error", "_stopping", "deadline")

    def __init__(self, clock: Clock, stopping: asyncio.Event, deadline: Instant | None) -> None:
        """`deadline` is a moment of `clock`; None for no limit."""
        self.deadline = deadline
        self._clock = clock
        self._stopping = stopping
        self._error: ContextError | None = None
        self.look()

    @property
    def error(self) -> ContextError | None:
        """Return why the pass should end, whichever came first; None if it need not."""
        self.look()
        return self._error

    def look(self) -> None:
        """Settle `error` now. What came first counts, so the controller looks when it stops, before time moves on."""
        if self._error is None:
            if self.deadline is not None and self._clock.now() >= self.deadline:
                self._error = "context deadline exceeded"
            elif self._stopping.is_set():
                self._error = "context canceled"

    async def wait(self) -> ContextError:
        """Wait until there is an `error`, and return it. Cancelled: nothing is left behind."""
        while (error := self.error) is None:
            left = None if self.deadline is None else max(0, self.deadline - self._clock.now()) / 1_000_000_000
            try:
                async with asyncio.timeout(left):
                    await self._stopping.wait()
            except TimeoutError:
                continue
        return error


context_of_pass: ContextVar[PassContext | None] = ContextVar("reconciler_context_of_pass", default=None)


def current_context() -> PassContext | None:
    """Return the context of the pass that the running code belongs to; None outside of passes."""
    return context_of_pass.get()
