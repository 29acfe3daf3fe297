"""Every object told again from time to time, though nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any, cast

import pytest

from reconciler.api import ResourceType
from reconciler.apiserver import ApiServer
from reconciler.builder import controller_managed_by
from reconciler.cache import RESYNC, Cache, KindOptions
from reconciler.cache.resync import Resync, check_resync
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock, SystemWallClock
from reconciler.envtest import RealServer
from reconciler.errors import ConfigurationError
from reconciler.event import Event, UpdateEvent
from reconciler.instant import Instant, nanoseconds, seconds
from reconciler.journal import Asked, Changed, EventSeen, Origin
from reconciler.manager import Manager
from reconciler.reconcile import Request, Result
from reconciler.testing import InProcessTransport

from .objects import WIDGETS, Widget
from .test_options import with_namespaces, write_in
from .world import World, in_world, refusal, words

MINUTE = timedelta(minutes=1)


def at(count: float) -> Instant:
    return Instant(seconds(count))


def exact(period: timedelta = MINUTE) -> Resync:
    """A resync whose factor is 1."""

    class Middle(Random):
        def random(self) -> float:
            return 0.5

    return Resync(period, Middle())


def test_the_period_is_drawn_once_from_nine_to_eleven_tenths() -> None:
    drawn: list[float] = []
    for seed in range(200):
        resync = Resync(MINUTE, Random(seed))
        resync.listed("", now=at(0))
        first = resync.next_at
        assert first is not None
        assert resync.take(now=first) == ("",)
        assert resync.next_at == 2 * first
        drawn.append(first / nanoseconds(MINUTE))
    assert 0.9 <= min(drawn) < 0.91
    assert 1.09 < max(drawn) < 1.1


def test_nothing_is_due_before_the_first_list_and_each_list_counts_anew() -> None:
    resync = exact()
    assert (resync.next_at, resync.take(now=at(1000))) == (None, ())
    resync.listed("a", now=at(1000))
    resync.listed("b", now=at(1030))
    resync.listed("a", now=at(1050))
    assert resync.next_at == at(1090)
    assert resync.take(now=at(1089)) == ()
    assert resync.take(now=at(1090)) == ("b",)
    assert resync.take(now=at(1110)) == ("a",)
    assert resync.next_at == at(1150)


@pytest.mark.parametrize("off", [None, timedelta(0)])
def test_without_a_period_nothing_is_ever_due(off: timedelta | None) -> None:
    resync = Resync(off, Random(1))
    resync.listed("", now=at(0))
    assert (resync.is_on, resync.next_at) == (False, None)


def test_the_default_is_that_of_controller_runtime() -> None:
    assert timedelta(hours=10) == RESYNC


@pytest.mark.parametrize("short", [timedelta(milliseconds=999), timedelta(seconds=-1)])
def test_a_period_that_is_too_short_is_refused(short: timedelta) -> None:
    rest = RestClient(InProcessTransport(ApiServer(wall=SystemWallClock())))
    for wrong in (
        lambda: check_resync(short),
        lambda: Cache(rest, resync=short),
        lambda: Cache(rest, options={Widget: KindOptions(resync=short)}),
        lambda: Cache(rest).options(Widget, resync=short),
    ):
        with pytest.raises(ConfigurationError, match="give at least 0:00:01, or zero for none"):
            wrong()


def test_a_period_that_is_a_number_is_refused_with_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match="resync is 5; give a timedelta, or None for none"):
        Cache(RestClient(InProcessTransport(ApiServer(wall=SystemWallClock()))), resync=cast("timedelta", 5))


def resyncs(events: list[Event]) -> list[str]:
    assert all(event.old is event.new for event in events if isinstance(event, UpdateEvent))
    return [event.key.name for event in events if isinstance(event, UpdateEvent)]


def in_time(story: Callable[[World], Awaitable[None]], **options: Any) -> None:
    in_world(story, **{"resync": MINUTE, **options})


def test_every_object_is_told_again_with_old_and_new_the_same() -> None:
    async def story(world: World) -> None:
        told: list[tuple[float, Event]] = []
        await world.write("a")
        await world.write("b")
        loop = asyncio.get_running_loop()
        world.cache.informer(Widget).add_handler(lambda event: told.append((loop.time(), event)))
        async with world.running():
            await asyncio.sleep(200)
        begun = told[0][0]
        again = [(at, event) for at, event in told if isinstance(event, UpdateEvent)]
        assert resyncs([event for _, event in told]) == ["a", "b"] * 3
        assert {event.changed for _, event in again} == {Changed.NOTHING}
        # One factor for the life of the informer, so the resyncs are as far from each other as the first from the list.
        moments = sorted({at for at, _ in again})
        period = moments[0] - begun
        assert 54 <= period < 66
        assert moments == pytest.approx([begun + period, begun + 2 * period, begun + 3 * period])

    in_time(story)


def test_a_kind_may_have_a_period_of_its_own_or_none() -> None:
    async def story(world: World, expected: int) -> None:
        told: list[Event] = []
        await world.write("a")
        world.cache.informer(Widget).add_handler(told.append)
        async with world.running():
            await asyncio.sleep(100)
        assert len(resyncs(told)) == expected

    in_time(lambda world: story(world, 0), options={Widget: KindOptions(resync=timedelta(0))})
    in_time(lambda world: story(world, 1), resync=None, options={Widget: KindOptions(resync=MINUTE)})
    in_time(lambda world: story(world, 0), resync=None)
    in_time(lambda world: story(world, 0), resync=RESYNC)


def test_nothing_is_told_again_before_the_first_list_is_complete() -> None:
    async def story(world: World) -> None:
        told: list[str] = []
        world.transport.is_down = True
        informer = world.cache.informer(Widget)
        informer.add_handler(lambda event: told.append(words(event)))
        await world.write("a")
        async with world.running():
            await asyncio.sleep(600)
            assert told == []
            world.transport.is_down = False
            await informer.wait_for_sync()
            assert told == ["create a initial"]
            await asyncio.sleep(50)
            assert told == ["create a initial"]

    in_time(story)


def test_a_list_tells_every_object_so_the_next_resync_is_a_period_later() -> None:
    async def story(world: World) -> None:
        told: list[float] = []
        await world.write("a")
        loop = asyncio.get_running_loop()
        world.cache.informer(Widget).add_handler(lambda event: told.append(loop.time()))
        async with world.running():
            await asyncio.sleep(30)
            world.server.compact()
            await world.write("b")
            # Given a list in the middle of the period,
            world.transport.is_down = True
            world.transport.cut()
            await asyncio.sleep(1)
            world.server.compact()
            world.transport.is_down = False
            await asyncio.sleep(10)
            listed = told[-1]
            assert 30 < listed < 45
            seen = len(told)
            # when the first period is over, then nothing is told again until another one is.
            await asyncio.sleep(listed + 53 - loop.time())
            assert len(told) == seen
            await asyncio.sleep(14)
            assert len(told) == seen + 2

    in_time(story)


def test_each_namespace_is_told_again_a_period_after_its_own_list() -> None:
    async def story(world: World) -> None:
        await with_namespaces(world, "one", "two")
        told: list[tuple[float, str]] = []
        for namespace in ("one", "two"):
            await write_in(world, namespace, "a")
        loop = asyncio.get_running_loop()
        world.cache.informer(Widget).add_handler(
            lambda event: told.append((loop.time(), f"{event.verb} {event.key.namespace}"))
        )
        # Given a list of one namespace that comes later than that of the other,
        world.transport.lists.append(refusal(503))
        async with world.running():
            await asyncio.sleep(100)
        at = {said: when for when, said in told}
        assert sorted(said for _, said in told) == ["create one", "create two", "update one", "update two"]
        late = at["create one"] - at["create two"]
        assert abs(late) > 0.5
        assert at["update one"] - at["update two"] == pytest.approx(late)

    in_time(story, namespaces=["one", "two"])


def test_who_is_removed_or_removes_others_meanwhile_decides_who_is_told_again() -> None:
    async def story(world: World) -> None:
        await world.write("a")
        await world.write("b")
        first: list[Event] = []
        second: list[Event] = []
        informer = world.cache.informer(Widget)

        def take_out_the_other(event: Event) -> None:
            first.append(event)
            if isinstance(event, UpdateEvent):
                leave()

        informer.add_handler(take_out_the_other)
        leave = informer.add_handler(second.append)
        async with world.running():
            await asyncio.sleep(100)
        assert (resyncs(first), resyncs(second)) == (["a", "b"], [])

    in_time(story)


def test_a_handler_may_release_the_kind_in_the_middle_of_a_resync() -> None:
    async def story(world: World) -> None:
        told: list[Event] = []

        def on_event(event: Event) -> None:
            told.append(event)
            if isinstance(event, UpdateEvent):
                world.cache.release(Widget)

        await world.write("a")
        await world.write("b")
        world.cache.informer(Widget).add_handler(on_event)
        async with world.running():
            await asyncio.sleep(600)
        assert resyncs(told) == ["a"]

    in_time(story)


def test_a_handler_that_raises_in_a_resync_ends_the_cache_with_its_own_error() -> None:
    async def story(world: World) -> None:
        def on_event(event: Event) -> None:
            if isinstance(event, UpdateEvent):
                raise KeyError("mine")

        await world.write("a")
        world.cache.informer(Widget).add_handler(on_event)
        with pytest.raises(ExceptionGroup) as caught:
            await world.cache.run()
        assert [repr(error) for error in caught.value.exceptions] == ["KeyError('mine')"]

    in_time(story)


def test_a_resync_comes_behind_real_changes_and_waits_for_a_wake_up_that_is_owed() -> None:
    async def story(world: World) -> None:
        passes: list[tuple[float, str]] = []
        loop = asyncio.get_running_loop()
        manager = Manager(
            InProcessTransport(world.server),
            wall=LoopWallClock(),
            seed=1,
            resync=MINUTE,
        )

        async def reconcile(request: Request) -> Result | None:
            passes.append((loop.time(), request.name))
            return Result(requeue_after=timedelta(hours=1), hold=True) if request.name == "owed" else None

        controller = controller_managed_by(manager).for_(Widget).complete(reconcile)
        await world.write("owed")
        await world.write("free")
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run(stopping))
            await asyncio.sleep(100)
            stopping.set()
        # The one that is owed a wake-up was not looked at again, the other was.
        assert sorted(name for _, name in passes) == ["free", "free", "owed"]
        for name in ("owed", "free"):
            records = controller.explain(Request("default", name)).records
            (seen,) = (each for each in records if isinstance(each, EventSeen) and each.verb == "update")
            assert (seen.changed, seen.old_version, seen.origin) == (Changed.NOTHING, seen.new_version, Origin.FOREIGN)
            assert seen.is_quiet
            if name == "free":
                (asked,) = (each for each in records if isinstance(each, Asked) and seen.id in each.causes)
                assert asked.priority == -100

    in_world(story)


CONFIG_MAPS = ResourceType("", "v1", "ConfigMap", "configmaps")


async def told_again(transport: Transport, resource: ResourceType, namespace: str) -> None:
    """Follow a kind that resyncs each second, in real or virtual time, until an object was told again twice."""
    rest = RestClient(transport)
    metadata = {"name": "again", "namespace": namespace}
    await Client(rest).create({"metadata": metadata}, resource=resource)
    cache, stopping, told = Cache(rest, namespace=namespace), asyncio.Event(), list[Event]()
    cache.options(resource, resync=timedelta(seconds=1), field_selector="metadata.name=again")
    cache.informer(resource).add_handler(told.append)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(cache.run(stopping))
        while len(resyncs(told)) < 2:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.05)
        stopping.set()
    assert [words(event) for event in told] == ["create again initial", "update again", "update again"]


def test_objects_are_told_again_on_the_embedded_server() -> None:
    in_world(lambda world: told_again(InProcessTransport(world.server), WIDGETS, "default"))


@pytest.mark.asyncio
async def test_objects_are_told_again_on_a_real_server(real_server: RealServer, real_namespace: str) -> None:
    async with AiohttpTransport(await load_config(kubeconfig=real_server.kubeconfig)) as transport:
        await told_again(transport, CONFIG_MAPS, real_namespace)
