"""The second cluster of docs/sources.md: its cache runs with the manager, and `/readyz` shows what is wrong with it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.errors import ApiError
from reconciler.manager import Manager
from reconciler.observe import Check
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"


def code() -> dict[str, Any]:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "docs.sources"}
    exec(compile("\n".join(blocks), str(PAGE), "exec", dont_inherit=True), names)
    return names


class Noting(Manager):
    """A manager that shows its checks, so that the test needs no port for `/readyz`."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.checks: dict[str, Check] = {}

    def add_ready_check(self, name: str, check: Check) -> None:
        self.checks[name] = check
        super().add_ready_check(name, check)


async def create_room(client: Client, rooms: ResourceType, name: str, shelf: str) -> None:
    metadata = {"name": name, "namespace": "default", "annotations": {"shelves": shelf}}
    async with asyncio.timeout(30):
        while True:
            try:
                await client.create({"metadata": metadata, "spec": {"size": 1}}, resource=rooms)
            except ApiError:  # served a moment after its definition was created
                await asyncio.sleep(0.05)
            else:
                return


async def run_the_page(transport: Transport, second: Transport) -> list[str]:
    page = code()
    looked = asyncio.Queue[str]()

    async def reconcile(request: Any) -> None:
        looked.put_nowait(request.name)

    page["reconcile"] = reconcile
    rooms: ResourceType = page["Room"].resource
    client = Client(RestClient(second))
    await client.create(
        definition(rooms, spec={"size": {"type": "integer"}}, status={}), resource=CUSTOM_RESOURCE_DEFINITION
    )
    await create_room(client, rooms, "study", "top")
    other = Cache(RestClient(second), namespace="default")
    manager, stopping = Noting(transport), asyncio.Event()
    page["two_clusters"](manager, other)
    check = manager.checks["other"]
    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run(stopping))
        async with asyncio.timeout(30):
            found = [await looked.get()]
            await create_room(client, rooms, "attic", "bottom")
            found.append(await looked.get())
        assert check() is None
        assert other.is_running
        stopping.set()
    assert "the cache does not run" in (check() or "")
    return found


def test_the_code_of_the_page_runs_on_two_embedded_servers() -> None:
    async def main() -> list[str]:
        first, second = (InProcessTransport(ApiServer(wall=LoopWallClock())) for _ in range(2))
        return await run_the_page(first, second)

    assert run_virtual(main()) == ["top", "bottom"]


@pytest.mark.asyncio
async def test_the_code_of_the_page_runs_where_the_second_cluster_is_a_real_one(real_server: RealServer) -> None:
    rooms: ResourceType = code()["Room"].resource
    async with AiohttpTransport(await load_config(real_server.kubeconfig)) as second:
        try:
            first = InProcessTransport(ApiServer(wall=LoopWallClock()))
            assert await run_the_page(first, second) == ["top", "bottom"]
        finally:
            await Client(RestClient(second)).delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", str(rooms)))
