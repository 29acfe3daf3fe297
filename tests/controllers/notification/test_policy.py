from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.controllers.notification.policy import Policy, go_duration

POLICIES = st.builds(
    Policy,
    max_attempts=st.integers(1, 10),
    initial_seconds=st.integers(1, 300),
    multiplier=st.integers(1, 10),
    max_seconds=st.integers(60, 3600),
)


def test_the_default_backoff_doubles_from_thirty_seconds_to_eight_minutes() -> None:
    assert [Policy().backoff(n) // timedelta(seconds=1) for n in range(1, 8)] == [30, 60, 120, 240, 480, 480, 480]


def test_an_initial_backoff_above_the_maximum_gives_the_maximum() -> None:
    assert Policy(initial_seconds=300, max_seconds=60).backoff(1) == timedelta(seconds=60)


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="count from 1"):
        Policy().backoff(0)


@given(POLICIES, st.integers(1, 10), st.text(max_size=10), st.text(max_size=10))
def test_the_delay_is_never_shorter_than_the_policy_and_at_most_a_tenth_longer(
    policy: Policy, attempt: int, uid: str, channel: str
) -> None:
    plain = policy.backoff(attempt)
    delay = policy.delay(attempt, uid=uid, channel=channel)
    assert plain <= delay <= plain * 1.1
    assert delay == policy.delay(attempt, uid=uid, channel=channel)


def test_objects_that_were_made_together_do_not_retry_together() -> None:
    delays = {Policy().delay(1, uid=f"uid-{n}", channel="console") for n in range(100)}
    assert len(delays) == 100
    assert max(delays) - min(delays) > timedelta(seconds=2)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (5, "5s"), (60, "1m0s"), (90, "1m30s"), (480, "8m0s"), (3600, "1h0m0s"), (3661, "1h1m1s")],
)
def test_durations_are_printed_as_go_prints_them(seconds: int, text: str) -> None:
    assert go_duration(timedelta(seconds=seconds)) == text
