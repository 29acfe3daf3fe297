"""
A whole system under random faults: server, controller, receivers, and what goes wrong between them, from one seed.

Faults, until `CALM_AT`: requests that are refused, that never arrive, that are slow, and whose answer is lost; writers
that come first; a watch that is late or breaks off; a controller that is killed and started again; objects that are
deleted and made anew. Then nothing goes wrong any more, and everything must come to its end.

Invariants (see `check`):
    S1  Every request ends in a terminal phase, unless it is deleted.
    S2  A channel is never given more attempts than the policy allows.
    S3  Nothing is sent to a channel whose success is recorded.
    S4  Nothing is sent that the record does not announce at that moment; a deduplicated channel needs no announcement.
    S5  The next send comes no sooner than the policy's delay after the end of the attempt before; after its
        announcement, where that end was not recorded.
    S6  The record tells the truth: what it says of an attempt is what the receiver saw.
    S7  The record is whole: every send is recorded or in doubt, each once, and numbers have no gap; only what a killed
        controller sent may be in doubt.
    S8  Nothing that was recorded is ever lost or changed, and phases move as the table allows.
    S9  The terminal phase, the counters and the conditions are those that follow from the record.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import anyio

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, find_condition
from reconciler.apiserver import ApiServer
from reconciler.client import Client, HttpRequest, HttpResponse, HttpStream, RestClient
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import (
    TABLE,
    Delivery,
    NotificationRequest,
    Phase,
    Policy,
    Promise,
    custom_resource_definition,
    setup,
)
from reconciler.controllers.notification.types import DeliveryIntent
from reconciler.errors import (
    ConnectionFailedError,
    NotFoundError,
    PermanentDeliveryError,
    TransientDeliveryError,
)
from reconciler.manager import Manager
from reconciler.testing import InProcessTransport
from tests.controllers.notification.world import Router

CALM_AT = 120.0
END_AT = 900.0
POLICY = Policy(max_attempts=3, initial_seconds=10, multiplier=2, max_seconds=60)
NAMES = ("a", "b", "c")

# Wall time in the record is cut to microseconds.
_ROUNDING = timedelta(microseconds=2)


@dataclass
class Call:
    """One send as the receiver saw it: of which controller, counted from 0, and how it ended; None while it runs."""

    channel: str
    attempt: int
    controller: int
    started_at: datetime
    announced_at: datetime | None
    ended_at: datetime | None = None
    outcome: str | None = None


@dataclass
class Receiver:
    """A channel that fails at random, and looks at the server's record at each send."""

    name: str
    promise: Promise
    failure_rate: float
    rng: Random
    client: Client
    timeout: timedelta = timedelta(seconds=5)
    controller: int = 0
    calls: dict[str, list[Call]] = field(default_factory=dict[str, list[Call]])
    broken: list[str] = field(default_factory=list[str])

    async def send(self, delivery: Delivery) -> None:
        call = await self._look(delivery)
        self.calls.setdefault(delivery.notification.metadata.uid, []).append(call)
        try:
            await self._answer()
        except asyncio.CancelledError:
            call.ended_at, call.outcome = LoopWallClock().now(), "cancelled"
            raise
        except Exception:
            call.ended_at, call.outcome = LoopWallClock().now(), "failed"
            raise
        call.ended_at, call.outcome = LoopWallClock().now(), "success"

    async def _answer(self) -> None:
        await asyncio.sleep(self.rng.choice([0, 0, 0.5, 3]))
        if self.rng.random() >= self.failure_rate:
            return
        match self.rng.randrange(8):
            case 0:
                raise PermanentDeliveryError("no such address")
            case 1:
                raise ValueError("a bug in a channel")
            case 2:
                await asyncio.sleep(99)
            case _:
                raise TransientDeliveryError("busy")

    async def _look(self, delivery: Delivery) -> Call:
        """Check S3 and S4 against what the server has at this very moment."""
        name, attempt, asked = self.name, delivery.attempt, delivery.notification
        call = Call(name, attempt, self.controller, LoopWallClock().now(), announced_at=None)
        try:
            obj = await self.client.get(NotificationRequest, asked.key)
        except NotFoundError:
            return call
        if obj.metadata.uid != asked.metadata.uid:
            return call
        said = f"{obj.metadata.name} {name} attempt {attempt}"
        if any(each.channel == name and each.status == "success" for each in obj.status.delivery_attempts):
            self.broken.append(f"S3: {said} sent, and a success is recorded")
        intents = obj.status.delivery.intents if obj.status.delivery else []
        call.announced_at = next((each.at for each in intents if (each.channel, each.attempt) == (name, attempt)), None)
        if call.announced_at is None and self.promise is not Promise.DEDUPLICATED:
            self.broken.append(f"S4: {said} sent, and not announced")
        return call


