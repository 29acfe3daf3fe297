"""
An event loop whose time is virtual: it jumps to the next timer instead of waiting.

A whole system (server, cache, controllers) runs in one such loop in milliseconds, and `clock.now()` is exact to the
nanosecond. No sockets: what comes from outside the loop has no place in virtual time. Work for threads
(`asyncio.to_thread`, `run_in_executor`) runs at once in the loop's own thread, so that it takes no virtual time and
happens in the same order in each run.

With a seed the order in which ready tasks run is permuted. Guarantees:
    - The same program and the same seed give the same schedule, in any process and under any PYTHONHASHSEED.
    - Plain callbacks (`call_soon`, timers, done callbacks) run in the order in which they became ready, and before any
      task that became ready after them: asyncio promises that, and programs build on it. Between tasks there is no
      such promise.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from asyncio.events import AbstractEventLoop
from bisect import insort
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from concurrent.futures import Executor
from contextvars import Context
from itertools import count
from operator import itemgetter
from random import Random
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


class _NumberedTask(asyncio.Task[T]):
    """A task that knows its number in its loop; its hash, too, is that number."""

    def __init__(self, coro: Any, *, number: int, **options: Any) -> None:
        # First, since asyncio puts each new task into a set while it is made.
        self.number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        # By default it would be the address. asyncio and anyio keep tasks in sets and cancel them in the order of the
        # set, which would then be another one in each process.
        return self.number


def _task_of(handle: asyncio.Handle) -> asyncio.Task[Any] | None:
    """Return the task whose step `handle` is; None for a plain callback."""
    callback: Any = handle._callback  # type: ignore[attr-defined]  # asyncio shows it only in `repr`
    task: asyncio.Task[Any] | None = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return None
    # A public method of a task, such as `call_soon(task.cancel)`, is a plain callback.
    is_public = hasattr(asyncio.Task, getattr(callback, "__name__", "_"))
    return None if is_public else task


class _PermutedReady:
    """
    What is ready to run, with the shape of the deque that asyncio keeps it in; a seed chooses among the tasks.

    The choice is among the tasks that became ready before the first plain callback, and that callback. Which of the
    tasks was first does not matter: it may follow from addresses, as where anyio cancels nested scopes.
    """

    def __init__(self, seed: int) -> None:
        # Not the plain seed: a program that draws from `Random(seed)` must not draw what the schedule drew.
        self._random = Random(f"schedule {seed}")
        self._tasks: list[tuple[int, asyncio.Handle]] = []  # by number
        self._later: deque[asyncio.Handle] = deque()  # from the first plain callback on

    def append(self, handle: asyncio.Handle) -> None:
        task = None if self._later else _task_of(handle)
        if task is None:
            self._later.append(handle)
        else:
            self._insert(task, handle)

    def popleft(self) -> asyncio.Handle:
        candidates = len(self._tasks) + bool(self._later)
        chosen = int(self._random.random() * candidates) if candidates > 1 else 0
        if chosen < len(self._tasks):
            return self._tasks.pop(chosen)[1]
        plain = self._later.popleft()
        while self._later and (task := _task_of(self._later[0])) is not None:
            self._insert(task, self._later.popleft())
        return plain

    def clear(self) -> None:
        self._tasks.clear()
        self._later.clear()

    def __len__(self) -> int:
        return len(self._tasks) + len(self._later)

    def __iter__(self) -> Iterator[asyncio.Handle]:
        yield from (handle for _, handle in self._tasks)
        yield from self._later

    def _insert(self, task: asyncio.Task[Any], handle: asyncio.Handle) -> None:
        # A task of somebody's own factory has no number: such tasks go by the order in which they became ready.
        insort(self._tasks, (getattr(task, "number", sys.maxsize), handle), key=itemgetter(0))


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    A loop that starts at time 0.0 and jumps from timer to timer.

    Time is held in integer nanoseconds; a timer set for a moment runs at exactly that moment.

    Args:
        seed: Permutes the order in which ready tasks run; None runs them in the order in which they became ready.
    """

    def __init__(self, seed: int | None = None) -> None:
        """Time starts at 0."""
        self._seed = seed
        self._task_numbers = count(1)
        self._now_ns = 0
        super().__init__(_JumpingSelector(selectors.DefaultSelector(), self._jump))
        # The loop runs what is due within its resolution: one nanosecond, the unit of all our instants.
        self._clock_resolution = 1e-9
        if seed is not None:
            # The one place where asyncio's loop keeps what is ready, from Python 3.11 to 3.13 at least; a test of the
            # schedules fails where it is another one.
            self._ready = _PermutedReady(seed)

    @property
    def seed(self) -> int | None:
        """The seed of the schedule; derive from it whatever else is random in a test."""
        return self._seed

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        """Make a task; the numbers in the names that tasks get by default count from 1 in each loop."""
        if self.get_task_factory() is not None:
            return super().create_task(coro, name=name, context=context, **options)
        number = next(self._task_numbers)
        named = f"Task-{number}" if name is None else str(name)
        return _NumberedTask(coro, number=number, loop=self, name=named, context=context, **options)

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
    main: Coroutine[Any, Any, T],
    *,
    seed: int | None = None,
    loop_factory: Callable[[], AbstractEventLoop] | None = None,
    debug: bool = False,
) -> T:
    """
    Run `main` to its end on a new virtual loop, and return its answer.

    Tasks that it leaves behind are cancelled, as `asyncio.run` does. Cannot be called from a running loop.

    Args:
        main: What to run.
        seed: Permutes the order in which ready tasks run; see `run_schedules` for many at once.
        loop_factory: Makes another loop than `VirtualLoop(seed)`; goes without `seed`.
        debug: As in `asyncio.run`.

    Raises:
        IdleLoopError: `main` waits for something that can never happen.
        ValueError: Both `seed` and `loop_factory` are given.
    """
    if loop_factory is not None and seed is not None:
        main.close()
        raise ValueError(f"seed {seed} and a loop_factory: give the seed to the loop that your factory makes")
    with asyncio.Runner(debug=debug, loop_factory=loop_factory or (lambda: VirtualLoop(seed))) as runner:
        try:
            return runner.run(main)
        finally:
            _cancel_what_is_left(runner.get_loop())


def _cancel_what_is_left(loop: AbstractEventLoop) -> None:
    # The runner does this too, but in the order of a set that holds the tasks of other loops as well.
    left = [task for task in asyncio.all_tasks(loop) if isinstance(task, _NumberedTask)]
    left.sort(key=lambda task: task.number)
    for task in left:
        task.cancel()
    if not left:
        return
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for task in left:
        if not task.cancelled() and (error := task.exception()) is not None:
            said = {"message": "a task that was left behind failed when it was cancelled", "exception": error}
            loop.call_exception_handler({**said, "task": task})
