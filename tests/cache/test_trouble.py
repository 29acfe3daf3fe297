from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import msgspec
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION
from reconciler.client import HttpResponse
from reconciler.errors import CacheNotSyncedError

from .objects import Widget, status
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


@pytest.mark.parametrize("form", ["an ERROR event", "a status"])
@pytest.mark.parametrize("streaming_list", [False, True])
def test_a_server_that_says_410_again_and_again_is_said_until_a_watch_brings_something(
    form: str, streaming_list: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reconciler.cache")
    why = "the API server says again and again that the version is too old"
    gone = refusal(410, "Expired", "too old")
    if form == "an ERROR event":
        gone = HttpResponse(
            200, {}, msgspec.json.encode({"type": "ERROR", "object": status(410, "Expired", "too old")})
        )

    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        async with world.running():
            await informer.wait_for_sync()
            world.transport.watches += [gone] * 20
            world.server.end_watches()
            await asyncio.sleep(1)
            assert world.cache.problem() is None
            await asyncio.sleep(60)
            assert why in (world.cache.problem() or "")
            world.transport.watches.clear()
            await asyncio.sleep(70)
            await world.write("a", 1)
            assert await world.sizes() == {"a": 1}
            assert world.cache.problem() is None

    in_world(story, streaming_list=streaming_list)
    doing = f"watch {NAME}" if form == "an ERROR event" else "watch widgets.example.com"
    said = f"{NAME}: {why}; trying again ({doing}: 410 too old)"
    assert caplog.messages == [said, f"{NAME}: watching again"]


def test_watches_that_end_at_once_are_said() -> None:
    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        async with world.running():
            await informer.wait_for_sync()
            world.transport.watches += [HttpResponse(200, {}, b"")] * 20
            world.server.end_watches()
            await asyncio.sleep(60)
            said = "synced, 0 objects; watches end at once and bring nothing; trying again"
            assert world.cache.problem() == f"cache of {NAME}: {said}"
            world.transport.watches.clear()
            await asyncio.sleep(130)
            assert world.cache.problem() is None

    in_world(story)


def test_a_server_that_asks_for_a_day_is_asked_again_within_a_minute() -> None:
    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        async with world.running():
            await informer.wait_for_sync()
            world.transport.watches.append(refusal(429, "TooManyRequests", **{"retry-after": "86400"}))
            world.transport.cut()
            await asyncio.sleep(20)
            assert "the API server is overloaded" in (world.cache.problem() or "")
            await asyncio.sleep(15)
            assert world.cache.problem() is None

    in_world(story)


@pytest.mark.parametrize("what", ["list", "watch"])
def test_a_request_without_an_answer_is_a_problem_long_before_it_is_given_up(what: str) -> None:
    said = "no list or watch from the API server for more than 10 s; waiting for it"

    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        async with world.running():
            if what == "watch":
                await informer.wait_for_sync()
                await asyncio.sleep(1)
                world.transport.no_answer.add("watch")
                world.transport.cut()
                is_synced = "synced, 0 objects"
            else:
                is_synced = "not synced"
            await asyncio.sleep(9)
            assert said not in (world.cache.problem() or "")
            await asyncio.sleep(3)
            assert world.cache.problem() == f"cache of {NAME}: {is_synced}; {said}"
            world.transport.no_answer.clear()
            await asyncio.sleep(120)
            assert world.cache.problem() is None
            world.transport.no_answer.add("watch")
            world.transport.cut()
            await asyncio.sleep(15)
        # Nobody waits for an answer any more.
        await asyncio.sleep(15)
        assert informer.status().problem is None

    async def begin(world: World) -> None:
        if what == "list":
            world.transport.no_answer.add("list")
        await story(world)

    in_world(begin)


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
