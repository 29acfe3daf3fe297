from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from reconciler.apiserver import ApiServer
from reconciler.client import HttpRequest
from reconciler.clock import LoopWallClock
from reconciler.testing import InProcessTransport, run_virtual

EVENTS = "/api/v1/namespaces/default/events"


def on_a_server(story: Callable[[ApiServer, InProcessTransport], Awaitable[None]]) -> None:
    async def main() -> None:
        server = ApiServer(wall=LoopWallClock())
        await story(server, InProcessTransport(server))
        assert server.open_watches == 0

    run_virtual(main())


def event(name: str) -> bytes:
    metadata = {"name": name, "namespace": "default"}
    about = {"namespace": "default", "name": "x"}
    body = {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": about}
    return json.dumps(body).encode()


def post(name: str) -> HttpRequest:
    return HttpRequest("POST", EVENTS, body=event(name), headers={"Content-Type": "application/json"})


def test_a_request_takes_no_time_and_its_header_names_are_in_lower_case() -> None:
    async def story(server: ApiServer, transport: InProcessTransport) -> None:
        made = await transport.send(post("a"))
        read = await transport.send(HttpRequest("GET", f"{EVENTS}/a"))
        assert (made.status, read.status, read.headers["content-type"]) == (201, 200, "application/json")
        assert json.loads(read.body)["metadata"]["resourceVersion"] == str(server.revision)
        assert asyncio.get_running_loop().time() == 0

    on_a_server(story)


def test_what_the_server_refuses_is_an_answer() -> None:
    async def story(server: ApiServer, transport: InProcessTransport) -> None:
        del server
        answer = await transport.send(HttpRequest("GET", f"{EVENTS}/none"))
        assert (answer.status, json.loads(answer.body)["reason"]) == (404, "NotFound")

    on_a_server(story)


def test_a_stream_brings_each_change_as_a_line_and_leaving_it_ends_the_watch() -> None:
    async def story(server: ApiServer, transport: InProcessTransport) -> None:
        async with transport.stream(HttpRequest("GET", EVENTS, (("watch", "true"),))) as stream:
            assert stream.status == 200
            names: list[str] = []
            for name in ("a", "b"):
                await transport.send(post(name))
            async for line in stream.lines:
                names.append(json.loads(line)["object"]["metadata"]["name"])
                if len(names) == 2:
                    break
            assert names == ["a", "b"]
            assert server.open_watches == 1
        assert server.open_watches == 0

    on_a_server(story)


def test_a_stream_that_is_cancelled_while_it_waits_ends_the_watch() -> None:
    async def story(server: ApiServer, transport: InProcessTransport) -> None:
        async def wait_for_ever() -> None:
            async with transport.stream(HttpRequest("GET", EVENTS, (("watch", "true"),))) as stream:
                async for _ in stream.lines:
                    pass

        waiting = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(1)
        assert server.open_watches == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    on_a_server(story)


def test_a_stream_that_is_refused_has_the_refusal_as_its_lines() -> None:
    async def story(server: ApiServer, transport: InProcessTransport) -> None:
        del server
        async with transport.stream(HttpRequest("GET", "/api/v1/nonsense", (("watch", "true"),))) as stream:
            lines = [line async for line in stream.lines]
        assert (stream.status, lines) == (404, [b"404 page not found"])

    on_a_server(story)


def test_the_whole_answer_to_a_watch_that_ends_by_itself_can_be_sent_for() -> None:
    async def story(server: ApiServer, transport: InProcessTransport) -> None:
        del server
        await transport.send(post("a"))
        query = (("watch", "true"), ("timeoutSeconds", "5"))
        answer = await transport.send(HttpRequest("GET", EVENTS, query))
        assert [json.loads(line)["type"] for line in answer.body.splitlines()] == ["ADDED"]
        assert asyncio.get_running_loop().time() == 5

    on_a_server(story)
