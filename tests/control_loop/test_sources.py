"""Sources that are added to and removed from a controller, before it runs, while it starts, and while it works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache
from reconciler.client import Client, HttpRequest, HttpResponse, OwnWrites, RestClient
from reconciler.clock import LoopClock, LoopWallClock
from reconciler.control_loop import Controller
from reconciler.errors import CacheNotSyncedError, ConfigurationError
from reconciler.event import GenericEvent
from reconciler.journal import Journal
from reconciler.reconcile import Request
from reconciler.source import ChannelSource, Kind, Sink, Source
from reconciler.testing import InProcessTransport, run_virtual
from tests.cache.objects import WIDGETS, Widget
from tests.cache.world import CRD


class Slow:
    """A source that takes its time to start and to sync, in seconds; None: for ever."""

    def __init__(
        self, name: str, *, start: float | None = 0.0, sync: float | None = 0.0, error: Exception | None = None
    ) -> None:
        self.name = name
        self.starts = 0
        self.stops = 0
        self._start = start
        self._sync = sync
        self._error = error

    def start(self, sink: Sink) -> Awaitable[None]:
        del sink
        self.starts += 1
        return self._take(self._start)

    async def wait_for_sync(self) -> None:
        await self._take(self._sync)
        if self._error is not None:
            raise self._error

    def describe(self) -> str:
        return f"{self.name} is slow"

    def stop(self) -> None:
        self.stops += 1

    @staticmethod
    async def _take(seconds: float | None) -> None:
        await asyncio.sleep(1e9 if seconds is None else seconds)


class Endless:
    """A source that cannot be stopped."""

    def start(self, sink: Sink) -> None:
        del sink

    async def wait_for_sync(self) -> None:
        pass

    def describe(self) -> str:
        return "endless source"


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Scene:
    """A controller with a time-out of 10 s for its sources, and what it reconciled, with the time."""

    controller: Controller
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    passes: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    ended_at: float = 0.0


Story = Callable[[Scene], Awaitable[None]]


def in_scene(
    story: Story, *sources: Source, before: Callable[[Controller], None] | None = None, pass_seconds: float = 0
) -> Scene:
    """Run a controller beside a story that begins half a second after it."""

    async def main() -> Scene:
        async def reconcile(request: Request) -> None:
            scene.passes.append((now(), request.name))
            await asyncio.sleep(pass_seconds)

        controller = Controller(
            "c",
            reconcile,
            clock=LoopClock(),
            journal=Journal(),
            sources=sources,
            cache_sync_timeout=timedelta(seconds=10),
        )
        scene = Scene(controller)
        if before is not None:
            before(controller)
        async with anyio.create_task_group() as group:
            group.start_soon(controller.run, scene.stopping)
            await asyncio.sleep(0.5)
            await story(scene)
            scene.stopping.set()
        scene.ended_at = now()
        return scene

    return run_virtual(main())


def key(name: str) -> GenericEvent:
    return GenericEvent(ObjectKey("default", name))


async def pause(scene: Scene, seconds: float = 1) -> None:
    del scene
    await asyncio.sleep(seconds)


def test_a_source_that_is_added_before_the_controller_runs_starts_with_it() -> None:
    channel, slow = ChannelSource(), Slow("late", sync=5)
    channel.send(key("a"))

    def before(controller: Controller) -> None:
        controller.add_source(channel)
        controller.add_source(slow)

    async def story(scene: Scene) -> None:
        assert not scene.controller.is_synced
        await pause(scene, 6)

    assert in_scene(story, before=before).passes == [(5, "a")]
    assert slow.starts == 1


def test_a_source_that_is_added_while_the_others_sync_is_waited_for_too_before_anything_is_reconciled() -> None:
    channel, first, second = ChannelSource(), Slow("first", sync=2), Slow("second", sync=3)
    channel.send(key("a"))

    async def story(scene: Scene) -> None:
        scene.controller.add_source(second)
        await pause(scene, 6)

    assert in_scene(story, first, channel).passes == [(5, "a")]
    assert (first.starts, second.starts) == (1, 1)


def test_a_source_that_is_added_between_warm_up_and_run_starts_with_the_run() -> None:
    async def main() -> tuple[list[int], bool]:
        async def reconcile(request: Request) -> None:
            del request

        first, second = Slow("first"), Slow("second")
        controller = Controller("c", reconcile, clock=LoopClock(), journal=Journal(), sources=[first])
        stopping = asyncio.Event()
        await controller.warm_up(stopping)
        controller.add_source(second)
        starts = [first.starts, second.starts]
        async with anyio.create_task_group() as group:
            group.start_soon(controller.run, stopping)
            await asyncio.sleep(1)
            starts += [first.starts, second.starts]
            stopping.set()
        return starts, controller.is_synced

    assert run_virtual(main()) == ([1, 0, 1, 1], True)


def test_a_source_that_is_added_while_the_controller_works_feeds_it_at_once_and_holds_nothing_up() -> None:
    channel, slow, late = ChannelSource(), Slow("slow", sync=9), ChannelSource(name="late")

    async def story(scene: Scene) -> None:
        scene.controller.add_source(slow)
        channel.send(key("a"))
        await pause(scene)
        late.send(key("b"))
        scene.controller.add_source(late)
        await late.wait_for_sync()
        await pause(scene)
        late.send(key("c"))
        assert scene.controller.is_synced
        await pause(scene, 10)

    assert in_scene(story, channel).passes == [(0.5, "a"), (1.5, "b"), (2.5, "c")]


@pytest.mark.parametrize(
    ("source", "error", "said", "ends_at"),
    [
        pytest.param(
            Slow("late", sync=None),
            CacheNotSyncedError,
            "controller c: not synced after 10 s: late is slow",
            10.5,
            id="never synced",
        ),
        pytest.param(
            Slow("late", start=None),
            CacheNotSyncedError,
            "controller c: not started after 10 s: late is slow",
            10.5,
            id="never started",
        ),
        pytest.param(Slow("late", sync=3, error=OSError("gone")), OSError, "gone", 3.5, id="raises"),
    ],
)
def test_a_source_that_is_added_late_and_fails_ends_the_controller_with_its_own_error(
    source: Source, error: type[Exception], said: str, ends_at: float
) -> None:
    ended: list[float] = []

    async def main() -> None:
        async def reconcile(request: Request) -> None:
            del request

        controller = Controller(
            "c", reconcile, clock=LoopClock(), journal=Journal(), cache_sync_timeout=timedelta(seconds=10)
        )
        asyncio.get_running_loop().call_later(0.5, controller.add_source, source)
        try:
            await controller.run(asyncio.Event())
        finally:
            ended.append(now())

    with pytest.raises(error) as caught:
        run_virtual(main())
    assert str(caught.value).startswith(said)
    assert ended == [ends_at]


def test_a_stop_does_not_wait_for_a_source_that_was_added_late() -> None:
    async def story(scene: Scene) -> None:
        scene.controller.add_source(Slow("late", sync=None))
        await pause(scene)
        scene.stopping.set()

    scene = in_scene(story)
    assert (scene.controller.is_synced, scene.ended_at) == (True, 1.5)


def test_a_removed_source_asks_for_nothing_more_and_what_it_asked_for_is_done() -> None:
    one, two = ChannelSource(name="one"), ChannelSource(name="two")

    async def story(scene: Scene) -> None:
        for name in ("a", "b"):
            one.send(key(name))
        scene.controller.remove_source(one)
        assert not one.send(key("c"))
        two.send(key("d"))
        await pause(scene, 5)

    assert [name for _, name in in_scene(story, one, two, pass_seconds=1).passes] == ["a", "b", "d"]


def test_a_source_may_be_added_again_after_it_was_removed() -> None:
    channel = ChannelSource()

    async def story(scene: Scene) -> None:
        scene.controller.remove_source(channel)
        assert not channel.send(key("a"))
        scene.controller.add_source(channel)
        await pause(scene)
        assert channel.send(key("b"))
        await pause(scene)

    assert [name for _, name in in_scene(story, channel).passes] == ["b"]


def test_a_source_that_is_removed_before_the_start_is_never_started() -> None:
    slow = Slow("slow")

    def before(controller: Controller) -> None:
        controller.remove_source(slow)

    in_scene(pause, slow, before=before)
    assert (slow.starts, slow.stops) == (0, 1)


def test_a_removed_source_is_not_named_among_those_that_did_not_sync() -> None:
    gone = Slow("gone", sync=None)

    def before(controller: Controller) -> None:
        controller.remove_source(gone)

    with pytest.raises(ExceptionGroup) as caught:
        in_scene(lambda scene: pause(scene, 20), gone, Slow("slow", sync=None), before=before)
    (error,) = caught.value.exceptions
    assert str(error) == "controller c: not synced after 10 s: slow is slow"


@pytest.mark.parametrize("stuck", ["start", "sync"])
def test_nobody_waits_any_more_for_a_source_that_is_removed_while_the_controller_starts(stuck: str) -> None:
    slow = Slow("slow", start=None) if stuck == "start" else Slow("slow", sync=None)
    channel = ChannelSource()
    channel.send(key("a"))

    async def story(scene: Scene) -> None:
        await pause(scene, 2)
        assert not scene.controller.is_synced
        scene.controller.remove_source(slow)
        await pause(scene, 20)

    assert in_scene(story, slow, channel).passes == [(2.5, "a")]
    assert slow.stops == 1


@pytest.mark.parametrize("stuck", ["start", "sync"])
def test_a_source_that_was_added_late_and_removed_before_it_synced_ends_nothing(stuck: str) -> None:
    slow = Slow("slow", start=None) if stuck == "start" else Slow("slow", sync=None)
    channel = ChannelSource()

    async def story(scene: Scene) -> None:
        scene.controller.add_source(slow)
        await pause(scene, 5)
        scene.controller.remove_source(slow)
        await pause(scene, 20)
        channel.send(key("a"))
        await pause(scene)

    assert in_scene(story, channel).passes == [(25.5, "a")]


class Refusing(Slow):
    """A source that refuses, once it is stopped, whoever waits for its start or sync."""

    def __init__(self, stuck: str) -> None:
        super().__init__("refusing")
        self._stuck = stuck
        self._stopped = asyncio.Event()

    def start(self, sink: Sink) -> Awaitable[None]:
        del sink
        return self._wait("start")

    async def wait_for_sync(self) -> None:
        await self._wait("sync")

    def stop(self) -> None:
        self._stopped.set()

    async def _wait(self, what: str) -> None:
        if self._stuck == what:
            await self._stopped.wait()
            raise CacheNotSyncedError("released")


@pytest.mark.parametrize("stuck", ["start", "sync"])
def test_a_source_that_refuses_those_who_wait_when_it_is_removed_ends_nothing(stuck: str) -> None:
    channel = ChannelSource()
    channel.send(key("a"))
    early, late = Refusing(stuck), Refusing(stuck)

    async def story(scene: Scene) -> None:
        scene.controller.remove_source(early)
        await pause(scene)
        scene.controller.add_source(late)
        await pause(scene)
        scene.controller.remove_source(late)
        await pause(scene)
        channel.send(key("b"))
        await pause(scene)

    assert in_scene(story, channel, early).passes == [(0.5, "a"), (3.5, "b")]


class Silent(InProcessTransport):
    """Answers nothing."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(1e9)
        return await super().send(request)


