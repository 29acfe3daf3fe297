"""Who is told what: handlers that come and go while others are told, and handlers that are none."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

import pytest

from reconciler.cache import Cache
from reconciler.client import RestClient
from reconciler.errors import ConfigurationError
from reconciler.event import Event

from .objects import Widget
from .world import World, in_world, words


@pytest.mark.parametrize("at", ["w00", "w05", "w19"])
def test_a_handler_that_is_added_while_a_list_is_told_hears_of_each_object_once(at: str) -> None:
    async def story(world: World) -> None:
        for number in range(20):
            await world.write(f"w{number:02}")
        informer = world.cache.informer(Widget)
        first: list[str] = []
        late: list[str] = []

        def on_event(event: Event) -> None:
            first.append(words(event))
            if event.key.name == at and not late:
                informer.add_handler(lambda later: late.append(words(later)))

        informer.add_handler(on_event)
        async with world.running():
            await informer.wait_for_sync()
            every = sorted(f"create w{number:02} initial" for number in range(20))
            assert sorted(first) == sorted(late) == every
            # From then on it hears what the others hear.
            await world.resize("w00", 7)
            await world.delete("w01")
            await world.sizes()
            assert late[20:] == ["update w00", "delete w01"]

    in_world(story)


def test_a_handler_that_is_added_while_a_later_list_is_told_hears_nothing_of_what_it_never_knew() -> None:
    async def story(world: World) -> None:
        for name in ("a", "b", "gone"):
            await world.write(name)
        informer = world.cache.informer(Widget)
        late: list[str] = []
        added: list[Callable[[], None]] = []

        def on_event(event: Event) -> None:
            if event.verb == "update" and not added:
                added.append(informer.add_handler(lambda later: late.append(words(later))))

        informer.add_handler(on_event)
        async with world.running():
            await informer.wait_for_sync()
            # Given a list that shows updates of a and b, and that one is gone,
            world.transport.is_down = True
            world.transport.cut()
            await world.delete("gone")
            world.server.compact()
            await asyncio.sleep(1)
            world.transport.is_down = False
            # when a handler comes with the first of these,
            await asyncio.sleep(60)
        # then it begins with what the list left.
        assert sorted(late) == ["create a initial", "create b initial"]

    in_world(story)


def test_a_handler_that_is_removed_while_others_are_told_hears_no_more_and_may_come_back() -> None:
    async def story(world: World) -> None:
        await world.write("a")
        informer = world.cache.informer(Widget)
        told: list[str] = []

        def second(event: Event) -> None:
            told.append(words(event))

        def first(event: Event) -> None:
            if event.verb == "update":
                leave[0]()
                leave[0] = informer.add_handler(second)

        informer.add_handler(first)
        leave = [informer.add_handler(second)]
        async with world.running():
            await informer.wait_for_sync()
            await world.resize("a", 1)
            await world.sizes()
            # The same function, removed and added within one event: it begins anew, and the event is in what it got.
            assert told == ["create a initial", "create a initial"]
            leave[0]()
            await world.delete("a")
            await world.sizes()
            assert len(told) == 2

    in_world(story)


async def is_async(event: Event) -> None:
    del event


def test_an_async_handler_is_refused_where_it_is_given() -> None:
    async def story(world: World) -> None:
        with pytest.raises(ConfigurationError, match=r"a handler is called where nothing may wait.*is_async.*is async"):
            world.cache.informer(Widget).add_handler(is_async)  # type: ignore[arg-type]  # the error is the test

    in_world(story)


def test_what_a_handler_raises_is_noted_with_kind_event_and_object() -> None:
    async def story(world: World) -> None:
        def on_event(event: Event) -> None:
            raise KeyError("labels")

        await world.write("a", 1)
        note = "raised by a handler of widgets.example.com that was told: create default/a"
        async with world.running():
            await world.sizes()
            # Whoever adds a handler to a kind that is there gets the error, and the note, at once.
            with pytest.raises(KeyError) as at_once:
                world.cache.informer(Widget).add_handler(on_event)
        assert at_once.value.__notes__ == [note]
        other = Cache(RestClient(world.transport))
        other.informer(Widget).add_handler(on_event)
        with pytest.raises(ExceptionGroup) as caught:
            await other.run()
        assert note in "".join(traceback.format_exception(caught.value))

    in_world(story)
