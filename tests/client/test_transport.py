from __future__ import annotations

import asyncio
import socket
import ssl
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from kubernetes_asyncio.client import Configuration
from multidict import CIMultiDict

from reconciler.api import ObjectKey, ResourceType
from reconciler.client import AiohttpTransport, ClientConfig, HttpRequest, RestClient, load_config
from reconciler.errors import ConfigurationError, ConnectionFailedError, UnauthorizedError

pytestmark = pytest.mark.asyncio

WIDGETS = ResourceType("example.com", "v1", "Widget", "widgets")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def _serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str, None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _speaking(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncGenerator[str, None]:
    """A server that knows no HTTP: it says what the test wants."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def _transport(host: str, **options: Any) -> AiohttpTransport:
    return AiohttpTransport(ClientConfig.for_host(host, token="hunter2"), **options)


async def test_a_request_arrives_as_it_was_asked_and_its_answer_comes_whole() -> None:
    async def handler(request: web.Request) -> web.Response:
        seen = {
            "method": request.method,
            "path": request.raw_path,
            "authorization": request.headers["Authorization"],
            "type": request.headers["Content-Type"],
            "body": await request.text(),
        }
        return web.json_response(seen, status=201, headers={"X-Kind": "yes"})

    async with _serving(handler) as host, _transport(host + "/prefix/") as transport:
        response = await transport.send(
            HttpRequest("POST", "/a%2Fb", (("q", "x=1,y in (2)"),), {"Content-Type": "application/json"}, b"{}")
        )
    assert (response.status, response.headers["x-kind"]) == (201, "yes")
    assert response.body == (
        b'{"method": "POST", "path": "/prefix/a%2Fb?q=x%3D1%2Cy+in+%282%29", "authorization": "Bearer hunter2", '
        b'"type": "application/json", "body": "{}"}'
    )


@pytest.mark.parametrize("size", [1, 512 * 1024, 512 * 1024 + 1, 4 * 1024 * 1024])
async def test_a_body_arrives_whole_however_large_it_is(size: int) -> None:
    async def handler(request: web.Request) -> web.Response:
        body = await request.content.read()
        return web.json_response([len(body), set(body) == set(b"x"), request.content_length, request.content_type])

    async with _serving(handler) as host, _transport(host) as transport:
        headers = {"Content-Type": "application/json"}
        response = await transport.send(HttpRequest("POST", "/", (), headers, b"x" * size))
    assert response.body == f'[{size}, true, {size}, "application/json"]'.encode()


async def test_a_request_has_a_time_out() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with _serving(handler) as host, _transport(host, timeout_seconds=0.05) as transport:
        with pytest.raises(ConnectionFailedError, match=r"^GET 127\.0\.0\.1:\d+: no answer within 0\.05 s$"):
            await transport.send(HttpRequest("GET", "/"))
        with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.03 s$"):
            await transport.send(HttpRequest("GET", "/", timeout_seconds=0.03))
        with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.05 s$"):
            async with transport.stream(HttpRequest("GET", "/")):
                raise AssertionError("no headers came")


async def test_the_time_out_covers_a_body_that_trickles() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x")
            await asyncio.sleep(0.01)
        return response

    async with _serving(handler) as host, _transport(host) as transport:
        with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.1 s$"):
            await transport.send(HttpRequest("GET", "/", timeout_seconds=0.1))


async def test_a_refused_connection_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with _transport(f"http://127.0.0.1:{port}") as transport:
        with pytest.raises(ConnectionFailedError, match=rf"^DELETE 127\.0\.0\.1:{port}: connection refused$") as caught:
            await transport.send(HttpRequest("DELETE", "/secret-path"))
    assert "hunter2" not in repr(caught.value)


async def test_a_name_that_does_not_resolve_is_named() -> None:
    async with _transport("http://no-such-host.invalid:1") as transport:
        with pytest.raises(ConnectionFailedError, match=r"no-such-host\.invalid:1: the host name does not resolve$"):
            await transport.send(HttpRequest("GET", "/"))


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


async def _deny_the_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def _babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"this is no HTTP\r\n\r\n")
    await writer.drain()


async def _break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def _break_a_chunk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        pytest.param(_reset, "connection reset by peer", id="reset"),
        pytest.param(_hang_up, "the server closed the connection without an answer", id="hangs up"),
        pytest.param(_babble, "the answer is not HTTP", id="speaks no HTTP"),
        pytest.param(_break_off, "the answer broke off", id="breaks off"),
        pytest.param(_break_a_chunk, "the answer is not HTTP", id="breaks a chunk"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_server_is_named_that(talk: Any, words: str, method: str) -> None:
    async with _speaking(talk) as host, _transport(host) as transport:
        with pytest.raises(ConnectionFailedError, match=rf"^{method} 127\.0\.0\.1:\d+: ({words})$"):
            await transport.send(HttpRequest(method, "/", body=b"{}"))


@pytest.mark.parametrize(
    ("method", "requests"),
    [("GET", 3), ("POST", 2), ("PUT", 2), ("PATCH", 2), ("DELETE", 2)],
)
async def test_only_a_read_is_sent_again_over_a_dead_connection(method: str, requests: int) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            seen.append(head.split(b" ")[0])
            if len(seen) == 2:
                return  # the second request over the kept connection gets no answer
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    async with _speaking(talk) as host, _transport(host) as transport:
        await transport.send(HttpRequest("GET", "/"))
        try:
            response = await transport.send(HttpRequest(method, "/"))
        except ConnectionFailedError:
            assert method != "GET"
        else:
            assert (method, response.status) == ("GET", 200)
    assert len(seen) == requests


async def test_a_header_that_comes_several_times_is_one_list() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(headers=CIMultiDict([("Warning", "299 - one"), ("warning", "299 - two")]))

    async with _serving(handler) as host, _transport(host) as transport:
        assert (await transport.send(HttpRequest("GET", "/"))).headers["warning"] == "299 - one, 299 - two"


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})

    async with _serving(handler) as host, _transport(host) as transport:
        assert (await transport.send(HttpRequest("GET", "/"))).status == 302


async def test_a_netrc_file_that_knows_the_host_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Authorization"])

    async with _serving(handler) as host, _transport(host) as transport:
        assert (await transport.send(HttpRequest("GET", "/"))).body == b"Bearer hunter2"


async def test_a_stream_gives_its_lines_however_they_are_cut() -> None:
    long = b"x" * 3_000_000

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b"o", b"ne\n\ntwo\nthr", b"ee\n", long, b"\nlast"):
            await response.write(piece)
            await asyncio.sleep(0.01)
        return response

    async with (
        _serving(handler) as host,
        _transport(host) as transport,
        transport.stream(HttpRequest("GET", "/")) as stream,
    ):
        lines = [line async for line in stream.lines]
    assert (stream.status, lines) == (200, [b"one", b"two", b"three", long, b"last"])


async def test_a_slow_stream_lives_as_long_as_it_speaks_and_not_longer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(6):
            await response.write(b"tick\n")
            await asyncio.sleep(0.1)
        await asyncio.sleep(60)
        return response

    # Neither the transport's own time-out nor the idle limit bounds the whole stream: six ticks take longer than each.
    async with (
        _serving(handler) as host,
        _transport(host, timeout_seconds=0.5) as transport,
        transport.stream(HttpRequest("GET", "/", timeout_seconds=0.5)) as stream,
    ):
        assert [await anext(stream.lines) for _ in range(6)] == [b"tick"] * 6
        with pytest.raises(ConnectionFailedError, match=r"^GET 127\.0\.0\.1:\d+: no answer within 0\.5 s$"):
            await anext(stream.lines)


async def test_a_stream_that_breaks_says_so() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        await writer.drain()

    async with (
        _speaking(talk) as host,
        _transport(host) as transport,
        transport.stream(HttpRequest("GET", "/")) as stream,
    ):
        assert await anext(stream.lines) == b"one"
        with pytest.raises(ConnectionFailedError, match="the answer broke off"):
            await anext(stream.lines)


async def test_leaving_a_stream_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        await reader.read()
        gone.set()

    async with _speaking(talk) as host, _transport(host) as transport:
        async with transport.stream(HttpRequest("GET", "/")) as stream:
            assert await anext(stream.lines) == b"one"
        async with asyncio.timeout(5):
            await gone.wait()


async def test_closing_breaks_open_streams() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        await asyncio.sleep(60)
        return response

    async with (
        _serving(handler) as host,
        _transport(host) as transport,
        transport.stream(HttpRequest("GET", "/")) as stream,
    ):
        assert await anext(stream.lines) == b"one"
        await transport.aclose()
        with pytest.raises(ConnectionFailedError, match=r"GET 127\.0\.0\.1:\d+: the transport is closed"):
            await anext(stream.lines)
        with pytest.raises(ConnectionFailedError, match="the transport is closed"):
            await transport.send(HttpRequest("GET", "/"))


async def test_closing_ends_a_request_under_way_and_says_so() -> None:
    entered = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        entered.set()
        await asyncio.sleep(60)
        return web.Response()

    async with _serving(handler) as host:
        transport = _transport(host)
        asked = asyncio.create_task(transport.send(HttpRequest("GET", "/")))
        await entered.wait()
        await transport.aclose()
        with pytest.raises(ConnectionFailedError, match=r"^GET 127\.0\.0\.1:\d+: the transport is closed$") as caught:
            await asked
        assert not caught.value.is_unsent
        with pytest.raises(ConnectionFailedError, match="the transport is closed") as later:
            await transport.send(HttpRequest("POST", "/"))
        assert later.value.is_unsent


async def test_a_closed_transport_asks_for_no_credentials() -> None:
    asked: list[bool] = []

    async def refresh(is_refused: bool) -> None:
        asked.append(is_refused)
        await asyncio.sleep(60)

    async def refuse(_: web.Request) -> web.Response:
        entered.set()
        await answering.wait()
        return web.json_response({"kind": "Status", "code": 401}, status=401)

    entered, answering = asyncio.Event(), asyncio.Event()
    async with _serving(refuse) as host:
        configuration = Configuration(host=host, api_key={"BearerToken": "Bearer old"})
        transport = AiohttpTransport(ClientConfig(configuration, namespace=None, source="here", refresh=refresh))
        refused = asyncio.create_task(transport.send(HttpRequest("GET", "/")))
        await entered.wait()
        closing = asyncio.create_task(transport.aclose())
        answering.set()
        with pytest.raises(ConnectionFailedError, match="the transport is closed"):
            await refused
        await closing
        with pytest.raises(ConnectionFailedError, match="the transport is closed") as caught:
            await transport.send(HttpRequest("GET", "/"))
    assert caught.value.is_unsent
    assert asked == []


async def test_a_transport_that_another_loop_uses_says_so() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    async def elsewhere() -> None:
        await transport.send(HttpRequest("GET", "/"))

    async with _serving(handler) as host, _transport(host) as transport:
        await transport.send(HttpRequest("GET", "/"))
        # Not one that is worth another try.
        with pytest.raises(ConfigurationError, match="works in the event loop of its first request"):
            await asyncio.to_thread(asyncio.run, elsewhere())


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_found_no_free_connection_says_that_it_was_not_sent(method: str) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.method)
        if request.path != "/stream":
            return web.Response()
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(60)
        return response

    async with (
        _serving(handler) as host,
        _transport(host, connections_max=2) as transport,
        transport.stream(HttpRequest("GET", "/stream")),
        AsyncExitStack() as stack,
    ):
        await stack.enter_async_context(transport.stream(HttpRequest("GET", "/stream")))
        # Given streams on all connections, when one more request is made,
        with pytest.raises(ConnectionFailedError) as caught:
            await transport.send(HttpRequest(method, "/", timeout_seconds=0.1))
        # then it fails unsent, and the limit is named,
        assert caught.value.is_unsent
        assert "no connection was free within 0.1 s: all 2 of this transport are in use (connections_max)" in str(
            caught.value
        )
        assert len(asked) == 2
        # and as soon as one is free, the next comes through.
        await stack.aclose()
        assert (await transport.send(HttpRequest(method, "/", timeout_seconds=5))).status == 200


@pytest.mark.parametrize("is_stream", [False, True], ids=["a request", "a stream"])
async def test_closing_fails_what_waits_for_a_connection_unsent_and_cancels_nothing(is_stream: bool) -> None:
    entered = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        entered.set()
        await asyncio.sleep(60)
        return web.Response()

    async with _serving(handler) as host:
        transport = _transport(host, connections_max=1)

        async def ask() -> None:
            if not is_stream:
                await transport.send(HttpRequest("POST", "/"))
                return
            async with transport.stream(HttpRequest("GET", "/")):
                pass

        # Given a request under way, one that waits for its connection, and one that is cancelled in that wait,
        first = asyncio.create_task(transport.send(HttpRequest("GET", "/")))
        await entered.wait()
        queued, cancelled = asyncio.create_task(ask()), asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        # when the transport is closed,
        cancelled.cancel()
        await transport.aclose()
        # then nobody is taken for cancelled but the one who was.
        with pytest.raises(ConnectionFailedError, match="the transport is closed") as caught:
            await queued
        assert caught.value.is_unsent
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(ConnectionFailedError, match="the transport is closed"):
            await first


async def test_silence_counts_from_the_moment_when_a_stream_is_open() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"open\n")
        await asyncio.sleep(60)
        return response

    # Given a server that takes its time to open a stream, and is silent then,
    request = HttpRequest("GET", "/", timeout_seconds=0.2, opening_seconds=5)
    async with (
        _serving(handler) as host,
        _transport(host) as transport,
        transport.stream(request) as stream,
    ):
        # then the first silence is no silence, and the second one is.
        assert await anext(stream.lines) == b"open"
        with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.2 s$"):
            await anext(stream.lines)


@pytest.mark.parametrize("talk", [_deny_the_proxy, _hang_up, _reset], ids=["denies", "hangs up", "resets"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["a request", "a stream"])
async def test_no_trace_of_an_error_holds_the_password_of_a_proxy_that(
    talk: Any, is_stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _speaking(talk) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", "//user:hunter2@"))
        async with _transport("https://10.1.1.1") as transport:
            request = HttpRequest("GET", "/")
            with pytest.raises(ConnectionFailedError) as caught:
                await (transport.stream(request).__aenter__() if is_stream else transport.send(request))
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None


async def test_more_streams_than_a_hundred_leave_room_for_requests() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path != "/stream":
            return web.Response()
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(60)
        return response

    async with _serving(handler) as host, _transport(host) as transport, AsyncExitStack() as stack:
        for _ in range(120):
            await stack.enter_async_context(transport.stream(HttpRequest("GET", "/stream")))
        assert (await transport.send(HttpRequest("GET", "/", timeout_seconds=5))).status == 200


async def test_only_a_request_that_left_may_have_happened() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    # Given a server that takes the request and gives no answer, it may have happened;
    async with _serving(handler) as host, _transport(host) as transport:
        with pytest.raises(ConnectionFailedError, match=r"no answer within 0\.1 s") as caught:
            await transport.send(HttpRequest("POST", "/", timeout_seconds=0.1))
        assert not caught.value.is_unsent
    # where nobody listens any more, it has not.
    async with _transport(host) as transport:
        with pytest.raises(ConnectionFailedError, match="connection refused") as caught:
            await transport.send(HttpRequest("POST", "/"))
        assert caught.value.is_unsent


async def test_a_cancelled_request_lets_the_cancellation_through() -> None:
    entered = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        entered.set()
        await asyncio.sleep(60)
        return web.Response()

    async with _serving(handler) as host, _transport(host) as transport:
        task = asyncio.create_task(transport.send(HttpRequest("GET", "/")))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_429_that_names_a_time_is_waited_out_over_sockets_too() -> None:
    asked_at: list[float] = []

    async def handler(_: web.Request) -> web.Response:
        asked_at.append(asyncio.get_running_loop().time())
        if len(asked_at) % 2:
            return web.json_response({"kind": "Status", "code": 429}, status=429, headers={"Retry-After": "1"})
        return web.Response(text='{"type": "ADDED"}\n')

    async with _serving(handler) as host, _transport(host) as transport:
        rest = RestClient(transport)
        await rest.get(WIDGETS, ObjectKey("default", "a"))
        async with rest.watch(WIDGETS) as lines:
            assert [line async for line in lines] == [b'{"type": "ADDED"}']
    assert [asked_at[1] - asked_at[0] >= 1.0, asked_at[3] - asked_at[2] >= 1.0] == [True, True]


def _tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def test_tls_is_verified(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    trusted, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(trusted)
    stranger.cert_pem.write_to_path(other)
    async with _serving(_hello, _tls(authority, "127.0.0.1")) as host:
        async with AiohttpTransport(ClientConfig.for_host(host, ca_file=trusted)) as transport:
            assert (await transport.send(HttpRequest("GET", "/"))).body == b"hello"
        async with AiohttpTransport(ClientConfig.for_host(host, ca_file=other)) as transport:
            with pytest.raises(ConnectionFailedError, match=r"certificate is not trusted: .* issuer certificate$"):
                await transport.send(HttpRequest("GET", "/"))
    async with (
        _serving(_hello, _tls(authority, "elsewhere.example")) as host,
        AiohttpTransport(ClientConfig.for_host(host, ca_file=trusted)) as transport,
    ):
        with pytest.raises(ConnectionFailedError, match=r"certificate is not trusted: .*mismatch"):
            await transport.send(HttpRequest("GET", "/"))


async def test_https_to_a_server_without_tls_fails_with_a_word_about_tls() -> None:
    async with _serving(_hello) as host, _transport(host.replace("http:", "https:")) as transport:
        with pytest.raises(ConnectionFailedError, match="the TLS handshake failed"):
            await transport.send(HttpRequest("GET", "/"))


def _kubeconfig(folder: Path, host: str, user: str, cluster: str = "") -> Path:
    file = folder / "kubeconfig"
    file.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: "{host}"{cluster}}}}}]
users: [{{name: u, user: {user}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
"""
    )
    return file


