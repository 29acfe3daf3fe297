"""The controller is killed with SIGKILL at each point of a delivery and started again: real processes, both servers."""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from reconciler.api import ObjectKey, ResourceType
from reconciler.client import AiohttpTransport, Client, RestClient, load_config
from reconciler.clock import SystemWallClock
from reconciler.controllers.notification import TABLE, NotificationRequest, Phase, Policy
from reconciler.envtest import RealServer
from tests.controllers.notification.test_seed import install_crd

Attempt = tuple[str, int]
Calls = Counter[Attempt]

SCRIPT = Path(__file__).parent / "controller_process.py"
NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
RETRY = {"maxAttempts": 3, "initialBackoffSeconds": 1, "backoffMultiplier": 2, "maxBackoffSeconds": 60}
SLACK = timedelta(seconds=1.5)  # for two busy cores
QUIET_SECONDS = 0.3  # how long a request that is done is watched for one send too many
WAIT_SECONDS = 30


def attempts(*each: str) -> Counter[Attempt]:
    """`a1` is the first attempt of channel a."""
    return Counter((text[0], int(text[1:])) for text in each)


@dataclass(frozen=True)
class Case:
    """
    Where the controller dies, and what must have become of the request in the end.

    Attributes:
        dies: What `controller_process.py` is told; or `held`: killed from outside once all of `hold` were called; or
            `recorded:N`: killed from outside once N attempts are recorded.
        channels: As the script takes them.
        refuse: Attempts that the receiver answers with 500.
        hold: Attempts that the receiver never answers.
        calls_before: What the receiver had got when the controller was dead.
        calls: What it had got in the end.
        doubts: The attempts that nobody knows the outcome of.
        dead_seconds: How long it stays dead: most of a backoff of 2 s, so that one counted from the restart is seen.
    """

    dies: str
    calls_before: Calls
    calls: Calls
    channels: str = "a"
    refuse: Calls = field(default_factory=attempts)
    hold: Calls = field(default_factory=attempts)
    doubts: Calls = field(default_factory=attempts)
    phase: str = "Sent"
    dead_seconds: float = 0


CASES = {
    "before the intent write": Case("before:intent:1", attempts(), attempts("a1")),
    "before the intent write of a retry": Case(
        "before:intent:2", attempts("a1"), attempts("a1", "a2"), refuse=attempts("a1")
    ),
    "between intent and send": Case("after:intent:1", attempts(), attempts("a2"), doubts=attempts("a1")),
    "during a send": Case(
        "held", attempts("a1"), attempts("a1", "a2"), hold=attempts("a1"), doubts=attempts("a1")
    ),
    "during the last send": Case(
        "held", attempts("a1", "a2", "a3"), attempts("a1", "a2", "a3"),
        refuse=attempts("a1", "a2"), hold=attempts("a3"), doubts=attempts("a3"), phase="Failed",
    ),
    "during an at-most-once send": Case(
        "held", attempts("a1"), attempts("a1"),
        channels="a!", hold=attempts("a1"), doubts=attempts("a1"), phase="Failed",
    ),
    "after the send": Case("sent:a:1", attempts("a1"), attempts("a1", "a2"), doubts=attempts("a1")),
    "after the send to a receiver that drops repeats": Case(
        "sent:a:1", attempts("a1"), attempts("a1", "a1"), channels="a="
    ),
    "before the outcome's write": Case(
        "before:outcome:1", attempts("a1"), attempts("a1", "a2"), doubts=attempts("a1")
    ),
    "after the outcome's response": Case(
        "after:outcome:1", attempts("a1", "b1"), attempts("a1", "b1", "b2"), channels="a,b", refuse=attempts("b1")
    ),
    "after the last outcome's response": Case("after:outcome:1", attempts("a1"), attempts("a1")),
    "during backoff": Case(
        "recorded:2", attempts("a1", "a2"), attempts("a1", "a2", "a3"),
        refuse=attempts("a1", "a2", "a3"), phase="Failed", dead_seconds=1.5,
    ),
    "during the second channel's send": Case(
        "held", attempts("a1", "b1"), attempts("a1", "b1", "a2", "b2"),
        channels="a,b", refuse=attempts("a1"), hold=attempts("b1"), doubts=attempts("a1", "b1"),
    ),
    "during the second channel's send, the first one's success recorded": Case(
        "held", attempts("a1", "b1", "b2"), attempts("a1", "b1", "b2", "b3"),
        channels="a,b", refuse=attempts("b1"), hold=attempts("b2"), doubts=attempts("b2"), dead_seconds=1.5,
    ),
    "during the second channel's at-most-once send": Case(
        "held", attempts("a1", "b1", "b2"), attempts("a1", "b1", "b2"),
        channels="a,b!", refuse=attempts("b1"), hold=attempts("b2"), doubts=attempts("b2"), phase="PartiallySent",
    ),
}  # fmt: skip
KILLED = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


