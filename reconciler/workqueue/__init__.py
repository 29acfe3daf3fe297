"""
The work queue: which key is worked on next, when, and what became of each ask.

Two queues behind one shape (`WorkQueue`): `ClassicQueue` decides exactly as client-go's rate-limited delaying queue
does, `PriorityQueue` as controller-runtime's priority queue. Each answer (`Placed`) names the wake-up that was lost, if
one was. The room knows nothing of Kubernetes, runs no worker, keeps no history (whoever passes `on_placed` does) and
survives no restart.
"""

from reconciler.workqueue.answers import (
    CAUSES_MAX,
    Discipline,
    Item,
    Placed,
    Promotion,
    QueueSnapshot,
    Row,
    Standing,
    Verdict,
)
from reconciler.workqueue.check import check
from reconciler.workqueue.classic import ClassicCore
from reconciler.workqueue.contract import AskedBy, QueueCore, WorkQueue
from reconciler.workqueue.core import PriorityCore
from reconciler.workqueue.queue import ClassicQueue, PriorityQueue
from reconciler.workqueue.ratelimit import (
    BucketRateLimiter,
    ItemExponentialRateLimiter,
    ItemFastSlowRateLimiter,
    JitteredRateLimiter,
    MaxOfRateLimiter,
    RateLimiter,
    WithMaxWaitRateLimiter,
    default_controller_rate_limiter,
    default_item_based_rate_limiter,
    default_priority_rate_limiter,
)

__all__ = [
    "CAUSES_MAX",
    "AskedBy",
    "BucketRateLimiter",
    "ClassicCore",
    "ClassicQueue",
    "Discipline",
    "Item",
    "ItemExponentialRateLimiter",
    "ItemFastSlowRateLimiter",
    "JitteredRateLimiter",
    "MaxOfRateLimiter",
    "Placed",
    "PriorityCore",
    "PriorityQueue",
    "Promotion",
    "QueueCore",
    "QueueSnapshot",
    "RateLimiter",
    "Row",
    "Standing",
    "Verdict",
    "WithMaxWaitRateLimiter",
    "WorkQueue",
    "check",
    "default_controller_rate_limiter",
    "default_item_based_rate_limiter",
    "default_priority_rate_limiter",
]
