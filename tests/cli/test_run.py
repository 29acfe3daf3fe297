"""`reconciler run notification` as a real process: what it refuses, what it waits for, what it says."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ObjectKey
from reconciler.cli import main, run
from reconciler.client import AiohttpTransport, Client, ClientConfig, RestClient, load_config
from reconciler.controllers.notification import NotificationRequest, custom_resource_definition
from reconciler.envtest import Binaries, RealServer, running

GOOD_ROUTING = "route: {receiver: console}\nreceivers:\n- name: console\n  consoleConfigs: [{enabled: true}]\n"


@pytest.mark.parametrize(
    ("config", "routing", "said"),
    [
        pytest.param("a: [", GOOD_ROUTING, r"config\.yaml:\d+: .+", id="config that does not parse"),
        pytest.param(
            "delivery:\n  slack:\n    timeout: 5s\n", GOOD_ROUTING, r"config\.yaml:3: delivery\.slack\.timeout: .+",
            id="a key that is not honoured yet",
        ),
        pytest.param(
            "controller:\n  leaderElection: true\n", GOOD_ROUTING, r"config\.yaml:2: controller\.leaderElection: .+",
            id="a value that is not honoured yet",
        ),
        pytest.param("{}", "route: {receiver: x\n", r"routing\.yaml:\d+: .+", id="routing that does not parse"),
        pytest.param(
            "{}", "route:\n  receiver: gone\nreceivers:\n- name: a\n", r"routing\.yaml:2: .*gone.*", id="no receiver"
        ),
    ],
)  # fmt: skip
def test_a_bad_file_ends_the_start_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, routing: str, said: str
) -> None:
    config_file, routing_file = tmp_path / "config.yaml", tmp_path / "routing.yaml"
    config_file.write_text(config)
    routing_file.write_text(routing)
    words = ["--config", str(config_file), "--routing", str(routing_file), "--kubeconfig", str(tmp_path / "none")]
    assert main(["run", "notification", *words]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_a_missing_routing_file_ends_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "notification", "--routing", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    assert "reconciler run notification --kubeconfig" in out
    assert "Exit codes" in out


@pytest.mark.parametrize(
    ("asked", "environment", "pod", "context", "namespace"),
    [
        ("asked", "env", "pod", "ctx", "asked"),
        (None, "env", "pod", "ctx", "env"),
        (None, "", "pod", "ctx", "pod"),
        (None, "", None, "ctx", "ctx"),
        (None, "", None, None, "default"),
    ],
)
def test_the_namespace_is_the_first_that_is_given(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    environment: str,
    pod: str | None,
    context: str | None,
    namespace: str,
) -> None:
    file = tmp_path / "namespace"
    if pod:
        file.write_text(f"{pod}\n")
    monkeypatch.setattr(run, "SERVICE_ACCOUNT_NAMESPACE", file)
    monkeypatch.setenv("KUBERNAUT_CONTROLLER_NAMESPACE", environment)
    client = ClientConfig.for_host("https://127.0.0.1:1", namespace=context)
    assert run.namespace_of(asked, client) == namespace


UNREACHABLE = """\
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""


def test_a_missing_kubeconfig_and_a_taken_health_port_end_the_start_without_a_traceback(tmp_path: Path) -> None:
    config, routing, kubeconfig = (tmp_path / name for name in ("config.yaml", "routing.yaml", "kubeconfig"))
    routing.write_text(GOOD_ROUTING)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(f'controller: {{healthProbeAddr: "127.0.0.1:{taken.getsockname()[1]}"}}\n')
        words = ["--config", config, "--routing", routing, "--kubeconfig", kubeconfig]
        command = [sys.executable, "-m", "reconciler.cli", "run", "notification", *words]
        without = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        kubeconfig.write_text(UNREACHABLE)
        occupied = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    for done, said in ((without, f"{kubeconfig}: no kubeconfig there"), (occupied, "health address 127.0.0.1:")):
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_0_also_while_it_waits_for_the_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(UNREACHABLE)
    async with controller(tmp_path, kubeconfig, "default") as waiting:
        await waiting.said(r"notificationrequests.*cannot be reached")
        await waiting.stop(number)