def test_a_kind_that_is_removed_before_its_first_list_ends_nothing() -> None:
    channel = ChannelSource()

    async def story(scene: Scene) -> None:
        cache = Cache(RestClient(Silent(ApiServer(wall=LoopWallClock()))))
        widgets = Kind(cache, Widget, ledger=OwnWrites())
        async with anyio.create_task_group() as group:
            group.start_soon(cache.run)
            scene.controller.add_source(widgets)
            await pause(scene, 5)
            scene.controller.remove_source(widgets)
            await pause(scene, 20)
            assert cache.informers == ()
            group.cancel_scope.cancel()
        channel.send(key("a"))
        await pause(scene)

    assert in_scene(story, channel).passes == [(25.5, "a")]


def test_a_source_that_is_added_and_removed_in_one_step_is_not_started() -> None:
    slow = Slow("slow", sync=None)

    async def story(scene: Scene) -> None:
        scene.controller.add_source(slow)
        scene.controller.remove_source(slow)
        await pause(scene, 20)

    in_scene(story)
    assert slow.starts == 0


def test_a_start_that_failed_is_tried_again_with_all_its_sources() -> None:
    first, second = Slow("first"), Slow("second", sync=None)

    async def main() -> None:
        async def reconcile(request: Request) -> None:
            del request

        limit = timedelta(seconds=10)
        controller = Controller(
            "c", reconcile, clock=LoopClock(), journal=Journal(), sources=[first, second], cache_sync_timeout=limit
        )
        for _ in range(2):
            with pytest.raises(CacheNotSyncedError):
                await controller.warm_up(asyncio.Event())
        assert not controller.is_synced

    run_virtual(main())
    assert (first.starts, second.starts) == (2, 2)


