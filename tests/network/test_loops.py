"""Controllers that keep themselves busy, by whatever kind of write, and healthy ones that only look like it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.builder import controller_managed_by
from reconciler.client import Client, HttpRequest, HttpStream, RestClient
from reconciler.clock import LoopWallClock
from reconciler.control_loop import Controller
from reconciler.journal import Finding, FindingKind
from reconciler.manager import Manager
from reconciler.predicate import AnnotationChangedPredicate, GenerationChangedPredicate, Predicate
from reconciler.reconcile import Request, Result
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

from .proxy import WAIT_SECONDS_MAX
from .stage import CRD, LAMPS, Lamp, Stage, running

BULBS = ResourceType("network.reconciler.test", "v1", "Bulb", "bulbs")
A = Request("default", "a")

Pass = Callable[[Client, Request, int], Awaitable[Result | None]]
"""What a pass does: with the controller's client, over a key, the how manieth it is."""


class LateWatches(InProcessTransport):
    """Delivers each line of a watch some time after the server sent it, in order."""

    def __init__(self, server: ApiServer, lag_seconds: float) -> None:
        super().__init__(server)
        self._lag_seconds = lag_seconds

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        async with super().stream(request) as stream:
            yield HttpStream(stream.status, stream.headers, self._late(stream.lines))

    async def _late(self, lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        if not self._lag_seconds:
            async for line in lines:
                yield line
            return
        loop = asyncio.get_running_loop()
        sent: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take_in() -> None:
            async for line in lines:
                sent.put_nowait((loop.time() + self._lag_seconds, line))

        taking = asyncio.ensure_future(take_in())
        try:
            while True:
                due_at, line = await sent.get()
                await asyncio.sleep(due_at - loop.time())
                yield line
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)


class Scene:
    """A manager and its controllers of lamps, which own bulbs; everybody else's client; and how many passes ran."""

    def __init__(self, *, watch_lag_seconds: float = 0) -> None:
        server = ApiServer(wall=LoopWallClock())
        self.others = Client(RestClient(InProcessTransport(server)))
        self.manager = Manager(LateWatches(server, watch_lag_seconds), wall=LoopWallClock(), seed=1)
        self.passes: dict[str, int] = {}
        self.controllers: dict[str, Controller] = {}

    def add(
        self, name: str, reconcile: Pass, *, is_filtered: bool = False, predicates: Sequence[Predicate] = ()
    ) -> None:
        """Add a controller whose passes take 50 ms; `is_filtered` lets through changes of the generation alone."""

        async def noted(request: Request) -> Result | None:
            if request != A:
                return None
            number = self.passes[name] = self.passes.get(name, 0) + 1
            await asyncio.sleep(0.05)
            return await reconcile(self.manager.client, request, number)

        used = [GenerationChangedPredicate()] if is_filtered else predicates
        builder = controller_managed_by(self.manager).named(name).for_(Lamp, predicates=used).owns(BULBS)
        self.controllers[name] = builder.complete(noted)

    def findings(self, name: str) -> tuple[Finding, ...]:
        return self.controllers[name].explain(A).findings

    async def create(self, name: str = "a") -> None:
        await self.others.create(
            {"metadata": {"name": name, "namespace": "default"}, "spec": {"size": 1}}, resource=LAMPS
        )

    @asynccontextmanager
    async def played(self) -> AsyncGenerator[None, None]:
        await self.others.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await self.others.create(
            definition(BULBS, spec={"size": {"type": "integer"}}, status={}), resource=CUSTOM_RESOURCE_DEFINITION
        )
        await asyncio.sleep(1)
        await self.create()
        async with running(self.manager.run):
            yield


def found_after(controllers: Mapping[str, Pass], *, seconds: float = 20) -> dict[str, tuple[Finding, ...]]:
    """Run controllers over one lamp, and return what is found of each; they must have made hundreds of passes."""

    async def main() -> dict[str, tuple[Finding, ...]]:
        scene = Scene()
        for name, reconcile in controllers.items():
            scene.add(name, reconcile)
        async with scene.played():
            await asyncio.sleep(seconds)
            assert all(scene.passes[name] > 300 for name in controllers)
            return {name: scene.findings(name) for name in controllers}

    return run_virtual(main())


async def patches_status(client: Client, request: Request, number: int) -> None:
    await client.status.patch(LAMPS, request.key, {"status": {"seen": number}})


async def patches_an_annotation(client: Client, request: Request, number: int) -> None:
    await client.patch(LAMPS, request.key, {"metadata": {"annotations": {"seen": str(number)}}})


