"""
Which events are let through to the handler. Pure.

What is dropped asks for no pass; the journal names the predicate that dropped it.
"""

from __future__ import annotations

from typing import Protocol

from reconciler.event import Event, UpdateEvent

__all__ = ["GenerationChangedPredicate", "Predicate"]


class Predicate(Protocol):
    """
    Lets an event through, or drops it.

    Mirrors: controller-runtime `predicate.Predicate`.
    Differs: one method for all four events.
    """

    def lets_through(self, event: Event) -> bool:
        """Return whether `event` may ask for a pass. It must neither wait nor raise."""
        ...


class GenerationChangedPredicate:
    """
    Drops updates that left `metadata.generation` as it was: those of `status` and of other metadata.

    A controller that computes its next wake-up from `status` loses nothing by it, as long as every pass asks for it.

    Mirrors: controller-runtime `predicate.GenerationChangedPredicate`.
    """

    __slots__ = ()

    def lets_through(self, event: Event) -> bool:
        """Return False for an update with an equal generation, else True."""
        return not isinstance(event, UpdateEvent) or event.old.generation != event.new.generation
