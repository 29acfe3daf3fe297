from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION
from reconciler.errors import CacheNotSyncedError

from .objects import Widget
from .world import CRD, NAME, World, in_world, refusal


def test_without_the_crd_it_waits_says_so_once_and_goes_on_when_the_kind_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "reconciler.cache")
    waiting = "kind Widget (example.com/v1) is not served by the API server yet; waiting"

    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        async with world.running():
            await asyncio.sleep(300)
            assert world.cache.problem() == (f"cache of {NAME}: not synced; {waiting}")
            await world.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            await world.write("a", 1)
            await informer.wait_for_sync()
            assert await world.sizes() == {"a": 1}
            assert world.cache.problem() is None
        # 0.8 s doubled to 30 s: not more often, for 300 s.
        assert 10 < len(world.transport.asked("list")) < 20

    in_world(story, has_crd=False)
    assert [record.getMessage() for record in caplog.records] == [f"{NAME}: {waiting}", f"{NAME}: watching again"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert not any(record.exc_info for record in caplog.records)


def test_an_api_server_that_is_away_is_said_once_at_each_change_and_seldom_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "reconciler.cache")

    async def story(world: World) -> None:
        world.transport.is_down = True
        informer = world.cache.informer(Widget)
        async with world.running():
            await asyncio.sleep(60)
            with pytest.raises(CacheNotSyncedError, match="connection refused"):
                await informer.wait_for_sync(timedelta(seconds=1))
            world.transport.is_down = False
            await informer.wait_for_sync()
            world.transport.is_down = True
            world.transport.cut()
            await asyncio.sleep(700)
            assert informer.is_synced
            assert "the API server cannot be reached" in (world.cache.problem() or "")
            world.transport.is_down = False
            await asyncio.sleep(70)
            assert world.cache.problem() is None

    in_world(story)
    said = [record.getMessage() for record in caplog.records]
    away = f"{NAME}: the API server cannot be reached; trying again (GET 127.0.0.1:1: connection refused)"
    back = f"{NAME}: watching again"
    assert said == [away, back, away, away, back]
    assert not any(record.exc_info for record in caplog.records)


def test_a_forbidden_list_names_verb_resource_and_scope() -> None:
    async def story(world: World) -> None:
        message = 'widgets.example.com is forbidden: User "u" cannot list resource "widgets" at the cluster scope'
        world.transport.lists += [refusal(403, "Forbidden", message)] * 100
        async with world.running():
            with pytest.raises(CacheNotSyncedError) as caught:
                await world.cache.informer(Widget).wait_for_sync(timedelta(seconds=5))
        assert str(caught.value) == (
            f"cache of {NAME}: not synced; forbidden; trying again (list widgets.example.com: 403 {message})"
        )

    in_world(story)


def test_the_status_of_a_kind_says_since_when_it_is_watched_and_what_it_holds() -> None:
    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        before = informer.status()
        assert (before.is_synced, before.watch_age, before.objects) == (False, None, 0)
        await world.write("a", 1)
        async with world.running():
            await informer.wait_for_sync()
            await asyncio.sleep(30)
            (now,) = world.cache.statuses()
            assert (now.is_synced, now.problem, now.objects) == (True, None, 1)
            assert now.watch_age == timedelta(seconds=30)
            assert now.resource_version == str(world.server.revision)
        assert informer.status().watch_age is None

    in_world(story)
