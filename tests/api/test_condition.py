"""What apimachinery's `meta.SetStatusCondition` does, in a table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.api import Condition, find_condition, is_condition_true, remove_condition, set_condition

EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def condition(at: datetime = EARLIER, **fields: Any) -> Condition:
    return Condition(
        **{"type": "Ready", "status": "True", "reason": "Up", "message": "m", "last_transition_time": at, **fields}
    )


def test_a_condition_of_a_new_type_is_added_last() -> None:
    conditions = [condition(type="Other")]
    assert set_condition(conditions, condition(NOW))
    assert conditions == [condition(type="Other"), condition(NOW)]


@pytest.mark.parametrize(
    ("new", "changed", "since"),
    [
        pytest.param({}, False, EARLIER, id="nothing"),
        pytest.param({"status": "False"}, True, NOW, id="the status"),
        pytest.param({"status": "Unknown", "reason": "Lost"}, True, NOW, id="status and reason"),
        pytest.param({"reason": "Still"}, True, EARLIER, id="the reason"),
        pytest.param({"message": "n"}, True, EARLIER, id="the message"),
        pytest.param({"observed_generation": 2}, True, EARLIER, id="the generation"),
    ],
)
def test_the_transition_time_changes_with_the_status_alone(new: dict[str, Any], changed: bool, since: datetime) -> None:
    conditions = [condition(type="A"), condition(), condition(type="Z")]
    assert set_condition(conditions, condition(NOW, **new)) is changed
    assert conditions == [condition(type="A"), condition(since, **new), condition(type="Z")]


def test_a_generation_that_is_not_given_is_taken_back() -> None:
    conditions = [condition(observed_generation=3)]
    assert set_condition(conditions, condition())
    assert conditions == [condition()]


def test_the_condition_given_stays_as_it_was() -> None:
    new = condition(NOW)
    set_condition([condition()], new)
    assert new == condition(NOW)


def test_a_condition_is_found_by_its_type() -> None:
    conditions = [condition(type="A"), condition()]
    assert find_condition(conditions, "Ready") is conditions[1]
    assert find_condition(conditions, "ready") is None


def test_a_generation_of_zero_is_one_that_is_not_given() -> None:
    conditions = [condition(observed_generation=0)]
    assert not set_condition(conditions, condition(NOW))
    assert conditions == [condition(observed_generation=0)]


def test_fields_that_the_model_does_not_know_stay() -> None:
    conditions = [condition(since="always")]
    assert not set_condition(conditions, condition(NOW))
    assert set_condition(conditions, condition(NOW, status="False"))
    assert conditions == [condition(NOW, status="False", since="always")]


def test_a_condition_is_true_only_if_it_is_there_and_says_so() -> None:
    conditions = [condition(), condition(type="A", status="Unknown"), condition(type="B", status="False")]
    assert [is_condition_true(conditions, type_) for type_ in ("Ready", "A", "B", "C")] == [True, False, False, False]


def test_a_condition_is_taken_out_by_its_type() -> None:
    conditions = [condition(type="A"), condition()]
    assert remove_condition(conditions, "Ready")
    assert not remove_condition(conditions, "Ready")
    assert conditions == [condition(type="A")]
