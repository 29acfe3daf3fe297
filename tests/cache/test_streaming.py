"""Lists that come as a stream: the machine, the embedded server, a real one."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from reconciler.api import ObjectKey, ResourceType
from reconciler.cache import Cache, CachedReader
from reconciler.cache.listwatch import ListPage, ListWatch, OpenWatch, Step, StreamList, Wait
from reconciler.cache.store import Put, Replaced, Unread, Unreadable
from reconciler.cache.trouble import Trouble
from reconciler.cache.wire import Bookmark, Change, ChangeType, UnreadableChange
from reconciler.client import AiohttpTransport, Client, HttpResponse, RestClient, load_config
from reconciler.envtest import RealServer
from reconciler.errors import (
    ApiStatus,
    BadRequestError,
    ConnectionFailedError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    ReconcilerError,
)
from reconciler.event import Event

from .objects import Widget, encoded
from .test_listwatch import at
from .world import World, in_world, refusal, words


def streaming() -> ListWatch:
    machine = ListWatch(Random(1), is_streaming=True)
    machine.watch_opened(now=at(0))
    return machine


def added(name: str, version: int) -> Change:
    return Change(ChangeType.ADDED, encoded(name, version))


def after_waiting(machine: ListWatch) -> Step:
    assert isinstance(machine.step, Wait)
    machine.waited()
    return machine.step


def test_a_streamed_list_is_told_whole_at_its_end_and_the_same_watch_goes_on() -> None:
    machine = streaming()
    step = machine.step
    assert isinstance(step, StreamList)
    a, b = encoded("a", 3), encoded("b", 4)
    assert machine.line_came(Change(ChangeType.ADDED, a), now=at(0)) is None
    assert machine.line_came(Bookmark("5"), now=at(0)) is None
    assert machine.line_came(Change(ChangeType.ADDED, b), now=at(0)) is None
    # No version counts before the end: a watch from it would miss what had not been sent yet.
    assert machine.resource_version == ""
    assert machine.line_came(Bookmark("9", is_list_end=True), now=at(0)) == Replaced((a, b))
    assert (machine.resource_version, machine.step) == ("9", step)
    c = encoded("c", 10)
    assert machine.line_came(Change(ChangeType.ADDED, c), now=at(1)) == Put(c)
    machine.stream_ended(now=at(2))
    assert isinstance(machine.step, OpenWatch)
    assert machine.step.resource_version == "10"


def test_what_changes_while_the_list_is_streamed_is_in_it_as_it_is_at_the_end() -> None:
    machine = streaming()
    machine.line_came(added("a", 3), now=at(0))
    machine.line_came(added("b", 4), now=at(0))
    new, bad = encoded("a", 6), Unreadable(ObjectKey("default", "x"), "no")
    machine.line_came(Change(ChangeType.MODIFIED, new), now=at(0))
    machine.line_came(Change(ChangeType.DELETED, encoded("b", 7)), now=at(0))
    machine.line_came(UnreadableChange(ChangeType.ADDED, bad, "8"), now=at(0))
    assert machine.line_came(Bookmark("9", is_list_end=True), now=at(0)) == Replaced((new,), (bad,))
    assert machine.line_came(UnreadableChange(ChangeType.DELETED, bad, "12"), now=at(0)) == Unread(bad, is_gone=True)
    assert machine.resource_version == "12"


@pytest.mark.parametrize("error", [BadRequestError(ApiStatus(400)), InvalidError(ApiStatus(422))], ids=repr)
def test_a_server_without_streamed_lists_is_asked_for_pages_at_once_and_for_good(error: ReconcilerError) -> None:
    machine = ListWatch(Random(1), is_streaming=True)
    machine.failed(error, now=at(0))
    assert (machine.step, machine.trouble) == (ListPage(), Trouble.NONE)
    machine.failed(ExpiredError(ApiStatus(410)), now=at(1))
    assert after_waiting(machine) == ListPage()


@pytest.mark.parametrize("how", ["silence", "end", "connection", "forbidden", "expired"])
def test_a_streamed_list_that_breaks_off_is_done_by_pages_and_nothing_of_it_is_told(how: str) -> None:
    machine = streaming()
    machine.line_came(added("a", 3), now=at(0))
    match how:
        case "silence":
            machine.fell_silent()
        case "end":
            machine.stream_ended(now=at(1))
        case "connection":
            machine.failed(ConnectionFailedError("reset"), now=at(1))
        case "forbidden":
            machine.failed(ForbiddenError(ApiStatus(403)), now=at(1))
        case _:
            machine.line_came(ExpiredError(ApiStatus(410)), now=at(1))
    assert (machine.step if how == "silence" else after_waiting(machine)) == ListPage()
    assert machine.resource_version == ""


def test_a_later_list_is_streamed_again_and_begins_empty() -> None:
    machine = streaming()
    machine.line_came(added("a", 3), now=at(0))
    machine.line_came(Bookmark("9", is_list_end=True), now=at(0))
    machine.line_came(ExpiredError(ApiStatus(410)), now=at(1))
    assert isinstance(after_waiting(machine), StreamList)
    machine.watch_opened(now=at(2))
    assert machine.line_came(Bookmark("20", is_list_end=True), now=at(2)) == Replaced(())


def test_a_reflector_that_is_stopped_goes_on_from_its_version_or_streams_the_list_anew() -> None:
    machine = streaming()
    machine.line_came(added("a", 3), now=at(0))
    machine.stopped()
    assert isinstance(machine.step, StreamList)
    machine.watch_opened(now=at(1))
    assert machine.line_came(Bookmark("9", is_list_end=True), now=at(1)) == Replaced(())
    machine.stopped()
    assert isinstance(machine.step, OpenWatch)
    assert machine.step.resource_version == "9"


def test_a_cache_that_streams_asks_for_no_list_and_follows_what_happens() -> None:
    async def story(world: World) -> None:
        for name in ("a", "b"):
            await world.write(name, 1)
        told: list[str] = []
        world.cache.informer(Widget).add_handler(lambda event: told.append(words(event)))
        async with world.running():
            assert await world.sizes() == {"a": 1, "b": 1}
            await world.resize("a", 2)
            await world.delete("b")
            assert await world.sizes() == {"a": 2}
            world.transport.is_down = True
            world.transport.cut()
            await world.delete("a")
            world.server.compact()
            await asyncio.sleep(1)
            world.transport.is_down = False
            await asyncio.sleep(60)
            assert await world.sizes() == {}
        assert world.transport.asked("list") == []
        assert told == ["create a initial", "create b initial", "update a", "delete b", "delete a missed"]

    in_world(story, streaming_list=True)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refusal(422, "Invalid", "sendInitialEvents is forbidden for watch"), id="switched off"),
        pytest.param(HttpResponse(200, {}, b""), id="ends before the list did"),
    ],
)
def test_a_cache_falls_back_to_pages_where_lists_are_not_streamed(answer: HttpResponse) -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        world.transport.watches.append(answer)
        async with world.running():
            assert await world.sizes() == {"a": 1}
            await world.resize("a", 2)
            assert await world.sizes() == {"a": 2}
        assert len(world.transport.asked("list")) == 1

    in_world(story, streaming_list=True)


@pytest.mark.asyncio
async def test_a_real_server_streams_lists_whole_metadata_only_and_per_namespace(
    real_server: RealServer, real_namespace: str
) -> None:
    config_maps = ResourceType("", "v1", "ConfigMap", "configmaps")
    transport = AiohttpTransport(await load_config(kubeconfig=real_server.kubeconfig))
    rest = RestClient(transport)

    async def write(name: str) -> None:
        body = {"metadata": {"name": name, "namespace": real_namespace, "labels": {"app": "web"}}, "data": {"x": name}}
        await Client(rest).create(body, resource=config_maps)

    asked: list[str] = []
    list_page = rest.list_page

    async def counted(*args: Any, **options: Any) -> bytes:
        asked.append("list")
        return await list_page(*args, **options)

    rest.list_page = counted  # type: ignore[method-assign]  # only counts
    told: list[Event] = []
    try:
        await write("a")
        cache, stopping = Cache(rest, streaming_list=True, namespaces=[real_namespace, "default"]), asyncio.Event()
        cache.options(config_maps, metadata_only=True, label_selector="app=web")
        cache.informer(config_maps).add_handler(told.append)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(cache.run(stopping))
            await asyncio.sleep(0)
            (first,) = await CachedReader(cache).list(config_maps)
            await write("b")
            while len(told) < 2:
                await cache.news.wait()
            found = await CachedReader(cache).list(config_maps, namespace=real_namespace)
            stopping.set()
    finally:
        await transport.aclose()
        # The broken-off watches' TLS ends a moment later, and the loop must still be there.
        await asyncio.sleep(0.1)

    assert (first["kind"], first["apiVersion"], first["metadata"]["name"]) == ("ConfigMap", "v1", "a")
    assert [(item["metadata"]["name"], "data" in item) for item in found] == [("a", False), ("b", False)]
    assert [words(event) for event in told] == ["create a initial", "create b"]
    assert asked == []