@dataclass
class Running:
    process: asyncio.subprocess.Process
    log: Path
    session: aiohttp.ClientSession

    def records(self) -> Iterator[Mapping[str, str]]:
        for line in self.log.read_text().splitlines():
            yield json.loads(line)

    async def said(self, pattern: str) -> str:
        """Return the first log message that fits; every line of the log is one JSON object."""
        async with asyncio.timeout(120):
            while True:
                for record in self.records():
                    if found := re.search(pattern, record["message"]):
                        return found[0]
                await asyncio.sleep(0.1)

    async def ready(self, status: int) -> str:
        port = re.search(r":(\d+)/healthz", await self.said(r"health on .*"))
        assert port is not None
        # The reflector's longest wait between two tries is just under a minute.
        async with asyncio.timeout(120):
            while True:
                async with self.session.get(f"http://127.0.0.1:{port[1]}/readyz") as response:
                    if response.status == status:
                        return await response.text()
                await asyncio.sleep(0.1)

    async def stop(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            assert await self.process.wait() == 0
        assert "Traceback" not in self.log.read_text()
        assert not any("traceback" in record for record in self.records())


@asynccontextmanager
async def controller(tmp_path: Path, kubeconfig: Path, namespace: str) -> AsyncIterator[Running]:
    config, routing = tmp_path / "config.yaml", tmp_path / "routing.yaml"
    config.write_text('controller: {healthProbeAddr: "127.0.0.1:0"}\n')
    routing.write_text(GOOD_ROUTING)
    log = tmp_path / "log"
    words = ["--kubeconfig", str(kubeconfig), "--config", str(config), "--routing", str(routing)]
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reconciler.cli", "run", "notification", *words, "--namespace", namespace,
            stderr=errors,
        )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:
            yield Running(process, log, session)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def client_of(kubeconfig: Path) -> AsyncIterator[Client]:
    async with AiohttpTransport(await load_config(kubeconfig)) as transport:
        yield Client(RestClient(transport))


async def wait_for_sent(client: Client, name: str) -> None:
    metadata = {"name": name, "namespace": "default"}
    spec = {"type": "Simple", "priority": "Low", "subject": "s", "body": "b"}
    await client.create(NotificationRequest.model_validate({"metadata": metadata, "spec": spec}))
    async with asyncio.timeout(60):
        while True:
            obj = await client.get(NotificationRequest, ObjectKey("default", name))
            if obj.status.phase == "Sent":
                return
            await asyncio.sleep(0.1)


@pytest.mark.asyncio
async def test_an_api_server_that_is_away_and_a_missing_definition_are_waited_for(
    tmp_path: Path, real_binaries: Binaries
) -> None:
    # Given a real API server that is down, and that has no NotificationRequests yet,
    with running(binaries=real_binaries) as server:
        await outage(server, down=True)
        async with controller(tmp_path, server.kubeconfig, "default") as running_controller:
            # then the controller says so and is not ready,
            await running_controller.said(r"(?i)notificationrequests.*(refused|connect|answer)")
            assert "notificationrequests" in await running_controller.ready(500)
            # and when the server comes, it misses the definition and says that,
            await outage(server, down=False)
            await running_controller.said(r"not served by the API server yet")
            # and when that comes too, it delivers,
            async with client_of(server.kubeconfig) as client:
                await client.create(custom_resource_definition(), resource=CUSTOM_RESOURCE_DEFINITION)
                assert await running_controller.ready(200) == "ok"
                await wait_for_sent(client, "before")
            # and so it does after a later outage; nothing of this is a traceback.
            await outage(server, down=True)
            await running_controller.ready(500)
            await outage(server, down=False)
            async with client_of(server.kubeconfig) as client:
                await running_controller.ready(200)
                await wait_for_sent(client, "after")
            await running_controller.stop(signal.SIGTERM)


async def outage(server: RealServer, *, down: bool) -> None:
    act: Callable[[], None] = server.stop_apiserver if down else server.start_apiserver
    await asyncio.to_thread(act)