@pytest.mark.asyncio
@KILLED
async def test_killed_and_restarted_on_the_embedded_server(tmp_path: Path, case: Case) -> None:
    async with dev_server(tmp_path) as kubeconfig:
        await play(kubeconfig, tmp_path, case)


@pytest.mark.asyncio
@KILLED
async def test_killed_and_restarted_on_a_real_server(tmp_path: Path, real_server: RealServer, case: Case) -> None:
    await install_crd(AiohttpTransport(await load_config(real_server.kubeconfig)))
    await play(str(real_server.kubeconfig), tmp_path, case)


async def play(kubeconfig: str, directory: Path, case: Case) -> None:
    async with scene(kubeconfig, directory, case) as on:
        # Given a controller that died where it was told to,
        async with on.controller(case.dies) as process:
            await on.die(process)
        left = await on.read()
        assert on.receiver.calls == case.calls_before
        assert intents(left) == case.doubts
        await asyncio.sleep(case.dead_seconds)
        # when it is started again,
        async with on.controller() as process:
            restarted_at = await on.receiver.working()
            last = await on.wait_until(is_terminal)
            await asyncio.sleep(QUIET_SECONDS)
            process.send_signal(signal.SIGTERM)
            await on.wait_for_end(process, 0)
        # then the rest is sent at its time, nothing else is, and what is in doubt is said.
        assert on.receiver.calls == case.calls
        assert (last.status.phase, doubts(last)) == (case.phase, case.doubts)
        said = f"; {case.doubts.total()} attempt(s) in doubt" if case.doubts else ""
        assert last.status.message.partition(";")[1:] == (said[:1], said[1:])
        check_record(last, on.receiver, case)
        check_times(last, on.receiver, restarted_at)
        assert "Traceback" not in on.log.read_text()


# --- what must hold at every point -----------------------------------------------------------------------------------


def check_record(last: NotificationRequest, receiver: Receiver, case: Case) -> None:
    """Each attempt has one number, one outcome or a doubt; a success is the last; nobody gets more than is allowed."""
    recorded = Counter((attempt.channel, attempt.attempt) for attempt in last.status.delivery_attempts)
    known = recorded + doubts(last)
    assert set(known.values()) == {1}
    assert set(receiver.calls) <= set(known)
    for channel in {channel for channel, _ in known}:
        numbers = sorted(number for name, number in known if name == channel)
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) <= RETRY["maxAttempts"]
    for attempt in last.status.delivery_attempts:
        refused = (attempt.channel, attempt.attempt) in case.refuse
        assert attempt.status == ("failed" if refused else "success")
        assert refused or (attempt.channel, attempt.attempt + 1) not in known


def check_times(last: NotificationRequest, receiver: Receiver, restarted_at: datetime) -> None:
    """
    Each further attempt is made when its delay after the end of the one before is over, at once if that is past.

    The delay after one in doubt runs from its intent.
    """
    policy = Policy.of(last.spec.retry_policy)
    delivery = last.status.delivery
    assert delivery is not None
    ends = {(attempt.channel, attempt.attempt): attempt.timestamp for attempt in last.status.delivery_attempts}
    ends |= {(doubt.channel, doubt.attempt): doubt.at for doubt in delivery.in_doubt}
    for channel, number in receiver.calls:
        if number > 1:
            ended_at, called_at = ends[channel, number - 1], receiver.called_at[channel, number]
            delay = policy.backoff(number - 1)
            assert called_at >= ended_at + delay
            due_at = ended_at + delay * 1.1
            # The first pass after a restart may send before the script has said that it works.
            latest = max(due_at, restarted_at) if ended_at < restarted_at else due_at
            assert called_at <= latest + SLACK


