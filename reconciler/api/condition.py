"""Conditions of an object's status, and how one is set. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from reconciler.api.meta import ApiModel

__all__ = ["Condition", "find_condition", "is_condition_true", "remove_condition", "set_condition"]


class Condition(ApiModel):
    """One observation about an object. Mirrors: apimachinery `metav1.Condition`."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: datetime
    observed_generation: int | None = None


def find_condition(conditions: list[Condition], type_: str) -> Condition | None:
    """Return the condition of that type, or None. Mirrors: apimachinery `meta.FindStatusCondition`."""
    return next((condition for condition in conditions if condition.type == type_), None)


def is_condition_true(conditions: list[Condition], type_: str) -> bool:
    """Return whether that condition is there and true. Mirrors: apimachinery `meta.IsStatusConditionTrue`."""
    found = find_condition(conditions, type_)
    return found is not None and found.status == "True"


def remove_condition(conditions: list[Condition], type_: str) -> bool:
    """
    Take the condition of that type out in place, and return whether there was one.

    Mirrors: apimachinery `meta.RemoveStatusCondition`.
    """
    before = len(conditions)
    conditions[:] = [condition for condition in conditions if condition.type != type_]
    return len(conditions) != before


def set_condition(conditions: list[Condition], new: Condition) -> bool:
    """
    Put `new` into `conditions` in place, and return whether anything changed.

    `last_transition_time` of the old one is kept unless `status` flips; so are fields that the model does not know.

    Mirrors: apimachinery `meta.SetStatusCondition`.
    Differs: the time of a flip is that of `new`; Go takes the clock's where it has none.
    """
    for index, old in enumerate(conditions):
        if old.type != new.type:
            continue
        update = {name: getattr(new, name) for name in ("status", "reason", "message", "observed_generation")}
        if old.status != new.status:
            update["last_transition_time"] = new.last_transition_time
        # In Go a generation of 0 is one that is not given.
        if (old.observed_generation or 0) == (new.observed_generation or 0):
            update["observed_generation"] = old.observed_generation
        conditions[index] = old.model_copy(update=update)
        return conditions[index] != old
    conditions.append(new)
    return True
