"""Watches in virtual time: bookmarks, time-outs, 410, and who lets go of what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

import pytest

from reconciler.apiserver import ApiServer, ServerRequest
from reconciler.clock import LoopWallClock
from reconciler.testing import run_virtual

from .api import DEFINITIONS, MERGE, WIDGET_CRD, widget

T = TypeVar("T")

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


class Live:
    """A server inside the running loop."""

    def __init__(self, **options: Any) -> None:
        self.server = ApiServer(wall=LoopWallClock(), **options)

    async def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        raw = b"" if body is None else json.dumps(body).encode()
        response = await self.server.handle(ServerRequest(method, path, (), {"content-type": content_type}, raw))
        assert isinstance(response.body, bytes)
        assert response.status < 400, response.body
        return json.loads(response.body)

    async def install(self) -> Live:
        await self.request("POST", DEFINITIONS, WIDGET_CRD)
        return self

    async def create(self, name: str, **fields: Any) -> str:
        created = await self.request("POST", WIDGETS, widget(name, **fields))
        return str(created["metadata"]["resourceVersion"])

    async def label(self, name: str, value: str) -> str:
        patch = {"metadata": {"labels": {"x": value}}}
        return str((await self.request("PATCH", f"{WIDGETS}/{name}", patch, MERGE))["metadata"]["resourceVersion"])

    async def watch(self, **query: str) -> AsyncGenerator[bytes]:
        pairs = [("watch", "1"), *query.items()]
        response = await self.server.handle(ServerRequest("GET", WIDGETS, pairs))
        assert response.status == 200, response.body
        assert not isinstance(response.body, bytes)
        return response.body


def lines(chunk: bytes) -> list[dict[str, Any]]:
    assert chunk.endswith(b"\n")
    return [json.loads(line) for line in chunk.splitlines()]


async def read_all(stream: AsyncGenerator[bytes]) -> list[tuple[float, str, str]]:
    """Read to the end: (time, type, name or version)."""
    loop = asyncio.get_running_loop()
    found: list[tuple[float, str, str]] = []
    async for chunk in stream:
        for event in lines(chunk):
            held = event["object"]["metadata"]
            found.append((loop.time(), event["type"], held.get("name") or held.get("resourceVersion", "")))
    return found


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    return run_virtual(main)


def test_an_event_comes_at_the_moment_of_its_write() -> None:
    async def main() -> list[tuple[float, str, str]]:
        live = await Live().install()
        reading = asyncio.create_task(read_all(await live.watch(timeoutSeconds="10")))
        await asyncio.sleep(3)
        await live.create("a")
        await asyncio.sleep(2.5)
        await live.label("a", "1")
        return await reading

    assert in_virtual_time(main()) == [(3.0, "ADDED", "a"), (5.5, "MODIFIED", "a")]


def test_a_watch_ends_at_its_time_out() -> None:
    async def main() -> float:
        live = await Live().install()
        await read_all(await live.watch(timeoutSeconds="7"))
        return asyncio.get_running_loop().time()

    assert in_virtual_time(main()) == 7.0


def test_a_watch_without_a_time_out_ends_between_30_and_60_minutes() -> None:
    async def main() -> float:
        live = await Live().install()
        await read_all(await live.watch())
        return asyncio.get_running_loop().time()

    assert 1800 <= in_virtual_time(main()) <= 3600


def test_bookmarks_come_each_minute_and_just_before_the_end() -> None:
    async def main() -> list[tuple[float, str, str]]:
        live = await Live().install()
        version = await live.create("a")
        stream = await live.watch(resourceVersion=version, allowWatchBookmarks="true", timeoutSeconds="150")
        return await read_all(stream)

    events = in_virtual_time(main())
    assert [(at, type_) for at, type_, _ in events] == [(60.0, "BOOKMARK"), (120.0, "BOOKMARK"), (148.0, "BOOKMARK")]


def test_a_bookmark_carries_the_newest_version_of_all_kinds() -> None:
    async def main() -> tuple[str, int]:
        live = await Live().install()
        stream = await live.watch(allowWatchBookmarks="true", timeoutSeconds="65")
        await live.request(
            "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
        )
        [(_, _, version), *_] = await read_all(stream)
        return version, live.server.revision

    version, revision = in_virtual_time(main())
    assert version == str(revision)


def test_no_bookmark_comes_to_whom_asks_for_none() -> None:
    async def main() -> list[tuple[float, str, str]]:
        live = await Live().install()
        return await read_all(await live.watch(timeoutSeconds="300"))

    assert in_virtual_time(main()) == []


def test_a_watch_from_before_the_compaction_gets_an_error_event_in_a_good_answer() -> None:
    async def main() -> list[dict[str, Any]]:
        live = await Live().install()
        version = await live.create("a")
        await live.create("b")
        live.server.compact()
        return [event async for chunk in await live.watch(resourceVersion=version) for event in lines(chunk)]

    [event] = in_virtual_time(main())
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: ")


def test_a_reader_that_falls_behind_a_short_history_gets_410() -> None:
    async def main() -> list[str]:
        live = await Live(history_max=3).install()
        stream = await live.watch(timeoutSeconds="10")
        await live.create("a")
        first = lines(await anext(stream))
        for value in range(5):
            await live.label("a", str(value))
        rest = [event["type"] async for chunk in stream for event in lines(chunk)]
        return [*(event["type"] for event in first), *rest]

    assert in_virtual_time(main()) == ["ADDED", "ERROR"]


def test_a_continue_token_from_before_the_compaction_gets_410_and_a_way_on() -> None:
    async def main() -> tuple[int, dict[str, Any], list[str]]:
        live = await Live().install()
        for name in ("a", "b"):
            await live.create(name)

        async def page(**query: str) -> tuple[int, dict[str, Any]]:
            response = await live.server.handle(ServerRequest("GET", WIDGETS, list(query.items())))
            assert isinstance(response.body, bytes)
            return response.status, json.loads(response.body)

        _, first = await page(limit="1")
        await live.create("c")
        live.server.compact()
        status, refusal = await page(limit="1", **{"continue": first["metadata"]["continue"]})
        _, rest = await page(**{"continue": refusal["metadata"]["continue"]})
        return status, refusal, [item["metadata"]["name"] for item in rest["items"]]

    status, refusal, rest = in_virtual_time(main())
    assert (status, refusal["reason"], refusal["code"]) == (410, "Expired", 410)
    assert refusal["message"].startswith("The provided continue parameter is too old to display a consistent list")
    assert rest == ["b", "c"]


def test_a_closed_stream_lets_go_of_its_watch() -> None:
    async def main() -> list[int]:
        live = await Live().install()
        stream = await live.watch()
        await live.create("a")
        await anext(stream)
        counts = [live.server.open_watches]
        await stream.aclose()
        return [*counts, live.server.open_watches]

    assert in_virtual_time(main()) == [1, 0]


def test_a_cancelled_reader_lets_go_of_its_watch() -> None:
    async def main() -> list[int]:
        live = await Live().install()
        reading = asyncio.create_task(read_all(await live.watch()))
        await asyncio.sleep(1)
        counts = [live.server.open_watches]
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return [*counts, live.server.open_watches]

    assert in_virtual_time(main()) == [1, 0]


def test_the_server_ends_its_watches_and_takes_new_ones() -> None:
    async def main() -> tuple[float, list[str]]:
        live = await Live().install()
        reading = asyncio.create_task(read_all(await live.watch()))
        await asyncio.sleep(5)
        live.server.end_watches()
        await reading
        ended_at = asyncio.get_running_loop().time()
        await live.create("a")
        return ended_at, [type_ for _, type_, _ in await read_all(await live.watch(timeoutSeconds="1"))]

    assert in_virtual_time(main()) == (5.0, ["ADDED"])


def test_a_watch_tells_of_the_objects_that_go_with_their_definition_and_ends() -> None:
    async def main() -> list[tuple[float, str, str]]:
        live = await Live().install()
        await live.create("a")
        await live.create("b")
        reading = asyncio.create_task(read_all(await live.watch(timeoutSeconds="100")))
        await asyncio.sleep(1)
        await live.request("DELETE", f"{DEFINITIONS}/widgets.example.com")
        found = await reading
        return [*found, (asyncio.get_running_loop().time(), "end", "")]

    events = in_virtual_time(main())
    assert events == [
        (0.0, "ADDED", "a"),
        (0.0, "ADDED", "b"),
        (1.0, "DELETED", "a"),
        (1.0, "DELETED", "b"),
        (1.0, "end", ""),
    ]


def test_a_watch_of_a_kind_that_changes_ends_without_what_came_under_the_new_form() -> None:
    async def main() -> list[tuple[float, str, str]]:
        live = await Live().install()
        reading = asyncio.create_task(read_all(await live.watch(timeoutSeconds="100")))
        await asyncio.sleep(1)
        version = {**WIDGET_CRD["spec"]["versions"][0], "subresources": {}}
        path = f"{DEFINITIONS}/widgets.example.com"
        await live.request("PATCH", path, {"spec": {"versions": [version]}}, MERGE)
        await live.create("a")
        return await reading

    assert in_virtual_time(main()) == []


def test_a_watch_from_the_future_waits_for_what_comes_after_that() -> None:
    async def main() -> list[tuple[float, str, str]]:
        live = await Live().install()
        future = str(live.server.revision + 1)
        reading = asyncio.create_task(read_all(await live.watch(resourceVersion=future, timeoutSeconds="5")))
        await asyncio.sleep(1)
        await live.create("a")
        await live.create("b")
        return await reading

    assert in_virtual_time(main()) == [(1.0, "ADDED", "b")]


def test_the_same_seed_gives_the_same_names_and_uids() -> None:
    async def main(seed: int) -> tuple[str, str, str]:
        live = await Live(seed=seed).install()
        created = await live.request("POST", WIDGETS, widget(metadata={"generateName": "a-"}))
        held = created["metadata"]
        return held["name"], held["uid"], held["creationTimestamp"]

    assert in_virtual_time(main(1)) == in_virtual_time(main(1))
    assert in_virtual_time(main(1)) != in_virtual_time(main(2))
