"""Which requests follow from an event. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from reconciler.event import Event
from reconciler.reconcile import Request

__all__ = ["EnqueueRequestForObject", "EventHandler"]


class EventHandler(Protocol):
    """
    Turns what happened to an object into the keys to reconcile.

    Mirrors: controller-runtime `handler.EventHandler`.
    """

    def requests(self, event: Event) -> Iterable[Request]:
        """Return the requests that `event` leads to."""
        ...


class EnqueueRequestForObject:
    """
    Asks for a pass over the very object that the event is about.

    Mirrors: controller-runtime `handler.EnqueueRequestForObject`.
    """

    __slots__ = ()

    def requests(self, event: Event) -> Iterable[Request]:
        """Return one request, for the object itself."""
        return (Request(event.key.namespace, event.key.name),)
