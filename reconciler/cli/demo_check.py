"""What the demonstration must show, and whether it did. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from types import MappingProxyType

from reconciler.controllers.notification import NotificationRequest, Phase, Policy

__all__ = ["EXPECTED", "Expected", "problems"]

_SLACK = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class Expected:
    """
    How one example must end.

    Attributes:
        story: One line for people.
        phases: The phases that must have been seen, in this order; others may lie between them.
        attempts: For each channel how many attempts must be recorded; None for a channel where it depends on the
            moment of the repair: then at least two, the last one a success.
        files: How many delivered files must be there.
    """

    story: str
    phases: tuple[Phase, ...]
    attempts: Mapping[str, int | None]
    files: int = 0


EXPECTED = MappingProxyType({
    "console-only": Expected("console works", (Phase.SENT,), {"console": 1}),
    "repaired-directory": Expected(
        "the directory is repaired while it is retried",
        (Phase.RETRYING, Phase.SENT),
        {"console": 1, "file:repaired": None},
        files=1,
    ),
    "broken-directory": Expected(
        "the directory stays broken", (Phase.RETRYING, Phase.PARTIALLY_SENT), {"console": 1, "file:broken": 5}
    ),
    "only-channel-fails": Expected(
        "the only channel fails", (Phase.RETRYING, Phase.FAILED), {"file:broken-only": 4}
    ),
})  # fmt: skip
"""By the name of the example."""


def problems(obj: NotificationRequest, expected: Expected, *, phases_seen: Sequence[str], files: int) -> Iterator[str]:
    """
    Yield what did not come out as expected, in words.

    Gap n between two recorded attempts must be no shorter than the policy's backoff, and no longer than a tenth plus
    half a second more.
    """
    if not _in_order(expected.phases, phases_seen):
        seen = ", ".join(phases_seen) or "none"
        yield f"expected the phases {', '.join(expected.phases)} in this order; seen: {seen}"
    if obj.status.phase != expected.phases[-1]:
        yield f"expected to end {expected.phases[-1]}, is {obj.status.phase or 'not seen by the controller'}"
    ends = _ends_by_channel(obj)
    if set(ends) != set(expected.attempts):
        recorded = ", ".join(sorted(ends)) or "none"
        yield f"expected attempts of {', '.join(sorted(expected.attempts))}; recorded: {recorded}"
    for channel, count in expected.attempts.items():
        yield from _count_problems(channel, count, len(ends.get(channel, [])))
    for channel, times in ends.items():
        yield from _gap_problems(obj, channel, times)
    if files != expected.files:
        yield f"expected {expected.files} delivered file(s), found {files}"


def _count_problems(channel: str, expected: int | None, recorded: int) -> Iterator[str]:
    if expected is None and recorded < 2:
        yield f"{channel}: expected at least 2 attempts, recorded {recorded}"
    if expected is not None and recorded != expected:
        yield f"{channel}: expected {expected} attempt(s), recorded {recorded}"


def _gap_problems(obj: NotificationRequest, channel: str, times: Sequence[datetime]) -> Iterator[str]:
    policy = Policy.of(obj.spec.retry_policy)
    for number, (before, after) in enumerate(pairwise(times), start=1):
        gap, least = after - before, policy.backoff(number)
        most = least * 1.1 + _SLACK
        if not least <= gap <= most:
            bounds = f"{least.total_seconds():g} s to {most.total_seconds():g} s"
            yield f"{channel}: gap {number} is {gap.total_seconds():.3f} s, expected {bounds}"


def _ends_by_channel(obj: NotificationRequest) -> dict[str, list[datetime]]:
    ends: dict[str, list[datetime]] = {}
    for attempt in sorted(obj.status.delivery_attempts, key=lambda each: each.attempt):
        ends.setdefault(attempt.channel, []).append(attempt.timestamp)
    return ends


def _in_order(expected: Sequence[str], seen: Sequence[str]) -> bool:
    rest = iter(seen)
    return all(any(phase == each for each in rest) for phase in expected)
