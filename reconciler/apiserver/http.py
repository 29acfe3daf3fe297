"""
The server over HTTPS: a certificate made at the start, a token demanded, watches streamed. A shell of `ApiServer`.

The health paths answer without a token; everything else gets 401. Neither the token nor any request is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

import trustme
from aiohttp import web

from reconciler.apiserver.exchange import ServerRequest, ServerResponse
from reconciler.apiserver.failure import StatusError, unauthorized
from reconciler.apiserver.render import Form
from reconciler.apiserver.server import ApiServer

__all__ = ["Address", "serve"]

_log = logging.getLogger(__name__)

_BODY_BYTES_MAX = 3 * 1024 * 1024
_OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz"})
_SHUTDOWN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, and what a client needs to be let in. `repr` does not show the token."""

    host: str
    port: int
    ca_pem: bytes = field(repr=False)
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """The server's URL, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"


@contextlib.asynccontextmanager
async def serve(
    server: ApiServer, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None
) -> AsyncGenerator[Address]:
    """
    Serve `server` over HTTPS while the context is open.

    Args:
        server: It may be served again afterwards, with what it holds.
        host: The address to listen on; the certificate names it and `localhost`.
        port: 0 picks a free one.
        token: The bearer token to demand; None makes a random one.

    Raises:
        OSError: The port is taken, or the address is not this machine's.

    At the end no new request is taken, watches end, and requests in work have two seconds.
    """
    context, ca_pem = await asyncio.to_thread(_certificate, host)
    token = token or secrets.token_urlsafe(32)
    application = web.Application(client_max_size=_BODY_BYTES_MAX)
    application.router.add_route("*", "/{path:.*}", _handler(server, token))
    runner = web.AppRunner(
        application,
        access_log=None,
        # A client that goes away cancels its request at once: that is what releases its watch.
        handler_cancellation=True,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=context)
        await site.start()
        bound: int = runner.addresses[0][1]
        yield Address(host, bound, ca_pem, token)
        await site.stop()
    finally:
        server.end_watches()
        await runner.cleanup()


def _certificate(host: str) -> tuple[ssl.SSLContext, bytes]:
    """Return a server's TLS context, and the CA that signed its certificate. Writes a temporary file: it may block."""
    authority = trustme.CA(organization_name="reconciler", organization_unit_name="embedded API server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, "localhost").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # it also takes pyOpenSSL's context, which is not installed
    return context, authority.cert_pem.bytes()


def _handler(server: ApiServer, token: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    expected = f"Bearer {token}".encode()

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            sent = request.headers.get("Authorization", "").encode(errors="replace")
            if not hmac.compare_digest(sent, expected) and request.rel_url.raw_path not in _OPEN_PATHS:
                return _refusal(unauthorized())
            response = await server.handle(await _read(request))
        except StatusError as error:
            return _refusal(error)
        except Exception:
            _log.exception("%s %s failed inside the server", request.method, request.path)
            return _refusal(StatusError(500, "InternalError", "Internal error occurred; the server's log says more"))
        if isinstance(response.body, bytes):
            return _whole(response)
        return await _stream(request, response, response.body)

    return handle


async def _read(request: web.Request) -> ServerRequest:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        text = f"Request entity too large: limit is {_BODY_BYTES_MAX}"
        raise StatusError(413, "RequestEntityTooLarge", text) from error
    url = request.rel_url
    return ServerRequest(request.method, url.raw_path, list(url.query.items()), dict(request.headers), body)


def _refusal(error: StatusError) -> web.Response:
    return web.Response(status=error.code, content_type="application/json", body=Form().encode(error.status))


def _whole(response: ServerResponse) -> web.Response:
    assert isinstance(response.body, bytes)
    return web.Response(status=response.status, headers=response.headers, body=response.body)


async def _stream(request: web.Request, response: ServerResponse, chunks: AsyncGenerator[bytes]) -> web.StreamResponse:
    answer = web.StreamResponse(status=response.status, headers=response.headers)
    async with contextlib.aclosing(chunks):
        # The client may be gone at any of these points; there is nobody left to tell.
        with contextlib.suppress(ConnectionError):
            await answer.prepare(request)
            async for chunk in chunks:
                await answer.write(chunk)
            await answer.write_eof()
    return answer
