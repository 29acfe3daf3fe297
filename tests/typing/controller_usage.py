"""A controller through the front door, as the type checkers see it; never run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, assert_type

from pydantic import Field

import reconciler
from reconciler import (
    AiohttpTransport,
    ApiModel,
    Builder,
    CachedReader,
    Client,
    Condition,
    Controller,
    EventRecorder,
    KubeObject,
    Manager,
    ObjectKey,
    Reconciler,
    Request,
    RestClient,
    Result,
    StatusManager,
    TerminalError,
    controller_managed_by,
    explain,
    find_condition,
    load_config,
    set_condition,
)
from reconciler.journal import Explanation, LostWakeUp
from reconciler.status import StatusWrite


class WidgetSpec(ApiModel):
    size: int = 1


class WidgetStatus(ApiModel):
    observed_generation: int = 0
    conditions: list[Condition] = Field(default_factory=list[Condition])


class Widget(KubeObject):
    resource: ClassVar = reconciler.ResourceType("example.com", "v1", "Widget", "widgets")
    spec: WidgetSpec = WidgetSpec()
    status: WidgetStatus = WidgetStatus()


class WidgetReconciler:
    def __init__(self, manager: Manager) -> None:
        self.reader = manager.cached_reader
        self.statuses = StatusManager(manager.client)
        self.recorder = manager.recorder_for("widgets")
        self.wall = manager.wall

    async def reconcile(self, request: Request) -> Result | None:
        widget = await self.reader.get(Widget, request.key)
        assert_type(widget, Widget)
        if widget.spec.size < 0:
            raise TerminalError(f"{request}: spec.size must not be negative, is {widget.spec.size}")
        write = await self.statuses.write(widget, self.observe)
        assert_type(write, StatusWrite[Widget, bool])
        if write.was_needed:
            self.recorder.event(write.stored, "Normal", "Observed", "seen")
        return Result(requeue_after=timedelta(minutes=5))

    def observe(self, fresh: Widget) -> bool:
        now: datetime = self.wall.now()
        ready = Condition(type="Ready", status="True", reason="Seen", last_transition_time=now)
        assert_type(find_condition(fresh.status.conditions, "Ready"), Condition | None)
        return set_condition(fresh.status.conditions, ready)


async def as_a_function(request: Request) -> Result | None:
    del request
    return None


def a_class_of_this_shape_is_a_reconciler(manager: Manager) -> Reconciler:
    return WidgetReconciler(manager)


def both_forms_complete_a_controller(manager: Manager) -> None:
    builder = controller_managed_by(manager).for_(Widget).with_options(max_concurrent_reconciles=2)
    assert_type(builder, Builder)
    assert_type(builder.complete(WidgetReconciler(manager)), Controller)
    assert_type(controller_managed_by(manager).named("other").for_(Widget.resource).complete(as_a_function), Controller)
    builder.complete(Widget)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a model is no reconciler


def what_a_manager_holds(manager: Manager) -> None:
    assert_type(manager.client, Client)
    assert_type(manager.cached_reader, CachedReader)
    assert_type(manager.recorder_for("widgets"), EventRecorder)


def a_history_is_data(controller: Controller, manager: Manager) -> None:
    request = Request("default", "a")
    explanation = controller.explain(request)
    assert_type(explanation, Explanation)
    assert_type(explain(manager.journal, controller.name, request), Explanation)
    lost: Sequence[LostWakeUp] = explanation.lost
    del lost


def a_condition_needs_its_time() -> Condition:
    return Condition(type="Ready", status="True", reason="Seen")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # it has no default


def a_namespace_comes_before_a_name() -> ObjectKey:
    return Request("default", "a").key


async def main() -> None:
    config = await load_config("dev.kubeconfig")
    manager = Manager(AiohttpTransport(config), namespace=config.namespace)
    both_forms_complete_a_controller(manager)
    await manager.run(asyncio.Event())


async def a_client_alone() -> None:
    async with AiohttpTransport(await load_config()) as transport:
        assert_type(await Client(RestClient(transport)).get(Widget, ObjectKey("default", "a")), Widget)


def the_front_door_has_no_other_names() -> object:
    return reconciler.Mangler  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # misspelt
