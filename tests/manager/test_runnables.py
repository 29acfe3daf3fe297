from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from reconciler.apiserver import ApiServer
from reconciler.builder import controller_managed_by
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationRequest
from reconciler.errors import ConfigurationError, ShutdownError
from reconciler.manager import Group, Manager, run_in_order
from reconciler.testing import InProcessTransport, run_virtual


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
        named = [(group, part.name, part) for group, part in parts]
        await run_in_order(named, stopping=stopping, grace=timedelta(seconds=grace))
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
