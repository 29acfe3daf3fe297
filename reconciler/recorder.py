"""
Kubernetes Events: short notes on an object that `kubectl describe` shows.

Posting is best effort and never holds up a pass: `event` only puts the note into a bounded queue, and a runnable of
the manager posts it. What cannot be posted is dropped with a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import anyio

from reconciler.api import KubeObject, ResourceType
from reconciler.client import Client
from reconciler.errors import ReconcilerError
from reconciler.instant import WallClock

__all__ = ["EVENT", "EventRecorder"]

_log = logging.getLogger("reconciler.recorder")

EVENT = ResourceType(group="", version="v1", kind="Event", plural="events")
"""The core group's Event."""

_MESSAGE_MAX = 1024
"""The API server refuses longer messages."""


class EventRecorder:
    """
    Posts events on behalf of one component.

    Mirrors: client-go `tools/record` `EventRecorder`.
    Differs: equal events are not yet aggregated into one with a count.
    """

    def __init__(
        self, client: Client, wall: WallClock, *, component: str, pending_max: int = 1000, flush_seconds: float = 2.0
    ) -> None:
        """
        Take what is needed to post; nothing is posted before `run`.

        Args:
            client: Writes the events.
            wall: Their timestamps.
            component: Their `source.component`.
            pending_max: Events that may wait to be posted; beyond it the oldest is dropped.
            flush_seconds: How long a stop may still post what waits.
        """
        self._client = client
        self._wall = wall
        self._component = component
        self._pending: deque[dict[str, Any]] = deque()
        self._pending_max = pending_max
        self._flush_seconds = flush_seconds
        self._count = 0
        self._wake = asyncio.Event()

    def event(self, about: KubeObject, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Note `reason` and `message` on the object `about`. Never waits, never fails."""
        if len(self._pending) >= self._pending_max:
            dropped = self._pending.popleft()
            _log.warning("too many events wait to be posted; dropped %s", _in_words(dropped))
        self._pending.append(self._body(about, type_, reason, message))
        self._wake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Post what comes until `stopping` is set, then what still waits, for at most `flush_seconds`."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._post_for_ever)
            await stopping.wait()
            group.cancel_scope.cancel()
        with anyio.move_on_after(self._flush_seconds):
            while self._pending:
                await self._post_first()
        if self._pending:
            _log.warning("%d event(s) were not posted before the stop", len(self._pending))

    async def _post_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            while self._pending:
                await self._post_first()
            self._wake.clear()

    async def _post_first(self) -> None:
        body = self._pending[0]
        try:
            await self._client.create(body, resource=EVENT)
        except (ReconcilerError, OSError) as error:
            _log.warning("event not posted: %s: %s", _in_words(body), error)
        # Cancelled in between: it is still the first, and is posted again under the same name, so at most once.
        if self._pending and self._pending[0] is body:
            self._pending.popleft()

    def _body(self, about: KubeObject, type_: str, reason: str, message: str) -> dict[str, Any]:
        now = self._wall.now()
        self._count += 1
        meta = about.metadata
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        # Unique among processes by the microsecond, within the process by the count.
        suffix = f"{int(now.timestamp() * 1_000_000):x}{self._count:x}"
        # Cut, so that the suffix fits; and each part of a name ends with a letter or a digit.
        prefix = meta.name[:200].rstrip("-.")
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": f"{prefix}.{suffix}", "namespace": meta.namespace or "default"},
            "involvedObject": {
                "apiVersion": about.resource.api_version,
                "kind": about.resource.kind,
                "name": meta.name,
                "namespace": meta.namespace,
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
            },
            "type": type_,
            "reason": reason,
            "message": message[:_MESSAGE_MAX],
            "count": 1,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._component,
        }


def _in_words(body: Mapping[str, Any]) -> str:
    about = body["involvedObject"]
    return f"{body['reason']} on {about['kind']} {about['namespace']}/{about['name']}"
