from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.client import HttpRequest, HttpResponse, Transport
from reconciler.errors import CacheNotSyncedError, NotFoundError
from reconciler.testing import InProcessTransport

from .objects import WIDGETS, Widget, WidgetSpec
from .world import CRD, KEY, World, in_world, refusal


def test_what_is_not_there_is_not_found_as_the_api_server_says_it() -> None:
    async def story(world: World) -> None:
        async with world.running():
            with pytest.raises(NotFoundError) as cached:
                await world.reader().get(Widget, KEY)
            with pytest.raises(NotFoundError) as live:
                await world.client.get(Widget, KEY)
        assert cached.value.status == live.value.status

    in_world(story)


def test_typed_and_untyped_reads_are_what_the_client_reads_but_for_managed_fields() -> None:
    async def story(world: World) -> None:
        await world.write("a", 7, labels={"x": "1"})
        async with world.running():
            reader = world.reader()
            assert await reader.get(Widget, KEY) == await world.client.get(Widget, KEY)
            assert await reader.get(WIDGETS, KEY) == await world.client.get(WIDGETS, KEY)
            assert (await reader.list(WIDGETS)).items == (await world.client.list(WIDGETS)).items

    in_world(story)


def test_what_a_read_hands_out_is_the_callers_own() -> None:
    async def story(world: World) -> None:
        await world.write("a", 7)
        async with world.running():
            reader = world.reader()
            mine = await reader.get(Widget, KEY)
            mine.spec = WidgetSpec(size=99)
            mine.metadata.name = "changed"
            untyped = await reader.get(WIDGETS, KEY)
            untyped["spec"]["size"] = 99
            again = await reader.get(Widget, KEY)
            assert (again.spec.size, again.metadata.name) == (7, "a")

    in_world(story)


def test_a_list_is_ordered_and_selects_by_namespace_labels_and_names() -> None:
    async def story(world: World) -> None:
        await world.write("b", labels={"app": "web"})
        await world.write("a", labels={"app": "web"})
        await world.write("c", labels={"app": "db"})
        async with world.running():
            reader = world.reader()

            async def names(**options: Any) -> list[str]:
                return [item.metadata.name for item in await reader.list(Widget, **options)]

            assert await names() == ["a", "b", "c"]
            assert await names(label_selector="app=web") == ["a", "b"]
            assert await names(label_selector={"app": "web"}) == ["a", "b"]
            assert await names(field_selector={"metadata.name": "c"}) == ["c"]
            with pytest.raises(TypeError):
                await names(label_selector=5)
            assert await names(namespace="default", field_selector="metadata.name!=a") == ["b", "c"]
            assert await names(namespace="elsewhere") == []
            assert await names(field_selector="metadata.namespace=default,metadata.name!=b") == ["a", "c"]
            assert await names(field_selector="metadata.namespace!=default") == []
            assert await names(field_selector="metadata.name==nobody") == []

    in_world(story)


def test_a_read_of_a_new_kind_makes_its_informer_and_waits_for_the_list() -> None:
    async def story(world: World) -> None:
        await world.write("a", 7)
        world.transport.lists.append(refusal(503))
        async with world.running():
            assert (await world.reader().get(Widget, KEY)).spec.size == 7
            assert asyncio.get_running_loop().time() > 1.5
            # A kind asked for while the cache runs is followed like any other.
            await world.resize("a", 8)
            assert await world.sizes() == {"a": 8}

    in_world(story)


def test_a_read_waits_no_longer_than_the_sync_timeout() -> None:
    async def story(world: World) -> None:
        async with world.running():
            with pytest.raises(CacheNotSyncedError, match="is not served by the API server yet"):
                await world.reader(sync_timeout=timedelta(seconds=4)).list(Widget)
            assert asyncio.get_running_loop().time() == 4

    in_world(story, has_crd=False)


def test_a_read_of_a_cache_that_does_not_run_fails_at_once() -> None:
    async def story(world: World) -> None:
        with pytest.raises(CacheNotSyncedError, match="the cache does not run"):
            await world.reader().get(Widget, KEY)

    in_world(story)


@pytest.mark.parametrize("namespace", ["", "default"])
def test_a_key_that_does_not_fit_its_kind_is_refused(namespace: str) -> None:
    nodes = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)

    async def story(world: World) -> None:
        async with world.running():
            with pytest.raises(ValueError, match="namespace"):
                await world.reader().get(nodes if namespace else WIDGETS, ObjectKey(namespace, "a"))

    in_world(story)


