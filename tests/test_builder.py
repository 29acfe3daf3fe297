from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey
from reconciler.apiserver import ApiServer
from reconciler.builder import Builder, controller_managed_by
from reconciler.client import Client, RestClient
from reconciler.clock import LoopWallClock, SystemWallClock
from reconciler.errors import CacheNotSyncedError, ConfigurationError, TransientDeliveryError
from reconciler.manager import Manager
from reconciler.reconcile import Reconciler, Request, Result
from reconciler.testing import InProcessTransport, run_virtual
from reconciler.workqueue import ItemExponentialRateLimiter
from tests.cache.objects import WIDGETS, Widget
from tests.cache.world import CRD

Story = Callable[[Manager, Client], Awaitable[None]]


def managed(wire: Callable[[Manager], object], story: Story, *, has_crd: bool = True) -> None:
    """Run what `wire` adds to a manager, beside a story."""

    async def main() -> None:
        transport = InProcessTransport(ApiServer(wall=LoopWallClock()))
        client = Client(RestClient(transport))
        if has_crd:
            await client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            await asyncio.sleep(1)
        manager = Manager(transport, wall=LoopWallClock(), seed=1)
        wire(manager)
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(manager.run, stopping)
            await asyncio.sleep(1)
            await story(manager, client)
            stopping.set()

    run_virtual(main())


async def create(client: Client, name: str) -> None:
    metadata = {"name": name, "namespace": "default"}
    body: dict[str, Any] = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": {}}
    await client.create(body, resource=WIDGETS)


class Doubler:
    """A reconciler as an object: doubles a size until it is at least 8."""

    def __init__(self) -> None:
        self.manager: Manager | None = None
        self.calls: list[Request] = []

    async def reconcile(self, request: Request) -> Result | None:
        assert self.manager is not None
        self.calls.append(request)
        widget = await self.manager.client.get(Widget, request.key)
        if widget.spec.size < 8:
            widget.spec.size = max(1, widget.spec.size * 2)
            await self.manager.client.update(widget)
        return None


def test_a_reconciler_is_called_again_for_what_its_own_writes_change() -> None:
    doubler = Doubler()

    def wire(manager: Manager) -> None:
        doubler.manager = manager
        reconciler: Reconciler = doubler
        assert controller_managed_by(manager).for_(Widget).complete(reconciler).name == "widget"

    async def story(manager: Manager, client: Client) -> None:
        await create(client, "a")
        await asyncio.sleep(10)
        assert (await client.get(Widget, ObjectKey("default", "a"))).spec.size == 8
        assert (await manager.cached_reader.get(Widget, ObjectKey("default", "a"))).spec.size == 8
        assert manager.cache.problem() is None

    managed(wire, story)
    assert doubler.calls == [Request("default", "a")] * 5


def test_a_function_and_an_untyped_kind_do_as_well_and_options_reach_the_controller() -> None:
    started: list[tuple[float, str]] = []

    async def reconcile(request: Request) -> None:
        started.append((round(asyncio.get_running_loop().time(), 6), request.name))
        if request.name == "hangs":
            await asyncio.sleep(100)
        raise TransientDeliveryError("always")

    def wire(manager: Manager) -> None:
        limiter = ItemExponentialRateLimiter(base_ns=40_000_000_000, max_ns=40_000_000_000)
        controller = (
            controller_managed_by(manager)
            .named("mine")
            .for_(WIDGETS)
            .with_options(max_concurrent_reconciles=2, rate_limiter=limiter, reconcile_timeout=timedelta(seconds=3))
            .complete(reconcile)
        )
        assert controller.name == "mine"

    async def story(manager: Manager, client: Client) -> None:
        del manager
        await create(client, "hangs")
        await create(client, "fails")
        await asyncio.sleep(60)

    managed(wire, story)
    # Two at once; each again 40 s after its end: at once, and after the 3 s that a pass may take.
    assert started == [(2, "hangs"), (2, "fails"), (42, "fails"), (45, "hangs")]


def test_two_kinds_in_one_manager_have_controllers_of_their_own_and_one_journal() -> None:
    async def reconcile(request: Request) -> None:
        del request

    def wire(manager: Manager) -> None:
        controller_managed_by(manager).for_(Widget).complete(reconcile)
        controller_managed_by(manager).named("second").for_(Widget).complete(reconcile)

    async def story(manager: Manager, client: Client) -> None:
        await create(client, "a")
        await asyncio.sleep(1)
        key = Request("default", "a")
        assert sorted(manager.journal.places()) == [("second", key), ("widget", key)]
        assert len(manager.cache.statuses()) == 1

    managed(wire, story)


def test_a_kind_that_is_never_served_ends_the_manager_in_time_with_its_name() -> None:
    async def reconcile(request: Request) -> None:
        del request

    def wire(manager: Manager) -> None:
        limit = timedelta(seconds=30)
        controller_managed_by(manager).for_(Widget).with_options(cache_sync_timeout=limit).complete(reconcile)

    async def story(manager: Manager, client: Client) -> None:
        del client
        assert "widgets.example.com" in (manager.cache.problem() or "")
        await asyncio.sleep(100)

    with pytest.raises(ExceptionGroup) as caught:
        managed(wire, story, has_crd=False)
    (error,) = caught.value.exceptions
    assert isinstance(error, CacheNotSyncedError)
    assert "controller widget: not synced after 30 s: cache of widgets.example.com" in str(error)


def a_builder() -> Builder:
    return controller_managed_by(Manager(InProcessTransport(ApiServer(wall=SystemWallClock()))))


async def do_nothing(request: Request) -> None:
    del request


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param(lambda: a_builder().complete(do_nothing), r"Call for_\(KIND\)", id="no kind"),
        pytest.param(lambda: a_builder().for_(Widget).for_(Widget), "may be called once", id="two kinds"),
        pytest.param(
            lambda: a_builder().for_(Widget).with_options(max_concurrent_reconciles=0).complete(do_nothing),
            "at least 1 worker",
            id="no worker",
        ),
    ],
)
def test_wrong_wiring_is_refused_before_anything_runs(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        wrong()
