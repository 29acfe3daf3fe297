"""
The seed's scenario under one schedule: a notification to console and file, and a directory that is broken.

The queue, the controller, the cache, the client, the reconciler and its plan are the real ones; the storage is the
embedded server's. One seed chooses everything: the order in which ready tasks run, whether and when the directory is
repaired, who else touches the object, and until `CALM_AT` what goes wrong between controller and storage (requests that
are slow, refused, or whose answer is late or lost, so that the event of a write comes before its answer).

Invariants (see check.py):
    R1   A channel is sent the attempts 1, 2, 3, ... in turn, each once, and never more than the policy allows.
    R2   The next attempt begins no sooner than the policy's delay after the end of the one before.
    R3   Nothing is sent to a channel after its success.
    R4   The record says of each attempt what its receiver saw, and nothing else.
    R5   Nothing that was recorded is lost or changed, and phases move as the table allows.
    R6   The object ends in the terminal phase that follows from the attempts, and so do its counters.
    R7   No channel is given up before its last attempt.
    R8   The queue keeps its own invariants Q1, Q2, ... whenever nothing is ready to run.
    R9   No wake-up is lost: while the object is not terminal and every change of it was seen, the queue holds its key.
    R10  There is one pass at a time.
    R11  At the end nothing is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal

import anyio
import msgspec

from reconciler.client import HttpRequest, HttpResponse, HttpStream
from reconciler.clock import LoopWallClock
from reconciler.control_loop import Controller
from reconciler.controllers.notification import (
    TABLE,
    Delivery,
    NotificationRequest,
    Phase,
    Policy,
    Promise,
    Resolution,
    setup,
)
from reconciler.errors import ConnectionFailedError, InvariantError, TransientDeliveryError
from reconciler.journal import Asked, EventSeen, Journal, PassEnded, Record
from reconciler.manager import Manager
from reconciler.reconcile import Request
from reconciler.testing import VirtualLoop, run_virtual
from reconciler.workqueue import QueueSnapshot
from reconciler.workqueue import check as check_queue
from tests.simulation.storage_transport import StorageTransport

CALM_AT = 90.0
END_AT = 400.0
POLICY = Policy(max_attempts=5, initial_seconds=5, multiplier=2, max_seconds=60)
CHANNELS = ("console", "file")
KEY = Request("default", "seed")
BUCKET = "apis/kubernaut.ai/v1alpha1/namespaces/default/notificationrequests"


@dataclass(slots=True)
class Send:
    """One attempt as its receiver saw it; `outcome` is None while it runs."""

    channel: str
    attempt: int
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Literal["success", "failed"] | None = None


@dataclass(slots=True, repr=False)
class History:
    """
    Everything that is known of one run.

    Attributes:
        seed: Of the schedule and of everything else.
        repaired_at: When the directory was repaired, in seconds; None if it never was.
        records: The whole journal.
        versions: The object as it was stored, each version once.
        sends: In the order in which they began.
        broken: What was seen to be wrong while it ran.
        left: The queue at the end.
    """

    seed: int
    repaired_at: float | None
    records: list[Record] = field(default_factory=list[Record])
    versions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    sends: list[Send] = field(default_factory=list[Send])
    broken: list[str] = field(default_factory=list[str])
    left: QueueSnapshot[Request] | None = None

    def render(self) -> bytes:
        """Return the journal in lines, each the name of a record's type and its fields."""
        return b"\n".join(type(each).__name__.encode() + msgspec.json.encode(each) for each in self.records)


def run(seed: int) -> History:
    """Run one schedule on a loop of its own."""
    return run_virtual(play(), seed=seed)


