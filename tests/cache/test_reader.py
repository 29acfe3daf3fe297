from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from reconciler.api import ObjectKey, ResourceType
from reconciler.errors import CacheNotSyncedError, NotFoundError

from .objects import WIDGETS, Widget, WidgetSpec
from .world import KEY, World, in_world, refusal


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

            async def names(**options: str) -> list[str]:
                return [item.metadata.name for item in await reader.list(Widget, **options)]

            assert await names() == ["a", "b", "c"]
            assert await names(label_selector="app=web") == ["a", "b"]
            assert await names(namespace="default", field_selector="metadata.name!=a") == ["b", "c"]
            assert await names(namespace="elsewhere") == []

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
