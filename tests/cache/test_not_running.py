"""A cache that does not run, or does not run any more: what it says, and what reads from it get."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest

from reconciler.errors import CacheNotSyncedError, ConfigurationError
from reconciler.event import Event

from .objects import Widget
from .world import KEY, NAME, World, in_world

DOES_NOT_RUN = f"cache of {NAME}: not synced; the cache does not run"
WAITS = "somebody waits for the sync of a cache that does not run: run it, or give it to a manager"


def test_a_cache_that_does_not_run_says_so_wherever_it_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        assert world.cache.problem() == DOES_NOT_RUN
        for wait in (world.cache.wait_for_sync(timedelta(seconds=9)), informer.wait_for_sync(timedelta(seconds=9))):
            with pytest.raises(CacheNotSyncedError) as caught:
                await wait
            assert str(caught.value) == DOES_NOT_RUN
        assert caplog.messages == []
        # Without a time-out the wait goes on, since it may be run later; the log says what is missing.
        waiting = asyncio.create_task(world.cache.wait_for_sync())
        await asyncio.sleep(11)
        assert caplog.messages == [WAITS]
        async with world.running():
            await waiting
            assert world.cache.problem() is None
        # One that was stopped holds what it held, and says that nothing follows.
        assert (await world.reader().list(Widget)).items == ()
        assert world.cache.problem() == f"cache of {NAME}: synced, 0 objects; the cache does not run"

    in_world(story)
    assert caplog.messages == [WAITS]


def test_who_waits_for_a_cache_that_runs_is_not_warned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    async def story(world: World) -> None:
        world.transport.is_down = True
        world.cache.informer(Widget)
        async with world.running():
            with pytest.raises(CacheNotSyncedError, match="cannot be reached"):
                await world.cache.wait_for_sync(timedelta(seconds=20))

    in_world(story)
    assert WAITS not in caplog.messages


def test_a_cache_that_a_handler_ended_is_not_synced_any_more_and_refuses_reads() -> None:
    async def story(world: World) -> None:
        def on_event(event: Event) -> None:
            if event.verb == "update":
                raise KeyError("secret value")

        await world.write("a", 1)
        informer = world.cache.informer(Widget)
        informer.add_handler(on_event)
        running = asyncio.create_task(world.cache.run())
        await world.cache.wait_for_sync()
        # Given a cache whose handler fails,
        await world.resize("a", 2)
        with pytest.raises(ExceptionGroup):
            await running
        # when it is asked, it says that it has ended, and by what, without any value,
        ended = f"cache of {NAME}: not synced; the cache has ended with KeyError"
        assert (world.cache.problem(), world.cache.is_synced, informer.is_synced) == (ended, False, False)
        assert informer.cannot_sync
        # and neither reads nor waits get anything out of it, whatever they are ready to wait for.
        for asked in (
            world.reader(sync_timeout=None).get(Widget, KEY),
            world.reader(sync_timeout=None).list(Widget),
            informer.wait_for_sync(keep_waiting=True),
            world.cache.wait_for_sync(keep_waiting=True),
        ):
            with pytest.raises(CacheNotSyncedError, match="the cache has ended with KeyError"):
                await asked
        with pytest.raises(RuntimeError, match="the cache has ended with KeyError; make a new one"):
            await world.cache.run()
        # Who would listen is refused, instead of being told what was there.
        told: list[Event] = []
        with pytest.raises(ConfigurationError, match=r"the cache has ended with KeyError: .*; make a new cache"):
            informer.add_handler(told.append)
        assert told == []
        # A new informer is no better.
        world.cache.release(Widget)
        assert world.cache.problem() == "the cache has ended with KeyError"
        assert not world.cache.is_synced
        assert "the cache has ended with KeyError" in world.cache.informer(Widget).describe()
        with pytest.raises(ConfigurationError, match="make a new cache"):
            world.cache.informer(Widget).add_handler(told.append)

    in_world(story)


def test_who_waits_for_the_sync_of_a_cache_that_ends_is_told_so_at_once() -> None:
    async def story(world: World) -> None:
        def on_event(event: Event) -> None:
            raise KeyError

        await world.write("a", 1)
        informer = world.cache.informer(Widget)
        informer.add_handler(on_event)
        waits = [asyncio.create_task(wait) for wait in (informer.wait_for_sync(), world.cache.wait_for_sync())]
        await asyncio.sleep(0)
        with pytest.raises(ExceptionGroup):
            await world.cache.run()
        for result in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(result, CacheNotSyncedError)

    in_world(story)
