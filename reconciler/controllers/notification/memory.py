"""
What the controller remembers of an object between passes, and may lose: a restart decides from `status` alone.

Three things: outcomes that no status write has stored yet, announcements that were surely not followed by a send, and
how long ago attempts ended by a clock that cannot jump.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.api import ObjectKey
from reconciler.controllers.notification.record import Outcome
from reconciler.instant import Clock, Instant, WallClock, nanoseconds

__all__ = ["Memories", "Memory"]


@dataclass(slots=True)
class Memory:
    """
    What is remembered of one object.

    Attributes:
        unwritten: Outcomes whose status write has not succeeded yet; the next pass writes them.
        unsent: Announcements (channel, attempt number) whose write has not been answered: it may have happened, and
            nothing was sent for it.
        ends: The monotonic moment at which an attempt (channel, number) ended.
    """

    uid: str
    clock: Clock
    wall: WallClock
    unwritten: list[Outcome] = field(default_factory=list[Outcome])
    unsent: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    ends: dict[tuple[str, int], Instant] = field(default_factory=dict[tuple[str, int], Instant])

    def learn(self, outcome: Outcome) -> None:
        """Keep an outcome until it is written; it ended now."""
        self.unwritten.append(outcome)
        self.ends[outcome.channel, outcome.attempt] = self.clock.now()

    def age_of(self, channel: str, attempt: int, ended_at: datetime) -> timedelta:
        """
        Return how long ago the attempt ended, cut to whole microseconds; never negative.

        The wall clock is asked once for each attempt, when it is first seen; from then on the monotonic clock counts.
        So a wall clock that jumps back causes a wait of at most the policy's delay, and one that jumps ahead, none
        that is shorter.
        """
        now = self.clock.now()
        end = self.ends.get((channel, attempt))
        if end is None:
            seen_age = max(self.wall.now() - ended_at, timedelta(0))
            end = self.ends[channel, attempt] = Instant(now - nanoseconds(seen_age))
        return timedelta(microseconds=(now - end) // 1_000)


class Memories:
    """The memories of all objects, by name; an object made again under the same name starts without one."""

    def __init__(self, clock: Clock, wall: WallClock) -> None:
        """Take the clocks that ages are counted by."""
        self._clock = clock
        self._wall = wall
        self._by_key: dict[ObjectKey, Memory] = {}

    def of(self, key: ObjectKey, uid: str) -> Memory:
        """Return the memory of the object, a new one if there is none."""
        memory = self._by_key.get(key)
        if memory is None or memory.uid != uid:
            memory = self._by_key[key] = Memory(uid, self._clock, self._wall)
        return memory

    def forget(self, key: ObjectKey) -> None:
        """Drop what is remembered under that name."""
        self._by_key.pop(key, None)

    def __len__(self) -> int:
        return len(self._by_key)
