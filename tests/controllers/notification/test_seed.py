"""SEED-1 and SEED-2: on the embedded server in virtual time, and on a real kube-apiserver in real time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION
from reconciler.apiserver import ApiServer
from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.clock import LoopWallClock
from reconciler.controllers.notification import NotificationRequest, custom_resource_definition
from reconciler.envtest import RealServer
from reconciler.errors import AlreadyExistsError, ApiError
from reconciler.testing import InProcessTransport, run_virtual
from reconciler.workqueue import Discipline
from tests.controllers.notification.seed import STORIES, Story, tell

STORY = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)


@STORY
@pytest.mark.parametrize("queue", ["priority", "classic"])
def test_the_seed_in_virtual_time_on_the_embedded_server(
    tmp_path: Path, story: Callable[[Story], Awaitable[None]], queue: Discipline
) -> None:
    async def main() -> float:
        wall = LoopWallClock()
        transport = InProcessTransport(ApiServer(wall=wall))
        await Client(RestClient(transport)).create(custom_resource_definition(), resource=CUSTOM_RESOURCE_DEFINITION)
        await tell(transport, tmp_path, namespace="default", initial_seconds=5, wall=wall, queue=queue, story=story)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) < 120


@pytest.mark.asyncio
@STORY
async def test_the_seed_in_real_time_on_a_real_server(
    tmp_path: Path, real_server: RealServer, real_namespace: str, story: Callable[[Story], Awaitable[None]]
) -> None:
    config = await load_config(real_server.kubeconfig)
    await install_crd(AiohttpTransport(config))
    await tell(AiohttpTransport(config), tmp_path, namespace=real_namespace, initial_seconds=1, wall=None, story=story)


async def install_crd(transport: AiohttpTransport) -> None:
    """Install the CustomResourceDefinition if it is not there, and return when the server serves it."""
    async with transport:
        client = Client(RestClient(transport))
        try:
            await client.create(custom_resource_definition(), resource=CUSTOM_RESOURCE_DEFINITION)
        except AlreadyExistsError:
            return
        for tries in itertools.count():
            try:
                await client.list(NotificationRequest)
            except ApiError:
                assert tries < 200, "the CustomResourceDefinition is not served after 20 s"
                await asyncio.sleep(0.1)
            else:
                return
