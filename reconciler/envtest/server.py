"""
Starts a real kube-apiserver and its etcd on loopback, for tests.

`running` is for fixtures and scripts, `start` for coroutines; both give a `RealServer`. A start takes about 2.5 s, and
about 330 MB of memory.

Guarantees:
    - Nothing is left behind, neither process nor file, also when this process is killed (see `supervise.py`).
    - Servers side by side do not meet: each has its own port, certificate, token and etcd. etcd listens on socket
      files in the server's private directory, so no other user of the machine reaches it.

Not like a cluster: no controller manager (no garbage collection, namespaces stay `Terminating`), no scheduler, no
kubelet, no service accounts needed for Pods, and etcd does not wait for the disk.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import anyio
import trustme
import yaml

from reconciler.envtest.binaries import Binaries, Progress, build, print_progress
from reconciler.envtest.processes import EnvtestError, Processes, Stopwatch, tail

__all__ = ["RealServer", "ServerError", "running", "start"]

T = TypeVar("T")

_HOST = "127.0.0.1"
_POLL_SECONDS = 0.05
_REQUEST_SECONDS_MAX = 10.0
_READY_ANSWER_SECONDS_MAX = 2.0  # short: a stranger that listens on our port may never answer
_PORT_TRIES = 3
_ETCD = "etcd"
_APISERVER = "kube-apiserver"


class ServerError(EnvtestError):
    """A server did not become ready, or ended by itself; the message names its log and ends with the log's end."""


