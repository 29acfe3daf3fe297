"""
What is due now, what later, what never again, and why. Pure.

`make_plan` reads what `status` records; `decide` turns a plan into a phase. Neither sends, writes or waits.

Invariants:
    N1  A channel with a recorded success is never due.
    N2  Attempt n + 1 of a channel is due no sooner than the policy's delay after the end of attempt n.
    N3  No channel is given more attempts than the policy allows; an attempt in doubt counts.
    N4  A channel with a permanent error is never due.
    N5  Terminal phases are decided in the pass that records the last attempt, not one backoff later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

from reconciler.controllers.notification.delivery.channel import Promise
from reconciler.controllers.notification.phases import Phase
from reconciler.controllers.notification.policy import Policy, go_duration
from reconciler.controllers.notification.types import GivenUp, NotificationRequestStatus

__all__ = [
    "PERMANENT_PREFIX",
    "AgeOf",
    "ChannelPlan",
    "Decision",
    "History",
    "Plan",
    "Standing",
    "decide",
    "histories",
    "make_plan",
]

PERMANENT_PREFIX = "permanent failure: "
"""Begins the stored text of a permanent error; other tools look for it, and so do we where no class is stored."""

_NOTHING = timedelta(0)


class Standing(Enum):
    """How a channel stands at one moment."""

    DELIVERED = "delivered"
    DUE = "due"
    WAITING = "waiting"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True)
class History:
    """
    What `status` knows of one channel.

    Attributes:
        used: The highest attempt number that was used, recorded or in doubt; 0 if none was.
        ended_at: When that attempt ended; for one in doubt, when its intent was written.
        in_doubt: How many attempts have no known outcome.
    """

    channel: str
    used: int
    ended_at: datetime | None
    is_delivered: bool
    is_permanent: bool
    in_doubt: int


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """
    What becomes of one channel.

    Attributes:
        attempt: The number of the attempt that is due or waited for; the last used one where nothing comes any more.
        due_at: When a waiting attempt is due by the wall clock.
        wait: How long that is from now; zero unless waiting.
        given_up: Why nothing comes any more, without a delivery; None otherwise.
        reason: Why, in words for people.
    """

    channel: str
    standing: Standing
    attempt: int
    reason: str
    due_at: datetime | None = None
    wait: timedelta = _NOTHING
    given_up: GivenUp | None = None

    @property
    def is_open(self) -> bool:
        """Whether an attempt is still to come."""
        return self.standing in (Standing.DUE, Standing.WAITING)


@dataclass(frozen=True, slots=True)
class Plan:
    """The plans of all channels of a request, in their order, and how many attempts are in doubt."""

    channels: tuple[ChannelPlan, ...]
    in_doubt: int

    @property
    def due(self) -> tuple[ChannelPlan, ...]:
        """The channels that may be sent to now."""
        return tuple(channel for channel in self.channels if channel.standing is Standing.DUE)

    @property
    def next_wait(self) -> timedelta | None:
        """How long until the next attempt may be made; zero if one is due, None if none will ever be."""
        return min((channel.wait for channel in self.channels if channel.is_open), default=None)


@dataclass(frozen=True, slots=True)
class Decision:
    """
    A phase, and the reason and message that `status` carries with it.

    `backoff` is the policy's delay before the next attempt as Go prints it; empty unless something is retried.
    """

    phase: Phase
    reason: str
    message: str
    backoff: str = ""


_WHY: Mapping[GivenUp, str] = MappingProxyType({
    "permanent": "the last error was permanent",
    "exhausted": "all attempts are used",
    "inDoubt": "an attempt is in doubt, and this channel promises at most one delivery",
})  # fmt: skip

AgeOf = Callable[[str, int, datetime], timedelta]
"""
How long ago an attempt (channel, number, recorded end) ended, never negative.

