from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from reconciler.errors import ConfigurationError
from reconciler.observe import Check, HealthServer, parse_address


@asynccontextmanager
async def serving(ready: Mapping[str, Check]) -> AsyncIterator[HealthServer]:
    stopping = asyncio.Event()
    server = HealthServer("127.0.0.1:0", live={"ping": lambda: None}, ready=ready)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(stopping))
        while server.port is None:  # noqa: ASYNC110  # a real socket, and it says nothing when it is open
            await asyncio.sleep(0.01)
        yield server
        stopping.set()


async def get(server: HealthServer, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


@pytest.mark.asyncio
async def test_health_and_readiness_answer_from_their_checks() -> None:
    checks: dict[str, Check] = {"cache": lambda: "pods: forbidden", "other": lambda: None}
    async with serving(checks) as server:
        assert await get(server, "/healthz") == (200, "ok")
        assert await get(server, "/healthz?verbose") == (200, "[+]ping ok\n")
        assert await get(server, "/readyz") == (500, "[-]cache failed: pods: forbidden\n[+]other ok\n")
        assert await get(server, "/readyz/other") == (200, "ok")
        assert (await get(server, "/readyz/none"))[0] == 404
        checks["cache"] = lambda: None
        assert await get(server, "/readyz") == (200, "ok")


@pytest.mark.asyncio
async def test_a_taken_address_is_a_configuration_error() -> None:
    async with serving({}) as server:
        second = HealthServer(f"127.0.0.1:{server.port}", live={}, ready={})
        with pytest.raises(ConfigurationError, match="health address"):
            await second.run(asyncio.Event())


@pytest.mark.parametrize(
    ("address", "parsed"),
    [(":8081", (None, 8081)), ("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:80", ("::1", 80))],
)
def test_addresses_are_read_as_go_writes_them(address: str, parsed: tuple[str | None, int]) -> None:
    assert parse_address(address) == parsed


@pytest.mark.parametrize("address", ["", "8081", "localhost", ":x", ":65536", ":-1"])
def test_an_address_without_a_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        parse_address(address)