async def test_the_kubeconfigs_tls_settings_are_followed(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with _serving(_hello, _tls(authority, "inside.example")) as host:
        for cluster in (
            ", certificate-authority: ca.pem, tls-server-name: inside.example",
            ", insecure-skip-tls-verify: true",
        ):
            config = await load_config(_kubeconfig(tmp_path, host, "{token: t}", cluster))
            async with AiohttpTransport(config) as transport:
                assert (await transport.send(HttpRequest("GET", "/"))).body == b"hello"


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("me@example.com", common_name="me")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
    tls = _tls(authority, "127.0.0.1")
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    async with _serving(_hello, tls) as host:
        user = "{client-certificate: me.pem, client-key: me.pem}"
        config = await load_config(_kubeconfig(tmp_path, host, user, ", certificate-authority: ca.pem"))
        async with AiohttpTransport(config) as transport:
            assert (await transport.send(HttpRequest("GET", "/"))).body == b"hello"


PLUGIN = """#!/bin/sh
echo run >> {folder}/runs
token=token-$(wc -l < {folder}/runs | tr -d ' ')
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
"status": {{"token": "'$token'", "expirationTimestamp": "2999-01-01T00:00:00Z"}}}}'
"""


async def test_a_refused_token_is_asked_for_anew_once_and_the_request_sent_again(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(PLUGIN.format(folder=tmp_path))
    plugin.chmod(0o755)
    accepted = {"Bearer token-2"}
    seen: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.headers["Authorization"], await request.text()))
        return web.json_response({"metadata": {}}, status=200 if seen[-1][0] in accepted else 401)

    async with _serving(handler) as host:
        user = f"{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {plugin}, interactiveMode: Never}}}}"
        async with AiohttpTransport(await load_config(_kubeconfig(tmp_path, host, user))) as transport:
            rest = RestClient(transport)
            # Given a first token that the server refuses, a POST comes through with the second one;
            await rest.create(WIDGETS, "default", b"{}")
            assert seen == [("Bearer token-1", "{}"), ("Bearer token-2", "{}")]
            # while it is good, the plugin does not run again;
            await rest.create(WIDGETS, "default", b"{}")
            assert (tmp_path / "runs").read_text().count("run") == 2
            # and where the new one is refused too, the refusal is raised.
            accepted.clear()
            with pytest.raises(UnauthorizedError):
                await rest.create(WIDGETS, "default", b"{}")
            assert [token for token, _ in seen[3:]] == ["Bearer token-2", "Bearer token-3"]


async def test_requests_that_are_refused_together_ask_for_one_new_token(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(PLUGIN.format(folder=tmp_path))
    plugin.chmod(0o755)

    async def handler(request: web.Request) -> web.Response:
        is_good = request.headers["Authorization"] == "Bearer token-2"
        return web.json_response({}, status=200 if is_good else 401)

    async with _serving(handler) as host:
        user = f"{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {plugin}, interactiveMode: Never}}}}"
        async with AiohttpTransport(await load_config(_kubeconfig(tmp_path, host, user))) as transport:
            answers = await asyncio.gather(*(transport.send(HttpRequest("GET", "/")) for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    assert (tmp_path / "runs").read_text().count("run") == 2
