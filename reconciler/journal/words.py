"""
The words that decide in records: verdicts of the queue, endings of passes, what an owed wake-up became.

The rooms that write them lie above this one, so the words stand here once more; a test holds both equal.
"""

from __future__ import annotations

__all__: list[str] = []

# Verdicts: `reconciler.workqueue.Verdict`.
QUEUED = "the key is ready"
DELAYED = "the key waits for that time"
MADE_READY = "the waiting key is ready now, so its later wake-up is gone"
SOONER = "the waiting key comes sooner now, so its later wake-up is gone"
KEPT_SOONER = "the key is ready or due sooner already, so this wake-up is gone"
FOLDED = "the key was asked for at that time already"
PARKED = "the key is in work, and ready again as soon as that is done"
HELD = "the event waits with the key for its owed time"
SHUT_DOWN = "the queue is shut down, so the ask is ignored"

# Who asks: a pass that wants to come back; what is owed (`Result.hold`); or else an event.
HOLD = "hold"
RETRIES = frozenset({"requeue_after", "backoff", "requeue"})

# Endings: `reconciler.control_loop.Ending`.
DONE = "done"
WANTS_BACK = frozenset(
    {"asked to come back later", "asked to be requeued", "failed", "timed out", "failed with an unexpected error"}
)
"""Endings after which the key comes back by itself."""

# What became of an owed wake-up: `Owed.what`.
OWED_STANDS = frozenset({"promised", "replaced"})
OWED_LOST_AT_STOP = "lost at stop"