async def patches_its_child(client: Client, request: Request, number: int) -> None:
    if number == 1:
        await client.create(await bulb_of(client, request, "bulb"), resource=BULBS)
        return
    await client.patch(BULBS, ObjectKey("default", "bulb"), {"spec": {"size": number}})


async def patches_and_holds(client: Client, request: Request, number: int) -> Result:
    await patches_status(client, request, number)
    return Result(requeue_after=timedelta(hours=1), hold=True)


async def bulb_of(client: Client, request: Request, name: str) -> dict[str, Any]:
    lamp = await client.get(Lamp, request.key)
    owner = {"apiVersion": LAMPS.api_version, "kind": "Lamp", "name": "a", "uid": lamp.metadata.uid, "controller": True}
    return {"metadata": {"name": name, "namespace": "default", "ownerReferences": [owner]}, "spec": {"size": 0}}


@pytest.mark.parametrize(
    ("reconcile", "wrote", "field"),
    [
        pytest.param(patches_status, "patch lamps/status default/a", "status.seen", id="a patch of status"),
        pytest.param(
            patches_an_annotation, "patch lamps default/a", "metadata.annotations.seen", id="a patch of an annotation"
        ),
        pytest.param(patches_its_child, "patch bulbs default/bulb", "spec.size", id="a patch of an owned child"),
        pytest.param(
            patches_and_holds, "patch lamps/status default/a", "status.seen", id="hold, which knows no such write"
        ),
    ],
)
def test_a_write_without_a_version_at_each_pass_is_a_loop_and_is_named(reconcile: Pass, wrote: str, field: str) -> None:
    """
    The same loop by a patch, which carries no version: the version of its answer says that the event is its own.

    It is to be checked, as a patch may change nothing, and return what another process made just then.

    Elsewhere: kubebuilder#618; knative/serving#1181.
    """
    (finding,) = found_after({"lamps": reconcile})["lamps"]
    assert (finding.kind, finding.is_certain, finding.others) == (FindingKind.HOT_LOOP, False, ())
    assert f"each pass wrote ({wrote}), and that write alone brought the next pass" in finding.sentence
    assert f"changed each time: {field};" in finding.sentence
    assert finding.fields == (field,)
    assert "carried no resourceVersion" in finding.sentence
    assert finding.sentence.endswith("compare what changed with what it sent")


def test_two_controllers_that_write_against_each_other_are_a_loop_and_each_names_the_other() -> None:
    """
    Each undoes what the other wrote, for ever: by patches, or by updates of what was read.

    Elsewhere: kubebuilder#618; knative/serving#1181.
    """

    def patches(size: int) -> Pass:
        async def reconcile(client: Client, request: Request, number: int) -> None:
            del number
            await client.patch(LAMPS, request.key, {"spec": {"size": size}})

        return reconcile

    def updates(size: int) -> Pass:
        async def reconcile(client: Client, request: Request, number: int) -> None:
            del number
            lamp = await client.get(Lamp, request.key)
            if lamp.spec.size != size:
                lamp.spec.size = size
                await client.update(lamp)

        return reconcile

    for form, is_certain in ((patches, False), (updates, True)):
        found = found_after({"dark": form(2), "bright": form(3)})
        for name, other in (("dark", "bright"), ("bright", "dark")):
            (finding,) = found[name]
            assert (finding.kind, finding.is_certain, finding.others) == (FindingKind.HOT_LOOP, is_certain, (other,))
            assert f"{other} wrote in return" in finding.sentence
            assert finding.fields == ("spec.size",)
            assert "changed each time: spec.size" in finding.sentence


async def status_when_it_changed(client: Client, request: Request, number: int) -> None:
    del number
    lamp = await client.get(Lamp, request.key)
    await client.status.patch(LAMPS, request.key, {"status": {"seen": lamp.spec.size}})


async def each_second(client: Client, request: Request, number: int) -> Result:
    await patches_status(client, request, number)
    return Result(requeue_after=timedelta(seconds=1))


async def three_phases(client: Client, request: Request, number: int) -> None:
    await client.status.patch(LAMPS, request.key, {"status": {"seen": min(number, 3)}})


async def a_child_at_each_pass(client: Client, request: Request, number: int) -> None:
    if number <= 20:
        await client.create(await bulb_of(client, request, f"bulb-{number}"), resource=BULBS)


async def all_children_then_each_once(client: Client, request: Request, number: int) -> None:
    if number == 1:
        for child in range(20):
            await client.create(await bulb_of(client, request, f"bulb-{child}"), resource=BULBS)
    elif number <= 21:
        await client.patch(BULBS, ObjectKey("default", f"bulb-{number - 2}"), {"spec": {"size": 1}})


