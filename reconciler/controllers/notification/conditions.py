"""The `RoutingResolved` condition: which receivers matched, and which channels that gave. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from reconciler.api import Condition
from reconciler.controllers.notification.routing import Resolution

__all__ = ["routing_condition"]


def routing_condition(
    resolution: Resolution, attributes: Mapping[str, str], *, now: datetime, generation: int
) -> Condition:
    """
    Return the condition that tells how the channels were found.

    Differs: attributes are sorted; the original prints them in random order, so that the object changes for nothing.
    """
    pairs = ", ".join(f"{name}={value}" for name, value in sorted(attributes.items()))
    said = f"(attributes: {pairs})" if pairs else "(no attributes)"
    if resolution.is_fallback:
        reason, message = "RoutingFallback", f"No routing rules matched {said}, using console fallback"
    else:
        channels = ", ".join(resolution.channels) or "none"
        rules = ", ".join(resolution.receivers)
        reason, message = (
            "RoutingRuleMatched",
            f"Matched rules [{rules}] {said} \N{RIGHTWARDS ARROW} channels: {channels}",
        )
    return Condition(
        type="RoutingResolved",
        status="True",
        reason=reason,
        message=message,
        last_transition_time=now,
        observed_generation=generation,
    )
