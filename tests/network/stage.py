"""An API server, embedded or real, a client that reaches it, and a proxy through which the library has to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ApiModel, KubeObject, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.apiserver.http import serve
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, Client, ClientConfig, RestClient
from reconciler.clock import SystemWallClock
from reconciler.envtest import RealServer
from reconciler.errors import AlreadyExistsError, ApiError
from reconciler.event import Event
from tests.definitions import definition

from .proxy import WAIT_SECONDS_MAX, Proxy, proxy_to

# A group of its own: the real server is shared with other tests.
LAMPS = ResourceType("network.reconciler.test", "v1", "Lamp", "lamps")
CRD = definition(
    LAMPS, spec={"size": {"type": "integer"}}, status={"seen": {"type": "integer"}, "lastSeen": {"type": "string"}}
)
NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
NUMBERS = itertools.count(1)


class LampSpec(ApiModel):
    size: int = 0


class LampStatus(ApiModel):
    seen: int | None = None
    last_seen: str | None = None


class Lamp(KubeObject):
    resource: ClassVar[ResourceType] = LAMPS

    spec: LampSpec = LampSpec()
    status: LampStatus = LampStatus()


@dataclass
class Stage:
    """
    Where a story about a bad network plays.

    Attributes:
        proxy: What is bad about it.
        direct: A client that does not go through the proxy: everybody else.
        namespace: One of its own.
    """

    proxy: Proxy
    direct: Client
    namespace: str

    def key(self, name: str = "a") -> ObjectKey:
        return ObjectKey(self.namespace, name)

    def transport(self) -> AiohttpTransport:
        """A new way to the server, through the proxy."""
        return AiohttpTransport(ClientConfig.for_host(self.proxy.url, token="any"))

    async def create(self, name: str = "a", size: int = 1) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        body = {"apiVersion": LAMPS.api_version, "kind": LAMPS.kind, "metadata": metadata, "spec": {"size": size}}
        await self.direct.create(body, resource=LAMPS)

    async def resize(self, size: int, name: str = "a") -> None:
        await self.direct.patch(LAMPS, self.key(name), {"spec": {"size": size}})

    @asynccontextmanager
    async def follower(self, transport: AiohttpTransport | None = None) -> AsyncGenerator[Follower, None]:
        """A running cache that reads through the proxy."""
        through = transport or self.transport()
        follower = Follower(Cache(RestClient(through), namespace=self.namespace, random=Random(1)))
        try:
            async with running(follower.cache.run):
                yield follower
        finally:
            await through.aclose()


class Follower:
    """A cache of lamps, and what it said of them."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.told: list[Event] = []
        self._news = asyncio.Event()
        cache.informer(Lamp).add_handler(self._on_event)

    async def sizes(self) -> dict[str, int]:
        return {lamp.metadata.name: lamp.spec.size for lamp in await CachedReader(self.cache).list(Lamp)}

    async def until_sizes(self, expected: dict[str, int]) -> None:
        """Return when the cache holds just that."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await self.sizes() != expected:
                self._news.clear()
                await self._news.wait()

    def _on_event(self, event: Event) -> None:
        self.told.append(event)
        self._news.set()


@asynccontextmanager
async def running(run: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncGenerator[None, None]:
    stopping = asyncio.Event()

    async def whole() -> None:
        await run(stopping)

    async with asyncio.TaskGroup() as group:
        group.create_task(whole())
        await asyncio.sleep(0)
        yield
        stopping.set()


@asynccontextmanager
async def stage_on(real: RealServer | None) -> AsyncGenerator[Stage, None]:
    """Set the stage on a real server, or else on an embedded one that is served over TLS."""
    if real is not None:
        async with _stage(real.url, real.ca, real.token) as stage:
            yield stage
        return
    async with (
        serve(ApiServer(wall=SystemWallClock())) as address,
        _stage(address.url, address.ca_pem, address.token) as stage,
    ):
        yield stage


@asynccontextmanager
async def _stage(url: str, ca_pem: bytes, token: str) -> AsyncGenerator[Stage, None]:
    # "Everybody else" goes through a proxy, too, one that nobody tells to break anything.
    async with (
        proxy_to(url, ca_pem=ca_pem, token=token, plural=LAMPS.plural) as clean,
        proxy_to(url, ca_pem=ca_pem, token=token, plural=LAMPS.plural) as proxy,
        AiohttpTransport(ClientConfig.for_host(clean.url)) as transport,
    ):
        stage = Stage(proxy, Client(RestClient(transport)), f"network-{next(NUMBERS)}")
        await _prepare(stage)
        yield stage


async def _prepare(stage: Stage) -> None:
    with suppress(AlreadyExistsError):
        await stage.direct.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
    await stage.direct.create({"metadata": {"name": stage.namespace}}, resource=NAMESPACES)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await _is_served(stage):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)


async def _is_served(stage: Stage) -> bool:
    try:
        await stage.direct.list(LAMPS, namespace=stage.namespace)
    except ApiError:
        return False
    return True
