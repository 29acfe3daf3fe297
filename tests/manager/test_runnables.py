from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
import anyio
import pytest

from reconciler.api import ResourceType
from reconciler.apiserver import ApiServer
from reconciler.builder import controller_managed_by
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationRequest
from reconciler.errors import ConfigurationError, ShutdownError
from reconciler.manager import Group, Manager, Runnables
from reconciler.reconcile import Request
from reconciler.testing import InProcessTransport, run_virtual

NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)


@dataclass
class Part:
    name: str
    said: list[str]
    ends_after: float = 0
    crashes_after: float | None = None
    returns_after: float | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        self.said.append(f"{self.name} starts")
        if self.crashes_after is not None:
            await asyncio.sleep(self.crashes_after)
            raise ValueError(self.name)
        if self.returns_after is not None:
            await asyncio.sleep(self.returns_after)
            return
        try:
            await stopping.wait()
            await asyncio.sleep(self.ends_after)
            self.said.append(f"{self.name} ends")
        except asyncio.CancelledError:
            self.said.append(f"{self.name} is cancelled")
            raise


def run_parts(*parts: tuple[Group, Part], stop_after: float = 10, grace: float = 30) -> float:
    async def main() -> float:
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(stop_after, stopping.set)
        runnables = Runnables(timedelta(seconds=grace))
        for group, part in parts:
            runnables.add(group, part.name, part)
        await runnables.run(stopping)
        return asyncio.get_running_loop().time()

    return run_virtual(main())


def test_groups_start_in_order_and_stop_in_reverse() -> None:
    said: list[str] = []
    controller, cache, health = Part("controller", said, ends_after=5), Part("cache", said), Part("health", said)
    at = run_parts((Group.CONTROLLERS, controller), (Group.HEALTH, health), (Group.CACHES, cache))
    assert said[:3] == ["health starts", "cache starts", "controller starts"]
    assert said[3:] == ["controller ends", "cache ends", "health ends"]
    assert at == 15


def test_what_has_not_ended_after_the_grace_period_is_cancelled_and_named() -> None:
    said: list[str] = []
    with pytest.raises(ShutdownError, match="not ended after 30 s, cancelled: cache, controller"):
        run_parts((Group.CONTROLLERS, Part("controller", said, ends_after=100)), (Group.CACHES, Part("cache", said)))
    # Both at once: a cancelled group has no order.
    assert sorted(said[2:]) == ["cache is cancelled", "controller is cancelled"]


def test_a_crash_stops_the_others_and_reaches_the_caller() -> None:
    said: list[str] = []
    with pytest.raises(ValueError, match="bad"):
        run_parts((Group.CACHES, Part("cache", said)), (Group.CONTROLLERS, Part("bad", said, crashes_after=2)))
    assert "cache is cancelled" in said


def test_a_part_that_returns_before_it_was_told_to_is_an_error() -> None:
    with pytest.raises(ShutdownError, match="lazy returned before it was told to stop"):
        run_parts((Group.CONTROLLERS, Part("lazy", [], returns_after=2)))


def test_a_crash_during_the_stop_reaches_the_caller() -> None:
    said: list[str] = []
    late = Part("late", said, crashes_after=11)
    with pytest.raises(ValueError, match="late"):
        run_parts((Group.CACHES, Part("cache", said)), (Group.CONTROLLERS, late))
    assert said[-1] == "cache is cancelled"


def test_of_several_crashes_the_first_is_raised_and_all_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Worse(Part):
        async def run(self, stopping: asyncio.Event) -> None:
            try:
                await super().run(stopping)
            finally:
                raise OSError("while it was cancelled")

    first = Part("first", [], crashes_after=1)
    with pytest.raises(ValueError, match="first"):
        run_parts((Group.CONTROLLERS, first), (Group.CACHES, Worse("second", [])))
    assert "ValueError('first'); OSError('while it was cancelled')" in caplog.text


def test_the_grace_period_is_for_all_groups_together() -> None:
    said: list[str] = []
    parts = [(group, Part(group.name, said, ends_after=12)) for group in Group]
    with pytest.raises(ShutdownError, match=r"not ended after 30 s, cancelled: HEALTH, CACHES$"):
        run_parts(*parts)
    assert said[4:6] == ["CONTROLLERS ends", "RECORDERS ends"]


def test_a_cancelled_run_cancels_every_part_at_once() -> None:
    said: list[str] = []

    async def main() -> float:
        runnables = Runnables(timedelta(seconds=30))
        for group in Group:
            runnables.add(group, group.name, Part(group.name, said, ends_after=99))
        with anyio.move_on_after(3) as scope:
            await runnables.run(asyncio.Event())
        assert scope.cancelled_caught
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3
    assert sorted(said[4:]) == sorted(f"{group.name} is cancelled" for group in Group)


