"""Checks the invariants R1 to R11 of scenario.py; R8 and R9, which need every moment, are seen while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from reconciler.controllers.notification import TABLE, NotificationRequest, Phase
from reconciler.journal import PassEnded, PassStarted
from tests.simulation.scenario import CHANNELS, POLICY, History, Send, play

# Wall time is cut to whole microseconds.
_ROUNDING = timedelta(microseconds=1)


def check(history: History) -> list[str]:
    """Return every broken invariant in words; none if all hold."""
    last = NotificationRequest.model_validate(history.versions[-1])
    broken = [*history.broken, *_course(history.versions), *_end(last), *_passes(history)]
    for channel in CHANNELS:
        sends = [send for send in history.sends if send.channel == channel]
        broken += [*_sends(channel, sends), *_record(channel, sends, last)]
    if history.left is None or history.left.rows:
        broken.append(f"R11: at the end the queue holds {history.left}")
    return broken


def _sends(channel: str, sends: list[Send]) -> Iterator[str]:
    numbers = [send.attempt for send in sends]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > POLICY.max_attempts:
        yield f"R1: {channel} was sent the attempts {numbers}"
    for before, after in pairwise(sends):
        least = POLICY.backoff(before.attempt) - _ROUNDING
        if before.ended_at is None or after.started_at - before.ended_at < least:
            yield f"R2: {channel}: attempt {after.attempt} began at {after.started_at}, after {before}"
        if before.outcome == "success":
            yield f"R3: {channel}: attempt {after.attempt} came after the success of {before.attempt}"
    if not sends or (sends[-1].outcome != "success" and len(sends) < POLICY.max_attempts):
        yield f"R7: {channel} was given up after the attempts {numbers}"


def _record(channel: str, sends: list[Send], last: NotificationRequest) -> Iterator[str]:
    recorded = [each for each in last.status.delivery_attempts if each.channel == channel]
    said = [(each.attempt, each.status, each.timestamp) for each in recorded]
    seen = [(send.attempt, send.outcome, send.ended_at) for send in sends]
    if said != seen:
        yield f"R4: the record says of {channel} {said}, the receiver saw {seen}"


def _course(versions: list[dict[str, Any]]) -> Iterator[str]:
    for before, after in pairwise(version.get("status", {}) for version in versions):
        old, new = before.get("deliveryAttempts", []), after.get("deliveryAttempts", [])
        if new[: len(old)] != old:
            yield f"R5: the recorded attempts {old} became {new}"
        phases = Phase(before.get("phase", "")), Phase(after.get("phase", ""))
        if phases[0] is not phases[1] and not TABLE.allows(*phases):
            yield f"R5: the phase moved from {phases[0]} to {phases[1]}"


def _end(last: NotificationRequest) -> Iterator[str]:
    status = last.status
    delivered = {each.channel for each in status.delivery_attempts if each.status == "success"}
    expected = {0: Phase.FAILED, len(CHANNELS): Phase.SENT}.get(len(delivered), Phase.PARTIALLY_SENT)
    if status.phase != expected:
        yield f"R6: the phase is {status.phase!r} at the end, {expected!r} follows from the attempts"
    counters = (status.total_attempts, status.successful_deliveries, status.failed_deliveries)
    if counters != (len(status.delivery_attempts), len(delivered), len(CHANNELS) - len(delivered)):
        yield f"R6: the counters are {counters} at the end, with {len(status.delivery_attempts)} attempts"


def _passes(history: History) -> Iterator[str]:
    marks = [type(record) for record in history.records if isinstance(record, PassStarted | PassEnded)]
    if marks != [PassStarted, PassEnded] * (len(marks) // 2):
        yield f"R10: passes start and end in the order {[mark.__name__ for mark in marks]}"


async def verify() -> None:
    """Run the scenario under the seed of the running loop. Raises AssertionError: an invariant is broken."""
    broken = check(await play())
    if broken:
        raise AssertionError("\n".join(broken))