@pytest.mark.parametrize("period_seconds", [0.02, 0.05, 1])
@pytest.mark.parametrize(
    ("reconcile", "is_filtered"),
    [
        pytest.param(status_when_it_changed, False, id="a status for each real change"),
        pytest.param(each_second, True, id="comes back each second by its own wish"),
        pytest.param(three_phases, False, id="a chain of phases that ends"),
        pytest.param(a_child_at_each_pass, False, id="many children, each created once"),
        pytest.param(all_children_then_each_once, False, id="many children, each patched once"),
    ],
)
@pytest.mark.parametrize("is_spec", [True, False], ids=["spec changes", "labels change"])
def test_a_healthy_controller_is_accused_of_nothing(
    reconcile: Pass, period_seconds: float, *, is_filtered: bool, is_spec: bool
) -> None:
    """What others change keeps these busy, or time does, or they come to rest; and others never stop changing."""

    async def main() -> tuple[Finding, ...]:
        scene = Scene()
        scene.add("lamps", reconcile, is_filtered=is_filtered)
        async with scene.played():
            await asyncio.sleep(3)
            at_rest = scene.findings("lamps")
            for number in itertools.count(2):
                if number * period_seconds > 5:
                    break
                body = {"spec": {"size": number}} if is_spec else {"metadata": {"labels": {"x": str(number)}}}
                await scene.others.patch(LAMPS, A.key, body)
                await asyncio.sleep(period_seconds)
            return (*at_rest, *scene.findings("lamps"))

    assert run_virtual(main()) == ()


@pytest.mark.parametrize("phases", [4, 9])
def test_a_chain_of_many_phases_that_has_ended_is_never_said_to_be_wrong(phases: int) -> None:
    """More than three writes in a row can be the steps of a state machine, or attempts that burn: to be checked."""

    async def reconcile(client: Client, request: Request, number: int) -> None:
        await client.status.patch(LAMPS, request.key, {"status": {"seen": min(number, phases)}})

    async def main() -> tuple[Finding, ...]:
        scene = Scene()
        scene.add("lamps", reconcile)
        async with scene.played():
            await asyncio.sleep(5)
            assert scene.passes["lamps"] == phases + 1
            return scene.findings("lamps")

    (finding,) = run_virtual(main())
    assert (finding.is_certain, finding.rounds) == (False, phases - 1)
    assert "then wrote nothing" in finding.sentence


def annotation_of(lamp: Lamp, name: str) -> int:
    return int((lamp.metadata.annotations or {}).get(name, "0"))


async def count_up(client: Client, lamp: Lamp, name: str) -> None:
    lamp.metadata.annotations = {**(lamp.metadata.annotations or {}), name: str(annotation_of(lamp, name) + 1)}
    await client.update(lamp)


async def seven_steps_then_holds(client: Client, request: Request, number: int) -> Result | None:
    """The pass that makes the last step waits with its own event for its next retry."""
    del number
    lamp = await client.get(Lamp, request.key)
    if annotation_of(lamp, "step") < 7:
        await count_up(client, lamp, "step")
    is_done = annotation_of(lamp, "step") == 7
    return Result(requeue_after=timedelta(minutes=5), hold=True) if is_done else None


async def six_steps_then_a_status(client: Client, request: Request, number: int) -> None:
    """The event of the status is one that the predicate drops, so no pass follows."""
    del number
    lamp = await client.get(Lamp, request.key)
    if annotation_of(lamp, "step") < 6:
        await count_up(client, lamp, "step")
        return
    lamp.status.seen = 1
    await client.status.update(lamp)


@pytest.mark.parametrize("seconds", [60, 3600])
@pytest.mark.parametrize(
    ("reconcile", "predicates"),
    [
        pytest.param(seven_steps_then_holds, (), id="the last event is held"),
        pytest.param(six_steps_then_a_status, (AnnotationChangedPredicate(),), id="the last event is dropped"),
    ],
)
def test_steps_that_end_without_a_further_pass_are_never_said_to_be_wrong(
    reconcile: Pass, predicates: Sequence[Predicate], seconds: int
) -> None:
    """Nothing follows the last write: its event is held, or dropped. So the run is over, however long ago."""

    async def main() -> tuple[Finding, ...]:
        scene = Scene()
        scene.add("lamps", reconcile, predicates=predicates)
        async with scene.played():
            await asyncio.sleep(seconds)
            return scene.findings("lamps")

    (finding,) = run_virtual(main())
    assert (finding.is_certain, finding.rounds) == (False, 6)
    assert "it has ended with pass #" in finding.sentence


