"""The code of docs/cache.md, on the embedded server and on a real one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.errors import AlreadyExistsError, ApiError
from reconciler.instant import nanoseconds
from reconciler.manager import Manager
from reconciler.reconcile import Request
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

PAGE = Path(__file__).parents[2] / "docs" / "cache.md"
NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
SAID = """\
create default/a NOTHING
create default/b NOTHING
alice 1
['a'] ['a']
2
"""


def code() -> dict[str, Any]:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "docs.cache"}
    exec(compile("\n".join(blocks), str(PAGE), "exec", dont_inherit=True), names)
    return names


@asynccontextmanager
async def running(runnable: Cache | Manager) -> AsyncGenerator[None, None]:
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(runnable.run(stopping))
        while not (runnable if isinstance(runnable, Cache) else runnable.cache).is_running:  # noqa: ASYNC110
            await asyncio.sleep(0)
        yield
        stopping.set()


async def prepare(client: Client, resource: ResourceType) -> None:
    await client.create(
        definition(resource, spec={"owner": {"type": "string"}, "configMap": {"type": "string"}}, status={}),
        resource=CUSTOM_RESOURCE_DEFINITION,
    )
    for name in ("team-a", "team-b"):
        with suppress(AlreadyExistsError):
            await client.create({"metadata": {"name": name}}, resource=NAMESPACES)
    for name, owner, app in (("a", "alice", "web"), ("b", "bob", "db")):
        metadata = {"name": name, "namespace": "default", "labels": {"app": app}, "annotations": {"x": "y"}}
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.create({"metadata": metadata, "spec": {"owner": owner}}, resource=resource)
                except AlreadyExistsError:
                    break
                except ApiError:  # served a moment after its creation
                    await asyncio.sleep(0.05)
                else:
                    break


async def run_the_page(transport: Transport, other: Transport, *, knows_secrets: bool) -> None:
    page, rest = code(), RestClient(transport)
    client, widgets = Client(rest), page["Widget"].resource
    await prepare(client, widgets)
    await page["follow"](rest)

    cache = Cache(rest, namespace="default")
    async with running(cache):
        await page["find"](cache, CachedReader(cache))

    narrow = Cache(rest)
    page["narrow"](narrow)
    kinds = [widgets, page["SECRETS"], page["PODS"]] if knows_secrets else [widgets]
    for kind in kinds:
        narrow.informer(kind)
    async with running(narrow):
        await narrow.wait_for_sync()
        kept = await CachedReader(narrow).get(widgets, ObjectKey("default", "a"))
        assert "annotations" not in kept["metadata"]
        await page["for_a_while"](narrow)
        assert widgets not in [informer.resource for informer in narrow.informers]
    seldom = page["seldom"](rest)
    assert nanoseconds(seldom.informer(widgets).options.resync) == 3600 * 10**9

    manager: Manager = page["narrow_manager"](other)
    async with running(manager):
        child = page["Widget"].model_validate({"metadata": {"generateName": "child-", "namespace": "team-a"}})
        await manager.client.create(child)
        created = await manager.cached_reader.list(widgets, namespace="team-a", after_own_writes=True)
        assert len(created) == 1


async def one_child_only(transport: Transport) -> int:
    page = code()
    manager = Manager(transport)
    async with running(manager):
        for _ in range(3):
            child = page["Widget"].model_validate({"metadata": {"generateName": "child-", "namespace": "default"}})
            await page["one_child"](manager, child)
        children = await manager.client.list(page["Widget"], namespace="default")
        return len([each for each in children if each.metadata.name.startswith("child-")])


async def who_is_woken_by_a_config_map(transport: Transport, kind: ResourceType) -> set[str]:
    """Return the widgets that get a pass when the ConfigMap `a` comes; two of three in two namespaces refer to it."""
    page = code()
    page["CONFIG_MAPS"] = kind
    manager, woken, news = Manager(transport), set[str](), asyncio.Event()
    manager.journal.subscribe(lambda record: news.set())

    async def reconcile(request: Request) -> None:
        woken.add(f"{request.namespace}/{request.name}")
        news.set()

    async def until(names: set[str]) -> None:
        async with asyncio.timeout(30):
            while not names <= woken:
                news.clear()
                await news.wait()

    def is_busy(name: str) -> bool:
        explanation = controller.explain(Request(*name.split("/")))
        return explanation.is_running or explanation.standing is not None

    controller = page["watch_config_maps"](manager, reconcile)
    async with running(manager):
        names = set[str]()
        for namespace, name, config_map in (("team-a", "x", "a"), ("team-a", "y", "b"), ("team-b", "z", "a")):
            widget = {"metadata": {"name": name, "namespace": namespace}, "spec": {"configMap": config_map}}
            await manager.client.create(widget, resource=page["Widget"].resource)
            names.add(f"{namespace}/{name}")
        await until(names)
        woken.clear()
        await manager.client.create({"metadata": {"name": "a", "namespace": "team-a"}}, resource=kind)
        await until({"team-a/x"})
        async with asyncio.timeout(30):
            while any(is_busy(name) for name in names):
                news.clear()
                await news.wait()
        return {name for name in woken if name in names}


def test_the_code_of_the_page_runs_on_the_embedded_server(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        server = ApiServer(wall=LoopWallClock())
        await run_the_page(InProcessTransport(server), InProcessTransport(server), knows_secrets=False)
        assert await one_child_only(InProcessTransport(server)) == 1
        # The embedded server has no ConfigMaps.
        kind = ResourceType("tour.example.com", "v1", "Setting", "settings")
        client = Client(RestClient(InProcessTransport(server)))
        await client.create(definition(kind, spec={}, status={}), resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        assert await who_is_woken_by_a_config_map(InProcessTransport(server), kind) == {"team-a/x"}

    run_virtual(main())
    assert capsys.readouterr().out == SAID


@pytest.mark.asyncio
async def test_the_code_of_the_page_runs_on_a_real_server(
    real_server: RealServer, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await load_config(real_server.kubeconfig)
    widgets: ResourceType = code()["Widget"].resource
    async with (
        AiohttpTransport(config) as transport,
        AiohttpTransport(config) as other,
        AiohttpTransport(config) as third,
        AiohttpTransport(config) as fourth,
    ):
        try:
            await run_the_page(transport, other, knows_secrets=True)
            assert await one_child_only(third) == 1
            assert await who_is_woken_by_a_config_map(fourth, code()["CONFIG_MAPS"]) == {"team-a/x"}
        finally:
            await Client(RestClient(transport)).delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", str(widgets)))
    assert capsys.readouterr().out == SAID
