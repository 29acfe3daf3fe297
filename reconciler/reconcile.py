"""
The contract between a controller and the code it calls: `Request`, `Result`, `Reconciler`.

It does not say when a request is made or what a result leads to: that is the control loop's table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol, Self, cast

import msgspec

from reconciler.api import ObjectKey

__all__ = ["ReconcileFunction", "Reconciler", "Request", "Result"]


class Request(msgspec.Struct, frozen=True, order=True, gc=False):
    """
    The name of the object to reconcile; never what happened to it.

    `namespace` is empty for cluster-scoped objects.

    Mirrors: controller-runtime `reconcile.Request`.
    """

    namespace: str
    name: str

    @property
    def key(self) -> ObjectKey:
        """The same name as the client and the cache take it."""
        return ObjectKey(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Result:
    """
    What a pass asks for when it ends without an error.

    Attributes:
        requeue_after: Come back after this long, counted from the end of the pass. Zero means: do not come back.
            As in Go it is a hint, not a promise: any event for the key before that time uses it up, so a pass that
            still wants it must ask again.
        requeue: Come back after the key's backoff, and count this pass as a failure for the next backoff.
        priority: The priority of the requeue; None keeps the one that the key was handed out with.
        hold: Owe the wake-up: it comes at its time whatever happens before, and until then quiet events (this
            controller's own writes, resyncs) wait with the key instead of starting a pass. `"status"`: so do others'
            changes of nothing but `status`. It lives in this process: what must survive a restart stands in `status`.
        cancels: Drop the wake-up that is owed; see `cancel`.

    Raises:
        TypeError: `requeue_after` is no `timedelta`.
        ValueError: `requeue_after` is negative; `hold` without it; `cancels` with it; `hold` is neither a bool nor
            `"status"`.

    Mirrors: controller-runtime `reconcile.Result`.
    Differs: a negative `requeue_after`, which Go takes for zero, is refused; `hold` and `cancels` are not in Go.
    """

    requeue_after: timedelta = timedelta(0)
    requeue: bool = False
    priority: int | None = None
    hold: bool | Literal["status"] = False
    cancels: bool = False

    def __post_init__(self) -> None:
        if not isinstance(cast("object", self.requeue_after), timedelta):
            raise TypeError(f"requeue_after must be a timedelta, is {self.requeue_after!r}")
        if self.requeue_after < timedelta(0):
            raise ValueError(f"requeue_after must not be negative, is {self.requeue_after}")
        if self.hold not in {False, True, "status"}:
            raise ValueError(f'hold must be True, False or "status", is {self.hold!r}')
        if self.hold and not self.requeue_after:
            raise ValueError("hold needs a time: give requeue_after, more than 0")
        if self.cancels and (self.hold or self.requeue_after):
            raise ValueError("cancels drops the owed wake-up, requeue_after asks for one: give one of the two")

    @classmethod
    def cancel(cls) -> Self:
        """Return the result of a pass that needs no wake-up any more: one that is owed (`hold`) is dropped."""
        return cls(cancels=True)


class Reconciler(Protocol):
    """
    Brings one object to the state it asks for.

    Mirrors: controller-runtime `reconcile.Reconciler`.
    """

    async def reconcile(self, request: Request) -> Result | None:
        """
        Make one pass over the object named by `request`; None means `Result()`.

        Raises:
            TerminalError: Retrying cannot help.
            Exception: Anything else: the key comes back after its backoff.
        """
        ...


ReconcileFunction = Callable[[Request], Awaitable[Result | None]]
"""A reconciler written as one async function."""
