"""What part of a kind the cache holds: selectors, namespaces, metadata only, transforms."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from reconciler.api import FieldSelector, LabelSelector, ObjectKey
from reconciler.cache import Cache, KindOptions
from reconciler.client import HttpRequest, HttpResponse, JsonObject
from reconciler.errors import ConfigurationError
from reconciler.journal import Wrote
from reconciler.manager import Manager
from reconciler.testing import InProcessTransport

from .objects import WIDGETS, Widget
from .test_sync import FORBIDDEN, NAMESPACES
from .world import World, in_world, refusal, words


async def write_in(world: World, namespace: str, name: str, size: int = 0) -> None:
    body = {"metadata": {"name": name, "namespace": namespace}, "spec": {"size": size}}
    await world.client.create({"apiVersion": "example.com/v1", "kind": "Widget", **body}, resource=WIDGETS)


async def with_namespaces(world: World, *namespaces: str) -> None:
    for name in namespaces:
        await world.client.create({"metadata": {"name": name}}, resource=NAMESPACES)


async def keys(world: World, **options: Any) -> list[str]:
    await asyncio.sleep(0.001)
    return [f"{item.metadata.namespace}/{item.metadata.name}" for item in await world.reader().list(Widget, **options)]


@pytest.mark.parametrize(
    ("selector", "fields"),
    [
        ("app=web", "metadata.name!=c"),
        (LabelSelector({"app": "web"}), FieldSelector().not_equal("metadata.name", "c")),
        ({"app": "web"}, "metadata.name!=c"),
    ],
)
def test_a_kind_with_selectors_holds_what_fits_and_an_object_that_stops_fitting_leaves(
    selector: object, fields: object
) -> None:
    async def story(world: World) -> None:
        world.cache.options(Widget, label_selector=selector, field_selector=fields)
        for name in ("a", "b", "c"):
            await world.write(name, labels={"app": "web"})
        await world.write("d", labels={"app": "db"})
        told: list[str] = []
        informer = world.cache.informer(Widget)
        informer.add_handler(lambda event: told.append(words(event)))
        async with world.running():
            assert sorted(await world.sizes()) == ["a", "b"]
            await world.client.patch(WIDGETS, ObjectKey("default", "a"), {"metadata": {"labels": {"app": "db"}}})
            await world.client.patch(WIDGETS, ObjectKey("default", "d"), {"metadata": {"labels": {"app": "web"}}})
            assert sorted(await world.sizes()) == ["b", "d"]
            found = await world.reader().list(Widget, label_selector=selector)
            assert [item.metadata.name for item in found] == ["b", "d"]
            assert "with labels app=web and fields metadata.name!=c" in informer.describe()
        assert told[2:] == ["delete a", "create d"]

    in_world(story)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label_selector": FieldSelector({"a": "b"})}, "label_selector takes a LabelSelector"),
        ({"field_selector": LabelSelector({"a": "b"})}, "field_selector takes a FieldSelector"),
        ({"label_selector": {"a b": "c"}}, "label key 'a b'"),
        ({"label_selector": 5}, "label_selector takes a LabelSelector"),
        ({"label_selector": "app in (web"}, "app in"),
        ({"label_selector": "app=web,,b"}, "label selector: ''"),
        ({"field_selector": "metadata.name"}, "field selector: 'metadata.name'"),
    ],
)
def test_what_is_no_selector_is_refused_when_it_is_given(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        KindOptions(**options)


def test_a_list_of_one_namespace_by_a_field_selector_is_asked_for_at_its_path() -> None:
    asked: set[str] = set()

    class Noting(InProcessTransport):
        async def send(self, request: HttpRequest) -> HttpResponse:
            asked.add(request.path)
            return await super().send(request)

    async def story(world: World) -> None:
        world.transport.move_to(Noting(world.server))
        world.cache.options(Widget, field_selector={"metadata.namespace": "default"})
        await world.write("a")
        world.cache.informer(Widget)
        async with world.running():
            assert await keys(world) == ["default/a"]
        assert asked == {"/apis/example.com/v1/namespaces/default/widgets"}

    in_world(story)


def test_several_namespaces_are_one_watch_each_and_no_other_namespace_is_held() -> None:
    async def story(world: World) -> None:
        await with_namespaces(world, "one", "two", "three")
        for namespace in ("one", "two", "three"):
            await write_in(world, namespace, "a")
        told: list[str] = []
        informer = world.cache.informer(Widget)
        informer.add_handler(lambda event: told.append(f"{words(event)} in {event.key.namespace}"))
        async with world.running():
            assert await keys(world) == ["one/a", "two/a"]
            await write_in(world, "two", "b")
            await world.client.delete(WIDGETS, ObjectKey("one", "a"))
            await write_in(world, "three", "c")
            assert await keys(world) == ["two/a", "two/b"]
            assert await keys(world, namespace="two") == ["two/a", "two/b"]
            assert await keys(world, namespace="one") == []
            with pytest.raises(ValueError, match="namespace 'one', 'two' only, not of 'three'"):
                await world.reader().list(Widget, namespace="three")
            (status,) = world.cache.statuses()
            assert (status.namespaces, status.namespace, status.objects) == (("one", "two"), "", 2)
            assert status.watch_age is not None
            assert informer.describe() == "cache of widgets.example.com in namespaces one, two: synced, 2 objects"
        assert sorted(told[:2]) == ["create a initial in one", "create a initial in two"]
        assert sorted(told[2:]) == ["create b in two", "delete a in one"]
        assert len(world.transport.asked("watch")) == 2

    in_world(story, namespaces=["one", "two"])


def test_a_new_list_of_one_namespace_does_not_touch_the_objects_of_another() -> None:
    async def story(world: World) -> None:
        await with_namespaces(world, "one", "two")
        await write_in(world, "one", "a")
        await write_in(world, "two", "b")
        async with world.running():
            assert await keys(world) == ["one/a", "two/b"]
            world.transport.is_down = True
            world.transport.cut()
            await world.client.delete(WIDGETS, ObjectKey("one", "a"))
            await write_in(world, "two", "c")
            world.server.compact()
            await asyncio.sleep(1)
            world.transport.is_down = False
            await asyncio.sleep(60)
            assert await keys(world) == ["two/b", "two/c"]

    in_world(story, namespaces=["one", "two"])


def test_a_watch_that_is_refused_in_one_namespace_does_not_end_the_wait_for_the_list_of_another() -> None:
    async def story(world: World) -> None:
        empty = HttpResponse(200, {}, b'{"metadata":{"resourceVersion":"1"},"items":[]}')
        world.transport.lists += [empty, refusal(503)]
        world.transport.watches += [FORBIDDEN]
        informer = world.cache.informer(Widget)
        async with world.running():
            await informer.wait_for_sync()
            assert informer.is_synced
            assert asyncio.get_running_loop().time() > 1.5

    in_world(story, namespaces=["default", "kube-system"])


def test_the_options_of_a_kind_stand_above_the_caches_namespaces() -> None:
    async def story(world: World) -> None:
        await with_namespaces(world, "one")
        await write_in(world, "one", "a")
        await write_in(world, "default", "b")
        world.cache.options(Widget, namespaces=[])
        async with world.running():
            assert await keys(world) == ["default/b", "one/a"]
            # A cluster-scoped kind lives in none of the cache's namespaces.
            assert len(await world.reader().list(NAMESPACES)) >= 2

    in_world(story, namespace="default")


def test_options_that_cannot_be_meant_are_refused() -> None:
    async def story(world: World) -> None:
        with pytest.raises(ConfigurationError, match="live in no namespace"):
            world.cache.options(NAMESPACES, namespaces=["one"])
        with pytest.raises(ConfigurationError, match="give a list of names"):
            world.cache.options(Widget, namespaces="default")
        with pytest.raises(ConfigurationError, match="a namespace has a name"):
            world.cache.options(Widget, namespaces=["one", ""])
        world.cache.informer(Widget)
        with pytest.raises(ConfigurationError, match="its informer is there already"):
            world.cache.options(Widget, label_selector="a=b")
        with pytest.raises(ConfigurationError, match="not both"):
            Cache(None, namespace="a", namespaces=["b"])  # type: ignore[arg-type]  # it is refused before it asks

    in_world(story)


def test_a_metadata_only_kind_is_kept_without_the_rest_and_read_by_its_resource_type() -> None:
    async def story(world: World) -> None:
        await world.write("a", 7, labels={"app": "web"})
        async with world.running():
            reader = world.reader()
            first = await reader.get(WIDGETS, ObjectKey("default", "a"))
            await world.resize("a", 8)
            await asyncio.sleep(0.001)
            again = await reader.get(WIDGETS, ObjectKey("default", "a"))
            for got in (first, again):
                assert got.keys() == {"apiVersion", "kind", "metadata"}
                assert (got["apiVersion"], got["kind"]) == ("example.com/v1", "Widget")
                assert got["metadata"]["labels"] == {"app": "web"}
            assert again["metadata"]["generation"] == first["metadata"]["generation"] + 1
            with pytest.raises(ValueError, match=r"holds the metadata of widgets\.example\.com only"):
                await reader.get(Widget, ObjectKey("default", "a"))

    in_world(story, options={Widget: KindOptions(metadata_only=True)})


def test_a_model_cannot_be_indexed_where_only_its_metadata_is_held() -> None:
    async def story(world: World) -> None:
        world.cache.options(Widget, metadata_only=True)
        with pytest.raises(ConfigurationError, match="metadata only"):
            world.cache.index_field(Widget, "size", lambda widget: [str(widget.spec.size)])
        world.cache.options(Widget)
        world.cache.index_field(Widget, "size", lambda widget: [str(widget.spec.size)])
        with pytest.raises(ConfigurationError, match="leaves it nothing to see"):
            world.cache.options(Widget, metadata_only=True)

    in_world(story)


def without_annotations(obj: JsonObject) -> JsonObject:
    obj["metadata"].pop("annotations", None)
    return obj


def test_a_transform_decides_what_is_kept_in_lists_and_in_watches() -> None:
    async def story(world: World) -> None:
        world.cache.options(
            Widget, transform=without_annotations, transform_bytes=lambda body: body.replace(b'"size":7', b'"size":1')
        )
        await world.write("a", 7, annotations={"big": "x" * 1000})
        async with world.running():
            assert await world.sizes() == {"a": 1}
            await world.write("b", 77, annotations={"big": "x" * 1000})
            assert await world.sizes() == {"a": 1, "b": 17}
            assert all(not item.metadata.annotations for item in await world.reader().list(Widget))
            assert world.cache.statuses()[0].bytes_held < 1000

    in_world(story)


def raises(obj: JsonObject) -> JsonObject:
    raise KeyError(obj["metadata"]["name"])


def renames(obj: JsonObject) -> JsonObject:
    obj["metadata"]["name"] = "other"
    return obj


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(raises, "its transform failed with KeyError"), (renames, "its transform changed name, namespace, uid or")],
)
def test_an_object_whose_transform_fails_is_reported_and_the_others_are_there(
    broken: Callable[[JsonObject], JsonObject], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    async def story(world: World) -> None:
        world.cache.options(Widget, transform=lambda obj: broken(obj) if obj["spec"]["size"] == 2 else obj)
        await world.write("a", 1)
        await world.write("b", 2)
        async with world.running():
            assert await world.sizes() == {"a": 1}
            await world.resize("a", 2)
            # The last state that could be taken in stays; the status says that it is not the present one.
            assert await world.sizes() == {"a": 1}
            assert [item.key.name for item in world.cache.statuses()[0].unreadable] == ["b", "a"]
            await world.resize("b", 3)
            await world.delete("a")
            assert await world.sizes() == {"b": 3}
            assert world.cache.statuses()[0].unreadable == ()

    in_world(story)
    assert len(caplog.records) == 2
    assert all(reason in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("narrowed", "warnings"),
    [({}, 1), ({"namespaces": ["default"]}, 0), ({"label_selector": "app=web"}, 0), ({"metadata_only": True}, 0)],
    ids=str,
)
def test_a_kind_that_is_not_narrowed_is_warned_of_once_when_it_holds_too_much(
    narrowed: dict[str, Any], warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    async def story(world: World) -> None:
        world.cache.options(Widget, **narrowed)
        async with world.running():
            informer = world.cache.informer(Widget)
            for number in range(20):
                await world.write(f"w{number}", labels={"app": "web"})
            await asyncio.sleep(0.001)
            status = informer.status()
            assert status.objects == 20
            assert status.bytes_held == sum(len(item.body) for item in informer.store) > 1000

    in_world(story, warn_above_bytes=1000)
    assert len(caplog.records) == warnings
    assert all("more than 1000: narrow it" in record.getMessage() for record in caplog.records)


def test_a_snapshot_stays_what_the_store_was() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        async with world.running():
            store = world.cache.informer(Widget).store
            await world.sizes()
            before = store.snapshot()
            await world.resize("a", 2)
            await world.write("b", 3)
            assert await world.sizes() == {"a": 2, "b": 3}

        def sizes(items: Iterable[Any]) -> list[int]:
            return [item.decode(Widget).spec.size for item in items]

        assert sizes(before) == [1]
        assert len(before) == 1
        assert before.get(ObjectKey("default", "b")) is None
        assert before.objects.keys() == {ObjectKey("default", "a")}

    in_world(story)


def test_a_manager_hands_namespaces_options_and_its_journal_on_to_its_cache(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        await with_namespaces(world, "one", "two")
        await write_in(world, "one", "a")
        await write_in(world, "default", "elsewhere")
        asked: list[tuple[str, str]] = []

        class Noting(InProcessTransport):
            async def send(self, request: HttpRequest) -> HttpResponse:
                asked.append((request.method, request.path))
                return await super().send(request)

        manager = Manager(
            Noting(world.server),
            namespaces=["one", "two"],
            cache_options={Widget: KindOptions(field_selector="metadata.name!=b")},
            streaming_list=True,
            warn_above_bytes=1,
        )
        stopping = asyncio.Event()
        running = asyncio.create_task(manager.run(stopping))
        await asyncio.sleep(1)
        body = {"metadata": {"name": "c", "namespace": "two"}}
        await manager.client.create({"apiVersion": "example.com/v1", "kind": "Widget", **body}, resource=WIDGETS)
        await write_in(world, "two", "b")
        found = await manager.cached_reader.list(Widget, after_own_writes=True)
        assert [str(ObjectKey(item.metadata.namespace, item.metadata.name)) for item in found] == ["one/a", "two/c"]
        # Streamed: no list was asked for, only the write.
        assert [method for method, _ in asked] == ["POST"]
        assert len(await manager.cached_reader.list(NAMESPACES)) > 2
        (place,) = manager.journal.places()
        assert [record.verb for record in manager.journal.records(*place) if isinstance(record, Wrote)] == ["create"]
        stopping.set()
        await running

    with caplog.at_level(logging.WARNING, "reconciler.cache"):
        in_world(story)
    assert [message for message in caplog.messages if "more than 1: narrow it" in message] != []
