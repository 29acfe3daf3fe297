"""Controllers that keep themselves busy, by whatever kind of write, and healthy ones that only look like it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.builder import controller_managed_by
from reconciler.client import Client, RestClient
from reconciler.clock import LoopWallClock
from reconciler.control_loop import Controller
from reconciler.journal import Finding, FindingKind
from reconciler.manager import Manager
from reconciler.predicate import GenerationChangedPredicate
from reconciler.reconcile import Request, Result
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

from .proxy import WAIT_SECONDS_MAX
from .stage import CRD, LAMPS, Lamp, Stage, running

BULBS = ResourceType("network.reconciler.test", "v1", "Bulb", "bulbs")
A = Request("default", "a")

Pass = Callable[[Client, Request, int], Awaitable[Result | None]]
"""What a pass does: with the controller's client, over a key, the how manieth it is."""


class Scene:
    """A manager and its controllers of lamps, which own bulbs; everybody else's client; and how many passes ran."""

    def __init__(self) -> None:
        server = ApiServer(wall=LoopWallClock())
        self.others = Client(RestClient(InProcessTransport(server)))
        self.manager = Manager(InProcessTransport(server), wall=LoopWallClock(), seed=1)
        self.passes: dict[str, int] = {}
        self.controllers: dict[str, Controller] = {}

    def add(self, name: str, reconcile: Pass, *, is_filtered: bool = False) -> None:
        """Add a controller whose passes take 50 ms; `is_filtered` lets through changes of the generation alone."""

        async def noted(request: Request) -> Result | None:
            if request != A:
                return None
            number = self.passes[name] = self.passes.get(name, 0) + 1
            await asyncio.sleep(0.05)
            return await reconcile(self.manager.client, request, number)

        predicates = [GenerationChangedPredicate()] if is_filtered else []
        builder = controller_managed_by(self.manager).named(name).for_(Lamp, predicates=predicates).owns(BULBS)
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
    ("reconcile", "wrote", "part"),
    [
        pytest.param(patches_status, "patch lamps/status default/a", "status", id="a patch of status"),
        pytest.param(patches_an_annotation, "patch lamps default/a", "annotations", id="a patch of an annotation"),
        pytest.param(patches_its_child, "patch bulbs default/bulb", "spec", id="a patch of an owned child"),
        pytest.param(patches_and_holds, "patch lamps/status default/a", "status", id="hold, which knows no such write"),
    ],
)
def test_a_write_without_a_version_at_each_pass_is_a_loop_and_is_named(reconcile: Pass, wrote: str, part: str) -> None:
    """
    The same loop by a patch, which carries no version: the version of its answer tells that the event is its own.

    Elsewhere: kubebuilder#618; knative/serving#1181.
    """
    (finding,) = found_after({"lamps": reconcile})["lamps"]
    assert (finding.kind, finding.is_certain, finding.others) == (FindingKind.HOT_LOOP, True, ())
    assert f"each pass wrote ({wrote}), and that write alone brought the next pass" in finding.sentence
    changed = finding.sentence.partition("changed each time: ")[2]
    assert part in changed.partition(";")[0]
    assert finding.fields
    assert "carried no resourceVersion" in finding.sentence


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

    for form in (patches, updates):
        found = found_after({"dark": form(2), "bright": form(3)})
        for name, other in (("dark", "bright"), ("bright", "dark")):
            (finding,) = found[name]
            assert (finding.kind, finding.is_certain, finding.others) == (FindingKind.HOT_LOOP, True, (other,))
            assert f"{other} wrote in return" in finding.sentence
            assert finding.fields
            assert "changed each time: spec" in finding.sentence


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
    assert finding.is_certain
    assert "each pass wrote (patch lamps/status" in finding.sentence