NOPES = ResourceType("nope.example.com", "v1", "Nope", "nopes")


def test_a_read_of_a_kind_that_is_not_served_leaves_no_informer_that_would_fail_for_ever() -> None:
    async def story(world: World) -> None:
        async with world.running():
            await world.sizes()
            reader = world.reader(sync_timeout=timedelta(seconds=4))
            for _ in range(2):
                with pytest.raises(CacheNotSyncedError, match=r"Nope .* is not served by the API server yet"):
                    await reader.get(NOPES, KEY)
                with pytest.raises(CacheNotSyncedError, match="is not served"):
                    await reader.list(NOPES)
            assert world.cache.problem() is None
            assert [informer.resource for informer in world.cache.informers] == [WIDGETS]
            await world.cache.wait_for_sync(timedelta(seconds=1))

    in_world(story)


def test_a_failed_read_ends_no_informer_that_somebody_else_asked_for() -> None:
    async def story(world: World) -> None:
        asked = world.cache.informer(Widget)
        async with world.running():
            reader = world.reader(sync_timeout=timedelta(seconds=4))
            with pytest.raises(CacheNotSyncedError):
                await reader.get(Widget, KEY)
            with world.cache.acquire(NOPES) as handle:
                with pytest.raises(CacheNotSyncedError):
                    await reader.list(NOPES)
                assert not handle.informer.has_ended
            assert world.cache.informers == (asked,)

    in_world(story, has_crd=False)


def test_of_two_reads_that_wait_for_one_kind_the_first_to_give_up_does_not_end_the_other() -> None:
    async def story(world: World) -> None:
        async with world.running():
            short, long = (world.reader(sync_timeout=timedelta(seconds=each)) for each in (4, 100))
            first = asyncio.create_task(short.list(Widget))
            await asyncio.sleep(0)
            second = asyncio.create_task(long.list(Widget))
            with pytest.raises(CacheNotSyncedError, match="is not served"):
                await first
            await world.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            assert (await second).items == ()

    in_world(story, has_crd=False)


class Hampered:
    """A transport whose lists take long, and that may not see one namespace."""

    def __init__(self, inner: Transport, *, list_seconds: float = 0, forbidden: str = "no such") -> None:
        self._inner = inner
        self._list_seconds = list_seconds
        self._forbidden = forbidden
        self.stream = inner.stream
        self.aclose = inner.aclose

    async def send(self, request: HttpRequest) -> HttpResponse:
        if f"/namespaces/{self._forbidden}/" in request.path:
            return refusal(403, "Forbidden", "you must not list widgets")
        await asyncio.sleep(self._list_seconds)
        return await self._inner.send(request)


def test_a_read_that_gives_up_on_a_slow_list_leaves_it_to_the_next_read() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        world.transport.move_to(Hampered(InProcessTransport(world.server), list_seconds=6))
        async with world.running():
            reader = world.reader(sync_timeout=timedelta(seconds=4))
            with pytest.raises(CacheNotSyncedError):
                await reader.get(Widget, KEY)
            assert (await reader.get(Widget, KEY)).spec.size == 1
            assert len(world.transport.asked("list")) == 1

    in_world(story)


def test_a_selector_over_a_field_without_an_index_is_refused_at_once_and_leaves_nothing_behind() -> None:
    async def story(world: World) -> None:
        async with world.running():
            with pytest.raises(ValueError, match="field selector over"):
                await world.reader().list(Widget, field_selector="spec.size=1")
            assert world.cache.informers == ()

    in_world(story)


def test_one_forbidden_namespace_does_not_keep_reads_of_the_others_from_their_answer() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        world.transport.move_to(Hampered(InProcessTransport(world.server), forbidden="secret"))
        reader = world.reader(client=world.client)
        async with world.running():
            assert (await reader.get(Widget, KEY)).spec.size == 1
            await world.resize("a", 2)
            assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 2
            assert len(await reader.list(Widget, namespace="default", after_own_writes=True)) == 1
            for namespace in (None, "secret"):
                with pytest.raises(CacheNotSyncedError, match="namespace secret: forbidden"):
                    await reader.list(Widget, namespace=namespace)
            with pytest.raises(CacheNotSyncedError, match="namespace secret: forbidden"):
                await reader.get(Widget, ObjectKey("secret", "a"))
            with pytest.raises(ValueError, match="not of 'elsewhere'"):
                await reader.get(Widget, ObjectKey("elsewhere", "a"))
            assert "namespace secret" in (world.cache.problem() or "")

    in_world(story, namespaces=["default", "secret"])
