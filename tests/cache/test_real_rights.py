"""A service account whose role lacks a right, on a real kube-apiserver with RBAC: what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from reconciler.api import ResourceType
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, ClientConfig, RestClient
from reconciler.envtest import RealServer
from reconciler.errors import CacheNotSyncedError

pytestmark = pytest.mark.asyncio

CONFIG_MAPS = ResourceType("", "v1", "ConfigMap", "configmaps")
NODES = ResourceType("", "v1", "Node", "nodes", is_namespaced=False)
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"


def post(server: RealServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    code, text = server.request("POST", path, body)
    assert code == 201, text
    answer: dict[str, Any] = json.loads(text)
    return answer


def grant(server: RealServer, namespace: str, *verbs: str) -> None:
    """Let the service account `poor` do this with ConfigMaps."""
    name = "-".join(verbs)
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": list(verbs)}]
    post(server, f"{RBAC}/{namespace}/roles", {"metadata": {"name": name}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": "poor", "namespace": namespace}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    post(server, f"{RBAC}/{namespace}/rolebindings", binding)


@pytest_asyncio.fixture
async def poor(real_server: RealServer, real_namespace: str) -> AsyncGenerator[AiohttpTransport, None]:
    """The way of a service account that may read ConfigMaps one by one, and nothing else."""
    accounts = f"/api/v1/namespaces/{real_namespace}/serviceaccounts"
    post(real_server, accounts, {"metadata": {"name": "poor"}})
    token = post(real_server, f"{accounts}/poor/token", {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    grant(real_server, real_namespace, "get")
    config = ClientConfig.for_host(real_server.url, token=token, ca_file=real_server.ca_file)
    async with AiohttpTransport(config) as transport:
        yield transport


def words(namespace: str, what: str) -> str:
    return f'User "system:serviceaccount:{namespace}:poor" cannot list resource {what}'


async def test_a_role_without_list_ends_the_wait_at_once_with_the_words_of_the_server(
    poor: AiohttpTransport, real_namespace: str
) -> None:
    cache, stopping = Cache(RestClient(poor), namespace=real_namespace), asyncio.Event()
    cache.informer(CONFIG_MAPS)
    cache.informer(NODES)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(cache.run(stopping))
        for kind in (CONFIG_MAPS, NODES):
            with pytest.raises(CacheNotSyncedError):
                await cache.informer(kind).wait_for_sync(timedelta(minutes=10))
        with pytest.raises(CacheNotSyncedError) as caught:
            await cache.wait_for_sync(timedelta(minutes=10))
        with pytest.raises(CacheNotSyncedError, match="cannot list"):
            await CachedReader(cache).list(CONFIG_MAPS)
        ready = cache.problem()
        stopping.set()
    # Both kinds, each with verb, resource and scope; and /readyz says the same.
    said = str(caught.value)
    namespaced = words(real_namespace, f'"configmaps" in API group "" in the namespace "{real_namespace}"')
    assert f"list {CONFIG_MAPS} in {real_namespace}: 403 configmaps is forbidden: {namespaced}" in said
    assert f"list {NODES}: 403 nodes is forbidden: " in said
    assert words(real_namespace, '"nodes" in API group "" at the cluster scope') in said
    assert ready == said


async def test_a_role_that_is_bound_while_somebody_keeps_waiting_is_enough(
    poor: AiohttpTransport, real_server: RealServer, real_namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.cache.listwatch.Backoff.INITIAL", 100_000_000)
    monkeypatch.setattr("reconciler.cache.listwatch.Backoff.MAX", 100_000_000)
    cache, stopping = Cache(RestClient(poor), namespace=real_namespace), asyncio.Event()
    informer = cache.informer(CONFIG_MAPS)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(cache.run(stopping))
        waiting = asyncio.create_task(informer.wait_for_sync(keep_waiting=True))
        while cache.problem() is None or "403" not in str(cache.problem()):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)
        # A list is granted and the watch is not: synced, and it says that it cannot follow.
        await asyncio.to_thread(grant, real_server, real_namespace, "list")
        await waiting
        while "cannot watch" not in str(cache.problem()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert (informer.is_synced, informer.status().watch_age) == (True, None)
        # With both it is well.
        await asyncio.to_thread(grant, real_server, real_namespace, "watch")
        while cache.problem() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        stopping.set()