def test_what_is_added_while_the_others_run_runs_at_once_and_stops_in_the_order_of_its_group() -> None:
    said: list[str] = []

    async def main() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        runnables = Runnables(timedelta(seconds=30))
        runnables.add(Group.CACHES, "cache", Part("cache", said))
        late = Part("late", said, ends_after=5)
        loop.call_later(3, runnables.add, Group.CONTROLLERS, "late", late)
        loop.call_later(4, said.append, "at 4 s")
        loop.call_later(10, stopping.set)
        await runnables.run(stopping)

    run_virtual(main())
    assert said == ["cache starts", "late starts", "at 4 s", "late ends", "cache ends"]


def test_what_is_added_to_a_manager_that_stops_or_has_stopped_is_refused() -> None:
    said: list[str] = []

    async def main() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        manager = Manager(InProcessTransport(ApiServer(wall=LoopWallClock())))
        manager.add(Part("slow", said, ends_after=5), name="slow")
        loop.call_later(10, stopping.set)
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run(stopping))
            await asyncio.sleep(12)
            with pytest.raises(ShutdownError, match="late cannot be added: the manager stops, or has stopped"):
                manager.add(Part("late", said), name="late")
        with pytest.raises(ShutdownError, match="late cannot be added"):
            manager.add(Part("late", said), name="late")
        with pytest.raises(ConfigurationError, match="a manager runs once"):
            await manager.run(stopping)

    run_virtual(main())
    assert said == ["slow starts", "slow ends"]


def test_a_controller_that_is_added_to_a_running_manager_reconciles_what_is_there() -> None:
    seen: list[str] = []

    async def reconcile(request: Request) -> None:
        seen.append(request.name)

    async def main() -> None:
        stopping = asyncio.Event()
        manager = Manager(InProcessTransport(ApiServer(wall=LoopWallClock())))
        await manager.client.create({"metadata": {"name": "there"}}, resource=NAMESPACES)
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run(stopping))
            await asyncio.sleep(5)
            controller_managed_by(manager).for_(NAMESPACES).complete(reconcile)
            await asyncio.sleep(5)
            stopping.set()

    run_virtual(main())
    assert "there" in seen


class ClosedOnce(InProcessTransport):
    closed = 0

    async def aclose(self) -> None:
        self.closed += 1
        await super().aclose()


@pytest.mark.parametrize("crashes_after", [None, 2])
def test_the_manager_closes_its_transport_however_it_ends(crashes_after: float | None) -> None:
    async def main() -> int:
        transport = ClosedOnce(ApiServer(wall=LoopWallClock()))
        manager = Manager(transport)
        said: list[str] = []
        manager.add(Part("mine", said, crashes_after=crashes_after), name="mine")
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(5, stopping.set)
        with contextlib.suppress(ValueError):
            await manager.run(stopping)
        assert said == (["mine starts"] if crashes_after else ["mine starts", "mine ends"])
        return transport.closed

    assert run_virtual(main()) == 1


@pytest.mark.asyncio
async def test_the_manager_shows_its_cache_and_checks_of_the_user_on_readyz() -> None:
    manager = Manager(InProcessTransport(ApiServer(wall=LoopWallClock())), health_address="127.0.0.1:0")
    manager.cache.informer(NotificationRequest)
    problems: list[str] = ["warming up"]
    manager.add_ready_check("mine", lambda: problems[0] if problems else None)
    stopping = asyncio.Event()
    assert manager.health is not None
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        group.create_task(manager.run(stopping))
        while manager.health.port is None:  # noqa: ASYNC110  # a real socket, and it says nothing when it is open
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{manager.health.port}"
        async with session.get(f"{url}/readyz") as answer:
            text = await answer.text()
            assert answer.status == 500
        assert "[-]cache failed: cache of notificationrequests.kubernaut.ai" in text
        assert "[-]mine failed: warming up" in text
        problems.clear()
        async with session.get(f"{url}/readyz/mine") as answer:
            assert answer.status == 200
        async with session.get(f"{url}/healthz") as answer:
            assert await answer.text() == "ok"
        stopping.set()


def test_two_controllers_of_one_name_are_refused() -> None:
    async def main() -> None:
        manager = Manager(InProcessTransport(ApiServer(wall=LoopWallClock())))

        async def reconcile(_: object) -> None:
            return None

        controller_managed_by(manager).for_(NotificationRequest).complete(reconcile)
        with pytest.raises(ConfigurationError, match="'notificationrequest' already"):
            controller_managed_by(manager).for_(NotificationRequest).complete(reconcile)
        with pytest.raises(ConfigurationError, match="for_"):
            controller_managed_by(manager).complete(reconcile)

    run_virtual(main())
