"""
What a delivery channel is: the `Channel` shape, its promise, and what it is handed.

Outcomes are exceptions or their absence: `send` returns, and the delivery happened; it raises, and the class of the
error says whether a later try may help. Whether and when to try again is the plan's decision, never a channel's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Protocol

from reconciler.controllers.notification.types import NotificationRequest

__all__ = ["Channel", "Delivery", "Promise"]


class Promise(Enum):
    """What a channel promises about an attempt whose outcome nobody knows, for example after a crash."""

    AT_LEAST_ONCE = "at-least-once"
    """The send is announced first; one in doubt is sent again at its next time, so the receiver may see it twice."""
    AT_MOST_ONCE = "at-most-once"
    """The send is announced first; one in doubt is never sent again, so the receiver may not see it at all."""
    DEDUPLICATED = "deduplicated"
    """The receiver drops repeats of our key, so nothing is announced and a send may simply be repeated."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    One attempt to deliver one request to one channel.

    Attributes:
        notification: The sender's own copy; changing it changes nothing else.
        channel: The channel key, such as `console` or `file:audit:1`.
        attempt: The number of this attempt of this channel, from 1.
    """

    notification: NotificationRequest
    channel: str
    attempt: int

    @property
    def idempotency_key(self) -> str:
        """Names the delivery towards a receiver: the same for every attempt of this channel of this very object."""
        return f"{self.notification.metadata.uid}/{self.channel}"


class Channel(Protocol):
    """A way to deliver notifications. One instance serves one channel key, for many requests at once."""

    @property
    def promise(self) -> Promise:
        """What happens to an attempt whose outcome nobody knows."""
        ...

    @property
    def timeout(self) -> timedelta:
        """How long the caller lets one send run before it cancels it and records a transient failure."""
        ...

    async def send(self, delivery: Delivery) -> None:
        """
        Deliver, or raise.

        Cancelled while running: whether the receiver got the notification is unknown, and the same delivery may be
        sent again, so what a cancelled send left behind must not harm the next one.

        Raises:
            TransientDeliveryError: A later try may help. Any other exception is taken for this one.
            PermanentDeliveryError: No later try can help.
        """
        ...