def test_what_cannot_be_added_or_removed_is_refused_with_what_to_do() -> None:
    endless, slow = Endless(), Slow("slow")

    async def story(scene: Scene) -> None:
        controller = scene.controller
        with pytest.raises(ConfigurationError, match="controller c has this source already: endless source"):
            controller.add_source(endless)
        with pytest.raises(ConfigurationError, match=r"cannot remove endless source: give Endless a stop\(\)"):
            controller.remove_source(endless)
        with pytest.raises(ConfigurationError, match="controller c has no such source: slow is slow"):
            controller.remove_source(slow)

    scene = in_scene(story, endless)
    with pytest.raises(ConfigurationError, match="controller c has ended"):
        scene.controller.add_source(slow)
    assert slow.starts == 0


def test_a_kind_is_watched_and_no_longer_watched_while_the_controller_works() -> None:
    async def main() -> list[tuple[float, str]]:
        passes: list[tuple[float, str]] = []

        async def reconcile(request: Request) -> None:
            passes.append((round(now(), 2), request.name))

        rest = RestClient(InProcessTransport(ApiServer(wall=LoopWallClock())))
        client, cache = Client(rest), Cache(rest)
        await client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "namespace": "default"}}
        await client.create(body, resource=WIDGETS)
        controller = Controller("c", reconcile, clock=LoopClock(), journal=Journal())
        widgets = Kind(cache, Widget, ledger=OwnWrites())
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(cache.run, stopping)
            group.start_soon(controller.run, stopping)
            await asyncio.sleep(1)
            controller.add_source(widgets)
            for size in (1, 2):
                await asyncio.sleep(1)
                await client.patch(WIDGETS, ObjectKey("default", "a"), {"spec": {"size": size}})
            await asyncio.sleep(1)
            controller.remove_source(widgets)
            await client.patch(WIDGETS, ObjectKey("default", "a"), {"spec": {"size": 3}})
            await asyncio.sleep(1)
            assert (await client.get(Widget, ObjectKey("default", "a"))).spec.size == 3
            controller.add_source(widgets)
            await asyncio.sleep(1)
            stopping.set()
        return passes

    # What is there, two changes; nothing while it is removed; then what is there.
    assert run_virtual(main()) == [(2.0, "a"), (3.0, "a"), (4.0, "a"), (6.0, "a")]
