from __future__ import annotations

import asyncio
import gc
from datetime import timedelta
from itertools import pairwise
from random import Random

import msgspec
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import Client, HttpResponse, RestClient
from reconciler.clock import LoopWallClock
from reconciler.event import CreateEvent, DeleteEvent, Event, UpdateEvent
from reconciler.testing import InProcessTransport

from .objects import WIDGETS, Widget, status
from .world import CRD, World, in_world, refusal, words


def test_a_watch_that_the_server_ends_goes_on_without_a_list_and_without_a_pause() -> None:
    async def story(world: World) -> None:
        async with world.running():
            await world.sizes()
            await asyncio.sleep(100)
            ended_at = asyncio.get_running_loop().time()
            world.server.end_watches()
            await world.write("a", 1)
            assert await world.sizes() == {"a": 1}
        watches = world.transport.asked("watch")
        assert [at for at, _ in watches][1:] == [ended_at]
        assert len(world.transport.asked("list")) == 1

    in_world(story)


def test_a_watch_that_is_ended_for_falling_behind_resumes_each_time_at_once_from_the_last_version() -> None:
    # An API server under load does this several times a minute, sometimes within a second, after some events.
    async def story(world: World) -> None:
        async with world.running():
            await world.write("a", 0)
            await world.sizes()
            ended: list[float] = []
            for number, seconds_open in enumerate([0.1, 20, 0.5, 3, 0.01, 0.01, 7, 0.2], 1):
                await world.resize("a", number)
                await asyncio.sleep(seconds_open)
                ended.append(asyncio.get_running_loop().time())
                if number % 2:
                    world.server.end_watches()
                else:
                    world.transport.cut()
                assert await world.sizes() == {"a": number}
        watches = world.transport.asked("watch")
        assert [at for at, _ in watches][1:] == ended
        versions = [int(query["resourceVersion"]) for _, query in watches]
        assert versions == sorted(set(versions))
        assert len(world.transport.asked("list")) == 1

    in_world(story)


def test_watches_last_five_to_ten_minutes_and_go_on_from_the_last_bookmark() -> None:
    async def story(world: World) -> None:
        async with world.running():
            await world.sizes()
            # Versions move, though nothing happens to this kind.
            for number in range(30):
                await world.client.create(
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{number}"}},
                    resource=ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False),
                )
                await asyncio.sleep(60)
        watches = world.transport.asked("watch")
        gaps = [after - before for (before, _), (after, _) in pairwise(watches)]
        assert len(gaps) >= 3
        assert all(300 <= gap <= 600 for gap in gaps)
        versions = [int(query["resourceVersion"]) for _, query in watches]
        assert versions == sorted(set(versions))
        assert len(world.transport.asked("list")) == 1

    in_world(story)


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_cut_stream_loses_nothing_that_happened_meanwhile(is_compacted: bool) -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        await world.write("gone", 1)
        told: list[str] = []
        world.cache.informer(Widget).add_handler(lambda event: told.append(words(event)))
        async with world.running():
            await world.sizes()
            await asyncio.sleep(10)
            # Given a connection that breaks,
            world.transport.is_down = True
            world.transport.cut()
            # when things happen while it is away,
            await asyncio.sleep(1)
            await world.resize("a", 2)
            await world.delete("gone")
            await world.write("new", 3)
            if is_compacted:
                world.server.compact()
            world.transport.is_down = False
            await asyncio.sleep(60)
            # then the cache catches up, from its version or by a list.
            assert await world.sizes() == {"a": 2, "new": 3}
        assert len(world.transport.asked("list")) == (2 if is_compacted else 1)
        lost = " missed" if is_compacted else ""
        assert sorted(told[2:]) == ["create new", f"delete gone{lost}", "update a"]

    in_world(story)


def test_a_silent_connection_is_given_up_after_90_s() -> None:
    async def story(world: World) -> None:
        world.transport.is_silent = True
        async with world.running():
            await world.sizes()
            opened_at = world.transport.asked("watch")[0][0]
            world.transport.is_silent = False
            await world.write("a", 1)
            await asyncio.sleep(89)
            assert await world.sizes() == {}
            await asyncio.sleep(1)
            assert await world.sizes() == {"a": 1}
        assert [at for at, _ in world.transport.asked("watch")] == [opened_at, opened_at + 90]
        assert len(world.transport.asked("list")) == 1

    in_world(story)


def test_a_watch_whose_lines_come_close_to_each_other_is_not_taken_for_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.cache.reflector.IDLE_SECONDS", 0.1)

    async def story(world: World) -> None:
        async with world.running():
            await world.sizes()
            for number in range(200):
                await world.write(f"w{number}")
                await asyncio.sleep(0.005)
            assert len(await world.sizes()) == 200
        assert len(world.transport.asked("watch")) == 1

    in_world(story)


@pytest.mark.parametrize("is_on", [True, False])
def test_the_collector_rests_while_a_list_is_told_and_no_longer(is_on: bool) -> None:
    told: list[bool] = []

    async def story(world: World) -> None:
        await world.write("a")
        world.cache.informer(WIDGETS).add_handler(lambda event: told.append(gc.isenabled()))
        async with world.running():
            await world.sizes()
            await world.write("b")
            await world.sizes()

    was_on = gc.isenabled()
    (gc.enable if is_on else gc.disable)()
    try:
        in_world(story)
        assert told == [False, is_on]
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if was_on else gc.disable)()