@dataclass
class RandomFaults:
    """A transport on which things go wrong at random until the calm."""

    inner: InProcessTransport
    rng: Random
    rate: float
    client: Client

    async def send(self, request: HttpRequest) -> HttpResponse:
        if not self._strikes():
            return await self.inner.send(request)
        is_status_write = request.method == "PUT" and request.path.endswith("/status")
        match self.rng.randrange(6 if is_status_write else 4):
            case 0:
                return HttpResponse(500, {}, b'{"kind":"Status","code":500,"reason":"InternalError","message":"ill"}')
            case 1:
                raise ConnectionFailedError("refused")
            case 2:
                await asyncio.sleep(self.rng.uniform(0, 5))
                return await self.inner.send(request)
            case 3:
                answer = await self.inner.send(request)
                await asyncio.sleep(self.rng.uniform(0, 5))
                return answer
            case 4:
                await self.inner.send(request)
                await asyncio.sleep(self.rng.uniform(0, 5))
                raise ConnectionFailedError("the answer was lost")
            case _:
                await self._come_first(request.path)
                return await self.inner.send(request)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        if self._strikes():
            raise ConnectionFailedError("refused")
        async with (
            self.inner.stream(request) as stream,
            aclosing(self._late(stream.lines)) as lines,
        ):
            yield HttpStream(stream.status, stream.headers, lines)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _late(self, lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for line in lines:
            if self._strikes():
                await asyncio.sleep(self.rng.uniform(0, 15))
            if self._strikes() and self.rng.random() < 0.3:
                raise ConnectionFailedError("broke off")
            yield line

    async def _come_first(self, path: str) -> None:
        key = ObjectKey("default", path.split("/")[-2])
        try:
            patch = {"metadata": {"labels": {"n": str(self.rng.randrange(1000))}}}
            await self.client.patch(NotificationRequest, key, patch)
        except NotFoundError:
            return

    def _strikes(self) -> bool:
        return asyncio.get_running_loop().time() < CALM_AT and self.rng.random() < self.rate


@dataclass
class History:
    """What happened, as seen from outside the controller: by the receivers, and in every version on the server."""

    seed: int
    receivers: dict[str, Receiver]
    versions: dict[str, list[NotificationRequest]] = field(default_factory=dict[str, list[NotificationRequest]])
    deleted: set[str] = field(default_factory=set[str])

    def calls(self, uid: str, channel: str) -> list[Call]:
        return self.receivers[channel].calls.get(uid, [])


async def simulate(seed: int, *, definition: Mapping[str, Any] | None = None) -> History:
    """Play the story of one seed, in a virtual loop; `definition` stands in for the package's own."""
    rng = Random(seed)
    inner = InProcessTransport(ApiServer(wall=LoopWallClock(), seed=seed))
    client = Client(RestClient(inner))
    await client.create(dict(definition or custom_resource_definition()), resource=CUSTOM_RESOURCE_DEFINITION)
    names = [f"channel-{number}" for number in range(rng.randint(1, 3))]
    receivers = {
        name: Receiver(name, rng.choice(list(Promise)), rng.choice([0.2, 0.6, 1.0]), Random(rng.random()), client)
        for name in names
    }
    history = History(seed, receivers)
    faults = RandomFaults(inner, Random(rng.random()), rng.choice([0.05, 0.2, 0.4]), client)
    async with anyio.create_task_group() as group:
        group.start_soon(_watch, client, history)
        group.start_soon(_make_objects, client, Random(rng.random()))
        await _run_controllers(faults, history, Random(rng.random()))
        group.cancel_scope.cancel()
    return history


async def _watch(client: Client, history: History) -> None:
    async with client.watch(NotificationRequest, namespace="default") as events:
        async for event in events:
            uid = event.object.metadata.uid
            if event.type == "DELETED":
                history.deleted.add(uid)
            else:
                history.versions.setdefault(uid, []).append(event.object)


async def _make_objects(client: Client, rng: Random) -> None:
    retry = {
        "maxAttempts": POLICY.max_attempts,
        "initialBackoffSeconds": POLICY.initial_seconds,
        "backoffMultiplier": POLICY.multiplier,
        "maxBackoffSeconds": POLICY.max_seconds,
    }
    spec = {"type": "Simple", "priority": "High", "subject": "s", "body": "b", "retryPolicy": retry}
    for name in NAMES:
        await asyncio.sleep(rng.uniform(0, 10))
        metadata = {"name": name, "namespace": "default"}
        body = NotificationRequest.model_validate({"metadata": metadata, "spec": spec})
        await client.create(body)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.uniform(0, 30))
            await client.delete(NotificationRequest, ObjectKey("default", name))
            await asyncio.sleep(rng.choice([0, 0, 5]))
            await client.create(body)


