"""The controller is killed with SIGKILL at each point of a delivery and started again: real processes, both servers."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web

from reconciler.api import ObjectKey, ResourceType
from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.controllers.notification import TABLE, NotificationRequest, Phase, Policy
from reconciler.envtest import RealServer
from tests.controllers.notification.test_seed import install_crd

Point = Callable[["Scene"], Awaitable[None]]

SCRIPT = Path(__file__).parent / "controller_process.py"
NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
START_SECONDS = 4.0  # what a fresh Python process may take on a busy machine until it works


@dataclass
class Receiver:
    """Counts calls by (channel, attempt); refuses or holds those that a test says."""

    refuse: set[tuple[str, int]] = field(default_factory=set)
    hold: set[tuple[str, int]] = field(default_factory=set)
    calls: Counter[tuple[str, int]] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        call = await request.json()
        key = (call["channel"], call["attempt"])
        self.calls[key] += 1
        self.changed.set()
        if key in self.hold:
            await asyncio.Event().wait()
        if key in self.refuse:
            return web.Response(status=500)
        self.answered[key[0]] += 1
        return web.Response()

    async def wait_for_call(self, key: tuple[str, int]) -> None:
        async with asyncio.timeout(30):
            while not self.calls[key]:
                self.changed.clear()
                await self.changed.wait()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/", self.handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            yield
        finally:
            await runner.cleanup()


@dataclass
class Scene:
    kubeconfig: str
    namespace: str
    client: Client
    receiver: Receiver
    stack: AsyncExitStack
    channels: str = "a"

    async def start(self, die_at: str = "never") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), self.kubeconfig, self.namespace, self.receiver.url, self.channels, die_at,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

        async def end() -> None:
            if process.returncode is None:
                process.kill()
            await process.wait()

        self.stack.push_async_callback(end)
        return process

    async def create(self) -> None:
        retry = {"maxAttempts": 3, "initialBackoffSeconds": 1, "backoffMultiplier": 2, "maxBackoffSeconds": 60}
        spec = {"type": "Simple", "priority": "High", "subject": "s", "body": "b", "retryPolicy": retry}
        metadata = {"name": "n", "namespace": self.namespace}
        await self.client.create(NotificationRequest.model_validate({"metadata": metadata, "spec": spec}))

    async def read(self) -> NotificationRequest:
        return await self.client.get(NotificationRequest, ObjectKey(self.namespace, "n"))

    async def wait_until(self, is_so: Callable[[NotificationRequest], bool]) -> NotificationRequest:
        async with asyncio.timeout(40):
            # Polled: a watch of our own would tell the test what the controller's own watch may have missed.
            while not is_so(obj := await self.read()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return obj

    async def until_dead(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(40):
            assert await process.wait() == -9


@asynccontextmanager
async def dev_server(directory: Path) -> AsyncIterator[str]:
    kubeconfig = directory / "dev.kubeconfig"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reconciler.cli", "dev", "--kubeconfig", str(kubeconfig), "--with-notification-crd",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            await process.stdout.readline()
        yield str(kubeconfig)
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def scene(kubeconfig: str) -> AsyncIterator[Scene]:
    config = await load_config(kubeconfig)
    async with AsyncExitStack() as stack:
        receiver = Receiver()
        await stack.enter_async_context(receiver.serving())
        transport = await stack.enter_async_context(AiohttpTransport(config))
        client = Client(RestClient(transport))
        namespace = f"kill-{uuid.uuid4().hex[:8]}"
        await client.create({"metadata": {"name": namespace}}, resource=NAMESPACES)
        yield Scene(kubeconfig, namespace, client, receiver, stack)


def is_terminal(obj: NotificationRequest) -> bool:
    return TABLE.is_terminal(Phase(obj.status.phase))


def doubts(obj: NotificationRequest) -> list[tuple[str, int]]:
    return [(doubt.channel, doubt.attempt) for doubt in obj.status.delivery.in_doubt] if obj.status.delivery else []


def check_times(obj: NotificationRequest, channel: str) -> None:
    """Each attempt ended no sooner than its delay after the one before, and not much later than a restart takes."""
    policy = Policy.of(obj.spec.retry_policy)
    ends: list[tuple[int, datetime]] = [
        (attempt.attempt, attempt.timestamp) for attempt in obj.status.delivery_attempts if attempt.channel == channel
    ]
    if obj.status.delivery:
        ends += [(doubt.attempt, doubt.at) for doubt in obj.status.delivery.in_doubt if doubt.channel == channel]
    for (number, before), (after_number, after) in pairwise(sorted(ends)):
        assert after_number == number + 1
        least = policy.backoff(number)
        assert least <= after - before <= least * 1.1 + timedelta(seconds=START_SECONDS)


async def before_the_intent_write(on: Scene) -> None:
    await on.until_dead(await on.start("before-put:2"))
    assert not on.receiver.calls
    await on.start()
    last = await on.wait_until(is_terminal)
    assert (last.status.phase, doubts(last)) == ("Sent", [])
    assert on.receiver.calls == {("a", 1): 1}


async def between_intent_and_send(on: Scene) -> None:
    await on.until_dead(await on.start("entry:a"))
    assert not on.receiver.calls
    await on.start()
    last = await on.wait_until(is_terminal)
    assert (last.status.phase, doubts(last)) == ("Sent", [("a", 1)])
    assert last.status.message.endswith("; 1 attempt(s) in doubt")
    assert on.receiver.calls == {("a", 2): 1}
    check_times(last, "a")


async def during_a_send(on: Scene) -> None:
    on.receiver.hold.add(("a", 1))
    process = await on.start()
    await on.receiver.wait_for_call(("a", 1))
    process.kill()
    await on.until_dead(process)
    await on.start()
    last = await on.wait_until(is_terminal)
    assert (last.status.phase, doubts(last)) == ("Sent", [("a", 1)])
    assert on.receiver.calls == {("a", 1): 1, ("a", 2): 1}
    check_times(last, "a")


async def after_the_send(on: Scene) -> None:
    await on.until_dead(await on.start("sent:a"))
    assert on.receiver.answered == {"a": 1}
    await on.start()
    last = await on.wait_until(is_terminal)
    # At least once: nobody recorded the first, so it is in doubt, and the channel is sent to again at its time.
    assert (last.status.phase, doubts(last)) == ("Sent", [("a", 1)])
    assert on.receiver.calls == {("a", 1): 1, ("a", 2): 1}
    check_times(last, "a")


async def after_the_outcomes_response(on: Scene) -> None:
    on.channels = "a,b"
    on.receiver.refuse.add(("b", 1))
    await on.until_dead(await on.start("after-put:3"))
    await on.start()
    last = await on.wait_until(is_terminal)
    assert (last.status.phase, doubts(last)) == ("Sent", [])
    # The recorded success is not sent again, and the failed one at its time.
    assert on.receiver.calls == {("a", 1): 1, ("b", 1): 1, ("b", 2): 1}
    check_times(last, "b")


async def during_backoff(on: Scene) -> None:
    on.receiver.refuse |= {("a", 1), ("a", 2), ("a", 3)}
    process = await on.start()
    await on.wait_until(lambda obj: obj.status.total_attempts == 2)
    process.kill()
    await on.until_dead(process)
    await on.start()
    last = await on.wait_until(is_terminal)
    assert (last.status.phase, last.status.reason, doubts(last)) == ("Failed", "MaxRetriesExhausted", [])
    assert on.receiver.calls == {("a", 1): 1, ("a", 2): 1, ("a", 3): 1}
    check_times(last, "a")


async def during_the_second_channels_send(on: Scene) -> None:
    on.channels = "a,b"
    on.receiver.refuse.add(("a", 1))
    on.receiver.hold.add(("b", 1))
    process = await on.start()
    await on.receiver.wait_for_call(("a", 1))
    await on.receiver.wait_for_call(("b", 1))
    process.kill()
    await on.until_dead(process)
    await on.start()
    last = await on.wait_until(is_terminal)
    assert (last.status.phase, sorted(doubts(last))) == ("Sent", [("a", 1), ("b", 1)])
    assert on.receiver.calls == {("a", 1): 1, ("b", 1): 1, ("a", 2): 1, ("b", 2): 1}
    check_times(last, "a")
    check_times(last, "b")


async def during_an_at_most_once_send(on: Scene) -> None:
    on.channels = "a!"
    on.receiver.hold.add(("a", 1))
    process = await on.start()
    await on.receiver.wait_for_call(("a", 1))
    process.kill()
    await on.until_dead(process)
    await on.start()
    last = await on.wait_until(is_terminal)
    assert (last.status.phase, last.status.reason) == ("Failed", "MaxRetriesExhausted")
    assert last.status.message.endswith("; 1 attempt(s) in doubt")
    assert doubts(last) == [("a", 1)]
    assert on.receiver.calls == {("a", 1): 1}


POINTS = (
    before_the_intent_write,
    between_intent_and_send,
    during_a_send,
    after_the_send,
    after_the_outcomes_response,
    during_backoff,
    during_the_second_channels_send,
    during_an_at_most_once_send,
)
KILLED = pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)


@pytest.mark.asyncio
@KILLED
async def test_killed_and_restarted_on_the_embedded_server(tmp_path: Path, point: Point) -> None:
    async with dev_server(tmp_path) as kubeconfig:
        await play(kubeconfig, point)


@pytest.mark.asyncio
@KILLED
async def test_killed_and_restarted_on_a_real_server(real_server: RealServer, point: Point) -> None:
    await install_crd(AiohttpTransport(await load_config(real_server.kubeconfig)))
    await play(str(real_server.kubeconfig), point)


async def play(kubeconfig: str, point: Point) -> None:
    async with scene(kubeconfig) as on:
        await on.create()
        await point(on)
