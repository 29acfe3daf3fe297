"""Why an object is not reconciled, or reconciled for ever: the journal says it. In virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey
from reconciler.apiserver import ApiServer
from reconciler.builder import controller_managed_by
from reconciler.client import Client, RestClient
from reconciler.clock import LoopWallClock
from reconciler.control_loop import Controller
from reconciler.journal import Asked, Explanation, FindingKind, PassStarted, State, WakeBy, render
from reconciler.manager import Manager
from reconciler.predicate import GenerationChangedPredicate, Predicate
from reconciler.reconcile import Request, Result
from reconciler.source import LOW_PRIORITY
from reconciler.testing import InProcessTransport, run_virtual
from reconciler.workqueue import Discipline
from tests.cache.faults import FaultyTransport

from .stage import CRD, LAMPS, Lamp, running

KEY = ObjectKey("default", "a")
A = Request("default", "a")


class Scene:
    """A manager with one controller of lamps, everybody else's client, and when passes began."""

    def __init__(self) -> None:
        server = ApiServer(wall=LoopWallClock())
        self.transport = FaultyTransport(InProcessTransport(server))
        self.client = Client(RestClient(InProcessTransport(server)))
        self.manager = Manager(self.transport, wall=LoopWallClock(), seed=1)
        self.starts: list[tuple[float, str]] = []
        self.controller: Controller

    def passes(self, name: str = "a") -> list[float]:
        return [at for at, started in self.starts if started == name]

    def explain(self, request: Request = A) -> Explanation:
        return self.controller.explain(request)

    def told(self, request: Request = A) -> str:
        return "\n".join(render(self.explain(request)))

    async def create(self, name: str = "a", **metadata: Any) -> None:
        body = {"metadata": {"name": name, "namespace": "default", **metadata}, "spec": {"size": 1}}
        await self.client.create(body, resource=LAMPS)

    async def label(self, name: str = "a") -> None:
        await self.client.patch(LAMPS, ObjectKey("default", name), {"metadata": {"labels": {"x": "y"}}})


Pass = Callable[[Scene, Request], Awaitable[Result | None]]


def play(
    story: Callable[[Scene], Awaitable[None]],
    reconcile: Pass,
    *,
    present: Sequence[str] = (),
    predicates: Sequence[Predicate] = (),
    queue: Discipline = "priority",
    low_priority: int | None = LOW_PRIORITY,
) -> None:
    """Tell a story beside a controller; `present` are the lamps that are there before it starts."""

    async def main() -> None:
        scene = Scene()
        await scene.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        for name in present:
            await scene.create(name)

        async def noted(request: Request) -> Result | None:
            scene.starts.append((asyncio.get_running_loop().time(), request.name))
            return await reconcile(scene, request)

        builder = controller_managed_by(scene.manager)
        builder.for_(Lamp, predicates=predicates, low_priority=low_priority).with_options(queue=queue)
        scene.controller = builder.complete(noted)
        async with running(scene.manager.run):
            await story(scene)

    run_virtual(main())


async def nothing(scene: Scene, request: Request) -> None:
    del scene, request


def test_an_object_whose_change_a_predicate_dropped_is_explained_by_that_predicate() -> None:
    """
    The first of three reasons for "it is not reconciled any more": somebody filtered the event.

    Elsewhere: fluxcd/kustomize-controller#1624, #1499.
    """

    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        await scene.create()
        await asyncio.sleep(1)
        await scene.label()
        await asyncio.sleep(1)
        assert len(scene.passes()) == 1
        assert "dropped by GenerationChangedPredicate" in scene.told()
        assert scene.explain().wakes[0].by is WakeBy.ONLY_EVENT

    play(story, nothing, predicates=[GenerationChangedPredicate()])


def test_an_object_whose_wake_up_was_lost_is_explained_by_the_event_that_beat_it() -> None:
    """
    The second reason: a pass asked to come back, and an event's pass before that time asked for nothing.

    Elsewhere: fluxcd/kustomize-controller#1624, #1499.
    """

    async def once(scene: Scene, request: Request) -> Result | None:
        return Result(requeue_after=timedelta(seconds=30)) if len(scene.passes(request.name)) == 1 else None

    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        await scene.create()
        await asyncio.sleep(10)
        await scene.label()
        await asyncio.sleep(3600)
        assert len(scene.passes()) == 2
        (finding,) = scene.explain().findings
        assert finding.kind is FindingKind.LOST_WAKE_UP
        assert "(update, changed labels, foreign)" in finding.sentence
        assert "beat it" in finding.sentence
        assert scene.explain().state is State.IDLE

    play(story, once)


def test_an_object_that_the_cache_cannot_see_change_is_explained_by_what_the_cache_says() -> None:
    """
    The third reason: the cache is behind. It says so, and since when it has seen nothing; the key itself is idle.

    Elsewhere: fluxcd/kustomize-controller#1624, #1499.
    """

    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        await scene.create()
        await asyncio.sleep(10)
        scene.transport.is_down = True
        scene.transport.cut()
        await asyncio.sleep(1)
        await scene.label()
        await asyncio.sleep(60)
        assert len(scene.passes()) == 1
        assert scene.explain().state is State.IDLE
        (behind,) = scene.manager.cache.statuses()
        assert (behind.is_synced, behind.watch_age) == (True, None)
        assert "the API server cannot be reached" in (scene.manager.cache.problem() or "")
        scene.transport.is_down = False
        await asyncio.sleep(60)
        assert scene.manager.cache.problem() is None
        assert len(scene.passes()) == 2

    play(story, nothing)


