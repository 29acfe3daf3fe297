"""The seed's two scenarios as one story that both servers can tell: what is created, waited for and asserted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import anyio

from reconciler.api import ObjectKey
from reconciler.client import Client, Transport
from reconciler.control_loop import Controller
from reconciler.controllers.notification import (
    TABLE,
    ConsoleRecord,
    NotificationConfig,
    NotificationRequest,
    Phase,
    Policy,
    build_channels,
    load_routing,
    setup,
)
from reconciler.controllers.notification.types import DeliveryAttempt
from reconciler.instant import WallClock
from reconciler.journal import EventSeen, Origin
from reconciler.manager import Manager
from reconciler.reconcile import Request
from reconciler.workqueue import Discipline

ROUTING = """\
route:
  receiver: console-file
receivers:
- name: console-file
  consoleConfigs: [{{enabled: true}}]
  fileConfigs: [{{path: {directory}}}]
"""
FILE = "file:console-file"


@dataclass(slots=True)
class Story:
    """One controller, one notification to console and file, and a directory that is broken by a file in its place."""

    manager: Manager
    controller: Controller
    directory: Path
    namespace: str
    initial_seconds: int
    console: list[ConsoleRecord] = field(default_factory=list[ConsoleRecord])
    phases: list[str] = field(default_factory=list[str])

    @property
    def client(self) -> Client:
        return self.manager.client

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.namespace, "seed")

    async def create(self) -> None:
        retry = {
            "maxAttempts": 5,
            "initialBackoffSeconds": self.initial_seconds,
            "backoffMultiplier": 2,
            "maxBackoffSeconds": 60,
        }
        spec = {"type": "Simple", "priority": "High", "subject": "seed", "body": "two channels", "retryPolicy": retry}
        metadata = {"name": self.key.name, "namespace": self.namespace}
        await self.client.create(NotificationRequest.model_validate({"metadata": metadata, "spec": spec}))

    async def read(self) -> NotificationRequest:
        return await self.client.get(NotificationRequest, self.key)

    async def wait_until(
        self, is_so: Callable[[NotificationRequest], bool], *, within_seconds: float
    ) -> NotificationRequest:
        """Return the object as soon as `is_so`; every phase that shows on the way is noted."""
        obj = await self.read()
        async with asyncio.timeout(within_seconds):
            while not is_so(obj):
                await asyncio.sleep(0.1)
                obj = await self.read()
                if obj.status.phase not in self.phases[-1:]:
                    self.phases.append(obj.status.phase)
        return obj

    def repair(self) -> None:
        self.directory.unlink()

    def files(self) -> list[Path]:
        return list(self.directory.iterdir()) if self.directory.is_dir() else []


async def tell(
    transport: Transport,
    tmp_path: Path,
    *,
    namespace: str,
    initial_seconds: int,
    wall: WallClock | None,
    queue: Discipline = "priority",
    story: Callable[[Story], Awaitable[None]],
) -> None:
    """Run the controller against the server behind `transport` while `story` is told."""
    directory = tmp_path / "target"
    directory.write_text("a file where the directory should be")
    routing_file = tmp_path / "routing.yaml"
    routing_file.write_text(ROUTING.format(directory=directory))
    routing, config = load_routing(routing_file), NotificationConfig()
    manager = Manager(transport, namespace=namespace, wall=wall, seed=7)
    console: list[ConsoleRecord] = []
    channels = build_channels(config, routing, console=console.append)
    controller = setup(manager, router=routing, channels=channels, queue=queue)
    stopping = asyncio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(manager.run, stopping)
        await story(Story(manager, controller, directory, namespace, initial_seconds, console))
        stopping.set()


async def the_directory_stays_broken(story: Story) -> None:
    """SEED-1, with the continuation for the rebuild."""
    await story.create()
    first = await story.wait_until(lambda obj: obj.status.failed_deliveries >= 1, within_seconds=15)
    assert first.status.phase == "Retrying"
    assert first.status.successful_deliveries == 1  # the console is not held up by the file
    second = await story.wait_until(lambda obj: len(_attempts(obj)) >= 2, within_seconds=120)
    assert second.status.phase == "Retrying"
    assert second.status.reason == "PartialFailureRetrying"
    last = await story.wait_until(lambda obj: TABLE.is_terminal(Phase(obj.status.phase)), within_seconds=120)

    assert (last.status.phase, last.status.reason) == ("PartiallySent", "PartialDeliverySuccess")
    assert (last.status.successful_deliveries, last.status.failed_deliveries) == (1, 1)
    assert last.status.total_attempts == 6
    assert [attempt.attempt for attempt in _attempts(last)] == [1, 2, 3, 4, 5]
    assert [record.attempt for record in story.console] == [1]
    _check_gaps(last)
    # Decided at the last attempt, not one backoff later.
    assert last.status.completion_time is not None
    assert last.status.completion_time - _attempts(last)[-1].timestamp < timedelta(seconds=1)
    # Nothing more happens, and the journal tells own writes from foreign ones.
    await asyncio.sleep(story.initial_seconds)
    assert len(_attempts(await story.read())) == 5
    explanation = story.controller.explain(Request(story.namespace, "seed"))
    updates = [record for record in explanation.records if isinstance(record, EventSeen) and record.verb == "update"]
    assert updates
    assert all(record.origin is not Origin.FOREIGN for record in updates)
    assert explanation.standing is None


async def the_directory_is_repaired(story: Story) -> None:
    """SEED-2."""
    await story.create()
    await story.wait_until(lambda obj: obj.status.failed_deliveries >= 1, within_seconds=15)
    story.repair()
    last = await story.wait_until(lambda obj: TABLE.is_terminal(Phase(obj.status.phase)), within_seconds=60)

    assert (last.status.phase, last.status.reason) == ("Sent", "AllDeliveriesSucceeded")
    assert (last.status.successful_deliveries, last.status.failed_deliveries) == (2, 0)
    assert [attempt.status for attempt in _attempts(last)] == ["failed", "success"]
    assert len(story.console) == 1
    assert len(story.files()) == 1
    assert "Retrying" in story.phases or last.status.total_attempts == 3
    _check_gaps(last)


STORIES = (the_directory_stays_broken, the_directory_is_repaired)


def _attempts(obj: NotificationRequest) -> Sequence[DeliveryAttempt]:
    return [attempt for attempt in obj.status.delivery_attempts if attempt.channel == FILE]


def _check_gaps(obj: NotificationRequest) -> None:
    policy = Policy.of(obj.spec.retry_policy)
    ends = [attempt.timestamp for attempt in _attempts(obj)]
    for number, (before, after) in enumerate(pairwise(ends), start=1):
        least = policy.backoff(number)
        assert least <= after - before <= least * 1.1 + timedelta(seconds=0.5), number
