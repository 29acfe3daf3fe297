from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.envtest import KUBERNETES_VERSION, Binaries, EnvtestError, RealServer, ServerError, running, start
from tests.envtest.watching import becomes_true, is_running, pids_naming, python

END_SECONDS_MAX = 3.0

LAUNCH = """
import json, signal
from reconciler.envtest import built, running

with running(binaries=built()) as server:
    print(json.dumps({"pids": dict(server.pids), "directory": str(server.kubeconfig.parent)}), flush=True)
    signal.pause()
"""


@pytest.fixture
def state_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where servers of this test keep their state; its path finds their processes, too."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def create(server: RealServer, name: str) -> tuple[int, str]:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return server.request("POST", "/api/v1/namespaces/default/configmaps", config_map)


def test_a_ready_server_names_its_version_and_lets_only_its_token_in(real_server: RealServer) -> None:
    assert real_server.request("GET", "/readyz") == (200, "ok")
    assert real_server.version == KUBERNETES_VERSION
    assert real_server.token not in repr(real_server)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{real_server.url}/api/v1/namespaces", context=real_server.ssl_context(), timeout=10)
    refused.value.close()
    assert refused.value.code in {401, 403}


def test_kubeconfig_and_state_are_for_their_owner_only(real_server: RealServer) -> None:
    state = real_server.kubeconfig.parent
    assert stat.S_IMODE(real_server.kubeconfig.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [path.name for path in state.glob("*.pem") if path.stat().st_mode & 0o077] == []


def test_each_test_gets_a_namespace_that_exists(real_server: RealServer, real_namespace: str) -> None:
    status, _ = real_server.request("GET", f"/api/v1/namespaces/{real_namespace}")
    assert status == 200


def test_a_copy_of_the_kubeconfig_is_enough_for_kubectl(
    real_server: RealServer, require_kubectl: str, tmp_path: Path
) -> None:
    copied = shutil.copy(real_server.kubeconfig, tmp_path / "copy")
    environ = {"KUBECONFIG": str(copied), "HOME": str(tmp_path)}
    said = subprocess.run(
        [require_kubectl, "auth", "whoami", "-o", "json"], env=environ, capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout)["status"]["userInfo"]["username"] == "admin"


def test_an_outage_keeps_data_port_certificate_and_token(real_binaries: Binaries, state_parent: Path) -> None:
    # Given a server that holds an object,
    with running(binaries=real_binaries) as server:
        before, url = dict(server.pids), server.url
        assert create(server, "kept")[0] == 201
        # when its kube-apiserver stops, then nobody answers, and only etcd runs;
        server.stop_apiserver()
        assert not is_running(before["kube-apiserver"])
        assert dict(server.pids) == {"etcd": before["etcd"]}
        with pytest.raises(ConnectionRefusedError):
            server.request("GET", "/readyz")
        server.raise_if_ended()
        # when it starts again, then the object is there at the same place.
        server.start_apiserver()
        assert server.request("GET", "/api/v1/namespaces/default/configmaps/kept")[0] == 200
        assert server.url == url
        assert server.pids["kube-apiserver"] != before["kube-apiserver"]
        # And a process that ends by itself is told with its log.
        os.kill(server.pids["etcd"], signal.SIGKILL)
        assert becomes_true(lambda: not is_running(server.pids["etcd"]), within_seconds=5)
        with pytest.raises(ServerError, match="etcd ended with -9; its log ends with"):
            server.raise_if_ended()
    assert list(state_parent.iterdir()) == []


def test_a_stop_without_grace_breaks_an_open_watch(real_binaries: Binaries) -> None:
    with running(binaries=real_binaries) as server:
        # Given a watch that is open,
        connection = http.client.HTTPSConnection(
            "127.0.0.1", int(server.url.rpartition(":")[2]), context=server.ssl_context(), timeout=10
        )
        watch = "/api/v1/namespaces/default/configmaps?watch=true"
        connection.request("GET", watch, headers={"Authorization": f"Bearer {server.token}"})
        answer = connection.getresponse()
        assert answer.status == 200
        # when the server is killed at once, then the stream ends.
        server.stop_apiserver(grace_seconds=0)
        with pytest.raises((http.client.IncompleteRead, OSError)):
            answer.read()
        answer.close()
        connection.close()


def test_two_servers_side_by_side_share_nothing(real_server: RealServer, real_binaries: Binaries) -> None:
    with running(binaries=real_binaries) as other:
        assert create(other, "only-here")[0] == 201
        assert real_server.request("GET", "/api/v1/namespaces/default/configmaps/only-here")[0] == 404
        assert other.url != real_server.url
        assert set(other.pids.values()).isdisjoint(real_server.pids.values())
        # The certificate authority of one does not vouch for the other.
        with pytest.raises(urllib.error.URLError) as refused:
            urllib.request.urlopen(f"{other.url}/readyz", context=real_server.ssl_context(), timeout=10)
        assert isinstance(refused.value.reason, ssl.SSLCertVerificationError)
    assert real_server.request("GET", "/readyz")[0] == 200


def test_sigkill_of_the_launching_process_leaves_neither_process_nor_file(real_binaries: Binaries) -> None:
    # Given a process that launched a server,
    del real_binaries  # built() finds them
    with python(LAUNCH) as launcher:
        assert launcher.stdout is not None
        said = json.loads(launcher.stdout.readline())
        pids: dict[str, int] = said["pids"]
        assert set(pids) == {"etcd", "kube-apiserver"}
        assert all(is_running(pid) for pid in pids.values())
        # when it is killed,
        launcher.kill()
        # then both end in time, and the state goes.
        assert becomes_true(lambda: not any(is_running(pid) for pid in pids.values()), within_seconds=END_SECONDS_MAX)
        assert becomes_true(lambda: not Path(said["directory"]).exists(), within_seconds=1)


def test_a_failed_start_shows_the_end_of_the_log_and_keeps_the_logs(
    real_binaries: Binaries, state_parent: Path
) -> None:
    with (
        pytest.raises(ServerError, match=r"(?s)kube-apiserver ended with 1.*unknown flag: --no-such-flag") as failed,
        running(binaries=real_binaries, apiserver_args=["--no-such-flag"]),
    ):
        pytest.fail("it started")
    (kept,) = state_parent.iterdir()
    assert str(failed.value).endswith(f"The whole logs are in {kept}")
    assert "unknown flag" in (kept / "kube-apiserver.log").read_text()
    assert pids_naming(str(state_parent)) == []


def test_a_program_that_cannot_be_run_is_named_and_nothing_is_left(tmp_path: Path, state_parent: Path) -> None:
    nowhere = Binaries(tmp_path / "no-etcd", tmp_path / "no-apiserver", "v0")
    with pytest.raises(EnvtestError, match="no-etcd"), running(binaries=nowhere):
        pytest.fail("it started")
    assert list(state_parent.iterdir()) == []


def test_logs_stay_in_the_directory_that_the_caller_names_and_a_taken_port_is_not_the_end(
    real_binaries: Binaries, tmp_path: Path, state_parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a port that another program takes after it was found free,
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken: int = other.getsockname()[1]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free: int = probe.getsockname()[1]
        ports = iter([taken, free])
        monkeypatch.setattr("reconciler.envtest.server.free_port", lambda: next(ports))
        # when a server starts, then it takes the next one;
        with running(binaries=real_binaries, log_dir=tmp_path / "logs") as server:
            assert server.url.endswith(f":{free}")
            assert f":{free}" in server.kubeconfig.read_text()
    # and its logs, of both tries, outlive it.
    assert "address already in use" in (tmp_path / "logs" / "kube-apiserver.log").read_text()
    assert (tmp_path / "logs" / "etcd.log").exists()
    assert list(state_parent.iterdir()) == []


@pytest.mark.asyncio
async def test_the_async_form_leaves_the_loop_free_and_cleans_up(real_binaries: Binaries, state_parent: Path) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.05)
            ticks += 1

    ticking = asyncio.create_task(tick())
    async with start(binaries=real_binaries) as server:
        ticking.cancel()
        pids = dict(server.pids)
        assert (await asyncio.to_thread(server.request, "GET", "/readyz"))[0] == 200
    assert ticks > 5
    assert not any(is_running(pid) for pid in pids.values())
    assert os.listdir(state_parent) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the processes through /proc")
@pytest.mark.asyncio
async def test_a_cancelled_start_leaves_nothing(real_binaries: Binaries, state_parent: Path) -> None:
    # Given a start whose etcd runs already,
    async def launch() -> None:
        async with start(binaries=real_binaries):
            pytest.fail("it became ready")

    launching = asyncio.create_task(launch())
    assert await asyncio.to_thread(becomes_true, lambda: any(state_parent.glob("*/etcd.sock")), within_seconds=10)
    assert pids_naming(str(state_parent)) != []
    # when it is cancelled, then the cancellation passes when all is gone.
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    assert pids_naming(str(state_parent)) == []
    assert os.listdir(state_parent) == []