async def play() -> History:
    """Run the scenario under the seed of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert loop.seed is not None
    rng = Random(f"scenario {loop.seed}")
    history = History(loop.seed, rng.choice([None, rng.uniform(0, CALM_AT)]))
    storage = StorageTransport(loop.seed)
    storage.storage.listen(BUCKET, lambda: _note_version(storage, history))
    journal = Journal(is_retaining=False)
    journal.subscribe(history.records.append)
    faults = Faults(storage, Random(rng.random()), rng.choice([0, 0.1, 0.3]))
    manager = Manager(faults, namespace=KEY.namespace, journal=journal, wall=LoopWallClock(), seed=loop.seed)
    channels = {name: Receiver(name, history, Random(rng.random())) for name in CHANNELS}
    controller = setup(manager, router=_Router(), channels=channels, max_concurrent_reconciles=2)
    journal.subscribe(Watcher(controller, history).look_soon)
    stopping = asyncio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(manager.run, stopping)
        group.start_soon(_happen, storage, Random(rng.random()))
        await asyncio.sleep(END_AT)
        history.left = controller.queue.snapshot()
        stopping.set()
    return history


async def _happen(storage: StorageTransport, rng: Random) -> None:
    """Create the object, and touch it now and then."""
    await asyncio.sleep(rng.choice([0, 0.5]))
    await storage.send(HttpRequest("POST", f"/{BUCKET}", body=_OBJECT))
    for _ in range(rng.randrange(5)):
        await asyncio.sleep(rng.choice([0, 0.001, rng.uniform(0, 30)]))
        storage.touch(BUCKET, KEY.name)


def _object() -> bytes:
    retry = {
        "maxAttempts": POLICY.max_attempts,
        "initialBackoffSeconds": POLICY.initial_seconds,
        "backoffMultiplier": POLICY.multiplier,
        "maxBackoffSeconds": POLICY.max_seconds,
    }
    spec = {"type": "Simple", "priority": "High", "subject": "seed", "body": "two channels", "retryPolicy": retry}
    body = {"metadata": {"name": KEY.name, "namespace": KEY.namespace}, "spec": spec}
    return msgspec.json.encode(NotificationRequest.model_validate(body).to_wire())


_OBJECT = _object()


def _note_version(storage: StorageTransport, history: History) -> None:
    entry = storage.storage.get(BUCKET, KEY.name)
    assert entry is not None
    history.versions.append(entry.obj)


class _Router:
    def resolve(self, attributes: object) -> Resolution:
        del attributes
        return Resolution(channels=CHANNELS, receivers=("console-file",))


@dataclass(slots=True)
class Receiver:
    """A channel that writes down what it is sent; that called `file` fails until the directory is repaired."""

    name: str
    history: History
    rng: Random
    timeout: timedelta = timedelta(seconds=10)
    promise: Promise = Promise.AT_LEAST_ONCE

    async def send(self, delivery: Delivery) -> None:
        send = Send(self.name, delivery.attempt, LoopWallClock().now())
        self.history.sends.append(send)
        try:
            # The last one is longer than the time-out.
            await asyncio.sleep(self.rng.choice([0, 0, 0, 0.001, 0.5, 3, 12] if self.name == "file" else [0, 0, 0.5]))
            self._fail_if_broken()
        except BaseException:
            send.ended_at, send.outcome = LoopWallClock().now(), "failed"
            raise
        send.ended_at, send.outcome = LoopWallClock().now(), "success"

    def _fail_if_broken(self) -> None:
        repaired_at = self.history.repaired_at
        is_broken = repaired_at is None or asyncio.get_running_loop().time() < repaired_at
        if self.name == "file" and is_broken:
            raise TransientDeliveryError("cannot make directory /srv/target: File exists (EEXIST)")


@dataclass(slots=True)
class Faults:
    """A transport on which things go wrong at random until the calm."""

    inner: StorageTransport
    rng: Random
    rate: float

    async def send(self, request: HttpRequest) -> HttpResponse:
        if not self._strikes():
            return await self.inner.send(request)
        match self.rng.randrange(4):
            case 0:
                await self._wait()
                return await self.inner.send(request)
            case 1:
                raise ConnectionFailedError("refused")
            case 2:
                answer = await self.inner.send(request)
                await self._wait()
                return answer
            case _:
                await self.inner.send(request)
                await self._wait()
                raise ConnectionFailedError("the answer was lost")

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        async with self.inner.stream(request) as stream, aclosing(self._late(stream.lines)) as lines:
            yield HttpStream(stream.status, stream.headers, lines)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _late(self, lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for line in lines:
            if self._strikes():
                await self._wait()
            yield line

    async def _wait(self) -> None:
        await asyncio.sleep(self.rng.choice([0, 0.001, self.rng.uniform(0, 3)]))

    def _strikes(self) -> bool:
        return asyncio.get_running_loop().time() < CALM_AT and self.rng.random() < self.rate


@dataclass(slots=True)
class Watcher:
    """Looks at the queue a nanosecond after something happened to it, when nothing is ready to run any more."""

    controller: Controller
    history: History
    before: QueueSnapshot[Request] | None = None
    is_looking: bool = False

    def look_soon(self, record: Record) -> None:
        # By a timer: a plain callback would hold up the tasks that become ready after it, and so narrow the schedules.
        if not self.is_looking and isinstance(record, Asked | EventSeen | PassEnded):
            self.is_looking = True
            asyncio.get_running_loop().call_later(1e-9, self._look)

    def _look(self) -> None:
        self.is_looking = False
        queue = self.controller.queue.snapshot()
        try:
            check_queue(queue, before=self.before)
        except InvariantError as error:
            self.history.broken.append(f"R8: {error}")
        self.before = queue
        if not queue.is_shut_down and self._owes_a_wake_up() and all(row.key != KEY for row in queue.rows):
            self.history.broken.append(f"R9: at {queue.at} ns the object is not terminal, and nothing is asked for")

    def _owes_a_wake_up(self) -> bool:
        present = self.history.versions[-1]
        seen = next((each for each in reversed(self.history.records) if isinstance(each, EventSeen)), None)
        if seen is None or seen.new_version != present["metadata"]["resourceVersion"]:
            return False
        return not TABLE.is_terminal(Phase(present.get("status", {}).get("phase", "")))
