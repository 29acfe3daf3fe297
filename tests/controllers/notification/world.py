"""A small world in virtual time: embedded server, manager, controller, scripted channels, and faults between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import anyio

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import Client, HttpRequest, HttpResponse, HttpStream, RestClient
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import (
    Delivery,
    NotificationRequest,
    Promise,
    Resolution,
    custom_resource_definition,
    setup,
)
from reconciler.errors import ConnectionFailedError, TransientDeliveryError
from reconciler.instant import WallClock
from reconciler.manager import Manager
from reconciler.testing import InProcessTransport

EVENTS = ResourceType("", "v1", "Event", "events")
KEY = ObjectKey("default", "n")

Fault = Callable[[HttpRequest, Callable[[], Awaitable[HttpResponse]]], Awaitable[HttpResponse]]


@dataclass
class FaultyTransport:
    """Hands each status write to the next planned fault, if there is one."""

    inner: InProcessTransport
    faults: list[Fault] = field(default_factory=list)
    status_writes: int = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        if request.method == "PUT" and request.path.endswith("/status"):
            self.status_writes += 1
            if self.faults:
                return await self.faults.pop(0)(request, lambda: self.inner.send(request))
        return await self.inner.send(request)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        return self.inner.stream(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


async def passes(request: HttpRequest, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
    del request
    return await send()


async def fails(request: HttpRequest, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
    del request, send
    return HttpResponse(500, {}, b'{"kind":"Status","code":500,"reason":"InternalError","message":"etcd is ill"}')


async def is_lost(request: HttpRequest, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
    await send()
    raise ConnectionFailedError(f"{request.method}: the answer was lost")


async def never_arrives(request: HttpRequest, send: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
    del send
    raise ConnectionFailedError(f"{request.method}: refused")


@dataclass
class Recorder:
    """A channel that does at each call what its script says, and then succeeds."""

    script: list[BaseException | float] = field(default_factory=list)
    promise: Promise = Promise.AT_LEAST_ONCE
    timeout: timedelta = timedelta(seconds=10)
    calls: list[tuple[float, int, str]] = field(default_factory=list)

    async def send(self, delivery: Delivery) -> None:
        now = asyncio.get_running_loop().time()
        self.calls.append((now, delivery.attempt, delivery.notification.metadata.uid))
        step = self.script.pop(0) if self.script else 0.0
        if isinstance(step, BaseException):
            raise step
        await asyncio.sleep(step)

    @property
    def attempts(self) -> list[int]:
        return [attempt for _, attempt, _ in self.calls]


def broken(times: int) -> list[BaseException | float]:
    return [TransientDeliveryError("no space left")] * times


@dataclass
class Router:
    channels: tuple[str, ...]

    def resolve(self, attributes: Mapping[str, str]) -> Resolution:
        del attributes
        return Resolution(channels=self.channels, receivers=("r",))


@dataclass
class World:
    channels: dict[str, Recorder]
    wall: WallClock
    transport: FaultyTransport
    client: Client
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    manager: Manager | None = None

    async def create(self, *, name: str = KEY.name, attempts: int = 3, **metadata: Any) -> NotificationRequest:
        retry = {"maxAttempts": attempts, "initialBackoffSeconds": 10, "backoffMultiplier": 2, "maxBackoffSeconds": 60}
        spec = {"type": "Simple", "priority": "High", "subject": "s", "body": "b", "retryPolicy": retry}
        body = {"metadata": {"name": name, "namespace": KEY.namespace, **metadata}, "spec": spec}
        return await self.client.create(NotificationRequest.model_validate(body))

    async def read(self, name: str = KEY.name) -> NotificationRequest:
        return await self.client.get(NotificationRequest, ObjectKey(KEY.namespace, name))

    async def run_manager(self) -> None:
        manager = self.manager = Manager(self.transport, namespace=KEY.namespace, wall=self.wall, seed=1)
        setup(manager, router=Router(tuple(self.channels)), channels=self.channels)
        await manager.run(self.stopping)


@asynccontextmanager
async def world(
    channels: dict[str, Recorder], *, wall: WallClock | None = None, definition: Mapping[str, Any] | None = None
) -> AsyncIterator[World]:
    """A world whose controller runs; its end stops it gracefully."""
    wall = wall or LoopWallClock()
    inner = InProcessTransport(ApiServer(wall=LoopWallClock()))
    client = Client(RestClient(inner))
    await client.create(dict(definition or custom_resource_definition()), resource=CUSTOM_RESOURCE_DEFINITION)
    made = World(channels, wall, FaultyTransport(inner), client)
    async with anyio.create_task_group() as group:
        group.start_soon(made.run_manager)
        yield made
        made.stopping.set()
