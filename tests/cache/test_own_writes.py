"""Read-your-writes: a read that waits until the cache has seen what this controller wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from reconciler.api import ObjectKey
from reconciler.cache import CachedReader
from reconciler.cache.last_writes import LastWrites
from reconciler.client import Client, RestClient
from reconciler.errors import CacheNotSyncedError, ConfigurationError, NotFoundError
from reconciler.instant import Instant
from reconciler.journal import Cause, Journal, Wrote, current_cause
from reconciler.testing import InProcessTransport

from .objects import WIDGETS, Widget
from .world import KEY, World, in_world

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
    return world.reader(journal=world.journal, own_writes_timeout=timedelta(seconds=10))


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


def test_without_the_clients_journal_it_is_refused_rather_than_not_done() -> None:
    async def story(world: World) -> None:
        async with world.running():
            with pytest.raises(ConfigurationError, match="given the client's journal"):
                await world.reader().get(Widget, KEY, after_own_writes=True)

    in_world(story)


def test_no_more_writes_are_kept_than_the_bound() -> None:
    journal, writes = Journal(is_retaining=False), LastWrites(tuple, writes_max=3)
    writes.follow(journal)
    for number in range(10):
        journal.append(
            Wrote(
                id=journal.new_id(), causes=(), at=Instant(0), scope="c", key="k", verb="create",
                target=f"widgets default/w{number}", old_version="", new_version="5", code=201,
            )
        )  # fmt: skip
    assert len(writes) == 3


def test_a_deletion_whose_event_came_before_its_answer_is_not_waited_for() -> None:
    async def story(world: World) -> None:
        reader = reader_of(world)
        async with world.running():
            await world.sizes()
            with a_pass_of("c"):
                await world.write("a", 1)
                await world.sizes()
                gone = Wrote(
                    id=world.journal.new_id(), causes=(), at=Instant(0), scope="c", key="k", verb="delete",
                    target="widgets default/a", old_version="", new_version="", code=200,
                )  # fmt: skip
                world.client = Client(RestClient(InProcessTransport(world.server)))
                await world.delete("a")
                await world.sizes()
                world.journal.append(gone)
                await world.write("a", 2)
                await world.sizes()
                assert (await reader.get(Widget, KEY, after_own_writes=True)).spec.size == 2
                assert asyncio.get_running_loop().time() < LAG_SECONDS

    in_world(story)
