"""Indexes: the index itself, in a store, in a running informer, and what a reader makes of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import EncodedObject, ObjectKey
from reconciler.cache.indexer import Index
from reconciler.cache.store import Put, Removed, Replaced, Store
from reconciler.client import JsonObject
from reconciler.errors import ConfigurationError

from .objects import WIDGETS, Widget, encoded
from .world import World, in_world


def apps(item: EncodedObject) -> Iterable[str]:
    return [text for text in [item.metadata.labels.get("app", "")] if text]


def labelled(name: str, version: int, app: str) -> EncodedObject:
    return encoded(name, version, labels={"app": app} if app else {})


def names(items: Iterable[EncodedObject]) -> list[str]:
    return sorted(item.key.name for item in items)


def test_an_object_stands_under_each_of_its_values_once() -> None:
    index = Index(lambda item: ["x", "y", "x"])
    a = encoded("a", 1)
    assert index.put(a) == ""
    assert index.keys("x") == index.keys("y") == {a.key}
    assert index.values_of(a.key) == ("x", "y")
    assert index.keys("z") == frozenset()


def test_objects_of_one_value_share_its_text() -> None:
    index = Index(apps)
    for number in range(2):
        index.put(labelled(f"o{number}", 1, "".join(["we", "b"])))
    (one,), (other,) = (index.values_of(ObjectKey("default", f"o{number}")) for number in range(2))
    assert one == "web"
    assert one is other


@pytest.mark.parametrize("values", ["text", [7], None], ids=repr)
def test_a_key_function_that_returns_no_texts_leaves_the_object_out_and_says_so(values: object) -> None:
    index = Index(lambda item: values)  # type: ignore[arg-type, return-value]  # what a user may write
    assert index.put(encoded("a", 1)) == "its key function raised TypeError"
    assert index.values_of(ObjectKey("default", "a")) == ()


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.sampled_from(["", "web", "db", "bad"])),
        st.tuples(st.just("remove"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("replace"), st.sampled_from(["", "a", "ab", "bc"]), st.sampled_from(["", "web", "db"])),
    ),
    max_size=30,
)


@given(CHANGES)
def test_an_index_is_what_the_key_function_says_of_the_objects_that_the_store_holds(
    changes: list[tuple[str, str, str]],
) -> None:
    def strict(item: EncodedObject) -> Iterable[str]:
        if "bad" in apps(item):
            raise KeyError("bad")
        return apps(item)

    store = Store()
    store.add_index("app", strict)
    for version, (what, name, app) in enumerate(changes, 1):
        match what:
            case "put":
                store.apply(Put(labelled(name, version, app)))
            case "remove":
                store.apply(Removed(labelled(name, version, "")))
            case _:
                store.apply(Replaced(tuple(labelled(each, version, app) for each in name)))
        held = list(store)
        for app_ in ("web", "db", "bad"):
            wanted = names(item for item in held if app_ in apps(item) and app_ != "bad")
            assert names(store.by_index("app", app_)) == wanted
        # What the key function refused is named, and nothing else is.
        assert {item.key for item in store.unreadable} == {item.key for item in held if "bad" in apps(item)}
        assert store.bytes_held == sum(len(item.body) for item in held)


def test_an_index_that_comes_late_begins_with_what_is_there() -> None:
    store = Store()
    store.apply(Replaced((labelled("a", 1, "web"),)))
    store.add_index("app", apps)
    assert names(store.by_index("app", "web")) == ["a"]
    store.clear()
    assert store.by_index("app", "web") == []
    assert store.bytes_held == 0


def test_two_indexes_of_one_name_and_an_unknown_index_are_refused() -> None:
    store = Store()
    store.add_index("app", apps)
    with pytest.raises(ConfigurationError, match="'app' already"):
        store.add_index("app", apps)
    with pytest.raises(ValueError, match="no index is named 'zone'; there are: 'app'"):
        store.by_index("zone", "a")


@pytest.mark.parametrize("is_late", [False, True])
def test_a_reader_finds_objects_by_index_as_they_are_now(is_late: bool) -> None:
    async def story(world: World) -> None:
        informer = world.cache.informer(Widget)
        if not is_late:
            informer.add_index("app", apps)
        await world.write("a", labels={"app": "web"})
        await world.write("b", labels={"app": "db"})
        async with world.running():
            await informer.wait_for_sync()
            if is_late:
                informer.add_index("app", apps)
            reader = world.reader()
            assert [item.metadata.name for item in await reader.by_index(Widget, "app", "web")] == ["a"]
            await world.client.patch(WIDGETS, ObjectKey("default", "b"), {"metadata": {"labels": {"app": "web"}}})
            await world.delete("a")
            await asyncio.sleep(0.001)
            assert names(informer.by_index("app", "web")) == ["b"]
            found = await reader.list(WIDGETS, index="app", value="web", namespace="default")
            assert [item["metadata"]["name"] for item in found] == ["b"]
            assert (await reader.by_index(WIDGETS, "app", "db", namespace="elsewhere")).items == ()
            with pytest.raises(ValueError, match="no index is named 'zone'"):
                await reader.by_index(Widget, "zone", "a")
            with pytest.raises(ValueError, match="index and value go together"):
                await reader.list(Widget, index="app")

    in_world(story)


def sizes(widget: Widget) -> list[str]:
    return [str(widget.spec.size)]


def test_an_indexed_field_can_be_selected_by_and_another_one_is_refused() -> None:
    async def story(world: World) -> None:
        world.cache.index_field(Widget, "spec.size", sizes)
        for name, size in (("a", 1), ("b", 2), ("c", 1)):
            await world.write(name, size)
        async with world.running():
            reader = world.reader()

            async def found(selector: object) -> list[str]:
                return [item.metadata.name for item in await reader.list(Widget, field_selector=selector)]

            assert await found("spec.size=1") == ["a", "c"]
            assert await found("spec.size!=1") == ["b"]
            assert await found("spec.size=1,metadata.name!=a") == ["c"]
            await world.resize("c", 7)
            await asyncio.sleep(0.001)
            assert await found("spec.size=1") == ["a"]
            with pytest.raises(ValueError, match=r"'status\.phase'.*Cache\.index_field"):
                await found("status.phase=Sent")
            # A kind that is made anew has its fields still.
            world.cache.release(Widget)
            assert await found("spec.size=7") == ["c"]

    in_world(story)


def test_a_field_is_indexed_once_and_untyped_functions_are_given_dictionaries() -> None:
    def size(widget: JsonObject) -> list[str]:
        return [str(widget["spec"]["size"])]

    async def story(world: World) -> None:
        world.cache.informer(WIDGETS)
        world.cache.index_field(WIDGETS, "size", size)
        with pytest.raises(ConfigurationError, match="'size' already"):
            world.cache.index_field(WIDGETS, "size", size)
        await world.write("a", 5)
        async with world.running():
            assert len(await world.reader().by_index(WIDGETS, "size", "5")) == 1

    in_world(story)


def test_an_object_for_which_a_key_function_fails_is_read_all_the_same_and_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    def fails_for_b(item: EncodedObject) -> Iterable[str]:
        if item.key.name == "b":
            raise KeyError("a secret")
        return ["x"]

    async def story(world: World) -> None:
        world.cache.informer(Widget).add_index("x", fails_for_b)
        await world.write("a")
        await world.write("b")
        async with world.running():
            assert await world.sizes() == {"a": 0, "b": 0}
            await world.resize("a", 1)
            assert [item.metadata.name for item in await world.reader().by_index(Widget, "x", "x")] == ["a"]
            (status,) = world.cache.statuses()
            assert list(map(str, status.unreadable)) == [
                "default/b: not in index 'x': its key function raised KeyError"
            ]
            await world.delete("b")
            await asyncio.sleep(0.001)
            assert world.cache.statuses()[0].unreadable == ()

    in_world(story)
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text
