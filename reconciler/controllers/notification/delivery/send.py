"""One send: bounded in time, and every way it can end turned into an outcome."""

from __future__ import annotations

import asyncio

from reconciler.controllers.notification.delivery.channel import Channel, Delivery
from reconciler.controllers.notification.delivery.error_text import error_text
from reconciler.controllers.notification.record import Outcome
from reconciler.controllers.notification.types import NotificationRequest
from reconciler.errors import InvariantError, PermanentDeliveryError, TransientDeliveryError
from reconciler.instant import Clock, WallClock

__all__ = ["send"]


async def send(
    channel: Channel | None, notification: NotificationRequest, key: str, attempt: int, *, clock: Clock, wall: WallClock
) -> Outcome:
    """
    Make one attempt, and return how it ended.

    A channel that takes longer than its time-out is cancelled, and the attempt has failed for now; so it has where no
    channel of that key is registered.

    Cancelled: there is no outcome; the announced attempt is in doubt.
    """
    started = clock.now()
    error: Exception | None = None
    try:
        if channel is None:
            error = TransientDeliveryError(f"channel not registered: {key}")
        else:
            async with asyncio.timeout(channel.timeout.total_seconds()):
                await channel.send(Delivery(notification.model_copy(deep=True), key, attempt))
    except InvariantError:
        raise
    except TimeoutError as caught:
        limit = channel.timeout.total_seconds() if channel else 0
        error = TransientDeliveryError(str(caught) or f"no answer within {limit:g} s")
    except Exception as caught:
        error = caught
    return Outcome(
        channel=key,
        attempt=attempt,
        ended_at=wall.now(),
        duration_seconds=(clock.now() - started) / 1e9,
        error=error_text(error) if error else "",
        error_class=("permanent" if isinstance(error, PermanentDeliveryError) else "transient") if error else None,
    )
