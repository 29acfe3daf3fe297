"""A virtual loop that says when everything has come to rest. Exact: it is the loop itself that has nothing to run."""

from __future__ import annotations

import asyncio

from reconciler.testing.virtual import VirtualLoop

__all__ = ["SettlingLoop", "settling_loop"]


class SettlingLoop(VirtualLoop):
    """
    A virtual loop for a driver that acts, and then looks at what came of it.

    Mirrors: Go's `testing/synctest`, where `Wait` returns when all other goroutines of the bubble are blocked.
    """

    def __init__(self) -> None:
        """One task at a time may wait for rest."""
        self._at_rest: asyncio.Future[None] | None = None
        self._may_jump = False
        super().__init__()

    async def settle(self) -> None:
        """Let everything run that can, until nothing is left that can run without time moving."""
        self._at_rest = self.create_future()
        await self._at_rest

    async def next_instant(self) -> None:
        """
        Let time jump once, to the next timer, and settle there.

        Raises:
            IdleLoopError: No timer is set.
        """
        self._may_jump = True
        await self.settle()

    def _jump(self, timeout: float | None) -> None:
        if self._at_rest is None or self._may_jump:
            self._may_jump = False
            super()._jump(timeout)
        else:
            self._at_rest.set_result(None)
            self._at_rest = None


def settling_loop() -> SettlingLoop:
    """Return the running loop, which must be one of these."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SettlingLoop):
        raise RuntimeError(f"the drivers run in a SettlingLoop, this is {loop!r}")  # noqa: TRY004
    return loop
