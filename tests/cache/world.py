"""An API server, a cache that reads it through a transport that may fail, and a loop with virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache, CachedReader
from reconciler.client import Client, HttpResponse, RestClient
from reconciler.clock import LoopWallClock
from reconciler.event import DeleteEvent, Event
from reconciler.journal import Journal
from reconciler.testing import InProcessTransport, run_virtual

from .faults import FaultyTransport
from .objects import WIDGETS, Widget, status

CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}
KEY = ObjectKey("default", "a")
NAME = "widgets.example.com in all namespaces"


@dataclass
class World:
    """An API server, a client that writes to it, and a cache that reads it through a transport that may fail."""

    server: ApiServer
    client: Client
    transport: FaultyTransport
    cache: Cache
    journal: Journal

    def reader(self, **options: Any) -> CachedReader:
        return CachedReader(self.cache, **options)

    async def write(self, name: str, size: int = 0, **metadata: Any) -> None:
        body = {"metadata": {"name": name, "namespace": "default", **metadata}, "spec": {"size": size}}
        await self.client.create({"apiVersion": "example.com/v1", "kind": "Widget", **body}, resource=WIDGETS)

    async def resize(self, name: str, size: int) -> None:
        await self.client.patch(WIDGETS, ObjectKey("default", name), {"spec": {"size": size}})

    async def delete(self, name: str) -> None:
        await self.client.delete(WIDGETS, ObjectKey("default", name))

    async def sizes(self) -> dict[str, int]:
        """What the cache knows, a moment from now."""
        await asyncio.sleep(0.001)
        return {item.metadata.name: item.spec.size for item in await self.reader().list(Widget)}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.cache.run(stopping))
            await asyncio.sleep(0)
            yield
            stopping.set()


def in_world(story: Callable[[World], Awaitable[None]], *, has_crd: bool = True, **options: Any) -> None:
    async def main() -> None:
        server = ApiServer(wall=LoopWallClock())
        journal = Journal()
        client = Client(RestClient(InProcessTransport(server)), journal=journal)
        if has_crd:
            await client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            await asyncio.sleep(1)
        transport = FaultyTransport(InProcessTransport(server))
        cache = Cache(RestClient(transport), random=Random(1), **options)
        await story(World(server, client, transport, cache, journal))
        assert transport.open_streams == 0
        assert server.open_watches == 0

    run_virtual(main())


def refusal(code: int, reason: str = "", message: str = "no", **headers: str) -> HttpResponse:
    return HttpResponse(code, headers, msgspec.json.encode(status(code, reason, message)))


def words(event: Event) -> str:
    mark = " initial" if event.is_initial else ""
    if isinstance(event, DeleteEvent) and not event.is_final_state_known:
        mark = " missed"
    return f"{event.verb} {event.key.name}{mark}"
