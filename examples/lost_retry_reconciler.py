"""A small reconciler that retries deliveries, in the versions that the story of the lost retry tells of."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import ClassVar

from pydantic import Field

import reconciler
from reconciler.instant import Clock, WallClock

CHANNELS = ("console", "file")
MAX_ATTEMPTS = 5
TERMINAL = ("Sent", "PartiallySent", "Failed")
SEND_SECONDS = 0.010


class Attempt(reconciler.ApiModel):
    channel: str
    number: int
    ended_at: datetime
    error: str = ""
    is_permanent: bool = False


class NoticeStatus(reconciler.ApiModel):
    phase: str = "Sending"
    attempts: list[Attempt] = Field(default_factory=list[Attempt])


class Notice(reconciler.KubeObject):
    resource: ClassVar = reconciler.ResourceType("example.com", "v1", "Notice", "notices")
    status: NoticeStatus = NoticeStatus()


class Gate(Enum):
    """In which phases a pass looks whether the next attempt is due, before it sends."""

    NONE = "never"
    RETRYING = "in phase Retrying"
    ALWAYS = "in every phase"


@dataclass(frozen=True)
class Version:
    """
    What one version of the reconciler does; the defaults are the mended one.

    Attributes:
        knows_transient: Whether a failure is stored as one that a later attempt may mend.
        gate: Where a pass waits until the next attempt is due.
        asks_again: Whether a pass that comes too early asks for the time that is left.
        counts_this_pass: Whether the end is decided in the pass of the last attempt, not in the one after it.
        hold: Whether a wake-up is a promise.
    """

    knows_transient: bool = True
    gate: Gate = Gate.ALWAYS
    asks_again: bool = True
    counts_this_pass: bool = True
    hold: bool = False


def backoff(failures: int) -> timedelta:
    """Return the policy's delay after so many failures: 30 s, doubling, at most 480 s."""
    seconds: int = 30 * 2 ** (failures - 1)
    return timedelta(seconds=min(seconds, 480))


@dataclass
class NoticeReconciler:
    """Sends a notice to its channels, and again until the policy's attempts are used; one status write a pass."""

    version: Version
    broken: Sequence[str]
    client: reconciler.Client
    journal: reconciler.Journal
    clock: Clock
    wall: WallClock

    async def reconcile(self, request: reconciler.Request) -> reconciler.Result | None:
        notice = await self.client.get(Notice, request.key)  # from the server, so never stale
        status = notice.status
        if status.phase in TERMINAL:
            self._note("nothing to do", f"phase {status.phase} is terminal")
            return None
        if not open_channels(status):
            await self._finish(notice)
            return None
        due_at = self._gate(status)
        if due_at is not None and due_at > self.wall.now():
            self._note("wait", f"the next attempt is due in {(due_at - self.wall.now()).total_seconds():.3f} s")
            return self._later(due_at - self.wall.now()) if self.version.asks_again else None
        for channel in open_channels(status):
            await self._send(status, channel)
        if self.version.counts_this_pass and not open_channels(status):
            await self._finish(notice)
            return None
        status.phase = "Retrying" if delivered(status) else "Sending"
        await self.client.status.update(notice)
        return self._later(backoff(attempts_used(status)))

    def _gate(self, status: NoticeStatus) -> datetime | None:
        gate = self.version.gate
        if gate is Gate.NONE or (gate is Gate.RETRYING and status.phase != "Retrying") or not status.attempts:
            return None
        return status.attempts[-1].ended_at + backoff(attempts_used(status))

    async def _send(self, status: NoticeStatus, channel: str) -> None:
        await asyncio.sleep(SEND_SECONDS)
        number = 1 + sum(attempt.channel == channel for attempt in status.attempts)
        attempt = Attempt(channel=channel, number=number, ended_at=self.wall.now())
        if channel in self.broken:
            attempt.error = "permission denied"
            attempt.is_permanent = not self.version.knows_transient
        status.attempts.append(attempt)
        kind = "permanent failure" if attempt.is_permanent else "failure, try again"
        self._note("sent", f"{channel}, attempt {number}: {f'{kind}: {attempt.error}' if attempt.error else 'ok'}")

    async def _finish(self, notice: Notice) -> None:
        status = notice.status
        successes = len(delivered(status))
        status.phase = "Sent" if successes == len(CHANNELS) else "PartiallySent" if successes else "Failed"
        why = "; ".join(f"{channel} {_standing(status, channel)}" for channel in CHANNELS)
        self._note("decided", f"{status.phase}, terminal: {why}")
        await self.client.status.update(notice)

    def _later(self, delay: timedelta) -> reconciler.Result:
        return reconciler.Result(requeue_after=delay, hold=self.version.hold)

    def _note(self, topic: str, text: str) -> None:
        self.journal.note(self.clock.now(), topic, text)


def delivered(status: NoticeStatus) -> set[str]:
    return {attempt.channel for attempt in status.attempts if not attempt.error}


def open_channels(status: NoticeStatus) -> list[str]:
    """Return the channels that may be sent to once more, by what the status records."""
    return [channel for channel in CHANNELS if _standing(status, channel) == "is open"]


def attempts_used(status: NoticeStatus) -> int:
    return max(attempt.number for attempt in status.attempts)


def _standing(status: NoticeStatus, channel: str) -> str:
    attempts = [attempt for attempt in status.attempts if attempt.channel == channel]
    if channel in delivered(status):
        return "is delivered"
    if any(attempt.is_permanent for attempt in attempts):
        return "has a permanent failure"
    return "has used its attempts" if len(attempts) >= MAX_ATTEMPTS else "is open"
