"""What waiting for a sync says, and when it stops waiting."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from reconciler.api import ResourceType
from reconciler.client import HttpResponse
from reconciler.errors import CacheNotSyncedError

from .objects import WIDGETS, Widget
from .world import NAME, World, in_world, refusal

NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
MESSAGE = 'widgets.example.com is forbidden: User "u" cannot list resource "widgets" in API group "example.com"'
FORBIDDEN = refusal(403, "Forbidden", MESSAGE)


def test_a_forbidden_list_ends_every_wait_at_once_with_verb_resource_and_scope() -> None:
    async def story(world: World) -> None:
        world.transport.lists += [FORBIDDEN] * 100
        world.cache.informer(NAMESPACES)
        informer = world.cache.informer(Widget)
        said = f"cache of {NAME}: not synced; forbidden; trying again (list widgets.example.com: 403 {MESSAGE})"
        async with world.running():
            for wait in (informer.wait_for_sync(), world.cache.wait_for_sync(timedelta(minutes=5))):
                with pytest.raises(CacheNotSyncedError) as caught:
                    await wait
                assert str(caught.value) == said
            with pytest.raises(CacheNotSyncedError, match="cannot list"):
                await world.reader(sync_timeout=None).list(Widget)
            assert asyncio.get_running_loop().time() < 2

    in_world(story)


def test_who_keeps_waiting_is_synced_when_the_right_is_granted() -> None:
    async def story(world: World) -> None:
        world.transport.lists += [FORBIDDEN] * 3
        informer = world.cache.informer(Widget)
        async with world.running():
            with pytest.raises(CacheNotSyncedError, match="cannot list"):
                await world.cache.wait_for_sync(timedelta(seconds=1), keep_waiting=True)
            await world.cache.wait_for_sync(keep_waiting=True)
            await informer.wait_for_sync(keep_waiting=True)
            assert informer.is_synced
            assert asyncio.get_running_loop().time() > 5

    in_world(story)


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(refusal(400, "BadRequest", "no"), id="400: a selector that makes no sense"),
        pytest.param(refusal(405, "MethodNotAllowed", "no"), id="405: cannot be listed"),
        pytest.param(refusal(422, "Invalid", "no"), id="422"),
    ],
)
def test_a_list_that_no_waiting_mends_ends_the_wait(refused: HttpResponse) -> None:
    async def story(world: World) -> None:
        world.transport.lists.append(refused)
        async with world.running():
            with pytest.raises(CacheNotSyncedError, match=r"list widgets\.example\.com: 4.. no"):
                await world.cache.informer(Widget).wait_for_sync()

    in_world(story)


def test_a_watch_that_is_forbidden_later_does_not_make_a_synced_kind_unsynced() -> None:
    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        async with world.running():
            await informer.wait_for_sync()
            world.transport.watches += [FORBIDDEN] * 100
            world.transport.cut()
            await asyncio.sleep(10)
            await informer.wait_for_sync(timedelta(0))
            assert "forbidden" in (world.cache.problem() or "")

    in_world(story)


def test_one_forbidden_kind_ends_the_wait_though_another_one_is_only_late() -> None:
    async def story(world: World) -> None:
        world.cache.informer(ResourceType("example.com", "v1", "Late", "lates"))
        world.cache.informer(WIDGETS)
        world.transport.lists.append(FORBIDDEN)
        async with world.running():
            with pytest.raises(CacheNotSyncedError) as caught:
                await world.cache.wait_for_sync()
        assert "lates" not in str(caught.value)

    in_world(story)
