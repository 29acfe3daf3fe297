"""Read-your-writes on the embedded server and on a real one: a controller that counts before it makes one more."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.api import ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, Client, RestClient, Transport, load_config
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.errors import NotFoundError
from reconciler.journal import Journal
from reconciler.testing import InProcessTransport, run_virtual

CONFIG_MAPS = ResourceType("", "v1", "ConfigMap", "configmaps")
NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)


async def tell(transport: Transport, kind: ResourceType, namespace: str) -> list[int]:
    """Make, change and delete objects, each time after a look at those that are there; return how many were seen."""
    rest, journal = RestClient(transport), Journal()
    client, cache, stopping = Client(rest, journal=journal), Cache(rest, namespace=namespace), asyncio.Event()
    reader = CachedReader(cache, client=client)
    seen: list[int] = []

    async def ours() -> list[str]:
        found = await reader.list(kind, after_own_writes=True)
        return [item["metadata"]["name"] for item in found if item["metadata"]["name"].startswith("own-")]

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(cache.run(stopping))
        await asyncio.sleep(0)
        for number in range(20):
            seen.append(len(await ours()))
            name, labels = f"own-{number:02}", {"number": "0"}
            metadata = {"name": name, "labels": labels, **({"namespace": namespace} if kind.is_namespaced else {})}
            await client.create({"metadata": metadata}, resource=kind)
            key = ObjectKey(namespace if kind.is_namespaced else "", name)
            await client.patch(kind, key, {"metadata": {"labels": {"number": str(number)}}})
            if number % 2:  # else the next look is the first read after the writes
                got = await reader.get(kind, key, after_own_writes=True)
                assert got["metadata"]["labels"]["number"] == str(number)
        if kind.is_namespaced:
            for number in range(20):
                key = ObjectKey(namespace, f"own-{number:02}")
                await client.delete(kind, key)
                with pytest.raises(NotFoundError):
                    await reader.get(kind, key, after_own_writes=True)
            seen.append(len(await ours()))
        stopping.set()
    return seen


def test_each_look_sees_every_own_write_before_it_on_the_embedded_server() -> None:
    async def main() -> list[int]:
        return await tell(InProcessTransport(ApiServer(wall=LoopWallClock())), NAMESPACES, "")

    assert run_virtual(main()) == list(range(20))


@pytest.mark.asyncio
async def test_each_look_sees_every_own_write_before_it_on_a_real_server(
    real_server: RealServer, real_namespace: str
) -> None:
    transport = AiohttpTransport(await load_config(kubeconfig=real_server.kubeconfig))
    try:
        assert await tell(transport, CONFIG_MAPS, real_namespace) == [*range(20), 0]
    finally:
        await transport.aclose()
        # The broken-off watches' TLS ends a moment later, and the loop must still be there.
        await asyncio.sleep(0.1)
