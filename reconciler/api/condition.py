"""Conditions of an object's status, and how one is set. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from reconciler.api.meta import ApiModel

__all__ = ["Condition", "find_condition", "set_condition"]


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


def set_condition(conditions: list[Condition], new: Condition) -> bool:
    """
    Put `new` into `conditions` in place, and return whether anything changed.

    `last_transition_time` of the old one is kept unless `status` flips.

    Mirrors: apimachinery `meta.SetStatusCondition`.
    """
    for index, old in enumerate(conditions):
        if old.type != new.type:
            continue
        if old.status == new.status:
            new = new.model_copy(update={"last_transition_time": old.last_transition_time})
        conditions[index] = new
        return old != new
    conditions.append(new)
    return True
