"""Tokens, authorities and client certificates that change while a process runs."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from aiohttp import web
from kubernetes_asyncio.client import Configuration

from reconciler.api import ObjectKey, ResourceType
from reconciler.client import AiohttpTransport, ClientConfig, HttpRequest, RestClient, load_config
from reconciler.clock import SystemWallClock
from reconciler.errors import ConfigurationError, ConnectionFailedError, UnauthorizedError
from reconciler.testing import run_virtual

from .scripted import after_refusal

WIDGETS = ResourceType("example.com", "v1", "Widget", "widgets")
GET = HttpRequest("GET", "/")
LOST = 401

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def _serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str, None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _server_tls(authority: trustme.CA, clients: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


def _replace(file: Path, content: bytes | str) -> None:
    """Swap the file in one step, as the kubelet does."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(content if isinstance(content, bytes) else content.encode())
    fresh.replace(file)


def _pod(folder: Path, host: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Path:
    address = urlsplit(host)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", address.hostname or "")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
    (folder / "token").write_text("token-1")
    (folder / "ca.crt").write_bytes(authority.cert_pem.bytes())
    return folder


def _kubeconfig(folder: Path, host: str, user: str, cluster: str = "", context: str = "c") -> Path:
    file = folder / "kubeconfig"
    text = f"""
apiVersion: v1
kind: Config
current-context: {context}
clusters: [{{name: c, cluster: {{server: "{host}"{cluster}}}}}, {{name: d, cluster: {{server: "http://127.0.0.1:1"}}}}]
users: [{{name: u, user: {user}}}, {{name: v, user: {{token: elsewhere}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}, {{name: d, context: {{cluster: d, user: v}}}}]
"""
    if file.exists():
        _replace(file, text)
    else:
        file.write_text(text)
    return file


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


class Door:
    """A server that lets in whoever shows what `accepted` holds: a token, or the name in a client certificate."""

    def __init__(self, *accepted: str) -> None:
        self.accepted = set(accepted)
        self.seen: list[str] = []
        self.connections: list[object] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ") or _common_name(request)
        self.seen.append(shown)
        self.connections.append(request.transport)
        if shown not in self.accepted:
            return web.json_response({"kind": "Status", "code": LOST, "reason": "Unauthorized"}, status=LOST)
        if request.path != "/stream":
            return web.json_response({"metadata": {}})
        response = web.StreamResponse()
        await response.prepare(request)
        for tick in range(1000):
            await response.write(f"{tick}\n".encode())
            await asyncio.sleep(0.01)
        return response


def _common_name(request: web.Request) -> str:
    certificate: dict[str, Any] = request.get_extra_info("peercert") or {}
    return next((value for ((name, value),) in certificate.get("subject", ()) if name == "commonName"), "")


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("verb", ["get", "create", "watch"])
async def test_a_pod_whose_token_rotated_reads_the_new_one_at_the_first_401(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, door = trustme.CA(), Door("token-1")
    async with _serving(door.answer, _server_tls(authority)) as host:
        pod = _pod(tmp_path, host, authority, monkeypatch)
        async with AiohttpTransport(await load_config(service_account=pod)) as transport:
            rest = RestClient(transport)
            await rest.get(WIDGETS, ObjectKey("default", "a"))
            # Given a server that takes the new token only, well before the minute is over,
            door.accepted = {"token-2"}
            _replace(pod / "token", "token-2\n")
            # when a request is refused, then it is sent once more with the new one, and nothing is raised.
            if verb == "get":
                await rest.get(WIDGETS, ObjectKey("default", "a"))
            elif verb == "create":
                await rest.create(WIDGETS, "default", b"{}")
            else:
                async with rest.watch(WIDGETS) as lines:
                    assert [line async for line in lines] == [b'{"metadata": {}}']
            assert door.seen == ["token-1", "token-1", "token-2"]
            # The next one shows it at once; one that is refused for good is raised after a single try.
            await rest.get(WIDGETS, ObjectKey("default", "a"))
            door.accepted.clear()
            with pytest.raises(
                UnauthorizedError, match=r"^get widgets\.example\.com default/a: 401 Unauthorized; has "
            ):
                await rest.get(WIDGETS, ObjectKey("default", "a"))
            assert door.seen[3:] == ["token-2", "token-2"]


def test_a_pods_token_is_read_again_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = _pod(tmp_path, "https://127.0.0.1:1", trustme.CA(), monkeypatch)

    async def main() -> list[str | None]:
        config = await load_config(service_account=pod)
        seen = [await config.authorization()]
        _replace(pod / "token", "token-2")
        for seconds in (59, 1):
            await asyncio.sleep(seconds)
            seen.append(await config.authorization())
        return seen

    assert run_virtual(main()) == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_a_line_end_after_a_token_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mine\n")
    config = run_virtual(load_config(_kubeconfig(tmp_path, "http://127.0.0.1:1", "{tokenFile: token}")))
    assert run_virtual(config.authorization()) == "Bearer mine"


@pytest.mark.asyncio
async def test_a_kubeconfig_that_is_rewritten_gives_its_new_token_at_the_first_401(tmp_path: Path) -> None:
    door = Door("one")
    async with _serving(door.answer) as host:
        config = await load_config(_kubeconfig(tmp_path, host, "{token: one}"))
        async with AiohttpTransport(config) as transport:
            await transport.send(GET)
            door.accepted = {"two"}
            _kubeconfig(tmp_path, host, "{token: two}")
            assert (await transport.send(GET)).status == 200
    assert door.seen == ["one", "one", "two"]


@pytest.mark.parametrize(
    ("rewrite", "says"),
    [
        pytest.param({"context": "d", "user": "{token: two}"}, None, id="whose current context is another one"),
        pytest.param(
            {"host": "http://127.0.0.1:2", "user": "{token: two}"},
            "context c names another server now; the first stays",
            id="whose context names another server",
        ),
        pytest.param({"user": "{token: two"}, "not YAML; write the kubeconfig anew", id="is cut off"),
        pytest.param({"user": "{exec: {}}"}, "the user's exec section: Object missing required field", id="is wrong"),
    ],
)
def test_no_process_is_sent_to_another_server_by_a_kubeconfig_that(
    rewrite: dict[str, str], says: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> tuple[str, str | None]:
        config = await load_config(_kubeconfig(tmp_path, "http://127.0.0.1:1", "{token: one}"))
        _kubeconfig(tmp_path, **{"host": "http://127.0.0.1:1", **rewrite})
        return config.host, await after_refusal(config)

    # Its context stays the one it began with, whatever `kubectl config use-context` says.
    expected = "Bearer one" if says is not None else "Bearer two"
    assert run_virtual(main()) == ("http://127.0.0.1:1", expected)
    said = _warnings(caplog)
    assert (len(said) == 1 and says in said[0]) if says is not None else said == []
    assert "two" not in caplog.text


@pytest.mark.asyncio
async def test_a_kubeconfig_that_names_another_server_does_not_keep_a_refused_token_in_use(tmp_path: Path) -> None:
    config = await load_config(_kubeconfig(tmp_path, "http://127.0.0.1:1", _plugin(tmp_path, '"token": "t"')))
    _kubeconfig(tmp_path, "http://127.0.0.1:2", "{token: elsewhere}")
    assert await after_refusal(config) == "Bearer t"
    # The plugin of the first server's user was asked again, and nobody else.
    assert (config.host, _runs(tmp_path)) == ("http://127.0.0.1:1", 2)


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        (", insecure-skip-tls-verify: true", "", "insecure-skip-tls-verify"),
        ("", ', proxy-url: "http://u:hunter2@proxy.example:1"', "proxy-url"),
        ("", ", tls-server-name: inside.example", "tls-server-name"),
        (
            ", tls-server-name: a, proxy-url: http://hunter2.example:1",
            ", insecure-skip-tls-verify: true",
            "insecure-skip-tls-verify, tls-server-name, proxy-url",
        ),
    ],
)
def test_what_is_not_followed_in_a_rewritten_kubeconfig_is_named_once(
    first: str, then: str, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "kubeconfig"

    async def main() -> list[str | None]:
        config = await load_config(_kubeconfig(tmp_path, "https://127.0.0.1:1", "{token: one}", first))
        seen: list[str | None] = []
        for token in ("two", "three"):
            _kubeconfig(tmp_path, "https://127.0.0.1:1", f"{{token: {token}}}", then)
            seen.append(await after_refusal(config))
        return seen

    # The credentials are followed.
    assert run_virtual(main()) == ["Bearer two", "Bearer three"]
    assert _warnings(caplog) == [
        f"{file}: context c has changed in {says}, which is not followed; restart the process for it"
    ]
    assert "hunter2" not in caplog.text


def test_a_kubeconfig_that_is_gone_leaves_the_credentials_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = _kubeconfig(tmp_path, "http://127.0.0.1:1", "{token: one}")

    async def main() -> str | None:
        config = await load_config(file)
        file.unlink()
        return await after_refusal(config)

    assert run_virtual(main()) == "Bearer one"
    (said,) = _warnings(caplog)
    assert said.startswith(f"{file} has changed and is not usable: {file}: no kubeconfig there")


def test_a_kubeconfig_that_cannot_be_read_any_more_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = _kubeconfig(tmp_path, "http://127.0.0.1:1", "{token: one}")

    async def main() -> str | None:
        config = await load_config(file)
        file.unlink()
        file.mkdir()  # as good as without rights, which root would not lack
        return await after_refusal(config)

    assert run_virtual(main()) == "Bearer one"
    assert _warnings(caplog) == [f"{file} has changed and is not usable: Is a directory: {file}"]


# --- exec plugins -----------------------------------------------------------------------------------------------------

PLUGIN = """#!/bin/sh
echo run >> {folder}/runs
n=$(wc -l < {folder}/runs | tr -d ' ')
printf '%s\\n' '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{{status}}}}}'
"""
EXEC = "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {}, interactiveMode: Never}}}}"


def _plugin(folder: Path, status: str) -> str:
    plugin = folder / "plugin"
    plugin.write_text(PLUGIN.format(folder=folder, status=status))
    plugin.chmod(0o755)
    return EXEC.format(plugin)


def _runs(folder: Path) -> int:
    return (folder / "runs").read_text().count("run")


def _in(**span: int) -> str:
    return (SystemWallClock().now() + timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "runs"),
    [
        pytest.param(f'"token": "t", "expirationTimestamp": "{_in(hours=9)}"', 1, id="once while its token is good"),
        pytest.param(
            f'"token": "t", "expirationTimestamp": "{_in(minutes=2)}"', 4, id="again when its token is ending"
        ),
        pytest.param('"token": "t"', 4, id="again when its token names no end"),
    ],
)
async def test_when_credentials_are_due_a_plugin_runs(
    status: str, runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.client.credentials._REFRESH_SECONDS", 0)
    door = Door("t")
    async with (
        _serving(door.answer) as host,
        AiohttpTransport(await load_config(_kubeconfig(tmp_path, host, _plugin(tmp_path, status)))) as transport,
    ):
        for _ in range(3):
            assert (await transport.send(GET)).status == 200
    assert _runs(tmp_path) == runs


@pytest.mark.asyncio
async def test_requests_right_after_the_load_do_not_run_the_plugin_again(tmp_path: Path) -> None:
    door = Door("t")
    async with (
        _serving(door.answer) as host,
        AiohttpTransport(
            await load_config(_kubeconfig(tmp_path, host, _plugin(tmp_path, '"token": "t"')))
        ) as transport,
    ):
        await asyncio.gather(*(transport.send(GET) for _ in range(20)))
    assert _runs(tmp_path) == 1


@pytest.mark.asyncio
async def test_credentials_that_never_come_cost_one_request_its_time_and_not_the_next_one() -> None:
    door, asked = Door("t"), list[bool]()

    async def refresh(is_refused: bool) -> None:
        asked.append(is_refused)
        await asyncio.Event().wait()

    async with _serving(door.answer) as host:
        settings = Configuration(host=host, api_key={"BearerToken": "Bearer t"})
        config = ClientConfig(settings, namespace=None, source="here", refresh=refresh)
        async with AiohttpTransport(config, timeout_seconds=0.5) as transport:
            await transport.send(GET)
            # Given a server that refuses, and credentials that are waited for,
            door.accepted.clear()
            with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.5 s$"):
                await transport.send(GET)
            # when the server takes the old token again, then nobody waits any more.
            door.accepted.add("t")
            assert (await transport.send(GET)).status == 200
    assert asked == [True]


@pytest.mark.asyncio
async def test_a_refused_request_that_waits_for_credentials_is_told_that_its_transport_was_closed() -> None:
    door, is_asked = Door(), asyncio.Event()

    async def refresh(is_refused: bool) -> None:
        is_asked.set()
        await asyncio.Event().wait()

    async with _serving(door.answer) as host:
        settings = Configuration(host=host, api_key={"BearerToken": "Bearer t"})
        transport = AiohttpTransport(ClientConfig(settings, namespace=None, source="here", refresh=refresh))
        request = asyncio.create_task(transport.send(HttpRequest("POST", "/")))
        await is_asked.wait()
        await transport.aclose()
        with pytest.raises(ConnectionFailedError, match="the transport is closed") as caught:
            await request
    # A 401 has done nothing.
    assert caught.value.is_unsent
    assert door.seen == ["t"]


@pytest.mark.asyncio
async def test_a_plugin_may_give_a_client_certificate_and_a_new_one_when_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "written"
    written.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(written))
    authority, clients, door = trustme.CA(), trustme.CA(), Door("me-1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for number in (1, 2):
        leaf = clients.issue_cert("me@example.com", common_name=f"me-{number}")
        chain = "".join(pem.bytes().decode() for pem in leaf.cert_chain_pems)
        (tmp_path / f"cert-{number}").write_text(chain.replace("\n", "\\n"))
        (tmp_path / f"key-{number}").write_text(leaf.private_key_pem.bytes().decode().replace("\n", "\\n"))
    # The shell reads the files of that run: '"$(cat FILE)"' leaves the quotes of the script around it.
    shown = {name: f"""'"$(cat {tmp_path}/{name}-$n)"'""" for name in ("cert", "key")}
    user = _plugin(tmp_path, f'"clientCertificateData": "{shown["cert"]}", "clientKeyData": "{shown["key"]}"')
    async with _serving(door.answer, _server_tls(authority, clients)) as host:
        config = await load_config(_kubeconfig(tmp_path, host, user, ", certificate-authority: ca.pem"))
        async with AiohttpTransport(config) as transport:
            assert (await transport.send(GET)).status == 200
            door.accepted = {"me-2"}
            assert (await transport.send(HttpRequest("POST", "/", body=b"{}"))).status == 200
            # Only the files of the last run are there, for their owner alone; a rewritten kubeconfig needs none.
            files = [file for file in written.rglob("*") if file.is_file()]
            assert [oct(file.stat().st_mode & 0o077) for file in files] == ["0o0"] * 2
            _kubeconfig(tmp_path, host, "{token: t}", ", certificate-authority: ca.pem")
            await after_refusal(config)
            assert [*written.iterdir()] == []
    assert (door.seen, _runs(tmp_path)) == (["me-1", "me-1", "me-2"], 2)


# --- authorities ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("where", ["pod", "kubeconfig", "by hand"])
async def test_a_new_authority_is_read_when_the_servers_new_certificate_is_met(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = trustme.CA(), trustme.CA()
    bundle = tmp_path / "ca.crt"
    door, tls = Door("token-1"), _server_tls(first)
    async with _serving(door.answer, tls) as host:
        pod = _pod(tmp_path, host, first, monkeypatch)
        if where == "pod":
            config = await load_config(service_account=pod)
        elif where == "kubeconfig":
            user, cluster = "{token: token-1}", ", certificate-authority: ca.crt"
            config = await load_config(_kubeconfig(tmp_path, host, user, cluster))
        else:
            config = ClientConfig.for_host(host, token="token-1", ca_file=bundle)
        async with AiohttpTransport(config) as transport:
            await transport.send(GET)
            # Given a server and a bundle that both changed,
            second.issue_cert("127.0.0.1").configure_cert(tls)
            _replace(bundle, second.cert_pem.bytes())
            # when several requests need new connections at once, then each comes through, a write too.
            answers = await asyncio.gather(
                transport.send(HttpRequest("POST", "/", body=b"{}")), *(transport.send(GET) for _ in range(4))
            )
            assert [answer.status for answer in answers] == [200] * 5
    assert len(door.seen) == 6


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_new_authority_is_read_by_the_first_request_that_needs_it(method: str, tmp_path: Path) -> None:
    first, second = trustme.CA(), trustme.CA()
    bundle = tmp_path / "ca.crt"
    _replace(bundle, first.cert_pem.bytes())
    door, tls = Door("token-1"), _server_tls(first)
    async with _serving(door.answer, tls) as host:
        transport = AiohttpTransport(ClientConfig.for_host(host, token="token-1", ca_file=bundle))
        # Given a transport that has read the old bundle, and whose only connection a stream has used up,
        async with transport, transport.stream(HttpRequest("GET", "/stream")):
            second.issue_cert("127.0.0.1").configure_cert(tls)
            _replace(bundle, second.cert_pem.bytes())
            # when a request meets the new certificate, then it comes through, once: a failed handshake sent nothing.
            assert (await transport.send(HttpRequest(method, "/"))).status == 200
    assert len(door.seen) == 2


def test_certificate_files_are_read_again_once_a_minute(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    trustme.CA().cert_pem.write_to_path(bundle)

    async def main() -> list[bool]:
        config = ClientConfig.for_host("https://127.0.0.1:1", ca_file=bundle)
        async with config.open_session():
            await config.authorization()
            first = config.certificates_version
            _replace(bundle, trustme.CA().cert_pem.bytes())
            seen: list[bool] = []
            for seconds in (59, 1):
                await asyncio.sleep(seconds)
                await config.authorization()
                seen.append(config.certificates_version != first)
            return seen

    assert run_virtual(main()) == [False, True]


def test_a_file_with_the_same_contents_is_not_new(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    trustme.CA().cert_pem.write_to_path(bundle)
    config = ClientConfig.for_host("https://127.0.0.1:1", ca_file=bundle)
    assert config.read_certificates()
    _replace(bundle, bundle.read_bytes())
    os.utime(bundle, (1, 1))
    assert not config.read_certificates()


def test_a_certificate_file_that_is_gone_is_named_once_and_the_old_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = tmp_path / "ca.crt"
    trustme.CA().cert_pem.write_to_path(bundle)
    config = ClientConfig.for_host("https://127.0.0.1:1", ca_file=bundle)
    config.read_certificates()
    content = bundle.read_bytes()
    bundle.unlink()
    assert [config.read_certificates() for _ in range(2)] == [False, False]
    assert _warnings(caplog) == [f"{bundle} cannot be read (No such file or directory); the old one stays in use"]
    bundle.write_bytes(content)
    assert not config.read_certificates()


@pytest.mark.asyncio
async def test_a_bundle_that_is_no_certificate_is_not_taken_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, door = trustme.CA(), Door("t")
    bundle = tmp_path / "ca.crt"
    authority.cert_pem.write_to_path(bundle)
    async with (
        _serving(door.answer, _server_tls(authority)) as host,
        AiohttpTransport(ClientConfig.for_host(host, token="t", ca_file=bundle)) as transport,
    ):
        await transport.send(GET)
        _replace(bundle, "half a certifi")
        door.accepted.clear()
        # Each refusal reads the files again; the old authority still serves.
        assert [(await transport.send(GET)).status for _ in range(2)] == [LOST, LOST]
        door.accepted.add("t")
        assert (await transport.send(GET)).status == 200
    assert len(_warnings(caplog)) == 1
    assert "the old ones stay: settings in code: the TLS certificates or keys cannot be loaded" in _warnings(caplog)[0]


# --- client certificates ----------------------------------------------------------------------------------------------


class Papers:
    """A client certificate and its key, in two files."""

    def __init__(self, folder: Path) -> None:
        self._clients = trustme.CA()
        self._authority = trustme.CA()
        self._folder = folder
        self._authority.cert_pem.write_to_path(folder / "ca.pem")
        self.tls = _server_tls(self._authority, self._clients)

    def issue(self, name: str, *, with_key: bool = True) -> Callable[[], None]:
        """Write a new certificate; with its key at once, or when the answer is called."""
        leaf = self._clients.issue_cert("me@example.com", common_name=name)
        _replace(self._folder / "me.crt", b"".join(pem.bytes() for pem in leaf.cert_chain_pems))

        def write_key() -> None:
            _replace(self._folder / "me.key", leaf.private_key_pem.bytes())

        if with_key:
            write_key()
        return write_key

    async def config(self, host: str) -> ClientConfig:
        user = "{client-certificate: me.crt, client-key: me.key}"
        return await load_config(_kubeconfig(self._folder, host, user, ", certificate-authority: ca.pem"))


@pytest.mark.asyncio
async def test_a_new_client_certificate_is_shown_on_new_connections_and_open_streams_go_on(tmp_path: Path) -> None:
    papers, door = Papers(tmp_path), Door("me-1")
    papers.issue("me-1")
    async with (
        _serving(door.answer, papers.tls) as host,
        AiohttpTransport(await papers.config(host)) as transport,
    ):
        async with transport.stream(HttpRequest("GET", "/stream")) as stream:
            assert await anext(stream.lines) == b"0"
            # Given a stream that is open and a certificate that rotated,
            papers.issue("me-2")
            door.accepted = {"me-2"}
            # when the old one is refused, then the write is sent again over a new connection,
            assert (await transport.send(HttpRequest("POST", "/", body=b"{}"))).status == 200
            assert (await transport.send(GET)).status == 200
            assert door.seen == ["me-1", "me-1", "me-2", "me-2"]
            assert door.connections[2] is door.connections[3]
            # and the stream goes on over its own.
            old = door.connections[0]
            assert isinstance(old, asyncio.Transport)
            assert await anext(stream.lines) == b"1"
            assert not old.is_closing()
        # Nobody uses the old connections any more.
        for _ in range(500):
            if all(_is_closed(connection) for connection in door.connections[:2]):
                break
            await asyncio.sleep(0.01)
        assert all(_is_closed(connection) for connection in door.connections[:2])
        assert (await transport.send(GET)).status == 200
    assert door.seen[-1] == "me-2"


def _is_closed(connection: object) -> bool:
    return not isinstance(connection, asyncio.Transport) or connection.is_closing()


@pytest.mark.asyncio
async def test_a_certificate_whose_key_is_not_there_yet_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    papers, door = Papers(tmp_path), Door("me-1")
    papers.issue("me-1")
    async with (
        _serving(door.answer, papers.tls) as host,
        AiohttpTransport(await papers.config(host)) as transport,
    ):
        await transport.send(GET)
        door.accepted = {"me-2"}
        write_key = papers.issue("me-2", with_key=False)
        assert (await transport.send(GET)).status == LOST
        write_key()
        assert (await transport.send(GET)).status == 200
    assert door.seen[-2:] == ["me-1", "me-2"]
    assert [warning.partition(":")[0] for warning in _warnings(caplog)] == [
        "new certificates are not usable, the old ones stay"
    ]


@pytest.mark.asyncio
async def test_closing_closes_connections_of_old_certificates_too(tmp_path: Path) -> None:
    papers, door = Papers(tmp_path), Door("me-1")
    papers.issue("me-1")
    async with _serving(door.answer, papers.tls) as host:
        transport = AiohttpTransport(await papers.config(host))
        async with transport.stream(HttpRequest("GET", "/stream")) as stream:
            assert await anext(stream.lines) == b"0"
            papers.issue("me-2")
            door.accepted = {"me-2"}
            await transport.send(GET)
            await transport.aclose()
            with pytest.raises(ConnectionFailedError, match="the transport is closed"):
                assert [line async for line in stream.lines] == "endless"
        with pytest.raises(ConnectionFailedError, match="the transport is closed"):
            await transport.send(GET)


# --- what is not trusted ----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param("authority", "unable to get local issuer certificate", id="is of a strange authority"),
        pytest.param("end", "certificate has expired", id="has expired"),
        pytest.param("beginning", "certificate is not yet valid", id="is not valid yet"),
        pytest.param("name", "IP address mismatch, certificate is not valid for '127.0.0.1'.", id="has another name"),
    ],
)
async def test_nothing_is_sent_to_a_server_whose_certificate(fault: str, says: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    trusted = trustme.CA() if fault == "authority" else authority
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    now, day = SystemWallClock().now(), timedelta(days=1)
    leaf = authority.issue_cert(
        "elsewhere.example" if fault == "name" else "127.0.0.1",
        not_before=now + day if fault == "beginning" else now - 2 * day,
        not_after=now - day if fault == "end" else now + 2 * day,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(tls)
    door = Door("hunter2")
    async with _serving(door.answer, tls) as host:
        config = ClientConfig.for_host(host, token="hunter2", ca_file=tmp_path / "ca.pem")
        for method in ("GET", "POST"):
            async with AiohttpTransport(config) as transport:
                with pytest.raises(ConnectionFailedError) as caught:
                    await transport.send(HttpRequest(method, "/secret", body=b"{}"))
            host_and_port = urlsplit(host).netloc
            told = str(caught.value).partition(", certificate")[0] if fault == "name" else str(caught.value)
            assert told == (
                f"{method} {host_and_port}: the server's certificate is not trusted: {says.partition(', cert')[0]}"
            )
    assert door.seen == []


@pytest.mark.asyncio
async def test_certificates_that_cannot_be_loaded_are_a_configuration_error_that_names_their_place(
    tmp_path: Path,
) -> None:
    papers = Papers(tmp_path)
    papers.issue("me-1")
    _replace(tmp_path / "me.key", trustme.CA().issue_cert("x").private_key_pem.bytes())
    config = await papers.config("https://127.0.0.1:1")
    async with AiohttpTransport(config) as transport:
        with pytest.raises(ConfigurationError, match=r"kubeconfig: the TLS certificates or keys cannot be loaded"):
            await transport.send(GET)
