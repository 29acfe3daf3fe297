"""What a kubebuilder user reaches for, through the front door, as the type checkers see it; never run."""

from __future__ import annotations

from typing import Any, assert_type

import reconciler
from reconciler import (
    ApiModel,
    CachedReader,
    Client,
    ConnectionFailedError,
    FieldSelector,
    InvalidError,
    JsonPatch,
    KindOptions,
    KubeObject,
    LabelSelector,
    NoMatchError,
    NotFoundError,
    ObjectKey,
    OperationResult,
    RateLimitedTransport,
    ResourceType,
    RestClient,
    RestMapper,
    StrategicMergePatch,
    Transport,
    add_finalizer,
    contains_finalizer,
    create_or_patch,
    create_or_update,
    is_condition_true,
    merge_from,
    remove_finalizer,
    retry_on_conflict,
    set_controller_reference,
    set_owner_reference,
)
from reconciler.client import JsonObject, Upserted


class WidgetSpec(ApiModel):
    size: int = 1


class Widget(KubeObject):
    resource = ResourceType("example.com", "v1", "Widget", "widgets")
    spec: WidgetSpec = WidgetSpec()


KEY = ObjectKey("default", "a")
HOLD = "example.com/hold"


def grow(widget: Widget) -> None:
    widget.spec.size += 1


def grow_untyped(widget: JsonObject) -> None:
    widget["spec"]["size"] += 1


async def an_object_is_brought_into_a_state(client: Client, widget: Widget, obj: JsonObject) -> OperationResult:
    assert_type(await create_or_update(client, widget, grow), Upserted[Widget])
    assert_type(await create_or_patch(client, widget, grow, optimistic_lock=True), Upserted[Widget])
    assert_type(await create_or_update(client, obj, grow_untyped, resource=Widget.resource), Upserted[JsonObject])
    await create_or_update(client, widget, grow_untyped)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType,reportCallIssue]  # it changes a dictionary
    result, stored = await create_or_update(client, widget, grow)
    assert_type(stored, Widget)
    return result


async def patches_have_their_forms(client: Client, old: Widget, new: Widget) -> None:
    merge = merge_from(old, new, optimistic_lock=True)
    assert_type(merge, dict[str, Any])
    assert_type(await client.patch(Widget, KEY, merge), Widget)
    assert_type(await client.patch(Widget, KEY, JsonPatch().test("/spec/size", 1).replace("/spec/size", 2)), Widget)
    assert_type(await client.patch(Widget, KEY, StrategicMergePatch({"spec": {"size": 2}})), Widget)
    await client.patch(Widget, KEY, [{"op": "remove", "path": "/spec"}])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]  # a list is no patch


async def a_conflict_is_tried_again(client: Client) -> Widget:
    async def attempt() -> Widget:
        fresh = await client.get(Widget, KEY)
        grow(fresh)
        return await client.update(fresh)

    assert_type(await retry_on_conflict(attempt), Widget)
    await retry_on_conflict(client.get(Widget, KEY))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a coroutine runs once
    return await retry_on_conflict(attempt)


def owners_and_finalizers_say_whether_anything_changed(owner: Widget, child: KubeObject, obj: JsonObject) -> None:
    assert_type(set_controller_reference(owner, child), bool)
    assert_type(set_owner_reference(owner, obj), bool)
    assert_type(add_finalizer(child, HOLD), bool)
    assert_type(contains_finalizer(obj, HOLD), bool)
    assert_type(remove_finalizer(child, HOLD), bool)
    assert_type(is_condition_true([], "Ready"), bool)
    add_finalizer(child)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # which one?


async def selectors_are_values(client: Client) -> None:
    labels = LabelSelector().in_("team", ["blue", "green"]).absent("retired")
    fields = FieldSelector().equal("metadata.name", "a")
    await client.list(Widget, label_selector=labels, field_selector=fields)
    await client.list(Widget, label_selector=fields)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]  # of the other sort


async def a_cache_takes_the_same_selectors(reader: CachedReader) -> None:
    await reader.list(Widget, label_selector={"app": "web"}, field_selector=FieldSelector({"metadata.name": "a"}))
    await reader.list(Widget, label_selector=42)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]  # no selector
    KindOptions(field_selector=LabelSelector())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # of the other sort


async def kinds_are_found_and_narrowed(transport: Transport, obj: JsonObject) -> KindOptions:
    slow = RateLimitedTransport(transport, qps=20, burst=30)
    assert_type(await RestMapper(slow).resource_of(obj), ResourceType)
    assert_type(Client(RestClient(slow)).rest, RestClient)
    return KindOptions(label_selector=str(LabelSelector().exists("team")))


async def errors_are_told_apart(client: Client) -> Widget | None:
    try:
        return await client.get(Widget, KEY)
    except NoMatchError as error:
        raise RuntimeError(error.doing) from error
    except NotFoundError:
        return None
    except InvalidError as error:
        raise RuntimeError([cause.field for cause in error.status.causes]) from error
    except ConnectionFailedError as error:
        raise RuntimeError(error.status) from error  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # no answer came


def misspelt() -> object:
    return reconciler.create_or_replace  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # no such name
