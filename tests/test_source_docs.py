"""The code of docs/sources.md, on the embedded server and on a real one; docs/faults.md has none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, KubeObject, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.errors import ApiError
from reconciler.journal import EventSeen
from reconciler.manager import Manager
from reconciler.reconcile import Request
from reconciler.source import ChannelSource
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

DOCS = Path(__file__).parents[1] / "docs"
KINDS = ("Shelf", "Book", "Room")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def code() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "docs.sources"}
    exec(compile("\n".join(blocks("sources.md")), "docs/sources.md", "exec", dont_inherit=True), names)
    return names


def kinds(page: dict[str, Any]) -> Iterable[ResourceType]:
    models: list[type[KubeObject]] = [page[name] for name in KINDS]
    return [model.resource for model in models]


async def prepare(client: Client, page: dict[str, Any]) -> None:
    for resource in kinds(page):
        body = definition(resource, spec={"size": {"type": "integer"}}, status={"seen": {"type": "integer"}})
        await client.create(body, resource=CUSTOM_RESOURCE_DEFINITION)
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.list(resource, namespace="default")
                except ApiError:  # served a moment after its creation
                    await asyncio.sleep(0.05)
                else:
                    break


class Seen:
    """Which events led to a pass, in the words of the journal."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._news = asyncio.Event()
        manager.journal.subscribe(lambda record: self._news.set())

    def events(self, name: str = "top") -> list[str]:
        records = self._manager.journal.records("shelf", Request("default", name))
        found = [record for record in records if isinstance(record, EventSeen) and not record.dropped_by]
        return [f"{event.verb} of {event.kind or 'key'} {event.source}".rstrip() for event in found]

    async def until(self, count: int, name: str = "top") -> None:
        async with asyncio.timeout(30):
            while len(self.events(name)) < count:
                self._news.clear()
                await self._news.wait()


async def run_the_page(transport: Transport, other: Transport) -> list[str]:
    page, client, channel = code(), Client(RestClient(other)), ChannelSource()
    await prepare(client, page)
    manager, stopping = Manager(transport), asyncio.Event()
    seen = Seen(manager)
    page["wire"](manager, channel)

    async def create(kind: str, name: str, **metadata: Any) -> dict[str, Any]:
        body = {"metadata": {"name": name, "namespace": "default", **metadata}, "spec": {"size": 1}}
        return await client.create(body, resource=page[kind].resource)

    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run(stopping))
        shelf = await create("Shelf", "top")
        await seen.until(1)
        owner = {"apiVersion": "tour.example.com/v1", "kind": "Shelf", "name": "top", "uid": shelf["metadata"]["uid"]}
        await create("Book", "dune", ownerReferences=[{**owner, "controller": True}])
        await seen.until(2)
        await create("Room", "closed", annotations={"shelves": "top"})
        await create("Room", "study", annotations={"shelves": "top"}, labels={"open": "yes"})
        await seen.until(3)
        # What the predicates of the book drop asks for nothing.
        await client.patch(
            page["Book"].resource, ObjectKey("default", "dune"), {"metadata": {"annotations": {"x": "y"}}}
        )
        await client.patch(page["Book"].resource, ObjectKey("default", "dune"), {"metadata": {"labels": {"x": "y"}}})
        await seen.until(4)
        page["knock"](channel)
        await seen.until(5)
        stopping.set()
    return seen.events()


EXPECTED = [
    "create of Shelf",
    "create of Book default/dune",
    "create of Room default/study",
    "update of Book default/dune",
    "generic of key",
]


def test_the_code_of_the_page_runs_on_the_embedded_server(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> list[str]:
        server = ApiServer(wall=LoopWallClock())
        return await run_the_page(InProcessTransport(server), InProcessTransport(server))

    assert run_virtual(main()) == EXPECTED
    assert set(capsys.readouterr().out.splitlines()) == {"looking at top"}


@pytest.mark.asyncio
async def test_the_code_of_the_page_runs_on_a_real_server(
    real_server: RealServer, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await load_config(real_server.kubeconfig)
    async with AiohttpTransport(config) as other:
        try:
            assert await run_the_page(AiohttpTransport(config), other) == EXPECTED
        finally:
            for resource in kinds(code()):
                await Client(RestClient(other)).delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", str(resource)))
    assert set(capsys.readouterr().out.splitlines()) == {"looking at top"}


def test_the_page_of_the_faults_has_no_code_that_nobody_runs() -> None:
    assert blocks("faults.md") == []
