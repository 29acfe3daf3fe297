"""`Result(hold=True)`: its tables, and its stories in virtual time on both queues, and on a real kube-apiserver."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.clock import LoopWallClock
from reconciler.control_loop import Loudness, can_wait, loudness_of
from reconciler.envtest import RealServer
from reconciler.errors import AlreadyExistsError, ApiError
from reconciler.journal import Changed, EventSeen, Origin
from reconciler.testing import InProcessTransport, run_virtual
from reconciler.workqueue import Discipline
from tests.control_loop.hold_stories import CHIPS, DEFINITIONS, STORIES, TILES, Story, tell

ON_BOTH_QUEUES = pytest.mark.parametrize("queue", ["priority", "classic"])


def update(origin: Origin, *, old: str = "1", new: str = "2", changed: Changed = Changed.OTHER) -> EventSeen:
    return EventSeen(
        1, (), 0, "c", "a", verb="update", changed=changed, old_version=old, new_version=new, origin=origin
    )


LOUDNESS = [
    pytest.param(update(Origin.OWN), Loudness.QUIET, id="own"),
    pytest.param(update(Origin.FOREIGN, new="1", changed=Changed.NOTHING), Loudness.QUIET, id="resync"),
    pytest.param(update(Origin.UNDETERMINED), Loudness.UNDETERMINED, id="before its answer"),
    pytest.param(update(Origin.FOREIGN), Loudness.FOREIGN, id="foreign"),
    pytest.param(update(Origin.OWN, changed=Changed.DELETION), Loudness.LOUD, id="deletion asked for by us"),
    pytest.param(update(Origin.OWN, changed=Changed.UID | Changed.OTHER), Loudness.LOUD, id="another UID"),
    *(
        pytest.param(EventSeen(1, (), 0, "c", "a", verb=verb, origin=Origin.OWN), Loudness.LOUD, id=verb)
        for verb in ("create", "delete", "generic")
    ),
]


@pytest.mark.parametrize(("event", "loudness"), LOUDNESS)
def test_an_event_is_as_loud_as_the_table_says(event: EventSeen, loudness: Loudness) -> None:
    assert loudness_of(event) is loudness


WAITS = [
    # loudness, mode, only status changed -> can wait
    (Loudness.QUIET, "own", False, True),
    (Loudness.LOUD, "status", True, False),
    (Loudness.FOREIGN, "own", True, False),
    (Loudness.FOREIGN, "status", True, True),
    (Loudness.FOREIGN, "status", False, False),
    (Loudness.UNDETERMINED, "own", True, None),
    (Loudness.UNDETERMINED, "status", True, True),
    (Loudness.UNDETERMINED, "status", False, None),
]


@pytest.mark.parametrize(("loudness", "mode", "status_only", "waits"), WAITS)
def test_an_event_waits_as_the_table_says(loudness: Loudness, mode: Any, status_only: bool, waits: bool | None) -> None:
    assert can_wait(loudness, mode, lambda: status_only) is waits


@ON_BOTH_QUEUES
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_in_virtual_time(story: Story, queue: Discipline) -> None:
    async def main() -> None:
        transport = InProcessTransport(ApiServer(wall=LoopWallClock()))
        for definition in DEFINITIONS:
            await Client(RestClient(transport)).create(definition, resource=CUSTOM_RESOURCE_DEFINITION)
        await tell(story, transport, queue=queue, namespace="default", unit=1.0, tolerance=0.05)

    run_virtual(main())


@pytest.mark.asyncio
@ON_BOTH_QUEUES
async def test_on_a_real_server(real_server: RealServer, queue: Discipline) -> None:
    """All stories at once, each in a namespace of its own: they wait most of the time."""
    config = await load_config(real_server.kubeconfig)
    # Two dozen managers that start on two cores would make each other late: they begin together.
    ready = asyncio.Barrier(len(STORIES))

    async def others() -> None:
        await ready.wait()

    async with AiohttpTransport(config) as transport, anyio.create_task_group() as group:
        await install(Client(RestClient(transport)))
        for number, story in enumerate(STORIES):
            namespace = f"hold-{queue}-{number}"
            status, answer = real_server.request(
                "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            )
            assert status == 201, answer
            group.start_soon(on_real, story, transport, queue, namespace, others, name=story.__name__)


async def on_real(
    story: Story,
    transport: AiohttpTransport,
    queue: Discipline,
    namespace: str,
    others: Callable[[], Awaitable[None]],
) -> None:
    try:
        await tell(story, transport, queue=queue, namespace=namespace, unit=1.3, tolerance=0.8, others=others)
    except BaseException as error:
        error.add_note(f"in the story {story.__name__}")
        raise


async def install(client: Client) -> None:
    """Install the definitions if they are not there; return when the server serves them, and their watches hold."""
    for definition in DEFINITIONS:
        with suppress(AlreadyExistsError):
            await client.create(definition, resource=CUSTOM_RESOURCE_DEFINITION)
    for kind in (TILES, CHIPS):
        await until_served(client, kind)


async def until_served(client: Client, kind: ResourceType) -> None:
    for tries in itertools.count():
        try:
            await client.list(kind)
        except ApiError:
            assert tries < 100
            await asyncio.sleep(0.1)
        else:
            break
    # For a moment after that the server closes watches of the new kind: what it stores them in is replaced once more.
    loop = asyncio.get_running_loop()
    opened = ended = loop.time()
    while ended - opened < 2.5:
        opened = loop.time()
        async with client.watch(kind, timeout_seconds=3) as events:
            async for _ in events:
                pass
        ended = loop.time()
