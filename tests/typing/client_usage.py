"""The client as the type checkers see it; never run."""

from __future__ import annotations

from typing import assert_type

from reconciler.api import KubeObject, ObjectKey, ResourceType
from reconciler.client import Client, JsonObject, ObjectList, Reader, WatchEvent, Writer


class Widget(KubeObject):
    resource = ResourceType("example.com", "v1", "Widget", "widgets")


UNTYPED = Widget.resource
KEY = ObjectKey("default", "a")


def a_client_is_a_reader_and_a_writer(client: Client) -> tuple[Reader, Writer]:
    return client, client


async def a_model_gives_instances(reader: Reader, client: Client, widget: Widget) -> None:
    assert_type(await reader.get(Widget, KEY), Widget)
    assert_type(await client.get(Widget, KEY), Widget)
    assert_type(await client.list(Widget), ObjectList[Widget])
    assert_type(await client.create(widget), Widget)
    assert_type(await client.update(widget), Widget)
    assert_type(await client.patch(Widget, KEY, {"spec": {"size": 3}}), Widget)
    assert_type(await client.status.update(widget), Widget)
    assert_type(await client.status.patch(Widget, KEY, {"status": {"size": 3}}), Widget)
    async with client.watch(Widget) as events:
        async for event in events:
            assert_type(event, WatchEvent[Widget])


async def a_resource_type_gives_dictionaries(writer: Writer, client: Client, obj: JsonObject) -> None:
    assert_type(await client.get(UNTYPED, KEY), JsonObject)
    assert_type(await client.list(UNTYPED), ObjectList[JsonObject])
    assert_type(await writer.create(obj, resource=UNTYPED), JsonObject)
    assert_type(await writer.status.patch(UNTYPED, KEY, {}), JsonObject)
    await client.create(obj)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue,reportArgumentType]  # an untyped object needs its resource
