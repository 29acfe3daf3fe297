"""
The work queue: which key is worked on next, when, and what became of each ask.

One entry for each key, priorities, delays, and a backoff for keys that fail; exactly as controller-runtime's priority
queue does it, and with an answer (`Placed`) that names each wake-up that was lost. It knows nothing of Kubernetes,
runs no worker, keeps no history (whoever passes `on_placed` does) and survives no restart.
"""

from reconciler.workqueue.answers import Item, Placed, QueueSnapshot, Row, Standing, Verdict
from reconciler.workqueue.check import check
from reconciler.workqueue.core import PriorityCore
from reconciler.workqueue.queue import AskedBy, PriorityQueue
from reconciler.workqueue.ratelimit import ItemExponentialRateLimiter, RateLimiter

__all__ = [
    "AskedBy",
    "Item",
    "ItemExponentialRateLimiter",
    "Placed",
    "PriorityCore",
    "PriorityQueue",
    "QueueSnapshot",
    "RateLimiter",
    "Row",
    "Standing",
    "Verdict",
    "check",
]
