"""
What each ending of a pass means for its key: one table. Pure.

Mirrors: controller-runtime `internal/controller` `reconcileHandler`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from types import MappingProxyType

from reconciler.errors import ReconcilerError, TerminalError
from reconciler.reconcile import Result
from reconciler.workqueue import AskedBy

__all__ = ["EFFECTS", "Again", "Effect", "Ending", "ending_of"]


class Ending(Enum):
    """How a pass ended."""

    DONE = "done"
    ASKED_LATER = "asked to come back later"
    ASKED_REQUEUE = "asked to be requeued"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    PANICKED = "failed with an unexpected error"
    FAILED_FOR_GOOD = "failed for good"
    CANCELLED = "cancelled at the stop"


class Again(Enum):
    """Whether and when the key comes back."""

    NEVER = "never"
    AT_ASKED_TIME = "at the time it asked for"
    AFTER_BACKOFF = "after its backoff"


@dataclass(frozen=True, slots=True)
class Effect:
    """
    What is done with the key.

    Attributes:
        forgets_failures: Whether its next backoff starts anew.
        again: Whether and when it comes back.
        label: The word that controller-runtime's `reconcile_total` has for it; empty where it counts none.
        by: Who asks the queue, if anybody does.
    """

    forgets_failures: bool
    again: Again
    label: str
    by: AskedBy | None


EFFECTS = MappingProxyType({
    #                               forget failures?  come back?           metric label     who asks
    Ending.DONE:             Effect(True,             Again.NEVER,         "success",       None),
    Ending.ASKED_LATER:      Effect(True,             Again.AT_ASKED_TIME, "requeue_after", "requeue_after"),
    Ending.ASKED_REQUEUE:    Effect(False,            Again.AFTER_BACKOFF, "requeue",       "requeue"),
    Ending.FAILED:           Effect(False,            Again.AFTER_BACKOFF, "error",         "backoff"),
    Ending.TIMED_OUT:        Effect(False,            Again.AFTER_BACKOFF, "error",         "backoff"),
    Ending.PANICKED:         Effect(False,            Again.AFTER_BACKOFF, "error",         "backoff"),
    Ending.FAILED_FOR_GOOD:  Effect(False,            Again.NEVER,         "error",         None),
    Ending.CANCELLED:        Effect(False,            Again.NEVER,         "",              None),
})  # fmt: skip
"""What each ending of a pass means for its key."""


def ending_of(result: Result | None, error: Exception | None, *, has_timed_out: bool = False) -> Ending:
    """
    Name the ending of a pass that returned `result` or raised `error`.

    A `ReconcilerError`, an `OSError` and a `TimeoutError` are what a healthy reconciler meets in a bad world; any
    other exception is counted as Go counts a panic.
    """
    if error is None:
        if result is not None and result.requeue_after > timedelta(0):
            return Ending.ASKED_LATER
        return Ending.ASKED_REQUEUE if result is not None and result.requeue else Ending.DONE
    if has_timed_out:
        return Ending.TIMED_OUT
    if isinstance(error, TerminalError):
        return Ending.FAILED_FOR_GOOD
    return Ending.FAILED if isinstance(error, ReconcilerError | OSError | TimeoutError) else Ending.PANICKED
