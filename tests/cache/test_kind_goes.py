"""A CRD that is deleted while its kind is followed, and created again: on the embedded server and on a real one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.errors import ApiError
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

from .world import words

# A group of its own: the real server is shared with other tests.
MOTHS = ResourceType("moths.reconciler.test", "v1", "Moth", "moths")
CRD = definition(MOTHS, spec={"size": {"type": "integer"}}, status={"seen": {"type": "integer"}})


class Story:
    def __init__(self, transport: Transport, namespace: str) -> None:
        self.client = Client(RestClient(transport))
        self.cache = Cache(RestClient(transport), namespace=namespace)
        self.informer = self.cache.informer(MOTHS)
        self.namespace = namespace
        self.told: list[str] = []
        self.informer.add_handler(lambda event: self.told.append(words(event)))

    async def create(self, name: str) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.client.create({"metadata": metadata, "spec": {"size": 1}}, resource=MOTHS)
                except ApiError:  # served a moment after its creation
                    await asyncio.sleep(0.05)
                else:
                    return

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(600):
            while not condition():  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.02)

    async def tell(self) -> None:
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.cache.run(stopping))
            await self._it_comes_goes_and_comes_back()
            stopping.set()

    async def _it_comes_goes_and_comes_back(self) -> None:
        await self.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await self.create("a")
        await self.create("b")
        await self.until(lambda: len(self.informer.store) == 2 and self.cache.problem() is None)
        self.told.clear()
        # When the kind goes, the server tells of each object that goes with it;
        await self.client.delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", CRD["metadata"]["name"]))
        await self.until(lambda: len(self.informer.store) == 0)
        assert sorted(self.told) == ["delete a", "delete b"]
        # and the cache says what it waits for;
        await self.until(lambda: self.cache.problem() is not None)
        assert self.cache.problem() == (
            f"cache of {MOTHS} in namespace {self.namespace}: synced, 0 objects; kind Moth (moths.reconciler.test/v1) "
            "is not served by the API server at present; waiting"
        )
        # reads go on, and find nothing.
        assert len(await CachedReader(self.cache).list(MOTHS)) == 0
        # When it comes back, the cache goes on by itself.
        await self.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await self.create("c")
        await self.until(lambda: self.told[2:] == ["create c"] and self.cache.problem() is None)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    name = "moths.moths.reconciler.test in namespace "
    return [text.partition(name)[2].partition(": ")[2] for text in caplog.messages if name in text]


AWAY = "kind Moth (moths.reconciler.test/v1) is not served by the API server at present; waiting"
BACK = "watching again"


def test_a_kind_whose_definition_goes_and_comes_back_on_the_embedded_server(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        await Story(InProcessTransport(ApiServer(wall=LoopWallClock())), "default").tell()

    with caplog.at_level(logging.INFO, "reconciler.cache"):
        run_virtual(main())
    assert said(caplog)[-2:] == [AWAY, BACK]


@pytest.mark.asyncio
async def test_a_kind_whose_definition_goes_and_comes_back_on_a_real_server(
    real_server: RealServer,
    real_namespace: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reconciler.cache.listwatch.Backoff.MAX", 500_000_000)
    transport = AiohttpTransport(await load_config(kubeconfig=real_server.kubeconfig))
    story = Story(transport, real_namespace)
    try:
        with caplog.at_level(logging.INFO, "reconciler.cache"):
            await story.tell()
    finally:
        await story.client.delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", CRD["metadata"]["name"]))
        await transport.aclose()
    assert said(caplog)[-2:] == [AWAY, BACK]


@pytest.mark.parametrize("is_told", [False, True], ids=["only read", "with a handler"])
def test_a_kind_that_is_gone_for_good_is_followed_only_for_who_is_told(*, is_told: bool) -> None:
    async def main() -> None:
        story, stopping = Story(InProcessTransport(ApiServer(wall=LoopWallClock())), "default"), asyncio.Event()
        cache = story.cache
        await story.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await story.create("a")
        if not is_told:
            cache.release(MOTHS)
        async with asyncio.TaskGroup() as group:
            group.create_task(cache.run(stopping))
            await asyncio.sleep(1)
            reader = CachedReader(cache)
            assert len(await reader.list(MOTHS)) == 1
            await story.client.delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", CRD["metadata"]["name"]))
            # Given a kind that was refused for longer than a restart of a server takes,
            await asyncio.sleep(400)
            assert [informer.resource for informer in cache.informers] == ([MOTHS] if is_told else [])
            assert (cache.problem() is None) is not is_told
            # when it comes back,
            await story.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            await story.create("b")
            await asyncio.sleep(120)
            # then reads find it, and a handler hears of it.
            assert [item["metadata"]["name"] for item in await reader.list(MOTHS)] == ["b"]
            assert story.told == (["create a initial", "delete a", "create b"] if is_told else [])
            stopping.set()

    run_virtual(main())