async def _run_controllers(faults: RandomFaults, history: History, rng: Random) -> None:
    for _ in range(rng.randrange(5)):
        with anyio.move_on_after(rng.uniform(1, 40)):
            await _run_controller(faults, history, rng)
        for receiver in history.receivers.values():
            receiver.controller += 1
        await asyncio.sleep(rng.choice([0, 1, 20]))
    with anyio.move_on_at(END_AT):
        await _run_controller(faults, history, rng)


async def _run_controller(faults: RandomFaults, history: History, rng: Random) -> None:
    manager = Manager(faults, namespace="default", wall=LoopWallClock(), seed=rng.randrange(1000))
    setup(manager, router=Router(tuple(history.receivers)), channels=history.receivers)
    await manager.run(asyncio.Event())


# --- the invariants ---


def check(history: History) -> list[str]:
    """Return every broken invariant in words; none if all hold."""
    broken = [each for receiver in history.receivers.values() for each in receiver.broken]
    for uid, versions in history.versions.items():
        broken += _broken_in_course(versions)
        if uid not in history.deleted:
            broken += _broken_at_the_end(history, versions[-1])
        for channel in history.receivers:
            broken += _broken_in_channel(history, versions[-1], channel)
    return broken


def _broken_in_course(versions: list[NotificationRequest]) -> Iterable[str]:
    """S8."""
    for before, after in itertools.pairwise(versions):
        name, old, new = before.metadata.name, before.status, after.status
        if new.delivery_attempts[: len(old.delivery_attempts)] != old.delivery_attempts:
            yield f"S8: {name}: a recorded attempt was lost or changed in version {after.metadata.resource_version}"
        if old.phase != new.phase and not TABLE.allows(Phase(old.phase), Phase(new.phase)):
            yield f"S8: {name}: moved from {old.phase} to {new.phase}"


