"""
An event loop whose time is virtual: it jumps to the next timer instead of waiting.

A whole system (server, cache, controllers) runs in one such loop in milliseconds, and `clock.now()` is exact to the
nanosecond. No sockets: what comes from outside the loop has no place in virtual time. Work for threads
(`asyncio.to_thread`, `run_in_executor`) runs at once in the loop's own thread, so that it takes no virtual time and
happens in the same order in each run.
"""

from __future__ import annotations

import asyncio
import selectors
from asyncio.events import AbstractEventLoop
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from reconciler.errors import ReconcilerError

__all__ = ["IdleLoopError", "VirtualLoop", "run_virtual"]

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class IdleLoopError(ReconcilerError):
    """
    Every task waits, no timer is set: nothing can ever happen again.

    On a real loop this is a program that hangs; here it is an answer. The message lists the waiting tasks.
    """


class _JumpingSelector(selectors.BaseSelector):
    """Never waits: where a real selector would sleep, it tells the loop to move its time."""

    def __init__(self, inner: selectors.BaseSelector, jump: Callable[[float | None], None]) -> None:
        self._inner = inner
        self._jump = jump

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if not ready and (timeout is None or timeout > 0):
            self._jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    A loop that starts at time 0.0 and jumps from timer to timer.

    Time is held in integer nanoseconds; a timer set for a moment runs at exactly that moment.
    """

    def __init__(self) -> None:
        """Time starts at 0."""
        self._now_ns = 0
        super().__init__(_JumpingSelector(selectors.DefaultSelector(), self._jump))
        # The loop runs what is due within its resolution: one nanosecond, the unit of all our instants.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_ns / 1_000_000_000

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], R], *args: *Ts
    ) -> asyncio.Future[R]:
        """Run `func` at once, in this thread; `executor` is not used."""
        del executor
        future: asyncio.Future[R] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _jump(self, timeout: float | None) -> None:
        if timeout is None:
            waiting = sorted(repr(task) for task in asyncio.all_tasks(self))
            raise IdleLoopError(
                f"nothing can happen any more at {self.time():.9f} s: no timer is set, "
                f"and {len(waiting)} task(s) wait:\n  " + "\n  ".join(waiting)
            )
        # At least a nanosecond, or a float that vanishes in rounding would hold time still for ever.
        self._now_ns = max(self._now_ns + 1, round((self.time() + timeout) * 1_000_000_000))


def run_virtual(
    main: Coroutine[Any, Any, T], *, loop_factory: Callable[[], AbstractEventLoop] = VirtualLoop, debug: bool = False
) -> T:
    """
    Run `main` to its end on a new virtual loop, and return its answer.

    Tasks that it leaves behind are cancelled, as `asyncio.run` does. Cannot be called from a running loop.

    Raises:
        IdleLoopError: `main` waits for something that can never happen.
    """
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)
