"""Informers that are given back while the cache runs, and kinds that go and come back."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey
from reconciler.errors import CacheNotSyncedError, ConfigurationError
from reconciler.event import Event

from .objects import WIDGETS, Widget
from .world import CRD, World, in_world, words


def test_a_released_kind_has_no_watch_no_objects_and_nobody_who_is_told() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        informer = world.cache.informer(Widget)
        told: list[Event] = []
        informer.add_handler(told.append)
        async with world.running():
            await informer.wait_for_sync()
            await asyncio.sleep(0.001)
            assert world.server.open_watches == 1
            assert world.cache.release(Widget)
            assert not world.cache.release(Widget)
            await asyncio.sleep(0.001)
            assert world.server.open_watches == 0
            assert (len(informer.store), informer.store.bytes_held, informer.is_synced) == (0, 0, False)
            assert world.cache.statuses() == ()
            await world.write("b", 2)
            await asyncio.sleep(0.001)
            assert len(told) == 1
            with pytest.raises(CacheNotSyncedError, match="released; it follows the kind no longer"):
                await informer.wait_for_sync()
            # Whoever asks later gets a new one.
            assert await world.sizes() == {"a": 1, "b": 2}
            assert world.cache.informer(Widget) is not informer

    in_world(story)


@pytest.mark.parametrize(("handlers", "said"), [(0, None), (1, "1 handler was"), (2, "2 handlers were")])
def test_releasing_a_kind_that_somebody_listens_to_is_said_and_nobody_listens_to_it_later(
    handlers: int, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        for _ in range(handlers):
            informer.add_handler(lambda event: None)
        async with world.running():
            await informer.wait_for_sync()
            world.cache.release(Widget)
            with pytest.raises(ConfigurationError, match=r"released; it follows the kind no longer.*a new informer"):
                informer.add_handler(lambda event: None)

    in_world(story)
    heard = "attached: controllers among them hear no more of the kind"
    assert caplog.messages == ([f"cache of widgets.example.com: released while {said} {heard}"] if said else [])


def test_who_waits_for_a_kind_that_is_released_is_told_so_at_once() -> None:
    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        async with world.running():
            waiting = asyncio.create_task(informer.wait_for_sync(keep_waiting=True))
            await asyncio.sleep(5)
            world.cache.release(WIDGETS)
            with pytest.raises(CacheNotSyncedError, match="released"):
                await waiting
            assert asyncio.get_running_loop().time() == 5

    in_world(story, has_crd=False)


def test_an_informer_ends_with_its_last_handle() -> None:
    async def story(world: World) -> None:
        async with world.running():
            first = world.cache.acquire(Widget)
            with world.cache.acquire(WIDGETS) as second:
                assert second.informer is first.informer
                first.release()
                first.release()
                await second.informer.wait_for_sync()
                await asyncio.sleep(0.001)
                assert world.server.open_watches == 1
            await asyncio.sleep(0.001)
            assert world.server.open_watches == 0
            assert second.informer.has_ended

    in_world(story)


def test_an_informer_on_which_somebody_has_a_handler_outlives_its_last_handle() -> None:
    async def story(world: World) -> None:
        async with world.running():
            with world.cache.acquire(Widget) as handle:
                leave = handle.informer.add_handler(lambda event: None)
            assert not handle.informer.has_ended
            leave()
            with world.cache.acquire(Widget):
                pass
            assert handle.informer.has_ended

    in_world(story)


def test_a_handle_of_an_informer_that_was_released_for_all_does_not_end_the_new_one() -> None:
    async def story(world: World) -> None:
        async with world.running():
            old = world.cache.acquire(Widget)
            world.cache.release(Widget)
            new = world.cache.acquire(Widget)
            old.release()
            await new.informer.wait_for_sync()
            assert not new.informer.has_ended

    in_world(story)


def test_a_handler_may_release_the_kind_that_tells_it() -> None:
    async def story(world: World) -> None:
        told: list[str] = []

        def on_event(event: Event) -> None:
            told.append(words(event))
            world.cache.release(Widget)

        await world.write("a")
        await world.write("b")
        world.cache.informer(Widget).add_handler(on_event)
        async with world.running():
            await asyncio.sleep(1)
        assert told == ["create a initial"]

    in_world(story)


def test_a_kind_that_is_gone_loses_its_objects_says_so_and_goes_on_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    async def story(world: World) -> None:
        told: list[str] = []
        informer = world.cache.informer(Widget)
        informer.add_handler(lambda event: told.append(words(event)))
        await world.write("a", 1)
        async with world.running():
            await informer.wait_for_sync()
            # Given a kind that goes while nobody can hear of the objects' deletion,
            world.transport.is_down = True
            world.transport.cut()
            await asyncio.sleep(1)
            await world.client.delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", "widgets.example.com"))
            world.server.compact()
            world.transport.is_down = False
            # when it is refused for a short time, nothing is concluded from it,
            await asyncio.sleep(290)
            assert len(informer.store) == 1
            assert "is not served by the API server at present; waiting" in (world.cache.problem() or "")
            # and when it is refused for long, its objects are gone.
            await asyncio.sleep(80)
            assert told == ["create a initial", "delete a missed"]
            assert "is not served by the API server any more; waiting" in (world.cache.problem() or "")
            await asyncio.sleep(600)
            assert len(told) == 2
            await world.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            await asyncio.sleep(1)
            await world.write("b", 2)
            await asyncio.sleep(60)
            assert world.cache.problem() is None
            assert await world.sizes() == {"b": 2}
            assert told[2:] == ["create b"]

    in_world(story)
    gone = [record for record in caplog.records if "the kind is gone" in record.getMessage()]
    assert len(gone) == 1


def test_a_kind_that_was_never_there_is_only_waited_for() -> None:
    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        async with world.running():
            with pytest.raises(CacheNotSyncedError, match="not served by the API server yet"):
                await informer.wait_for_sync(timedelta(seconds=300))

    in_world(story, has_crd=False)


def test_a_kind_that_was_read_before_anybody_held_it_outlives_its_handles() -> None:
    async def story(world: World) -> None:
        async with world.running():
            await world.sizes()
            with world.cache.acquire(Widget) as handle:
                pass
            assert not handle.informer.has_ended
            # What was released for all is nobody's any more.
            world.cache.release(Widget)
            with world.cache.acquire(Widget) as handle:
                await world.sizes()
            assert handle.informer.has_ended
            # A read makes a new one.
            assert await world.sizes() == {}

    in_world(story)
