"""Lists and watches that are large, break off in the middle, or hold what cannot be read; on both servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from reconciler.api import ObjectKey
from reconciler.cache import CachedReader
from reconciler.errors import MalformedObjectError

from .proxy import refusal
from .stage import LAMPS, Lamp, Stage

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("quick_retries")]

MIB = 1024 * 1024
# As kube-apiserver says it, with a token for those who can do with a list that is not of one moment.
EXPIRED = refusal(
    410,
    "Expired",
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results.",
)


def each_object(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    """Change the objects in the body of a list, or the one in a line of a watch; a line stays one."""

    def rewrite(body: bytes) -> bytes:
        whole = msgspec.json.decode(body)
        for item in whole["items"] if "items" in whole else [whole["object"]]:
            change(item)
        return msgspec.json.encode(whole) + b"\n"

    return rewrite


async def create_many(stage: Stage, count: int) -> Mapping[str, int]:
    limit = asyncio.Semaphore(16)

    async def create(number: int) -> None:
        async with limit:
            await stage.create(f"m{number:03}", number)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(create(number))
    return {f"m{number:03}": number for number in range(count)}


async def test_a_list_whose_second_page_has_expired_is_asked_for_in_one_piece(stage: Stage) -> None:
    sizes = dict(await create_many(stage, 501))
    stage.proxy.answer_next("page", EXPIRED)
    async with stage.follower() as follower:
        await follower.until_sizes(sizes)
        asked = [seen for seen in stage.proxy.seen if seen.what in {"list", "page"}]
        assert [(seen.what, seen.status, seen.query.get("limit")) for seen in asked] == [
            ("list", 200, "500"),
            ("page", 410, "500"),
            ("list", 200, None),
        ]
        assert follower.cache.problem() is None
    # Nothing of the half list was told: each object once, all of them from the whole one.
    assert sorted(event.key.name for event in follower.told) == sorted(sizes)
    assert {event.verb for event in follower.told} == {"create"}


async def test_a_list_in_pages_that_breaks_off_is_begun_anew_and_told_once(stage: Stage) -> None:
    sizes = dict(await create_many(stage, 501))
    stage.proxy.answer_next("page", refusal(503, "ServiceUnavailable"))
    async with stage.follower() as follower:
        await follower.until_sizes(sizes)
        asked = [seen for seen in stage.proxy.seen if seen.what in {"list", "page"}]
        assert [(seen.what, seen.status) for seen in asked] == [
            ("list", 200),
            ("page", 503),
            ("list", 200),
            ("page", 200),
        ]
    assert len(follower.told) == 501


@pytest.mark.parametrize("mebibytes", [2, 4])
async def test_a_large_object_comes_through_a_list_and_through_a_watch(stage: Stage, mebibytes: int) -> None:
    # Larger than a kube-apiserver takes by itself; one whose etcd is set up for it sends such objects.
    large = "x" * (mebibytes * MIB)

    def swell(item: dict[str, Any]) -> None:
        item["status"] = {"lastSeen": large}

    stage.proxy.rewrite = each_object(swell)
    await stage.create("listed", 1)
    async with stage.follower() as follower:
        await follower.until_sizes({"listed": 1})
        await stage.create("watched", 2)
        await follower.until_sizes({"listed": 1, "watched": 2})
        await stage.resize(3, "watched")
        await follower.until_sizes({"listed": 1, "watched": 3})
        reader = CachedReader(follower.cache)
        for name in ("listed", "watched"):
            assert (await reader.get(Lamp, stage.key(name))).status.last_seen == large
        (status,) = follower.cache.statuses()
        assert status.bytes_held > 2 * mebibytes * MIB
        assert len(stage.proxy.asked("list")) == len(stage.proxy.asked("watch")) == 1
        stage.proxy.rewrite = None


async def test_an_object_that_cannot_be_taken_in_is_named_and_the_others_are_followed(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "reconciler.cache")

    def spoil(item: dict[str, Any]) -> None:
        if item["metadata"].get("name") == "bad":
            item["metadata"]["generation"] = "secret value"

    stage.proxy.rewrite = each_object(spoil)
    await stage.create("bad", 1)
    await stage.create("good", 1)
    async with stage.follower() as follower:
        # Through the list, and through the watch.
        await follower.until_sizes({"good": 1})
        await stage.resize(2, "bad")
        await stage.resize(2, "good")
        await follower.until_sizes({"good": 2})
        said = follower.cache.informer(Lamp).describe()
        assert f"1 objects could not be read: {stage.namespace}/bad" in said
        assert len(stage.proxy.asked("list")) == 1
        # It is taken in as soon as it can be read.
        stage.proxy.rewrite = None
        await stage.resize(3, "bad")
        await follower.until_sizes({"good": 2, "bad": 3})
        assert follower.cache.informer(Lamp).status().unreadable == ()
    assert f"an object could not be read: {stage.namespace}/bad" in caplog.text
    assert "secret value" not in caplog.text + said


async def test_an_object_that_does_not_fit_the_model_is_an_error_of_that_read_alone(stage: Stage) -> None:
    def misfit(item: dict[str, Any]) -> None:
        if item["metadata"].get("name") == "odd":
            item["spec"] = {"size": "secret value"}

    stage.proxy.rewrite = each_object(misfit)
    await stage.create("odd", 1)
    await stage.create("even", 1)
    async with stage.follower() as follower:
        await follower.cache.wait_for_sync()
        reader = CachedReader(follower.cache)
        assert (await reader.get(Lamp, stage.key("even"))).spec.size == 1
        with pytest.raises(MalformedObjectError) as caught:
            await reader.get(Lamp, stage.key("odd"))
        assert (await reader.get(LAMPS, stage.key("odd")))["spec"] == {"size": "secret value"}
        stage.proxy.rewrite = None
    assert str(ObjectKey(stage.namespace, "odd")) in str(caught.value)
    assert "spec.size" in str(caught.value)
    assert "secret value" not in str(caught.value)


async def test_a_watch_that_is_ended_again_and_again_under_load_goes_on_at_once_without_a_list(stage: Stage) -> None:
    """The server ends watches that fall behind, several times a minute under load."""
    await stage.create("a", 0)
    async with stage.follower() as follower:
        await follower.until_sizes({"a": 0})
        for size in range(1, 21):
            await stage.proxy.until(lambda: stage.proxy.open_watches == 1)
            # A change and the end of the watch right after it, while more changes come.
            await stage.resize(2 * size - 1)
            await follower.until_sizes({"a": 2 * size - 1})
            stage.proxy.end()
            await stage.resize(2 * size)
            await follower.until_sizes({"a": 2 * size})
        assert len(stage.proxy.asked("list")) == 1
        watches = stage.proxy.asked("watch")
        assert follower.cache.problem() is None
    versions = [int(seen.query["resourceVersion"]) for seen in watches]
    assert len(versions) == 21
    assert versions == sorted(set(versions))
    # Each change was told, in order, and none of them twice.
    assert [event.verb for event in follower.told] == ["create"] + ["update"] * 40