def test_a_server_that_came_back_without_its_memory_is_followed_anew() -> None:
    # Its versions begin again, so ours lies in its future and no change would ever come after it.
    async def story(world: World) -> None:
        for number in range(50):
            await world.write(f"w{number}")
        async with world.running():
            assert len(await world.sizes()) == 50
            reborn = ApiServer(wall=LoopWallClock())
            world.client = Client(RestClient(InProcessTransport(reborn)))
            await world.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            await world.write("new", 1)
            world.transport.move_to(InProcessTransport(reborn))
            await asyncio.sleep(300)
            assert await world.sizes() == {"new": 1}
            await world.resize("new", 2)
            assert await world.sizes() == {"new": 2}

    in_world(story)


def test_bookmarks_keep_a_quiet_watch_open_for_its_whole_time() -> None:
    async def story(world: World) -> None:
        async with world.running():
            await world.sizes()
            await asyncio.sleep(299)
            assert len(world.transport.asked("watch")) == 1

    in_world(story)


@pytest.mark.parametrize(
    ("refused", "lists"),
    [
        pytest.param(refusal(410, "Expired"), 2, id="410 as the answer"),
        pytest.param(
            HttpResponse(200, {}, msgspec.json.encode({"type": "ERROR", "object": status(410, "Expired")})),
            2,
            id="410 as an event",
        ),
        pytest.param(refusal(429, "TooManyRequests", **{"retry-after": "3"}), 1, id="429 with a time"),
        pytest.param(refusal(429, "TooManyRequests"), 1, id="429 without a time"),
        pytest.param(refusal(503, "ServiceUnavailable"), 2, id="503"),
        pytest.param(refusal(403, "Forbidden"), 2, id="403"),
        pytest.param(HttpResponse(200, {}, b"<html>a proxy's page</html>"), 2, id="not a watch"),
        pytest.param(HttpResponse(200, {}, b""), 2, id="ends at once"),
    ],
)
def test_a_watch_that_is_refused_comes_back(refused: HttpResponse, lists: int) -> None:
    async def story(world: World) -> None:
        world.transport.watches.append(refused)
        async with world.running():
            await world.sizes()
            await world.write("a", 1)
            await asyncio.sleep(5)
            assert await world.sizes() == {"a": 1}
            assert world.cache.problem() is None
        assert len(world.transport.asked("list")) == lists
        assert len(world.transport.asked("watch")) == 2

    in_world(story)


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(refusal(429, "TooManyRequests", **{"retry-after": "3"}), id="429 with a time"),
        pytest.param(refusal(503, "ServiceUnavailable"), id="503"),
        pytest.param(refusal(500, "InternalError"), id="500"),
        pytest.param(refusal(401, "Unauthorized"), id="401"),
        pytest.param(HttpResponse(200, {}, b"<html>a proxy's page</html>"), id="not a list"),
    ],
)
def test_a_list_that_is_refused_is_tried_again(refused: HttpResponse) -> None:
    async def story(world: World) -> None:
        world.transport.lists += [refused, refused]
        await world.write("a", 1)
        async with world.running():
            await world.cache.informer(Widget).wait_for_sync(timedelta(seconds=10))
            assert await world.sizes() == {"a": 1}

    in_world(story)


@pytest.mark.parametrize("seed", range(8))
def test_after_any_weather_the_cache_equals_the_server(seed: int) -> None:
    weather = Random(seed)

    async def story(world: World) -> None:
        names = [f"w{number}" for number in range(6)]
        known: dict[str, int] = {}
        listened: dict[str, str] = {}

        def on_event(event: Event) -> None:
            match event:
                case DeleteEvent():
                    del listened[event.key.name]
                case CreateEvent() | UpdateEvent():
                    listened[event.key.name] = event.new.resource_version

        world.cache.informer(Widget).add_handler(on_event)

        async def write() -> None:
            name, size = weather.choice(names), weather.randrange(1000)
            if name not in known:
                await world.write(name, size)
            elif weather.random() < 0.4:
                await world.delete(name)
                del known[name]
                return
            else:
                await world.resize(name, size)
            known[name] = size

        async def change_weather() -> None:
            transport = world.transport
            transport.is_down = weather.random() < 0.2
            transport.is_silent = weather.random() < 0.2
            if weather.random() < 0.4:
                transport.cut()
            if weather.random() < 0.2:
                world.server.compact()
            if weather.random() < 0.2:
                world.server.end_watches()
            if weather.random() < 0.3:
                transport.watches.append(refusal(weather.choice([403, 410, 429, 500, 503])))
            if weather.random() < 0.3:
                transport.lists.append(refusal(weather.choice([403, 404, 429, 500, 503])))

        async with world.running():
            for _ in range(150):
                await write()
                await change_weather()
                await asyncio.sleep(weather.choice([0, 0.001, 1, 30]))
            world.transport.is_down = world.transport.is_silent = False
            world.transport.lists.clear()
            world.transport.watches.clear()
            # The longest way back: a backoff of a minute, and a watch that is silent for 90 s.
            await asyncio.sleep(150)
            assert await world.sizes() == known
            server_has = {
                item.metadata.name: item.metadata.resource_version for item in await world.client.list(Widget)
            }
            assert listened == server_has

    in_world(story)
