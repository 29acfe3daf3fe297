"""What both cores do alike: consumers that wait, first come, first served, and the moment that a core has been told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Generic, TypeVar

from reconciler.errors import InvariantError
from reconciler.instant import Instant
from reconciler.workqueue.answers import Item

__all__ = ["Consumers"]

K = TypeVar("K", bound=Hashable)


class Consumers(ABC, Generic[K]):
    """
    The waiting side of a core. A consumer is a number that the caller chooses.

    Who is woken, and in which order, is part of the semantics, so it is decided here and not by the event loop.
    """

    def __init__(self) -> None:
        self._consumers: dict[int, None] = {}
        self._now = Instant(0)
        self._is_shut_down = False

    @abstractmethod
    def _take_first(self) -> Item[K] | None:
        """Hand out the first key; None: there is none."""

    @abstractmethod
    def next_ready_at(self) -> Instant | None:
        """Return when the next delayed ask is due; None if none will be."""

    def take(self, *, now: Instant) -> Item[K] | None:
        """
        Hand out the first key that can be, unless consumers wait: they come first. None: there is none.

        Raises:
            InvariantError: Something is due before `now`, and was not made ready by `advance`.
        """
        if now > self._now:
            self._move_to(now)
        return None if self._consumers else self._take_first()

    def join(self, consumer: int) -> None:
        """Let `consumer` wait, behind those that wait already."""
        if not self._is_shut_down:
            self._consumers[consumer] = None

    def leave(self, consumer: int) -> None:
        """Let `consumer` wait no longer; one that does not wait is ignored."""
        self._consumers.pop(consumer, None)

    def hand_out(self) -> tuple[int, Item[K]] | None:
        """Serve the consumer that waits longest, with the first key; None: no consumer, or no key."""
        if not self._consumers:
            return None
        item = self._take_first()
        if item is None:
            return None
        consumer = next(iter(self._consumers))
        del self._consumers[consumer]
        return consumer, item

    @property
    def is_shut_down(self) -> bool:
        """Whether it was shut down."""
        return self._is_shut_down

    @property
    def has_consumers(self) -> bool:
        """Whether a consumer waits."""
        return bool(self._consumers)

    def _send_home(self) -> tuple[int, ...]:
        """Let no consumer wait any more; return those that did, longest first."""
        left = tuple(self._consumers)
        self._consumers.clear()
        return left

    def _move_to(self, now: Instant) -> None:
        if self._is_shut_down:
            return
        due = self.next_ready_at()
        if due is not None and due <= now:
            raise InvariantError(f"the queue was asked at {now}, but not advanced to {due}, when a key became ready")
        self._now = now
