"""Putting the NotificationRequest controller into a manager."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from reconciler.builder import controller_managed_by
from reconciler.control_loop import Controller
from reconciler.controllers.notification.delivery.channel import Channel
from reconciler.controllers.notification.reconciler import NotificationReconciler, Router
from reconciler.controllers.notification.types import NotificationRequest
from reconciler.instant import nanoseconds
from reconciler.manager import Manager
from reconciler.workqueue import Discipline, ItemExponentialRateLimiter

__all__ = ["CONTROLLER_NAME", "setup"]

CONTROLLER_NAME = "notification"
"""The scope of the controller's journal records."""

_EVENT_SOURCE = "notification-controller"

# After an outage of the API server a key must not wait for a quarter of an hour, as the default backoff's bound would
# have it: the attempts that fell due meanwhile are owed.
_LONGEST_BACKOFF = timedelta(seconds=15)


def setup(
    manager: Manager,
    *,
    router: Router,
    channels: Mapping[str, Channel],
    max_concurrent_reconciles: int = 5,
    queue: Discipline = "priority",
) -> Controller:
    """
    Add the NotificationRequest controller to `manager`.

    It waits for as long as the CustomResourceDefinition is not in the cluster.

    Args:
        manager: Runs it; its namespace is the one that is watched.
        router: Chooses the channel keys of a request; `load_routing` gives one.
        channels: The channel for each key; `build_channels` gives those of a routing file, and any object of the
            shape `Channel` may stand beside them.
        max_concurrent_reconciles: How many requests are worked on at once.
        queue: Which of Go's queues; retries come at the same times on both.

    Raises:
        ConfigurationError: The manager has it already.
    """
    reconciler = NotificationReconciler(
        cached=manager.cached_reader,
        client=manager.client,
        router=router,
        channels=channels,
        recorder=manager.recorder_for(_EVENT_SOURCE),
        journal=manager.journal,
        clock=manager.clock,
        wall=manager.wall,
    )
    return (
        controller_managed_by(manager)
        .named(CONTROLLER_NAME)
        .for_(NotificationRequest)
        .with_options(
            queue=queue,
            max_concurrent_reconciles=max_concurrent_reconciles,
            rate_limiter=ItemExponentialRateLimiter(max_ns=nanoseconds(_LONGEST_BACKOFF)),
            cache_sync_timeout=None,
        )
        .complete(reconciler)
    )
