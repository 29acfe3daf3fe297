"""Lists and changes that come late, or in another order than the server sent them; on both servers."""

from __future__ import annotations

import logging

import pytest

from .stage import Lamp, Stage

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("quick_retries")]


async def test_events_of_different_objects_in_another_order_give_the_same_cache(stage: Stage) -> None:
    async with stage.follower() as follower:
        await follower.until_sizes({})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        stage.proxy.is_holding = True
        await stage.create("a", 1)
        await stage.create("b", 2)
        await stage.proxy.until(lambda: stage.proxy.held_lines == 2)
        stage.proxy.release(reverse=True)
        await follower.until_sizes({"a": 1, "b": 2})
        # A watch that goes back in time has lost its order, and perhaps more: the list tells what is missing.
        assert len(stage.proxy.asked("list")) == 2
    assert [event.key.name for event in follower.told if event.verb == "create"] == ["b", "a"]


async def test_an_older_version_of_an_object_after_a_newer_one_never_reaches_anyone(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")
    await stage.create("a", 1)
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 1})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        # Given two changes of one object that come the last one first,
        stage.proxy.is_holding = True
        await stage.resize(2)
        await stage.resize(3)
        await stage.proxy.until(lambda: stage.proxy.held_lines == 2)
        stage.proxy.release(reverse=True)
        # when the older one is there, the cache lists,
        await stage.proxy.until(lambda: len(stage.proxy.asked("list")) == 2)
        await stage.resize(4)
        await follower.until_sizes({"a": 4})
    # then versions never went back, for readers and handlers alike.
    versions = [int(event.new.resource_version) for event in follower.told if event.new]
    assert versions == sorted(versions)
    assert "out of order" in caplog.text


async def test_a_list_that_comes_late_is_of_the_past_and_what_happened_since_follows(stage: Stage) -> None:
    await stage.create("a", 1)
    await stage.create("gone", 1)
    stage.proxy.hold_lists()
    async with stage.follower() as follower:
        await stage.proxy.until(lambda: stage.proxy.held_lists == 1)
        await stage.resize(2)
        await stage.direct.delete(Lamp, stage.key("gone"))
        await stage.create("b", 3)
        stage.proxy.release_lists()
        await follower.until_sizes({"a": 2, "b": 3})
        assert len(stage.proxy.asked("list")) == 1
    assert [(event.verb, event.key.name, event.is_initial) for event in follower.told] == [
        ("create", "a", True),
        ("create", "gone", True),
        ("update", "a", False),
        ("delete", "gone", False),
        ("create", "b", False),
    ]


async def test_changes_that_come_late_are_told_in_their_order_and_none_is_missed(stage: Stage) -> None:
    await stage.create("a", 0)
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 0})
        await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
        stage.proxy.is_holding = True
        for size in (1, 2, 3):
            await stage.resize(size)
        await stage.proxy.until(lambda: stage.proxy.held_lines == 3)
        # Behind, and nobody can know: the network is only slow.
        assert await follower.sizes() == {"a": 0}
        stage.proxy.release()
        await follower.until_sizes({"a": 3})
        assert len(stage.proxy.asked("list")) == 1
    versions = [int(event.new.resource_version) for event in follower.told if event.new]
    assert [event.verb for event in follower.told] == ["create", "update", "update", "update"]
    assert versions == sorted(versions)
