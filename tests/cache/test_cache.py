from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.errors import CacheNotSyncedError, TerminalError
from reconciler.event import Event

from .objects import WIDGETS, Widget
from .world import CRD, World, in_world, words


def test_the_cache_has_what_was_there_and_follows_what_happens() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        await world.write("b", 2)
        async with world.running():
            assert await world.sizes() == {"a": 1, "b": 2}
            await world.resize("a", 10)
            await world.delete("b")
            await world.write("c", 3)
            assert await world.sizes() == {"a": 10, "c": 3}

    in_world(story)


def test_handlers_are_told_in_order_and_the_store_already_holds_what_they_are_told() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        informer = world.cache.informer(Widget)
        told: list[str] = []

        def on_event(event: Event) -> None:
            held = informer.store.get(event.key)
            assert held is event.new
            told.append(words(event))

        informer.add_handler(on_event)
        async with world.running():
            await informer.wait_for_sync()
            await world.write("b")
            await world.resize("b", 5)
            await world.delete("a")
            await asyncio.sleep(0.001)
        assert told == ["create a initial", "create b", "update b", "delete a"]

    in_world(story)


def test_a_handler_that_comes_late_begins_with_what_is_there_and_one_that_leaves_hears_no_more() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        async with world.running():
            informer = world.cache.informer(Widget)
            await informer.wait_for_sync()
            told: list[str] = []
            leave = informer.add_handler(lambda event: told.append(words(event)))
            assert told == ["create a initial"]
            await world.resize("a", 2)
            await asyncio.sleep(0.001)
            leave()
            leave()
            await world.resize("a", 3)
            await asyncio.sleep(0.001)
        assert told == ["create a initial", "update a"]

    in_world(story)


@pytest.mark.parametrize("error", [KeyError("a bug"), TerminalError("ours"), TimeoutError("late")], ids=repr)
@pytest.mark.parametrize("is_initial", [True, False])
def test_what_a_handler_raises_ends_the_cache_and_reaches_its_caller(error: Exception, is_initial: bool) -> None:
    # An error of our own family, too, which must not be taken for one of the API server's.
    async def story(world: World) -> None:
        def on_event(event: Event) -> None:
            if event.is_initial is is_initial:
                raise error

        await world.write("a", 1)
        world.cache.informer(Widget).add_handler(on_event)
        running = asyncio.create_task(world.cache.run())
        await asyncio.sleep(1)
        await world.write("b", 1)
        with pytest.raises(ExceptionGroup) as caught:
            await running
        assert caught.group_contains(type(error))

    in_world(story)


def test_a_list_of_many_objects_comes_in_pages_of_500_and_is_told_whole() -> None:
    async def story(world: World) -> None:
        for number in range(1001):
            await world.write(f"w{number:04}", number)
        async with world.running():
            assert len(await world.sizes()) == 1001
        assert [query.get("limit") for _, query in world.transport.asked("list")] == ["500", "500", "500"]

    in_world(story)


def test_the_cache_of_one_namespace_holds_no_other() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x", "namespace": "kube-system"}}
        await world.client.create(body, resource=WIDGETS)
        async with world.running():
            assert await world.sizes() == {"a": 1}
            with pytest.raises(ValueError, match="'default' only, not of 'kube-system'"):
                await world.reader().get(Widget, ObjectKey("kube-system", "x"))
            assert (
                world.cache.informer(Widget).describe().startswith("cache of widgets.example.com in namespace default")
            )

    in_world(story, namespace="default")


def test_waiting_for_all_kinds_names_the_ones_that_are_missing() -> None:
    async def story(world: World) -> None:
        namespaces = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
        world.cache.informer(namespaces)
        world.cache.informer(Widget)
        async with world.running():
            with pytest.raises(CacheNotSyncedError) as caught:
                await world.cache.wait_for_sync(timedelta(seconds=3))
            assert "widgets.example.com" in str(caught.value)
            assert "cache of namespaces" not in str(caught.value)
            assert not world.cache.is_synced
            await world.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            await world.cache.wait_for_sync()
            assert world.cache.is_synced

    in_world(story, has_crd=False)


def test_one_kind_has_one_informer_by_model_or_by_resource() -> None:
    async def story(world: World) -> None:
        assert world.cache.informer(Widget) is world.cache.informer(WIDGETS)

    in_world(story)


def test_a_stopped_cache_can_run_again_and_two_runs_at_once_are_refused() -> None:
    async def story(world: World) -> None:
        async with world.running():
            assert await world.sizes() == {}
            with pytest.raises(RuntimeError, match="runs already"):
                await world.cache.run()
        await world.write("a", 1)
        async with world.running():
            await asyncio.sleep(1)
            assert await world.sizes() == {"a": 1}

    in_world(story)
