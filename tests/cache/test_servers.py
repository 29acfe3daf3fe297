"""One story, told on the embedded API server in virtual time, and on a real kube-apiserver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ApiModel, KubeObject, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.errors import CacheNotSyncedError, NotFoundError
from reconciler.event import Event
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

# A group of its own: the real server is shared with other tests.
GADGETS = ResourceType("cache.reconciler.test", "v1", "Gadget", "gadgets")
CRD = definition(GADGETS, spec={"size": {"type": "integer"}}, status={"seen": {"type": "integer"}})


class Sized(ApiModel):
    size: int = 0


class Seen(ApiModel):
    seen: int = 0


class Gadget(KubeObject):
    resource: ClassVar[ResourceType] = GADGETS

    spec: Sized = Sized()
    status: Seen = Seen()


def gadget(namespace: str, name: str, size: int) -> dict[str, Any]:
    return {
        "apiVersion": GADGETS.api_version,
        "kind": "Gadget",
        "metadata": {"name": name, "namespace": namespace, "finalizers": ["reconciler.test/hold"]},
        "spec": {"size": size},
    }


class Story:
    def __init__(self, transport: Transport, namespace: str) -> None:
        rest = RestClient(transport)
        self.client = Client(rest)
        self.cache = Cache(rest, namespace=namespace)
        self.reader = CachedReader(self.cache)
        self.namespace = namespace
        self.told: list[Event] = []
        self._news = asyncio.Event()

    def key(self, name: str) -> ObjectKey:
        return ObjectKey(self.namespace, name)

    def on_event(self, event: Event) -> None:
        self.told.append(event)
        self._news.set()

    async def until_told(self, is_told: Callable[[list[Event]], bool]) -> None:
        while not is_told(self.told):
            self._news.clear()
            await self._news.wait()

    async def tell(self) -> None:
        stopping = asyncio.Event()
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            group.create_task(self.cache.run(stopping))
            await asyncio.sleep(0)
            await self._before_the_kind_is_there()
            await self._from_the_first_object_to_its_end()
            stopping.set()

    async def _before_the_kind_is_there(self) -> None:
        informer = self.cache.informer(Gadget)
        informer.add_handler(self.on_event)
        with pytest.raises(CacheNotSyncedError, match="is not served by the API server yet"):
            await informer.wait_for_sync(timedelta(seconds=3))
        await self.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await informer.wait_for_sync(timedelta(seconds=60))
        assert self.told == []

    async def _from_the_first_object_to_its_end(self) -> None:
        await self.client.create(gadget(self.namespace, "a", 1), resource=GADGETS)
        await self.until_told(lambda told: len(told) == 1)
        first = await self.reader.get(Gadget, self.key("a"))
        assert first == (await self.client.get(Gadget, self.key("a"))).model_copy(update={"metadata": first.metadata})
        assert first.metadata.model_extra == {}

        await self.client.status.patch(Gadget, self.key("a"), {"status": {"seen": 1}})
        await self.client.patch(Gadget, self.key("a"), {"spec": {"size": 2}})
        await self.client.delete(Gadget, self.key("a"))
        await self.until_told(lambda told: len(told) == 4)
        assert (await self.reader.get(Gadget, self.key("a"))).metadata.deletion_timestamp is not None

        await self.client.patch(Gadget, self.key("a"), {"metadata": {"finalizers": None}})
        await self.until_told(lambda told: told[-1].verb == "delete")
        with pytest.raises(NotFoundError):
            await self.reader.get(Gadget, self.key("a"))


EXPECTED = [
    "create, changed NOTHING, generation 1",
    "update, changed OTHER, generation 1",
    "update, changed GENERATION, generation 2",
    # A deletion that has to wait is a change of the generation, too.
    "update, changed GENERATION|DELETION, generation 3",
    "delete, changed NOTHING, generation 3",
]


def words(event: Event) -> str:
    generation = event.latest.generation if event.latest else 0
    return f"{event.verb}, changed {event.changed.name}, generation {generation}"


def test_a_cache_follows_an_object_on_the_embedded_server() -> None:
    async def main() -> list[Event]:
        server = ApiServer(wall=LoopWallClock())
        story = Story(InProcessTransport(server), "default")
        await story.tell()
        return story.told

    assert [words(event) for event in run_virtual(main())] == EXPECTED


@pytest.mark.asyncio
async def test_a_cache_follows_an_object_on_a_real_server(real_server: RealServer, real_namespace: str) -> None:
    transport = AiohttpTransport(await load_config(kubeconfig=real_server.kubeconfig))
    story = Story(transport, real_namespace)
    try:
        await story.tell()
    finally:
        await story.client.delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", CRD["metadata"]["name"]))
        await transport.aclose()

    assert [words(event) for event in story.told] == EXPECTED


@pytest.mark.asyncio
async def test_a_list_of_several_pages_is_whole_on_a_real_server(real_server: RealServer, real_namespace: str) -> None:
    config_maps = ResourceType("", "v1", "ConfigMap", "configmaps")
    names = [f"m{number:03}" for number in range(501)]
    transport = AiohttpTransport(await load_config(kubeconfig=real_server.kubeconfig))
    rest = RestClient(transport)
    limit = asyncio.Semaphore(16)

    async def write(name: str) -> None:
        body = {"metadata": {"name": name, "namespace": real_namespace}, "data": {"x": name}}
        async with limit:
            await Client(rest).create(body, resource=config_maps)

    try:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(write(name))
        cache, stopping = Cache(rest, namespace=real_namespace), asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(cache.run(stopping))
            await asyncio.sleep(0)
            got = await CachedReader(cache).list(config_maps)
            stopping.set()
    finally:
        await transport.aclose()

    # Built-in kinds come without kind and apiVersion inside a list; a read has them all the same.
    assert [(item["metadata"]["name"], item["data"], item["kind"], item["apiVersion"]) for item in got] == [
        (name, {"x": name}, "ConfigMap", "v1") for name in names
    ]