def is_terminal(obj: NotificationRequest) -> bool:
    return TABLE.is_terminal(Phase(obj.status.phase))


def intents(obj: NotificationRequest) -> Counter[Attempt]:
    delivery = obj.status.delivery
    return Counter((each.channel, each.attempt) for each in (delivery.intents if delivery else ()))


def doubts(obj: NotificationRequest) -> Counter[Attempt]:
    delivery = obj.status.delivery
    return Counter((each.channel, each.attempt) for each in (delivery.in_doubt if delivery else ()))


# --- the processes ---------------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """Counts calls by (channel, attempt), and refuses or holds those that the case says."""

    case: Case
    calls: Counter[Attempt] = field(default_factory=Counter)
    called_at: dict[Attempt, datetime] = field(default_factory=dict)
    is_working: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        call = await request.json()
        if "working" in call:
            self.is_working.set()
            return web.Response()
        key = (call["channel"], call["attempt"])
        self.calls[key] += 1
        self.called_at[key] = SystemWallClock().now()
        self.changed.set()
        if key in self.case.hold:
            await asyncio.Event().wait()
        return web.Response(status=500 if key in self.case.refuse else 200)

    async def working(self) -> datetime:
        async with asyncio.timeout(WAIT_SECONDS):
            await self.is_working.wait()
        return SystemWallClock().now()

    async def held(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not self.case.calls_before.items() <= self.calls.items():
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
    case: Case
    kubeconfig: str
    namespace: str
    client: Client
    receiver: Receiver
    log: Path

    @asynccontextmanager
    async def controller(self, dies: str = "never") -> AsyncIterator[asyncio.subprocess.Process]:
        self.receiver.is_working.clear()
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(SCRIPT), self.kubeconfig, self.namespace, self.receiver.url, self.case.channels,
                dies, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def die(self, process: asyncio.subprocess.Process) -> None:
        """Return when the controller has died where the case says; from outside, if it cannot do that itself."""
        where, _, number = self.case.dies.partition(":")
        if where == "held":
            await self.receiver.held()
            process.kill()
        if where == "recorded":
            await self.wait_until(lambda obj: obj.status.total_attempts == int(number))
            process.kill()
        await self.wait_for_end(process, -signal.SIGKILL)

    async def wait_for_end(self, process: asyncio.subprocess.Process, code: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            assert await process.wait() == code, self.log.read_text()

    async def read(self) -> NotificationRequest:
        return await self.client.get(NotificationRequest, ObjectKey(self.namespace, "n"))

    async def wait_until(self, is_so: Callable[[NotificationRequest], bool]) -> NotificationRequest:
        async with asyncio.timeout(WAIT_SECONDS):
            # Polled: a watch of our own would tell the test what the controller's own watch may have missed.
            while not is_so(obj := await self.read()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return obj


@asynccontextmanager
async def dev_server(directory: Path) -> AsyncIterator[str]:
    kubeconfig = directory / "dev.kubeconfig"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reconciler.cli", "dev", "--kubeconfig", str(kubeconfig), "--with-notification-crd",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            assert await process.stdout.readline(), "reconciler dev ended at once; its standard error says why"
        yield str(kubeconfig)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@asynccontextmanager
async def scene(kubeconfig: str, directory: Path, case: Case) -> AsyncIterator[Scene]:
    receiver = Receiver(case)
    async with receiver.serving(), AiohttpTransport(await load_config(kubeconfig)) as transport:
        client = Client(RestClient(transport))
        namespace = f"kill-{uuid.uuid4().hex[:8]}"
        await client.create({"metadata": {"name": namespace}}, resource=NAMESPACES)
        spec = {"type": "Simple", "priority": "High", "subject": "s", "body": "b", "retryPolicy": RETRY}
        metadata = {"name": "n", "namespace": namespace}
        await client.create(NotificationRequest.model_validate({"metadata": metadata, "spec": spec}))
        yield Scene(case, kubeconfig, namespace, client, receiver, directory / "controller.log")
