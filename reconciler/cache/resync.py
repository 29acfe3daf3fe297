"""When the objects of a kind are told again although nothing changed. No loop, no clock."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from reconciler.errors import ConfigurationError
from reconciler.instant import Instant, nanoseconds

__all__ = ["RESYNC", "RESYNC_MIN", "Resync", "check_resync"]

RESYNC = timedelta(hours=10)
"""How often every object is told again by default; controller-runtime's default."""

RESYNC_MIN = timedelta(seconds=1)
"""No resync comes more often; client-go's bound."""


class Resync:
    """
    Says when the objects of a namespace, or of all of them, are to be told again.

    The period is stretched or shortened once, by a factor in [0.9, 1.1), so that many kinds and many controllers do not
    resync in the same moment. It is counted from the end of a namespace's last list, since a list tells every object as
    well.

    Mirrors: controller-runtime `calculateResyncPeriod`, and the resync timer of client-go's `Reflector`.
    """

    def __init__(self, period: timedelta | None, rng: Random) -> None:
        """Take the period, None or zero for no resync; `rng` draws the factor."""
        self._period = int(nanoseconds(period) * (0.9 + rng.random() / 5)) if period else 0
        self._due: dict[str, Instant] = {}

    @property
    def is_on(self) -> bool:
        """Whether there is a resync at all."""
        return self._period > 0

    @property
    def next_at(self) -> Instant | None:
        """When the next one is due; None before the first list, or where there is none."""
        return min(self._due.values(), default=None)

    def listed(self, namespace: str, *, now: Instant) -> None:
        """A list of `namespace` (empty: of all) is complete: its objects have been told just now."""
        if self.is_on:
            self._due[namespace] = Instant(now + self._period)

    def take(self, *, now: Instant) -> tuple[str, ...]:
        """Return the namespaces that are due; each is due again a period from now."""
        due = tuple(namespace for namespace, at in self._due.items() if at <= now)
        for namespace in due:
            self._due[namespace] = Instant(now + self._period)
        return due


def check_resync(period: object) -> timedelta | None:
    """
    Return the period, a `timedelta` or None.

    Raises:
        ConfigurationError: It is no `timedelta`, is negative, or more than zero and shorter than `RESYNC_MIN`.

    Differs: client-go takes `RESYNC_MIN` instead of a shorter one, and says so in its log.
    """
    if period is None:
        return None
    if not isinstance(period, timedelta):
        raise ConfigurationError(f"resync is {period!r}; give a timedelta, or None for none")
    if period != timedelta(0) and period < RESYNC_MIN:
        raise ConfigurationError(f"resync is {period}; give at least {RESYNC_MIN}, or zero for none")
    return period