class RealServer:
    """
    A kube-apiserver that answers, and its etcd.

    Its methods block; a coroutine calls them through `asyncio.to_thread`.

    Attributes:
        url: `https://127.0.0.1:PORT`.
        token: Bearer token of `admin`, a member of `system:masters`: everything is allowed.
        ca_file: The certificate authority, PEM.
        kubeconfig: A file (mode 0600) with all of the above; its namespace is `default`.
        version: What the server calls itself, such as `v1.36.3`.
        logs: The log file of each process, by the process's name: `etcd`, `kube-apiserver`.
    """

    def __init__(
        self,
        *,
        binaries: Binaries,
        apiserver_args: Sequence[str],
        log_dir: Path | None,
        ready_seconds_max: float,
        abandon: threading.Event,
    ) -> None:
        """Make a server that is not started yet; `running` and `start` do that, and see to its end."""
        self._binaries = binaries
        self._apiserver_args = tuple(apiserver_args)
        self._ready_seconds_max = ready_seconds_max
        self._abandon = abandon
        self._pids: dict[str, int] = {}
        self._processes = Processes(prefix="reconciler-envtest-")
        state = self._processes.directory
        log_dir = log_dir.absolute() if log_dir else state / "logs"
        log_dir.mkdir(parents=True, exist_ok=True)
        self.logs: Mapping[str, Path] = MappingProxyType(
            {name: log_dir / f"{name}.log" for name in (_ETCD, _APISERVER)}
        )
        self.token = secrets.token_urlsafe(24)
        self.ca_file = state / "ca.pem"
        self.kubeconfig = state / "kubeconfig"
        self.url = ""
        self.version = ""
        self._port = 0

    def __repr__(self) -> str:
        """Say where it is, without the token."""
        return f"<RealServer {self.version} at {self.url}>"

    def open(self) -> None:
        """
        Start both servers and return when they are ready; when that fails, nothing is left but the logs.

        Raises:
            EnvtestError: They cannot be run, did not become ready, or the start was abandoned.
        """
        try:
            self._write_identities()
            self._start_etcd()
            self._start_apiserver_on_a_free_port()
            self.version = str(json.loads(self.request("GET", "/version")[1])["gitVersion"])
        except ServerError as error:
            kept = self._keep_logs()
            self.close()
            raise ServerError(f"{error}\n    The whole logs are in {kept}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End everything and remove it. A second call does nothing."""
        self._pids.clear()
        self._processes.close()

    @property
    def ca(self) -> bytes:
        """The certificate authority, PEM."""
        return self.ca_file.read_bytes()

    @property
    def pids(self) -> Mapping[str, int]:
        """The process id of each server, by its name; a stopped one has none."""
        return MappingProxyType(dict(self._pids))

    def ssl_context(self) -> ssl.SSLContext:
        """Return a client context that trusts this server and no other."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def request(
        self, method: str, path: str, body: object = None, *, timeout_seconds: float = _REQUEST_SECONDS_MAX
    ) -> tuple[int, str]:
        """
        Send one request as `admin`, with `body` as JSON; return the HTTP status and the text of the answer.

        For fixtures (a namespace, a CRD) and for looking at what the server holds; it is no client.

        Raises:
            OSError: No answer came.
        """
        connection = http.client.HTTPSConnection(_HOST, self._port, context=self.ssl_context(), timeout=timeout_seconds)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def stop_apiserver(self, *, grace_seconds: float = 2.0) -> None:
        """
        End the kube-apiserver; etcd and its data stay. For tests of outages.

        An open watch delays a graceful end, so it is killed after `grace_seconds`; 0 kills it at once.
        """
        self._pids.pop(_APISERVER, None)
        self._processes.stop(_APISERVER, grace_seconds=grace_seconds)

    def start_apiserver(self) -> None:
        """
        Start the kube-apiserver again: the same port, certificate, token and data. Return when it is ready.

        Raises:
            ServerError: It did not become ready.
        """
        state = self._processes.directory
        command = [
            str(self._binaries.kube_apiserver),
            # Relative, as the path of a socket must be short: the working directory is the state directory.
            "--etcd-servers=unix://etcd.sock",
            f"--bind-address={_HOST}",
            f"--advertise-address={_HOST}",
            f"--secure-port={self._port}",
            f"--cert-dir={state}",
            "--tls-cert-file=serving.pem",
            "--tls-private-key-file=serving.pem",
            # A loopback address is refused as an endpoint of the service `kubernetes`: an error each 10 s in the log.
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file=service-accounts.pem",
            "--service-account-signing-key-file=service-accounts.pem",
            # So that a Pod can be created where no controller makes service accounts.
            "--disable-admission-plugins=ServiceAccount",
            "--authorization-mode=RBAC",
            "--token-auth-file=tokens.csv",
            "--allow-privileged=true",
            *self._apiserver_args,
        ]
        self._spawn(_APISERVER, command)
        self._wait_until(self._is_ready, _APISERVER)

    def raise_if_ended(self) -> None:
        """
        Check that what should run does run.

        Raises:
            ServerError: A server has ended by itself.
        """
        for name in list(self._pids):
            code = self._processes.exit_code(name)
            if code is not None:
                raise ServerError(f"{name} ended with {code}; its log ends with:{tail(self.logs[name])}")

    def _keep_logs(self) -> Path:
        """Return a directory where the logs outlive this server."""
        here = self.logs[_ETCD].parent
        if not here.is_relative_to(self._processes.directory):
            return here
        kept = Path(tempfile.mkdtemp(prefix="reconciler-envtest-logs-"))
        return shutil.copytree(here, kept, dirs_exist_ok=True)

    def _write_identities(self) -> None:
        state = self._processes.directory
        authority = trustme.CA(organization_name="reconciler.envtest")
        serving = authority.issue_cert(_HOST, "localhost")
        service_accounts = trustme.CA()  # only its key is used
        _write_private(self.ca_file, authority.cert_pem.bytes())
        _write_private(state / "serving.pem", serving.private_key_and_cert_chain_pem.bytes())
        _write_private(state / "service-accounts.pem", service_accounts.private_key_pem.bytes())
        _write_private(state / "tokens.csv", f'{self.token},admin,admin,"system:masters"\n'.encode())

    def _start_etcd(self) -> None:
        state = self._processes.directory
        command = [
            str(self._binaries.etcd),
            "--name=envtest",
            # Only names: no one connects to them.
            "--initial-cluster=envtest=http://localhost:2380",
            "--advertise-client-urls=http://localhost:2379",
            "--listen-client-urls=unix://etcd.sock",
            "--listen-peer-urls=unix://peers.sock",
            # One member elects itself: a leader after 0.3 s instead of 1.3 s.
            "--heartbeat-interval=10",
            "--election-timeout=100",
            f"--data-dir={state / 'etcd-data'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self._spawn(_ETCD, command)
        self._wait_until((state / "etcd.sock").exists, _ETCD)

    def _start_apiserver_on_a_free_port(self) -> None:
        for left in reversed(range(_PORT_TRIES)):
            self._port = free_port()
            self.url = f"https://{_HOST}:{self._port}"
            _write_private(self.kubeconfig, self._kubeconfig_text().encode())
            try:
                self.start_apiserver()
                break
            except ServerError:
                # Another program may have taken the port between our look and the server's.
                if not left or "address already in use" not in tail(self.logs[_APISERVER]):
                    raise
                self._processes.stop(_APISERVER, grace_seconds=0)

    def _kubeconfig_text(self) -> str:
        # The authority is inside, so that a copy of the file works as well.
        cluster = {"server": self.url, "certificate-authority-data": base64.b64encode(self.ca).decode()}
        context = {"cluster": "envtest", "user": "admin", "namespace": "default"}
        text: str = yaml.safe_dump({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "envtest",
            "clusters": [{"name": "envtest", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "envtest", "context": context}],
        })  # fmt: skip
        return text

    def _spawn(self, name: str, command: Sequence[str]) -> None:
        self._pids[name] = self._processes.spawn(name, command, log=self.logs[name], cwd=self._processes.directory)

    def _wait_until(self, holds: Callable[[], bool], name: str) -> None:
        watch = Stopwatch()
        while not holds():
            self.raise_if_ended()
            if watch.seconds() > self._ready_seconds_max:
                raise ServerError(
                    f"{name} is not ready after {watch.seconds():.0f} s; its log ends with:{tail(self.logs[name])}"
                )
            if self._abandon.wait(_POLL_SECONDS):
                raise EnvtestError(f"the start of {name} was abandoned")

    def _is_ready(self) -> bool:
        try:
            status, _ = self.request("GET", "/readyz", timeout_seconds=_READY_ANSWER_SECONDS_MAX)
        except OSError:
            return False
        return status == 200


@contextmanager
def running(
    *,
    binaries: Binaries | None = None,
    apiserver_args: Sequence[str] = (),
    log_dir: Path | None = None,
    ready_seconds_max: float = 120.0,
    progress: Progress = print_progress,
) -> Generator[RealServer]:
    """
    Run a real kube-apiserver inside a `with` block. It blocks; for pytest fixtures and scripts.

    Args:
        binaries: Which programs; by default `build()`, which takes minutes the first time on a machine.
        apiserver_args: Further flags of kube-apiserver, such as `--feature-gates=ShardedListAndWatch=true`.
        log_dir: Where the logs go, and stay. By default they go with the server, but stay after a failed start.
        ready_seconds_max: How long each server may take to become ready.
        progress: Told how a build goes.

    Raises:
        GoMissingError: Something is to be built, and Go is missing or too old.
        EnvtestError: The build failed, or a server did not become ready.

    Mirrors: controller-runtime `envtest.Environment` `Start` and `Stop`.
    Differs: the programs are built from Go modules, not downloaded; CRDs are the caller's own `request`s.
    """
    server = RealServer(
        binaries=binaries or build(progress=progress),
        apiserver_args=apiserver_args,
        log_dir=log_dir,
        ready_seconds_max=ready_seconds_max,
        abandon=threading.Event(),
    )
    server.open()
    try:
        yield server
    finally:
        server.close()


@asynccontextmanager
async def start(
    *,
    binaries: Binaries | None = None,
    apiserver_args: Sequence[str] = (),
    log_dir: Path | None = None,
    ready_seconds_max: float = 120.0,
    progress: Progress = print_progress,
) -> AsyncGenerator[RealServer]:
    """
    Run a real kube-apiserver inside an `async with` block; arguments and errors as `running` has them.

    The blocking work is done in threads. Cancelled while starting: what was started is ended first.
    """
    abandon = threading.Event()
    if binaries is None:
        binaries = await _in_thread(lambda: build(progress=progress, abandon=abandon), on_cancel=abandon.set)
    server = RealServer(
        binaries=binaries,
        apiserver_args=apiserver_args,
        log_dir=log_dir,
        ready_seconds_max=ready_seconds_max,
        abandon=abandon,
    )
    try:
        await _in_thread(server.open, on_cancel=abandon.set)
        yield server
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.to_thread(server.close)


async def _in_thread(work: Callable[[], T], *, on_cancel: Callable[[], None]) -> T:
    """Do blocking work in a thread; a cancellation calls `on_cancel` and passes when the thread has ended."""
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        on_cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([doing])
        doing.exception()  # it was asked to fail
        raise


def free_port() -> int:
    """Return a TCP port of loopback that nothing listened on a moment ago."""
    with socket.socket() as taken:
        taken.bind((_HOST, 0))
        port: int = taken.getsockname()[1]
        return port


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
