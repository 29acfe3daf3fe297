"""Waiting for "something happened": many may wait, and telling them costs nothing while nobody does."""

from __future__ import annotations

import asyncio

__all__ = ["News"]


class News:
    """
    Wakes everyone who waits, each time it is told to.

    Who waits looks first at what it waits for, then waits, then looks again: news is no state.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def tell(self) -> None:
        """Wake whoever waits now."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Return at the next `tell`. Cancelled: this waiter is forgotten."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
