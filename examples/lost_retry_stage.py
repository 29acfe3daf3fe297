"""The stage of the story: server, manager and controller in one process and in virtual time."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from lost_retry_reconciler import Notice, NoticeReconciler, Version

import reconciler
from reconciler.api import CUSTOM_RESOURCE_DEFINITION
from reconciler.apiserver import ApiServer
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import (
    NotificationConfig,
    NotificationReconciler,
    NotificationRequest,
    build_channels,
    custom_resource_definition,
    load_routing,
)
from reconciler.journal import Explanation, PassStarted, Record, render
from reconciler.testing import InProcessTransport, run_virtual
from reconciler.workqueue import Discipline

R = TypeVar("R", bound=Record)

KEY = reconciler.Request("default", "seed")

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_METADATA = {"name": KEY.name, "namespace": KEY.namespace}

_ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_SCHEMA = {"openAPIV3Schema": {"type": "object", "properties": {"status": _ANY}}}
_DEFINITION: dict[str, Any] = {
    "metadata": {"name": "notices.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "notices", "singular": "notice", "kind": "Notice", "listKind": "NoticeList"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": _SCHEMA}
        ],
    },
}
_ROUTING = """\
route: {{receiver: seed}}
receivers:
- name: seed
  consoleConfigs: [{{enabled: true}}]
  fileConfigs: [{{path: {directory}}}]
"""


@dataclass(frozen=True)
class Take:
    """One run: the phase and the sends (channel, seconds) of the status at its end, and the journal of the key."""

    phase: str
    sends: Sequence[tuple[str, float]]
    explanation: Explanation

    @property
    def records(self) -> Sequence[Record]:
        return self.explanation.records

    @property
    def passes(self) -> list[float]:
        return [record.at / 1e9 for record in self.records if isinstance(record, PassStarted)]

    def times(self, channel: str) -> list[float]:
        return [at for sent_to, at in self.sends if sent_to == channel]

    def lines(self, is_wanted: Callable[[Record], bool]) -> Iterator[str]:
        """Yield the journal's own lines of the wanted records."""
        _, *rendered = render(self.explanation)
        for record, line in zip(self.records, rendered, strict=False):
            if is_wanted(record):
                yield line

    def first(self, kind: type[R], is_wanted: Callable[[R], bool] = lambda record: True) -> R:
        return next(record for record in self.records if isinstance(record, kind) and is_wanted(record))

    def last(self, kind: type[R]) -> R:
        return next(record for record in reversed(self.records) if isinstance(record, kind))

    def verdict(self) -> list[str]:
        _, *rendered = render(self.explanation)
        return rendered[len(self.records) :]


def play(
    version: Version,
    queue: Discipline,
    *,
    broken: Sequence[str] = ("file",),
    seconds: float = 1000,
    touched_at: float | None = None,
) -> Take:
    """Let one version of the reconciler work on one notice; at `touched_at` somebody else annotates it."""

    async def main() -> Take:
        stage = await _build(_DEFINITION)
        manager = stage.manager
        notices = NoticeReconciler(version, broken, manager.client, manager.journal, manager.clock, manager.wall)
        controller = reconciler.controller_managed_by(manager).for_(Notice).with_options(queue=queue).complete(notices)
        # With a status from the start, the journal can name the fields in it that change.
        await stage.outsider.create({"metadata": _METADATA}, resource=Notice.resource)
        await stage.outsider.status.update(await stage.outsider.get(Notice, KEY.key))
        async with stage.running():
            if touched_at is not None:
                await asyncio.sleep(touched_at)
                await _annotate(stage.outsider)
            await asyncio.sleep(seconds - (touched_at or 0))
            status = (await stage.outsider.get(Notice, KEY.key)).status
            sends = [(attempt.channel, _seconds(attempt.ended_at)) for attempt in status.attempts]
            return Take(status.phase, sends, controller.explain(KEY))

    return run_virtual(main())


def play_the_real_one(queue: Discipline, *, seconds: float = 1000) -> Take:
    """Let this project's notification controller work on the same story, with a directory that really is broken."""

    async def main(directory: Path) -> Take:
        stage = await _build(custom_resource_definition())
        notifications = _notification_reconciler(stage.manager, directory)
        builder = reconciler.controller_managed_by(stage.manager).for_(NotificationRequest).with_options(queue=queue)
        controller = builder.complete(notifications)
        spec = {"type": "Simple", "priority": "High", "subject": "seed", "body": "two channels"}
        await stage.outsider.create(NotificationRequest.model_validate({"metadata": _METADATA, "spec": spec}))
        async with stage.running():
            await asyncio.sleep(seconds)
            status = (await stage.outsider.get(NotificationRequest, KEY.key)).status
            sends = [(one.channel.partition(":")[0], _seconds(one.timestamp)) for one in status.delivery_attempts]
            return Take(status.phase, sends, controller.explain(KEY))

    with tempfile.TemporaryDirectory() as directory:
        return run_virtual(main(Path(directory)))


@dataclass(frozen=True)
class _Stage:
    manager: reconciler.Manager
    outsider: reconciler.Client

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the manager meanwhile. What the queue holds is to be asked before the end: a stop takes it."""
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.manager.run(stopping))
            yield
            stopping.set()


async def _build(definition: dict[str, Any]) -> _Stage:
    wall = LoopWallClock(_EPOCH)
    server = ApiServer(wall=wall)
    outsider = reconciler.Client(reconciler.RestClient(InProcessTransport(server)))
    await outsider.create(definition, resource=CUSTOM_RESOURCE_DEFINITION)
    manager = reconciler.Manager(InProcessTransport(server), namespace=KEY.namespace, wall=wall, seed=1)
    return _Stage(manager, outsider)


def _notification_reconciler(manager: reconciler.Manager, directory: Path) -> NotificationReconciler:
    target, routing_file = directory / "target", directory / "routing.yaml"
    target.write_text("a file where the directory should be: that stops even root")
    routing_file.write_text(_ROUTING.format(directory=target))
    routing = load_routing(routing_file)
    return NotificationReconciler(
        cached=manager.cached_reader,
        client=manager.client,
        router=routing,
        channels=build_channels(NotificationConfig(), routing, console=lambda record: None),
        recorder=manager.recorder_for("notification-controller"),
        journal=manager.journal,
        clock=manager.clock,
        wall=manager.wall,
    )


async def _annotate(outsider: reconciler.Client) -> None:
    notice = await outsider.get(Notice, KEY.key)
    notice.metadata.annotations = {"example.com/seen-by": "somebody"}
    await outsider.update(notice)


def _seconds(moment: datetime) -> float:
    return (moment - _EPOCH).total_seconds()
