from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.api import Condition, find_condition
from reconciler.controllers.notification.delivery.channel import Promise
from reconciler.controllers.notification.plan import decide, make_plan
from reconciler.controllers.notification.policy import Policy
from reconciler.controllers.notification.record import (
    Outcome,
    announce,
    begin_sending,
    enter_pending,
    has_intents,
    record_decision,
    settle,
)
from reconciler.controllers.notification.types import ErrorClass, NotificationRequestStatus
from reconciler.errors import PhaseError

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ROUTING = Condition(type="RoutingResolved", status="True", reason="RoutingRuleMatched", last_transition_time=NOW)


def sending(*channels: str) -> NotificationRequestStatus:
    status = NotificationRequestStatus()
    enter_pending(status, now=NOW, generation=1)
    begin_sending(status, channels=channels, routing=ROUTING, now=NOW, generation=1)
    return status


def conclude(status: NotificationRequestStatus, *channels: str, policy: Policy | None = None) -> None:
    policy = policy or Policy()
    plan = make_plan(
        status,
        uid="u",
        channels=channels,
        policy=policy,
        promise_of=lambda _: Promise.AT_LEAST_ONCE,
        age_of=lambda _channel, _attempt, at: NOW - at,
    )
    record_decision(status, decide(plan, policy), plan, now=NOW, generation=1)


def test_pending_and_sending_carry_reason_message_and_their_times() -> None:
    status = NotificationRequestStatus()
    enter_pending(status, now=NOW, generation=1)
    assert (status.phase, status.reason, status.message) == (
        "Pending",
        "Initialized",
        "Notification request received",
    )
    assert (status.queued_at, status.observed_generation) == (NOW, 1)
    begin_sending(status, channels=["console"], routing=ROUTING, now=NOW, generation=1)
    assert (status.phase, status.reason, status.message) == (
        "Sending",
        "ProcessingDeliveries",
        "Processing delivery channels",
    )
    assert status.processing_started_at == NOW
    assert find_condition(status.conditions, "RoutingResolved") == ROUTING


def test_a_phase_cannot_be_entered_twice() -> None:
    status = sending("console")
    with pytest.raises(PhaseError, match="'Pending' cannot follow 'Sending'"):
        enter_pending(status, now=NOW, generation=1)


def test_an_outcome_settles_its_intent_and_another_intent_falls_into_doubt() -> None:
    status = sending("console", "file:a")
    announce(status, [("console", 1), ("file:a", 1)], now=NOW)
    assert has_intents(status)
    settle(status, [Outcome("console", 1, NOW, 0.25)])
    assert status.delivery is not None
    assert not has_intents(status)
    assert [(doubt.channel, doubt.attempt, doubt.at) for doubt in status.delivery.in_doubt] == [("file:a", 1, NOW)]
    assert [(attempt.channel, attempt.status) for attempt in status.delivery_attempts] == [("console", "success")]


def test_settling_twice_changes_nothing_so_a_lost_response_does_no_harm() -> None:
    status = sending("a")
    outcome = Outcome("a", 1, NOW, 1.23456, "no space left", "transient")
    announce(status, [("a", 1)], now=NOW)
    settle(status, [outcome])
    once = status.model_copy(deep=True)
    settle(status, [outcome])
    assert status == once
    assert status.delivery_attempts[0].duration_seconds == 1.235


def test_an_outcome_that_arrives_late_ends_the_doubt() -> None:
    status = sending("a")
    announce(status, [("a", 1)], now=NOW)
    settle(status, ())
    settle(status, [Outcome("a", 1, NOW, 0.1)])
    assert status.delivery is not None
    assert status.delivery.in_doubt == []
    assert (status.successful_deliveries, status.failed_deliveries) == (1, 0)


def test_counters_count_channels_and_a_later_success_takes_a_failure_back() -> None:
    status = sending("a", "b")
    settle(status, [Outcome("a", 1, NOW, 0, "x", "transient"), Outcome("b", 1, NOW, 0, "x", "transient")])
    assert (status.total_attempts, status.successful_deliveries, status.failed_deliveries) == (2, 0, 2)
    settle(status, [Outcome("a", 2, NOW, 0)])
    assert (status.total_attempts, status.successful_deliveries, status.failed_deliveries) == (3, 1, 1)


def test_a_permanent_error_is_marked_in_the_text_and_as_data() -> None:
    status = sending("a")
    settle(status, [Outcome("a", 1, NOW, 0, "bad address", "permanent")])
    assert status.delivery_attempts[0].error == "permanent failure: bad address"
    assert status.delivery is not None
    assert status.delivery.channels[0].error_class == "permanent"


def test_retrying_tells_people_when_the_next_attempt_is_due() -> None:
    status = sending("a")
    settle(status, [Outcome("a", 1, NOW, 0, "x", "transient")])
    conclude(status, "a")
    assert status.phase == "Retrying"
    assert status.completion_time is None
    assert find_condition(status.conditions, "Ready") is None
    assert status.delivery is not None
    due = status.delivery.channels[0].next_attempt_at
    assert due is not None
    assert timedelta(seconds=30) <= due - NOW <= timedelta(seconds=33)


@pytest.mark.parametrize(
    ("error_class", "phase", "truth", "message"),
    [
        (None, "Sent", "True", "Notification delivered"),
        ("permanent", "Failed", "False", "Notification delivery failed"),
    ],
)
def test_a_terminal_phase_has_a_time_and_the_ready_condition(
    error_class: ErrorClass | None, phase: str, truth: str, message: str
) -> None:
    status = sending("a")
    settle(status, [Outcome("a", 1, NOW, 0, "x" if error_class else "", error_class)])
    conclude(status, "a")
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert (status.phase, status.completion_time) == (phase, NOW)
    assert (ready.status, ready.message, ready.observed_generation) == (truth, message, 1)
    assert status.delivery is not None
    assert status.delivery.channels[0].next_attempt_at is None