def _broken_in_channel(history: History, last: NotificationRequest, channel: str) -> Iterable[str]:
    uid, receiver = last.metadata.uid, history.receivers[channel]
    said = f"{last.metadata.name} {channel}"
    calls = history.calls(uid, channel)
    recorded = {each.attempt: each for each in last.status.delivery_attempts if each.channel == channel}
    doubts = {each.attempt for each in _doubts(last, channel)}
    is_deduplicated = receiver.promise is Promise.DEDUPLICATED

    numbers = [call.attempt for call in calls]
    if max(numbers, default=0) > POLICY.max_attempts:
        yield f"S2: {said}: attempts {numbers}"
    if not is_deduplicated and len(numbers) != len(set(numbers)):
        yield f"S2: {said}: sent twice under one number: {numbers}"
    for before, after in itertools.pairwise(calls):
        since = before.ended_at if before.attempt in recorded else before.announced_at
        if since is None or (is_deduplicated and before.attempt == after.attempt):
            continue
        if after.started_at - since < POLICY.backoff(before.attempt) - _ROUNDING:
            yield f"S5: {said}: attempt {after.attempt} came {after.started_at - since} after {before.attempt}"
    for number, attempt in recorded.items():
        seen = [call.outcome for call in calls if call.attempt == number]
        expected = "success" if attempt.status == "success" else "failed"
        # A send that ran into its time-out ends as cancelled here, and failed in the record.
        if not any(each == expected or (each == "cancelled" and expected == "failed") for each in seen):
            yield f"S6: {said}: attempt {number} is recorded as {attempt.status}, the receiver saw {seen}"
    if uid in history.deleted:
        return
    needless = {call.attempt for call in calls if call.controller == receiver.controller} - set(recorded)
    if needless:
        yield f"S7: {said}: sends {sorted(needless)} of a controller that lives are not recorded"
    missing = set(numbers) - set(recorded) - doubts
    if missing and not is_deduplicated:
        yield f"S7: {said}: sends {sorted(missing)} are nowhere in the record"
    used = sorted([*recorded, *doubts])
    if used != list(range(1, len(used) + 1)):
        yield f"S7: {said}: recorded and in doubt are {used}"


def _broken_at_the_end(history: History, last: NotificationRequest) -> Iterable[str]:
    name, status = last.metadata.name, last.status
    phase = Phase(status.phase)
    if not TABLE.is_terminal(phase):
        yield f"S1: {name} is still {phase!r}: {status}"
        return
    delivered = {each.channel for each in status.delivery_attempts if each.status == "success"}
    total = len(history.receivers)
    expected = Phase.SENT if len(delivered) == total else Phase.PARTIALLY_SENT if delivered else Phase.FAILED
    if phase is not expected:
        yield f"S9: {name} is {phase}, delivered are {sorted(delivered)} of {total}"
    counters = (status.total_attempts, status.successful_deliveries, status.failed_deliveries)
    if counters != (len(status.delivery_attempts), len(delivered), total - len(delivered)):
        yield f"S9: {name}: counters {counters}"
    ready = find_condition(status.conditions, "Ready")
    if ready is None or ready.status != ("False" if phase is Phase.FAILED else "True") or not status.completion_time:
        yield f"S9: {name}: {phase} with Ready {ready} and completion time {status.completion_time}"
    if status.delivery is not None and status.delivery.intents:
        yield f"S9: {name}: open intents {status.delivery.intents}"
    for channel, receiver in history.receivers.items():
        if channel not in delivered and not _is_used_up(last, channel, receiver.promise):
            yield f"S9: {name} ended, and {channel} had attempts left"


def _is_used_up(last: NotificationRequest, channel: str, promise: Promise) -> bool:
    attempts = [each for each in last.status.delivery_attempts if each.channel == channel]
    doubts = _doubts(last, channel)
    return (
        len(attempts) + len(doubts) >= POLICY.max_attempts
        or any(each.error.startswith("permanent failure: ") for each in attempts)
        or (bool(doubts) and promise is Promise.AT_MOST_ONCE)
    )


def _doubts(obj: NotificationRequest, channel: str) -> list[DeliveryIntent]:
    return [each for each in obj.status.delivery.in_doubt if each.channel == channel] if obj.status.delivery else []