@pytest.mark.parametrize("is_holding", [True, False])
def test_a_handshake_that_is_finished_is_to_be_checked_for_both(*, is_holding: bool) -> None:
    """Two controllers answer each other some times, and are done; neither is in the wrong."""

    def shakes(own: str, others: str, ahead: int) -> Pass:
        async def reconcile(client: Client, request: Request, number: int) -> Result | None:
            del number
            lamp = await client.get(Lamp, request.key)
            if annotation_of(lamp, own) == annotation_of(lamp, others) - ahead and annotation_of(lamp, own) < 8:
                await count_up(client, lamp, own)
            return Result(requeue_after=timedelta(minutes=10), hold=True) if is_holding else None

        return reconcile

    async def main() -> dict[str, tuple[Finding, ...]]:
        scene = Scene()
        scene.add("first", shakes("first", "second", 0))
        scene.add("second", shakes("second", "first", 1))
        async with scene.played():
            await asyncio.sleep(60)
            lamp = await scene.others.get(Lamp, A.key)
            assert [annotation_of(lamp, name) for name in ("first", "second")] == [8, 8]
            return {name: scene.findings(name) for name in scene.controllers}

    for (finding,) in run_virtual(main()).values():
        assert (finding.is_certain, finding.rounds >= 3) == (False, True)


async def patches_a_label(client: Client, request: Request, number: int) -> None:
    del number
    await client.patch(LAMPS, request.key, {"metadata": {"labels": {"a": "b"}}})


async def patches_a_constant(client: Client, request: Request, number: int) -> None:
    del number
    await client.status.patch(LAMPS, request.key, {"status": {"seen": 1}})


@pytest.mark.parametrize(
    ("reconcile", "subresource"),
    [
        pytest.param(patches_a_label, "", id="a label, and others the spec"),
        pytest.param(patches_a_constant, "status", id="a status, and others the status"),
    ],
)
def test_a_patch_that_changes_nothing_is_never_said_to_be_wrong_however_late_the_watch_is(
    reconcile: Pass, subresource: str
) -> None:
    """Each patch returns what another process made just then, and the event of that comes later."""

    async def main() -> tuple[Finding, ...]:
        scene = Scene(watch_lag_seconds=0.15)
        scene.add("lamps", reconcile)
        async with scene.played():
            await asyncio.sleep(2)
            found: tuple[Finding, ...] = ()
            for number in range(200):
                if subresource:
                    await scene.others.status.patch(LAMPS, A.key, {"status": {"lastSeen": str(number)}})
                else:
                    await scene.others.patch(LAMPS, A.key, {"spec": {"size": number}})
                await asyncio.sleep(0.1)
                found += scene.findings("lamps")
            return found

    found = run_virtual(main())
    assert max(finding.rounds for finding in found) > 20
    assert not any(finding.is_certain for finding in found)
    assert all("compare what changed with what it sent" in finding.sentence for finding in found)


def test_a_controller_that_answers_another_which_others_keep_busy_is_accused_of_nothing() -> None:
    """One counts what the other does, and the other follows a user: neither would go on without the user."""

    async def follows(client: Client, request: Request, number: int) -> None:
        await status_when_it_changed(client, request, number)

    async def counts(client: Client, request: Request, number: int) -> None:
        del number
        lamp = await client.get(Lamp, request.key)
        await client.patch(LAMPS, request.key, {"metadata": {"annotations": {"seen": str(lamp.status.seen)}}})

    async def main() -> tuple[Finding, ...]:
        scene = Scene()
        scene.add("follows", follows)
        scene.add("counts", counts)
        async with scene.played():
            for size in range(2, 60):
                await scene.others.patch(LAMPS, A.key, {"spec": {"size": size}})
                await asyncio.sleep(0.3)
            return (*scene.findings("follows"), *scene.findings("counts"))

    assert run_virtual(main()) == ()


@pytest.mark.asyncio
async def test_the_loop_of_a_patch_is_found_in_real_time(stage: Stage) -> None:
    """There an event comes now before the answer to its write, and now after it."""
    manager = Manager(stage.transport(), namespace=stage.namespace, seed=1)
    numbers = itertools.count(1)
    request = Request(stage.namespace, "a")

    async def reconcile(request: Request) -> None:
        await patches_status(manager.client, request, next(numbers))

    controller = controller_managed_by(manager).for_(Lamp).complete(reconcile)
    await stage.create()
    async with running(manager.run), asyncio.timeout(WAIT_SECONDS_MAX):
        while not any(finding.rounds >= 20 for finding in controller.explain(request).findings):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        (finding,) = controller.explain(request).findings
    assert "each pass wrote (patch lamps/status" in finding.sentence
    assert "it has ended" not in finding.sentence
