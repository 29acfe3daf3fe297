"""Reads where only one of the cache's namespaces may be listed: a real API server, and roles that are bound."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.api import ObjectKey
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.envtest import RealServer
from reconciler.errors import CacheNotSyncedError

from .test_real_rights import CONFIG_MAPS, grant, poor

__all__ = ["poor"]  # a fixture

pytestmark = pytest.mark.asyncio


async def test_one_forbidden_namespace_keeps_no_read_of_another_one_waiting(
    real_server: RealServer,
    real_namespace: str,
    poor: AiohttpTransport,
) -> None:
    grant(real_server, real_namespace, "list", "watch")
    async with AiohttpTransport(await load_config(real_server.kubeconfig)) as admin:
        body = {"metadata": {"name": "a", "namespace": real_namespace}, "data": {"x": "1"}}
        await Client(RestClient(admin)).create(body, resource=CONFIG_MAPS)
    cache, stopping = Cache(RestClient(poor), namespaces=[real_namespace, "default"]), asyncio.Event()
    reader = CachedReader(cache)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(cache.run(stopping))
        await asyncio.sleep(0)
        got = await reader.get(CONFIG_MAPS, ObjectKey(real_namespace, "a"))
        assert got["data"] == {"x": "1"}
        assert "a" in [each["metadata"]["name"] for each in await reader.list(CONFIG_MAPS, namespace=real_namespace)]
        with pytest.raises(CacheNotSyncedError, match='in the namespace "default"'):
            await reader.list(CONFIG_MAPS)
        stopping.set()
    await asyncio.sleep(0.1)