Handed in, so that a wall clock that jumps has no say in it; see `Ages`.
"""


def histories(status: NotificationRequestStatus, channels: Sequence[str]) -> tuple[History, ...]:
    """Return what `status` knows of each of `channels`, in that order."""
    return tuple(_history(status, channel) for channel in channels)


def make_plan(
    status: NotificationRequestStatus,
    *,
    uid: str,
    channels: Sequence[str],
    policy: Policy,
    promise_of: Callable[[str], Promise],
    age_of: AgeOf,
) -> Plan:
    """
    Return what is to be done for each of `channels`.

    Args:
        status: Settled: it holds no intents (see `record.settle`), or they are about to be sent.
        uid: The object's; jitter depends on it.
        channels: Resolved or frozen channel keys, without repeats.
        policy: The object's retry policy.
        promise_of: What a channel promises; decides about attempts in doubt.
        age_of: How long ago an attempt ended.
    """
    known = histories(status, channels)
    planned = tuple(_plan_channel(history, uid, policy, promise_of(history.channel), age_of) for history in known)
    return Plan(planned, sum(history.in_doubt for history in known))


def decide(plan: Plan, policy: Policy) -> Decision:
    """Return the phase that follows from a plan made after a pass has learned everything it will."""
    total = len(plan.channels)
    delivered = sum(channel.standing is Standing.DELIVERED for channel in plan.channels)
    doubt = f"; {plan.in_doubt} attempt(s) in doubt" if plan.in_doubt else ""
    if not total:
        return Decision(Phase.FAILED, "NoChannelsResolved", "All delivery attempts failed or exhausted retries")
    if delivered == total:
        message = f"Successfully delivered to {total} channel(s){doubt}"
        return Decision(Phase.SENT, "AllDeliveriesSucceeded", message)
    if any(channel.is_open for channel in plan.channels):
        return _retrying(plan, policy, delivered, total, doubt)
    if delivered:
        message = f"Delivered to {delivered}/{total} channel(s), others failed{doubt}"
        return Decision(Phase.PARTIALLY_SENT, "PartialDeliverySuccess", message)
    all_permanent = all(channel.given_up == "permanent" for channel in plan.channels)
    reason = "AllDeliveriesFailed" if all_permanent else "MaxRetriesExhausted"
    return Decision(Phase.FAILED, reason, f"All delivery attempts failed or exhausted retries{doubt}")


def _history(status: NotificationRequestStatus, channel: str) -> History:
    attempts = [attempt for attempt in status.delivery_attempts if attempt.channel == channel]
    delivery = status.delivery
    doubts = [doubt for doubt in delivery.in_doubt if doubt.channel == channel] if delivery else []
    ends = [(attempt.attempt, attempt.timestamp) for attempt in attempts]
    ends += [(doubt.attempt, doubt.at) for doubt in doubts]
    used, ended_at = max(ends, default=(0, None))
    stored = next((item.error_class for item in delivery.channels if item.name == channel), None) if delivery else None
    has_prefix = any(
        attempt.status != "success" and (attempt.error or "").startswith(PERMANENT_PREFIX) for attempt in attempts
    )
    return History(
        channel=channel,
        used=used,
        ended_at=ended_at,
        is_delivered=any(attempt.status == "success" for attempt in attempts),
        is_permanent=stored == "permanent" if stored else has_prefix,
        in_doubt=len(doubts),
    )


def _plan_channel(history: History, uid: str, policy: Policy, promise: Promise, age_of: AgeOf) -> ChannelPlan:
    name, used = history.channel, history.used
    if history.is_delivered:
        return ChannelPlan(name, Standing.DELIVERED, used, "delivered")
    if history.ended_at is None:
        return ChannelPlan(name, Standing.DUE, 1, "attempt 1: nothing was tried yet")
    given_up = _given_up(history, policy, promise)
    if given_up is not None:
        return ChannelPlan(name, Standing.GIVEN_UP, used, f"given up: {_WHY[given_up]}", given_up=given_up)
    return _next_attempt(history, history.ended_at, uid, policy, age_of)


def _given_up(history: History, policy: Policy, promise: Promise) -> GivenUp | None:
    if history.is_permanent:
        return "permanent"
    if history.in_doubt and promise is Promise.AT_MOST_ONCE:
        return "inDoubt"
    return "exhausted" if history.used >= policy.max_attempts else None


def _next_attempt(history: History, ended_at: datetime, uid: str, policy: Policy, age_of: AgeOf) -> ChannelPlan:
    name, used = history.channel, history.used
    delay = policy.delay(used, uid=uid, channel=name)
    wait = delay - age_of(name, used, ended_at)
    due_at = ended_at + delay
    spacing = f"attempt {used + 1}: {delay.total_seconds():.3f} s after attempt {used} ended"
    if wait > _NOTHING:
        return ChannelPlan(name, Standing.WAITING, used + 1, spacing, due_at, wait)
    return ChannelPlan(name, Standing.DUE, used + 1, spacing, due_at)


def _retrying(plan: Plan, policy: Policy, delivered: int, total: int, doubt: str) -> Decision:
    soonest = min((channel for channel in plan.channels if channel.is_open), key=lambda channel: channel.wait)
    delay = go_duration(policy.backoff(soonest.attempt - 1)) if soonest.attempt > 1 else "0s"
    if delivered:
        message = f"Delivered to {delivered}/{total} channel(s), retrying failed channels with backoff {delay}{doubt}"
        return Decision(Phase.RETRYING, "PartialFailureRetrying", message, delay)
    message = f"All {total} channel(s) failed, retrying with backoff {delay}{doubt}"
    return Decision(Phase.RETRYING, "AllChannelsFailedRetrying", message, delay)
