"""Read-your-writes: a read that waits until the cache has seen what this controller wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache, CachedReader
from reconciler.cache.last_writes import LastWrites
from reconciler.client import Client, HttpRequest, HttpResponse, JsonObject, RestClient, Written
from reconciler.clock import LoopWallClock
from reconciler.errors import CacheNotSyncedError, ConfigurationError, MalformedObjectError, NotFoundError
from reconciler.journal import Cause, current_cause
from reconciler.testing import InProcessTransport
from tests.definitions import definition

from .objects import WIDGETS, Widget, wire
from .world import CRD, KEY, World, in_world

LAG_SECONDS = 2.0


@contextmanager
def a_pass_of(controller: str) -> Generator[None, None, None]:
    token = current_cause.set(Cause(1, controller, "default/a"))
    try:
        yield
    finally:
        current_cause.reset(token)


@contextmanager
def lag(world: World, seconds: float = LAG_SECONDS) -> Generator[None, None, None]:
    """The watch brings nothing for a while from now on."""
    world.transport.may_pass.clear()
    asyncio.get_running_loop().call_later(seconds, world.transport.may_pass.set)
    yield


def reader_of(world: World) -> CachedReader:
    return world.reader(client=world.client, own_writes_timeout=timedelta(seconds=10))


def test_a_read_after_an_own_create_finds_it_so_no_second_one_is_made() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"), lag(world):
                await world.write("a", 1)
                # A plain read is stale: whoever asks "is it there?" here makes a duplicate.
                with pytest.raises(NotFoundError):
                    await reader.get(Widget, KEY)
                assert (await reader.list(Widget)).items == ()
                assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 1
                assert asyncio.get_running_loop().time() >= LAG_SECONDS

    in_world(story)


def test_a_list_waits_for_every_own_write_of_the_kind() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        await world.write("old", 1)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"), lag(world):
                await world.write("a", 1)
                await world.resize("old", 5)
                found = await reader.list(Widget, namespace="default", after_own_writes=True)
                assert {item.metadata.name: item.spec.size for item in found} == {"a": 1, "old": 5}

    in_world(story)


def test_a_read_after_an_own_deletion_finds_nothing() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        await world.write("a", 1)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"), lag(world):
                await world.delete("a")
                assert (await reader.get(Widget, KEY)).spec.size == 1
                with pytest.raises(NotFoundError):
                    await reader.get(Widget, KEY, after_own_writes=True)
                assert (await reader.by_index(WIDGETS, "all", "x", after_own_writes=True)).items == ()

    def with_index(world: World) -> object:
        world.cache.informer(WIDGETS).add_index("all", lambda item: ["x"])
        return story(world)

    in_world(with_index)  # type: ignore[arg-type]  # it returns the story's coroutine


def test_an_object_that_somebody_made_anew_after_our_deletion_is_found() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        await world.write("a", 1)
        async with world.running():
            await world.sizes()
            with lag(world):
                with a_pass_of("c"):
                    await world.delete("a")
                await world.write("a", 2)
            await asyncio.sleep(LAG_SECONDS + 1)
            before = asyncio.get_running_loop().time()
            with a_pass_of("c"):
                assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 2
                assert asyncio.get_running_loop().time() == before

    in_world(story)


def test_other_controllers_writes_and_other_objects_are_not_waited_for() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        await world.write("a", 1)
        await world.write("b", 1)
        async with world.running():
            await world.sizes()
            with lag(world):
                with a_pass_of("other"):
                    await world.resize("a", 2)
                with a_pass_of("c"):
                    await world.resize("b", 2)
                    assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 1
                    assert (await reader.list(Widget, namespace="elsewhere", after_own_writes=True)).items == ()
                    assert asyncio.get_running_loop().time() < LAG_SECONDS
                    got = await reader.get(Widget, ObjectKey("default", "b"), after_own_writes=True)
                    assert got.spec.size == 2

    in_world(story)


def test_a_write_that_is_not_seen_in_time_is_an_error_that_names_it() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        await world.write("a", 1)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"), lag(world, 60):
                await world.resize("a", 2)
                version = world.server.revision
                for _ in range(2):
                    with pytest.raises(CacheNotSyncedError) as caught:
                        await reader.get(Widget, KEY, after_own_writes=True)
                    assert str(caught.value).endswith(
                        f"within 10 s it has not seen the write (version {version}) of widgets default/a"
                    )
                assert asyncio.get_running_loop().time() == pytest.approx(20, abs=2)

    in_world(story)


def test_writes_that_were_refused_or_dry_or_changed_nothing_are_not_waited_for() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        await world.write("a", 1)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"), lag(world):
                await world.resize("a", 1)
                with pytest.raises(NotFoundError):
                    await world.resize("nobody", 1)
                await world.client.delete(WIDGETS, KEY, dry_run=True)
                await world.client.patch(WIDGETS, KEY, {"spec": {"size": 9}}, dry_run=True)
                await reader.list(Widget, after_own_writes=True)
                assert asyncio.get_running_loop().time() < LAG_SECONDS

    in_world(story)


def test_without_a_client_to_follow_it_is_refused_rather_than_not_done() -> None:
    async def story(world: World) -> None:
        async with world.running():
            with pytest.raises(ConfigurationError, match="was given the client"):
                await world.reader().get(Widget, KEY, after_own_writes=True)

    in_world(story)


def test_a_write_of_another_group_with_the_same_plural_is_not_waited_for() -> None:
    others = ResourceType("other.example.com", "v1", "Widget", "widgets")

    async def story(world: World) -> None:
        await world.client.create(definition(others, spec={}, status={}), resource=CUSTOM_RESOURCE_DEFINITION)
        await world.write("a", 1)
        await asyncio.sleep(1)
        reader = reader_of(world)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"), lag(world):
                await world.client.create({"metadata": {"name": "a", "namespace": "default"}}, resource=others)
                before = asyncio.get_running_loop().time()
                assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 1
                assert asyncio.get_running_loop().time() == before

    in_world(story)


def answered(verb: str, name: str, answer: object) -> Written:
    return Written("c", verb, WIDGETS, ObjectKey("default", name), "", "", msgspec.json.encode(answer))


def test_no_more_writes_and_deletions_are_kept_than_the_bounds() -> None:
    writes = LastWrites(writes_max=3, deletions_max=2)
    for number in range(10):
        writes.take(answered("create", f"w{number}", wire(f"w{number}", 5)))
    for number in range(5):
        gone = {"kind": "Status", "status": "Success", "details": {"uid": "u"}}
        writes.take(answered("delete", f"d{number}", gone))
    assert len(writes) == 5
    assert writes.keys(WIDGETS, "c") == {ObjectKey("default", f"w{number}") for number in (7, 8, 9)}


def listed(*items: JsonObject) -> Written:
    return answered("deletecollection", "", {"kind": "WidgetList", "items": items})


def scaled(name: str, version: int) -> Written:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(version)}
    answer = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": 1}}
    return replace(answered("patch", name, answer), subresource="scale")


# Of the far future, which no watch of the story comes to.
FAR = 1_000_000


@pytest.mark.parametrize(
    ("writes", "unseen"),
    [
        pytest.param([scaled("a", FAR)], f"the write (version {FAR}) of widgets default/a", id="shown"),
        pytest.param([scaled("b", FAR)], "", id="not shown, labels unknown"),
        pytest.param(
            [answered("create", "b", wire("b", FAR, labels={"app": "web"})), scaled("b", FAR + 1)],
            f"the write (version {FAR + 1}) of widgets default/b",
            id="about to be shown",
        ),
        pytest.param(
            [answered("create", "b", wire("b", FAR, labels={"app": "db"})), scaled("b", FAR + 1)], "", id="left out"
        ),
        pytest.param(
            [answered("create", "b", wire("b", 1, labels={"app": "web"})), scaled("b", FAR)],
            "",
            id="shown before, and no more",
        ),
        pytest.param(
            [
                answered("create", "b", wire("b", 1, labels={"app": "web"})),
                scaled("b", FAR),
                scaled("b", FAR + 1),
            ],
            "",
            id="the same, scaled twice",
        ),
        pytest.param(
            [answered("create", "b", wire("b", FAR, uid="x", labels={"app": "web"})), scaled("b", FAR + 1)],
            "",
            id="another object of the name",
        ),
    ],
)
def test_a_scale_is_waited_for_where_the_label_selector_is_known_to_have_its_object(
    writes: list[Written], unseen: str
) -> None:
    async def story(world: World) -> None:
        world.cache.options(WIDGETS, label_selector="app=web")
        await world.write("a", 1, labels={"app": "web"})
        async with world.running():
            assert await world.sizes() == {"a": 1}
            last = LastWrites()
            for written in writes:
                last.take(written)
            assert last.unseen(world.cache.informer(WIDGETS), "c", key=None) == unseen

    in_world(story)


@pytest.mark.parametrize(
    ("writes", "unseen"),
    [
        pytest.param(
            [listed(wire("b", FAR))], f"the state before the deletion (version {FAR}) of widgets default/b", id="found"
        ),
        pytest.param(
            [answered("patch", "b", wire("b", FAR + 1)), listed(wire("b", FAR))],
            f"the write (version {FAR + 1}) of widgets default/b",
            id="written while the collection was deleted",
        ),
        pytest.param([listed(wire("b", FAR)), answered("delete", "b", wire("b", FAR))], "", id="gone since then"),
        pytest.param([listed(wire("b", 1))], "", id="found, gone and seen"),
    ],
)
def test_what_the_deletion_of_a_collection_found_is_waited_for(writes: list[Written], unseen: str) -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        async with world.running():
            await world.sizes()
            last = LastWrites()
            for written in writes:
                last.take(written)
            assert last.unseen(world.cache.informer(WIDGETS), "c", key=None) == unseen

    in_world(story)


def test_a_deletion_whose_event_came_before_its_answer_is_not_waited_for() -> None:
    async def story(world: World) -> None:
        world.client = Client(RestClient(LateAnswers(InProcessTransport(world.server))))
        reader = reader_of(world)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"):
                await world.write("a", 1)
                await world.delete("a")
                assert await world.sizes() == {}
                began = asyncio.get_running_loop().time()
                other = Client(RestClient(InProcessTransport(world.server)))
                await other.create(made(2), resource=WIDGETS)
                await world.sizes()
                assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 2
                assert asyncio.get_running_loop().time() - began < LAG_SECONDS

    in_world(story)


def made(size: int) -> JsonObject:
    return {"metadata": {"name": "a", "namespace": "default"}, "spec": {"size": size}}


class LateAnswers:
    """A transport whose answers come a second late."""

    def __init__(self, inner: InProcessTransport) -> None:
        self._inner = inner
        self.stream = inner.stream
        self.aclose = inner.aclose

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer = await self._inner.send(request)
        await asyncio.sleep(1)
        return answer


def test_the_writes_of_another_clusters_client_are_nothing_to_a_reader() -> None:
    async def story(world: World) -> None:
        elsewhere = ApiServer(wall=LoopWallClock())
        other = Client(RestClient(InProcessTransport(elsewhere)), journal=world.journal)
        await other.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        other_cache = Cache(RestClient(InProcessTransport(elsewhere)))
        other_reader = CachedReader(other_cache, client=other)
        reader = reader_of(world)
        async with world.running(), asyncio.TaskGroup() as group:
            running = group.create_task(other_cache.run())
            await asyncio.sleep(0)
            await world.sizes()
            assert (await other_reader.list(Widget)).items == ()
            with a_pass_of("c"):
                # Each has a version that the other server will not come to for long.
                for size in range(20):
                    await other.create({"metadata": {"name": f"b{size}", "namespace": "default"}}, resource=WIDGETS)
                await world.write("a", 1)
                before = asyncio.get_running_loop().time()
                assert len(await reader.list(Widget, after_own_writes=True)) == 1
                assert len(await other_reader.list(Widget, after_own_writes=True)) == 20
                assert asyncio.get_running_loop().time() - before < 1
            running.cancel()

    in_world(story)


def test_a_reader_follows_as_many_clients_of_its_server_as_it_is_given() -> None:
    async def story(world: World) -> None:
        reader, second = reader_of(world), Client(RestClient(InProcessTransport(world.server)), field_owner="second")
        reader.follow(second)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"), lag(world):
                await second.create(made(3), resource=WIDGETS)
                assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 3

    in_world(story)


def test_an_own_write_that_the_cache_cannot_read_is_an_error_with_the_reason_and_no_old_state() -> None:
    def refuse_nine(obj: JsonObject) -> JsonObject:
        if obj["spec"]["size"] == 9:
            raise ValueError("hunter2")
        return obj

    async def story(world: World) -> None:
        reader = reader_of(world)
        world.cache.options(Widget, transform=refuse_nine)
        await world.write("a", 1)
        await world.write("b", 1)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"):
                await world.resize("a", 9)
                for _ in range(2):
                    with pytest.raises(MalformedObjectError, match=r"default/a: .* its transform failed") as caught:
                        await reader.get(Widget, KEY, after_own_writes=True)
                    assert "hunter2" not in str(caught.value)
                    with pytest.raises(MalformedObjectError, match="default/a: "):
                        await reader.list(Widget, after_own_writes=True)
                # A plain read shows the last state that could be read, and the other objects are read as ever.
                assert (await reader.get(Widget, KEY)).spec.size == 1
                assert (await reader.get(Widget, ObjectKey("default", "b"), after_own_writes=True)).spec.size == 1
                assert len(await reader.list(Widget, namespace="elsewhere", after_own_writes=True)) == 0
            with a_pass_of("d"):
                assert len(await reader.list(Widget, after_own_writes=True)) == 2
            with a_pass_of("c"):
                await world.resize("a", 3)
                assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 3
                assert len(await reader.list(Widget, after_own_writes=True)) == 2

    in_world(story)


def test_an_index_that_lacks_an_own_write_is_an_error_only_for_who_asks_it() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        world.cache.index_field(Widget, "share", lambda widget: [str(12 // widget.spec.size)])
        async with world.running():
            await world.sizes()
            with a_pass_of("c"):
                await world.write("a", 0)
                with pytest.raises(MalformedObjectError, match=r"default/a: .*not in index 'share'"):
                    await reader.list(Widget, field_selector="share=1", after_own_writes=True)
                assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 0
                assert len(await reader.list(Widget, after_own_writes=True)) == 1

    in_world(story)


def test_an_object_that_never_could_be_read_is_not_said_to_be_missing() -> None:
    def refuse(obj: JsonObject) -> JsonObject:
        raise ValueError

    async def story(world: World) -> None:
        world.cache.options(Widget, transform=refuse)
        await world.write("a", 1)
        async with world.running():
            assert await world.sizes() == {}
            with pytest.raises(MalformedObjectError, match="default/a: the cache could not read it"):
                await world.reader().get(Widget, KEY)
            with pytest.raises(NotFoundError):
                await world.reader().get(Widget, ObjectKey("default", "nobody"))

    in_world(story)


def test_who_waits_for_an_own_write_of_a_kind_that_is_released_is_told_so() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"), lag(world, 60):
                await world.write("a", 1)
                waiting = asyncio.create_task(reader.get(Widget, KEY, after_own_writes=True))
                await asyncio.sleep(1)
                world.cache.release(Widget)
                with pytest.raises(CacheNotSyncedError, match="released"):
                    await waiting
                assert asyncio.get_running_loop().time() < LAG_SECONDS + 2

    in_world(story)
