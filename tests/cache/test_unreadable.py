"""An object that cannot be read, among others that can."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from reconciler.api import ObjectKey
from reconciler.cache.store import Put, Removed, Replaced, Store, Unread, Unreadable
from reconciler.client import HttpResponse
from reconciler.event import DeleteEvent, Event, UpdateEvent

from .objects import Widget, bookmark, encoded, line, wire
from .world import KEY, World, in_world, words

BAD = Unreadable(KEY, "no")


def test_an_object_that_became_unreadable_keeps_the_last_state_that_could_be_read() -> None:
    store = Store()
    old = encoded("a", 1)
    store.apply(Replaced((old,)))

    assert store.apply(Unread(BAD, is_gone=False)) == []
    assert store.get(KEY) is old
    # Nor does a list in which it cannot be read say that it is gone.
    assert store.apply(Replaced((), (BAD,))) == []
    assert (store.get(KEY), store.unreadable) == (old, (BAD,))
    new = encoded("a", 4)
    assert store.apply(Put(new)) == [UpdateEvent(old, new)]
    assert store.unreadable == ()


@pytest.mark.parametrize("gone", [Unread(BAD, is_gone=True), Replaced(()), Removed(encoded("a", 9))], ids=repr)
def test_an_unreadable_object_that_is_gone_is_gone(gone: Any) -> None:
    store = Store()
    store.apply(Replaced((encoded("a", 1),)))
    store.apply(Unread(BAD, is_gone=False))

    (event,) = store.apply(gone)
    assert isinstance(event, DeleteEvent)
    assert (len(store), store.unreadable, store.bytes_held) == (0, (), 0)


def test_the_deletion_of_what_was_never_read_is_no_event() -> None:
    store = Store()
    store.apply(Replaced((), (BAD,)))
    assert store.apply(Unread(BAD, is_gone=True)) == []
    assert store.unreadable == ()


def page(*items: dict[str, Any], version: int) -> HttpResponse:
    return HttpResponse(200, {}, msgspec.json.encode({"metadata": {"resourceVersion": str(version)}, "items": items}))


def test_a_cache_goes_on_with_the_other_objects_and_names_the_one_it_could_not_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    async def story(world: World) -> None:
        told: list[Event] = []
        informer = world.cache.informer(Widget)
        informer.add_handler(told.append)
        bad = wire("bad", 3, generation="a secret")
        world.transport.lists.append(page(wire("a", 2, size=1), bad, wire("b", 4, size=2), version=5))
        lines = [line("MODIFIED", wire("a", 6, generation=[])), line("ADDED", wire("c", 7, size=3))]
        world.transport.watches.append(HttpResponse(200, {}, b"\n".join([*lines, line("BOOKMARK", bookmark(8))])))
        async with world.running():
            await informer.wait_for_sync()
            assert await world.sizes() == {"a": 1, "b": 2, "c": 3}
            assert [each.key.name for each in informer.status().unreadable] == ["bad", "a"]
            assert "2 objects could not be read: default/bad: Expected `int`, got `str`" in informer.describe()
            # One object that cannot be read is no reason to take the process out of service.
            assert world.cache.problem() is None
        # No list was needed to go on.
        assert [query["resourceVersion"] for _, query in world.transport.asked("watch")] == ["5", "8"]
        assert [words(event) for event in told] == ["create a initial", "create b initial", "create c"]

    in_world(story)
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


def test_half_a_line_is_no_object_and_leads_to_a_list() -> None:
    async def story(world: World) -> None:
        await world.write("a", 1)
        world.transport.watches.append(HttpResponse(200, {}, line("MODIFIED", wire("a", 6))[:-20]))
        async with world.running():
            assert await world.sizes() == {"a": 1}
            await asyncio.sleep(5)
            assert world.cache.problem() is None
            assert world.cache.statuses()[0].unreadable == ()
        assert len(world.transport.asked("list")) == 2

    in_world(story)


def test_an_object_without_a_readable_name_is_reported_without_one() -> None:
    assert str(Unreadable(ObjectKey("", ""), "why")) == "(no name): why"
