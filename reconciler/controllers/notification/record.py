"""
What a pass writes into `status`. Pure: each function changes the status it is given, in place, and nothing else.

A status holds an *intent* for each send that was announced and not yet settled. Settling gives each its outcome, or
moves it to `inDoubt`: it was announced, and nobody knows whether the receiver saw it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from reconciler.api import Condition, set_condition
from reconciler.controllers.notification.phases import TABLE, Phase
from reconciler.controllers.notification.plan import PERMANENT_PREFIX, Decision, Plan, Standing
from reconciler.controllers.notification.types import (
    DeliveryAttempt,
    DeliveryChannel,
    DeliveryIntent,
    DeliveryStatus,
    ErrorClass,
    NotificationRequestStatus,
)

__all__ = [
    "Outcome",
    "announce",
    "begin_sending",
    "enter_pending",
    "has_intents",
    "record_decision",
    "settle",
]

_READY = MappingProxyType({
    Phase.SENT:           ("True", "Ready", "Notification delivered"),
    Phase.PARTIALLY_SENT: ("True", "Ready", "Notification partially delivered"),
    Phase.FAILED:         ("False", "NotReady", "Notification delivery failed"),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How one attempt ended.

    Attributes:
        ended_at: By the wall clock.
        error: What went wrong, safe to show; empty for a success.
        error_class: None for a success.
    """

    channel: str
    attempt: int
    ended_at: datetime
    duration_seconds: float
    error: str = ""
    error_class: ErrorClass | None = None


def enter_pending(status: NotificationRequestStatus, *, now: datetime, generation: int) -> None:
    """Move a status that nobody has seen to `Pending`."""
    _move(status, Decision(Phase.PENDING, "Initialized", "Notification request received"), generation)
    status.queued_at = status.queued_at or now


def begin_sending(
    status: NotificationRequestStatus, *, channels: Sequence[str], routing: Condition, now: datetime, generation: int
) -> None:
    """Move `Pending` to `Sending`, and freeze `channels` for the rest of the request's life."""
    _move(status, Decision(Phase.SENDING, "ProcessingDeliveries", "Processing delivery channels"), generation)
    status.processing_started_at = status.processing_started_at or now
    set_condition(status.conditions, routing)
    delivery = _delivery(status)
    delivery.channels = delivery.channels or [DeliveryChannel(name=name) for name in channels]


def announce(status: NotificationRequestStatus, sends: Iterable[tuple[str, int]], *, now: datetime) -> None:
    """Write an intent for each (channel, attempt) of `sends`."""
    delivery = _delivery(status)
    delivery.intents += [DeliveryIntent(channel=channel, attempt=attempt, at=now) for channel, attempt in sends]


def has_intents(status: NotificationRequestStatus) -> bool:
    """Whether some announced send is not settled."""
    return bool(status.delivery and status.delivery.intents)


def settle(
    status: NotificationRequestStatus, outcomes: Iterable[Outcome], *, unsent: Collection[tuple[str, int]] = ()
) -> None:
    """
    Record `outcomes`, drop the intents of `unsent`, and put every other intent in doubt.

    `unsent` names (channel, attempt) that were announced, as far as anybody knows, and certainly not sent.

    An outcome that the status already holds (same channel and number) changes nothing, so settling twice is harmless:
    a write whose response was lost is simply made again.
    """
    recorded = {(attempt.channel, attempt.attempt) for attempt in status.delivery_attempts}
    for outcome in outcomes:
        if (outcome.channel, outcome.attempt) not in recorded:
            _record(status, outcome)
            recorded.add((outcome.channel, outcome.attempt))
    if status.delivery is not None:
        delivery = status.delivery
        doubted = {(doubt.channel, doubt.attempt) for doubt in delivery.in_doubt} | recorded | set(unsent)
        delivery.in_doubt = [doubt for doubt in delivery.in_doubt if (doubt.channel, doubt.attempt) not in recorded]
        delivery.in_doubt += [item for item in delivery.intents if (item.channel, item.attempt) not in doubted]
        delivery.intents = []
    _count(status)


def record_decision(
    status: NotificationRequestStatus, decision: Decision, plan: Plan, *, now: datetime, generation: int
) -> None:
    """Write a decision and what it rests on; `completionTime` and `Ready` come with a terminal phase."""
    _move(status, decision, generation)
    _note_channels(status, plan)
    if TABLE.is_terminal(decision.phase):
        status.completion_time = status.completion_time or now
        truth, reason, message = _READY[decision.phase]
        ready = Condition.model_validate(
            {
                "type": "Ready",
                "status": truth,
                "reason": reason,
                "message": message,
                "last_transition_time": now,
                "observed_generation": generation,
            }
        )
        set_condition(status.conditions, ready)


def _move(status: NotificationRequestStatus, decision: Decision, generation: int) -> None:
    TABLE.check(Phase(status.phase), decision.phase)
    status.phase = decision.phase.value
    status.reason = decision.reason
    status.message = decision.message
    status.observed_generation = generation


def _delivery(status: NotificationRequestStatus) -> DeliveryStatus:
    if status.delivery is None:
        status.delivery = DeliveryStatus()
    return status.delivery


def _record(status: NotificationRequestStatus, outcome: Outcome) -> None:
    is_permanent = outcome.error_class == "permanent"
    attempt = DeliveryAttempt(
        channel=outcome.channel,
        attempt=outcome.attempt,
        timestamp=outcome.ended_at,
        status="failed" if outcome.error_class else "success",
        duration_seconds=round(outcome.duration_seconds, 3),
    )
    if outcome.error_class:
        attempt.error = f"{PERMANENT_PREFIX}{outcome.error}" if is_permanent else outcome.error
    status.delivery_attempts.append(attempt)
    for channel in _delivery(status).channels:
        if channel.name == outcome.channel:
            channel.error_class = outcome.error_class


def _count(status: NotificationRequestStatus) -> None:
    delivered = {attempt.channel for attempt in status.delivery_attempts if attempt.status == "success"}
    tried = {attempt.channel for attempt in status.delivery_attempts}
    if status.delivery:
        tried |= {doubt.channel for doubt in status.delivery.in_doubt}
    status.total_attempts = len(status.delivery_attempts)
    status.successful_deliveries = len(delivered)
    status.failed_deliveries = len(tried - delivered)


def _note_channels(status: NotificationRequestStatus, plan: Plan) -> None:
    planned = {channel.channel: channel for channel in plan.channels}
    for channel in _delivery(status).channels:
        what = planned.get(channel.name)
        if what is None:
            continue
        channel.next_attempt_at = what.due_at if what.standing is Standing.WAITING else None
        channel.given_up = what.given_up