def test_an_object_that_no_event_ever_named_is_said_to_be_never_seen() -> None:
    """
    Not a reason but its absence: the object is outside of what the controller watches.

    Elsewhere: fluxcd/kustomize-controller#1624, #1499.
    """

    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        await scene.create()
        await asyncio.sleep(1)
        assert scene.explain(Request("another", "a")).state is State.NEVER_SEEN

    play(story, nothing)


INITIAL = ("i0", "i1", "i2", "i3")
LIVE_UNTIL = 60.0


def live_load(priority: int | None) -> Pass:
    async def reconcile(scene: Scene, request: Request) -> Result | None:
        # Two live keys keep the one worker busy: a pass takes 1 s, and each comes back 0.5 s after its end.
        await asyncio.sleep(1)
        if request.name.startswith("live") and asyncio.get_running_loop().time() < LIVE_UNTIL:
            return Result(requeue_after=timedelta(seconds=0.5), priority=priority)
        return None

    return reconcile


async def under_live_load(scene: Scene) -> None:
    await asyncio.sleep(0.5)
    await scene.create("live-1")
    await scene.create("live-2")


def test_objects_of_the_first_list_wait_behind_live_requeues_and_each_gets_its_pass_when_there_is_room() -> None:
    """
    The priority queue, as in Go: the first list has priority -100, and a worker that is never free never takes it.

    Elsewhere: controller-runtime#3496.
    """

    async def story(scene: Scene) -> None:
        await under_live_load(scene)
        await asyncio.sleep(LIVE_UNTIL - 5)
        # While the live keys leave no room, one pass, which began before them, is all that the first list gets;
        assert [name for _, name in scene.starts if name in INITIAL] == ["i0"]
        waiting = scene.explain(Request("default", "i3"))
        # and the journal says why: ready since the start, at a low priority, and in want of a worker.
        assert (waiting.state, waiting.wakes[0].by) == (State.READY, WakeBy.WORKER)
        assert isinstance(waiting.ready, Asked)
        assert waiting.ready.priority == -100
        # When they leave room, each gets its pass, once.
        await asyncio.sleep(20)
        assert [name for _, name in scene.starts if name in INITIAL] == list(INITIAL)
        last = [record for record in scene.explain(Request("default", "i3")).records if isinstance(record, PassStarted)]
        assert [record.waited > 50_000_000_000 for record in last] == [True]

    play(story, live_load(None), present=INITIAL)


@pytest.mark.parametrize(
    ("queue", "priority"),
    [
        pytest.param("priority", -100, id="live requeues of low priority"),
        pytest.param("classic", None, id="the classic queue"),
    ],
)
def test_objects_of_the_first_list_do_not_starve_where_requeues_rank_with_them(
    queue: Discipline, priority: int | None
) -> None:
    """
    The two ways out: `Result(priority=-100)` for periodic work, or the classic queue, which knows no priority.

    Elsewhere: controller-runtime#3496.
    """

    async def story(scene: Scene) -> None:
        await under_live_load(scene)
        await asyncio.sleep(15)
        assert [name for _, name in scene.starts if name in INITIAL] == list(INITIAL)
        assert len(scene.passes("live-1")) >= 3

    play(story, live_load(priority), present=INITIAL, queue=queue)


@pytest.mark.parametrize(
    "low_priority",
    [pytest.param(None, id="as other events"), pytest.param(10, id="before them")],
)
def test_objects_of_the_first_list_do_not_starve_where_the_author_gives_them_a_priority(
    low_priority: int | None,
) -> None:
    """
    The cure at its place: the priority of the first list is no constant, but an option of the watch.

    Elsewhere: controller-runtime#3496.
    """

    async def story(scene: Scene) -> None:
        await under_live_load(scene)
        await asyncio.sleep(15)
        assert [name for _, name in scene.starts if name in INITIAL] == list(INITIAL)
        assert len(scene.passes("live-1")) >= 3

    play(story, live_load(None), present=INITIAL, low_priority=low_priority)


def test_a_status_that_says_when_it_was_written_is_a_loop_and_the_field_is_named() -> None:
    """
    A status write is an event, the event a pass, and the pass writes the time: for ever.

    Elsewhere: kubebuilder#618; knative/serving#1181.
    """
    play(_a_minute_later(expected=None), _writes_the_time(hold=False))


def test_a_status_that_says_when_it_was_written_is_no_loop_where_own_writes_are_held() -> None:
    """
    The way out for a controller that must write the time: its own writes wait until the next owed time.

    Elsewhere: kubebuilder#618; knative/serving#1181.
    """
    play(_a_minute_later(expected=2), _writes_the_time(hold=True))


def _writes_the_time(*, hold: bool) -> Pass:
    ticks = itertools.count(1)

    async def reconcile(scene: Scene, request: Request) -> Result | None:
        await asyncio.sleep(0.1)
        lamp = await scene.manager.client.get(Lamp, request.key)
        lamp.status.last_seen = f"tick {next(ticks)}"
        await scene.manager.client.status.update(lamp)
        return Result(requeue_after=timedelta(seconds=40), hold=True) if hold else None

    return reconcile


def _a_minute_later(*, expected: int | None) -> Callable[[Scene], Awaitable[None]]:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        await scene.create()
        await asyncio.sleep(60)
        findings = scene.explain().findings
        if expected is not None:
            assert (len(scene.passes()), findings) == (expected, ())
            return
        assert len(scene.passes()) > 500
        (finding,) = findings
        assert (finding.kind, finding.is_certain) == (FindingKind.HOT_LOOP, True)
        assert finding.fields == ("status.lastSeen",)
        assert "changed each time: status.lastSeen" in finding.sentence

    return story
