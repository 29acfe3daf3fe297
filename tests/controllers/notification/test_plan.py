from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.controllers.notification.delivery.channel import Promise
from reconciler.controllers.notification.phases import Phase
from reconciler.controllers.notification.plan import Plan, Standing, decide, make_plan
from reconciler.controllers.notification.policy import Policy
from reconciler.controllers.notification.record import Outcome, announce, settle
from reconciler.controllers.notification.types import (
    DeliveryChannel,
    DeliveryStatus,
    ErrorClass,
    NotificationRequestStatus,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ERROR_CLASSES: dict[str, ErrorClass | None] = {"success": None, "transient": "transient", "permanent": "permanent"}
POLICY = Policy(max_attempts=3, initial_seconds=10, multiplier=2, max_seconds=60)


def status_with(*outcomes: Outcome, channels: Sequence[str] = ()) -> NotificationRequestStatus:
    names = channels or tuple(dict.fromkeys(outcome.channel for outcome in outcomes))
    status = NotificationRequestStatus(delivery=DeliveryStatus(channels=[DeliveryChannel(name=name) for name in names]))
    settle(status, outcomes)
    return status


def ended(channel: str, attempt: int, error_class: ErrorClass | None = None, *, seconds_ago: float = 0) -> Outcome:
    at = NOW - timedelta(seconds=seconds_ago)
    return Outcome(channel, attempt, at, 0.5, "it broke" if error_class else "", error_class)


def plan_of(
    status: NotificationRequestStatus,
    *channels: str,
    policy: Policy = POLICY,
    promise: Promise = Promise.AT_LEAST_ONCE,
) -> Plan:
    return make_plan(
        status,
        uid="uid-1",
        channels=channels,
        policy=policy,
        promise_of=lambda _: promise,
        age_of=lambda _channel, _attempt, at: NOW - at,
    )


def test_a_channel_that_was_never_tried_is_due_at_once() -> None:
    plan = plan_of(NotificationRequestStatus(), "console", "file:a")
    assert [(each.channel, each.standing, each.attempt) for each in plan.channels] == [
        ("console", Standing.DUE, 1),
        ("file:a", Standing.DUE, 1),
    ]
    assert plan.next_wait == timedelta(0)


def test_a_failed_channel_waits_for_its_own_delay_and_no_sooner() -> None:
    delay = POLICY.delay(1, uid="uid-1", channel="file:a")
    just_before = plan_of(
        status_with(ended("file:a", 1, "transient", seconds_ago=delay.total_seconds() - 0.000001)), "file:a"
    )
    at_the_time = plan_of(status_with(ended("file:a", 1, "transient", seconds_ago=delay.total_seconds())), "file:a")
    assert just_before.channels[0].standing is Standing.WAITING
    assert just_before.next_wait == timedelta(microseconds=1)
    assert at_the_time.channels[0].standing is Standing.DUE
    assert at_the_time.channels[0].attempt == 2


def test_each_channel_has_its_own_schedule() -> None:
    status = status_with(ended("a", 1, "transient", seconds_ago=30), ended("b", 1, "transient", seconds_ago=1))
    first, second = plan_of(status, "a", "b").channels
    assert (first.standing, second.standing) == (Standing.DUE, Standing.WAITING)


def test_a_delivered_channel_is_never_due_again() -> None:
    plan = plan_of(status_with(ended("console", 1, seconds_ago=10_000)), "console")
    assert plan.channels[0].standing is Standing.DELIVERED
    assert plan.next_wait is None


@pytest.mark.parametrize(
    ("outcomes", "given_up"),
    [
        pytest.param([ended("a", 1, "permanent", seconds_ago=999)], "permanent", id="a permanent error"),
        pytest.param([ended("a", n, "transient", seconds_ago=999) for n in (1, 2, 3)], "exhausted", id="all used"),
    ],
)
def test_a_channel_is_given_up_for_a_reason(outcomes: list[Outcome], given_up: str) -> None:
    (channel,) = plan_of(status_with(*outcomes), "a").channels
    assert (channel.standing, channel.given_up) == (Standing.GIVEN_UP, given_up)


def test_without_a_stored_class_the_beginning_of_the_text_decides_and_only_the_beginning() -> None:
    permanent = status_with(ended("a", 1, "permanent", seconds_ago=999))
    quoted = status_with(Outcome("a", 1, NOW - timedelta(hours=1), 0, "said: permanent failure: no", "transient"))
    for status in (permanent, quoted):
        status.delivery = None  # as a server does whose CRD does not know the field
    assert plan_of(permanent, "a").channels[0].given_up == "permanent"
    assert plan_of(quoted, "a").channels[0].standing is Standing.DUE


def test_an_attempt_in_doubt_is_used_and_its_backoff_runs_from_the_intent() -> None:
    status = status_with(channels=["a"])
    announce(status, [("a", 1)], now=NOW - timedelta(seconds=5))
    settle(status, ())
    (channel,) = plan_of(status, "a").channels
    assert (channel.standing, channel.attempt) == (Standing.WAITING, 2)
    assert channel.due_at == NOW - timedelta(seconds=5) + POLICY.delay(1, uid="uid-1", channel="a")
    assert (status.total_attempts, status.failed_deliveries) == (0, 1)


def test_a_channel_that_promises_at_most_once_is_not_sent_to_again_after_a_doubt() -> None:
    status = status_with(channels=["a"])
    announce(status, [("a", 1)], now=NOW - timedelta(days=1))
    settle(status, ())
    plan = plan_of(status, "a", promise=Promise.AT_MOST_ONCE)
    assert plan.channels[0].given_up == "inDoubt"
    decision = decide(plan, POLICY)
    assert (decision.phase, decision.reason) == (Phase.FAILED, "MaxRetriesExhausted")
    assert decision.message.endswith("; 1 attempt(s) in doubt")


DECISIONS = [
    pytest.param(
        [], [], "Failed", "NoChannelsResolved", "All delivery attempts failed or exhausted retries", id="none"
    ),
    pytest.param(
        [ended("a", 1), ended("b", 2)],
        ["a", "b"],
        "Sent",
        "AllDeliveriesSucceeded",
        "Successfully delivered to 2 channel(s)",
        id="all delivered",
    ),
    pytest.param(
        [ended("a", 1), ended("b", 1, "transient")],
        ["a", "b"],
        "Retrying",
        "PartialFailureRetrying",
        "Delivered to 1/2 channel(s), retrying failed channels with backoff 10s",
        id="one retries",
    ),
    pytest.param(
        [ended("a", 1, "transient"), ended("a", 2, "transient"), ended("b", 1, "permanent")],
        ["a", "b"],
        "Retrying",
        "AllChannelsFailedRetrying",
        "All 2 channel(s) failed, retrying with backoff 20s",
        id="nothing delivered and one retries",
    ),
    pytest.param(
        [ended("a", 1), *(ended("b", n, "transient") for n in (1, 2, 3))],
        ["a", "b"],
        "PartiallySent",
        "PartialDeliverySuccess",
        "Delivered to 1/2 channel(s), others failed",
        id="decided at the last attempt",
    ),
    pytest.param(
        [ended("a", 1, "permanent"), ended("b", 1, "permanent")],
        ["a", "b"],
        "Failed",
        "AllDeliveriesFailed",
        "All delivery attempts failed or exhausted retries",
        id="all permanent",
    ),
    pytest.param(
        [ended("a", 1, "permanent"), *(ended("b", n, "transient") for n in (1, 2, 3))],
        ["a", "b"],
        "Failed",
        "MaxRetriesExhausted",
        "All delivery attempts failed or exhausted retries",
        id="permanent and exhausted mixed",
    ),
]


@pytest.mark.parametrize(("outcomes", "channels", "phase", "reason", "message"), DECISIONS)
def test_the_phase_follows_from_what_is_recorded(
    outcomes: list[Outcome], channels: list[str], phase: str, reason: str, message: str
) -> None:
    decision = decide(plan_of(status_with(*outcomes, channels=channels), *channels), POLICY)
    assert (decision.phase.value, decision.reason, decision.message) == (phase, reason, message)


def test_channels_that_are_not_of_the_request_do_not_count() -> None:
    # Given a success on a channel that routing has dropped since,
    status = status_with(ended("console", 1), ended("slack:b", 1, "transient"))
    # when only the failing one is left, then the old success makes nothing "Sent".
    assert decide(plan_of(status, "slack:b"), POLICY).phase is Phase.RETRYING


@given(
    outcomes=st.lists(st.sampled_from(["success", "transient", "doubt", "permanent"]), max_size=8),
    ages=st.lists(st.floats(0, 500), min_size=8, max_size=8),
    policy=st.builds(Policy, max_attempts=st.integers(1, 10), initial_seconds=st.integers(1, 300)),
)
def test_the_invariants_hold_whatever_is_recorded(outcomes: list[str], ages: list[float], policy: Policy) -> None:
    status = status_with(channels=["a"])
    for number, (kind, age) in enumerate(zip(outcomes, sorted(ages, reverse=True), strict=False), start=1):
        at = NOW - timedelta(seconds=age)
        if kind == "doubt":
            announce(status, [("a", number)], now=at)
            settle(status, ())
        else:
            error = ERROR_CLASSES[kind]
            settle(status, [Outcome("a", number, at, 0, "x" if error else "", error)])
    (channel,) = plan_of(status, "a", policy=policy).channels
    if "success" in outcomes:  # N1
        assert channel.standing is Standing.DELIVERED
    elif channel.is_open:
        assert channel.attempt == len(outcomes) + 1 <= policy.max_attempts  # N3
        assert not outcomes or outcomes[-1] != "permanent"  # N4
        if outcomes and channel.standing is Standing.DUE:  # N2
            last = NOW - timedelta(seconds=sorted(ages, reverse=True)[len(outcomes) - 1])
            assert NOW - last >= policy.backoff(len(outcomes))
    else:  # N5
        assert decide(Plan((channel,), 0), policy).phase is Phase.FAILED
