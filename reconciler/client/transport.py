"""
How bytes reach an API server: `Transport`, and its form with sockets, `AiohttpTransport`.

A transport knows hosts, TLS, credentials and time-outs. It does not know what a status means, and repeats no request
that may have been executed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from reconciler.client.config import ClientConfig
from reconciler.client.failures import FAILURES, failure_in_words, send_once
from reconciler.client.lines import lines_in
from reconciler.client.progress import Progress, progress_trace
from reconciler.client.waiting import check_timeout
from reconciler.errors import ConfigurationError, ConnectionFailedError

__all__ = ["AiohttpTransport", "HttpRequest", "HttpResponse", "HttpStream", "Transport"]

_log = logging.getLogger(__name__)

_PIECE_BYTES_MAX = 512 * 1024
_SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """
    One request, without host and credentials: those are the transport's.

    Attributes:
        method: In upper case.
        path: Percent-encoded, starting with `/`.
        query: Not encoded yet.
        headers: Without credentials.
        body: None where there is none.
        timeout_seconds: For `send`, from the call to the last byte; None takes the transport's own. For `stream`, the
            longest silence of the server once it is open; None bears any.
        doing: What it is for, in words: verb, kind and object. Errors begin with it.
        opening_seconds: For `stream`, until the answer begins; None takes the transport's own.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = field(default=None, repr=False)
    timeout_seconds: float | None = None
    doing: str = ""
    opening_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole answer; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpStream:
    """
    An answer that goes on; the names of `headers` are in lower case.

    `lines` yields the body line by line, without line ends and without empty lines, and ends when the server ends it.
    """

    status: int
    headers: Mapping[str, str]
    lines: AsyncIterator[bytes]


class Transport(Protocol):
    """
    Carries requests to one API server.

    Raises:
        ConnectionFailedError: No answer, or a broken one: refused, reset, TLS, time-out. Its message says what was
            asked for, method, host and what happened, never headers, credentials or bodies.
    """

    async def send(self, request: HttpRequest) -> HttpResponse:
        """
        Return the answer, whatever its status.

        Cancelled: the request may or may not have been executed.
        """
        ...

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        """Open a stream; leaving the context closes it. Its lines raise what `send` raises."""
        ...

    async def aclose(self) -> None:
        """Close every connection; open streams break."""
        ...


def _drop(response: aiohttp.ClientResponse) -> None:
    """End a stream. Its connection is of no use to anybody; closed gracefully, one over TLS could outlive the loop."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


class _Pool:
    """The connections that were made with one version of the certificates, and how many requests use them."""

    def __init__(self, session: aiohttp.ClientSession, version: bytes) -> None:
        self.session = session
        self.version = version
        self.loop = asyncio.get_running_loop()
        self.uses = 0

    async def close(self) -> None:
        """Close every connection at once: nobody uses one, so a farewell in TLS has nobody to say it to."""
        if self.session.connector is not None:
            await self.session.connector.close(abort_ssl=True)
        await self.session.close()


class AiohttpTransport:
    """
    A transport over sockets, with kubernetes-asyncio's credentials, TLS and connection pool.

    Every request has a time-out. A stream has none in all, but its headers must come in time. A 401 makes the
    credentials be asked for anew, once, before it is passed on; requests that wait for them share what comes, and when
    one gives up, nobody else notices. A GET whose kept connection turns out dead is sent a second time by aiohttp;
    nothing else is. Redirects are not followed. A failure before anything was sent says so
    (`ConnectionFailedError.is_unsent`).

    Certificate files that change are taken up within a minute, and at once on a 401 or a failed handshake: new requests
    go over new connections, and those in use go on as they are. Files that cannot be loaded leave the old ones in use.

    Mirrors: client-go `rest.HTTPClientFor` with its certificate rotation and impersonation.
    Differs: takes up new authorities too; closes no connection that is in use; bounds their number.

    Args:
        config: From `load_config`.
        timeout_seconds: For requests that name none.
        connections_max: Connections at once, each open stream one of them; 0 sets no bound. A request that finds none
            free within its time-out fails unsent. After certificates changed, connections still in use come on top.

    Raises:
        ValueError: A time-out that is not more than 0, or a negative bound.
    """

    def __init__(self, config: ClientConfig, *, timeout_seconds: float = 30.0, connections_max: int = 500) -> None:
        check_timeout(timeout_seconds)
        if connections_max < 0:
            raise ValueError(f"connections_max must be 0 or more, is {connections_max}")
        self._config = config
        self._timeout_seconds = timeout_seconds
        self._connections_max = connections_max
        self._pool: _Pool | None = None
        self._retired: set[_Pool] = set()
        self._is_closed = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the answer, whatever its status."""
        seconds = self._timeout_seconds if request.timeout_seconds is None else request.timeout_seconds
        progress = Progress()
        try:
            async with asyncio.timeout(seconds):
                response, pool = await self._start(request, progress)
                try:
                    async with response:
                        body = await response.read()
                finally:
                    await self._leave(pool)
                return HttpResponse(response.status, _headers(response), body)
        except (*FAILURES, asyncio.CancelledError) as error:
            raise self._failure(request, error, seconds, progress) from None

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        """Open a stream; leaving the context closes it."""
        seconds = self._timeout_seconds if request.opening_seconds is None else request.opening_seconds
        progress = Progress()
        try:
            async with asyncio.timeout(seconds):
                response, pool = await self._start(request, progress)
        except (*FAILURES, asyncio.CancelledError) as error:
            raise self._failure(request, error, seconds, progress) from None
        try:
            async with aclosing(self._lines(request, response)) as lines:
                yield HttpStream(response.status, _headers(response), lines)
        finally:
            _drop(response)
            await self._leave(pool)

    async def aclose(self) -> None:
        """
        Close every connection, and end a renewal of the credentials.

        What is under way, waits for a connection or is asked afterwards fails with `ConnectionFailedError`.
        """
        self._is_closed = True
        await self._config.aclose()
        pools = [*self._retired, *([self._pool] if self._pool is not None else [])]
        self._retired.clear()
        self._pool = None
        for pool in pools:
            await pool.close()
        # What was dropped is told so in the loop's next turn.
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _start(self, request: HttpRequest, progress: Progress) -> tuple[aiohttp.ClientResponse, _Pool]:
        self._check_open(request)  # before the credentials: a renewal that begins now would be nobody's to end
        authorization = await self._config.authorization()
        response, pool = await self._request_over_tls(request, authorization, progress)
        if response.status != 401:
            return response, pool
        try:
            self._check_open(request)
            fresh = await self._config.authorization_instead_of(authorization, pool.version)
        except BaseException:
            response.close()
            await self._leave(pool)
            raise
        has_news = fresh is not None and fresh != authorization
        has_news = has_news or self._config.certificates_version != pool.version
        # Closing ends the wait for news; the answer to that is not the refusal.
        if not (has_news or self._is_closed):
            return response, pool
        response.close()
        await self._leave(pool)
        # A 401 says that nothing was executed, so even a POST may be sent again.
        progress.start_again()
        return await self._request(request, fresh, await self._current_pool(request), progress)

    async def _request_over_tls(
        self, request: HttpRequest, authorization: str | None, progress: Progress
    ) -> tuple[aiohttp.ClientResponse, _Pool]:
        pool = await self._current_pool(request)
        version = pool.version
        try:
            return await self._request(request, authorization, pool, progress)
        except (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError):
            # No connection, so nothing was executed. A server with a new certificate is met before the timer has the
            # new authority read.
            self._config.read_certificates()
            if self._config.certificates_version == version:
                raise
        progress.start_again()
        return await self._request(request, authorization, await self._current_pool(request), progress)

    async def _request(
        self, request: HttpRequest, authorization: str | None, pool: _Pool, progress: Progress
    ) -> tuple[aiohttp.ClientResponse, _Pool]:
        target = self._config.host + request.path
        if request.query:
            target += "?" + urlencode(request.query)
        pool.uses += 1
        try:
            response = await pool.session.request(
                request.method,
                URL(target, encoded=True),
                headers=self._headers_of(request, authorization),
                data=_payload(request.body),
                timeout=aiohttp.ClientTimeout(),
                allow_redirects=False,
                proxy=self._config.proxy,
                server_hostname=self._config.tls_server_name,
                middlewares=() if request.method in _SAFE_METHODS else (send_once,),
                trace_request_ctx=progress,
            )
        except BaseException:
            await self._leave(pool)
            raise
        return response, pool

    def _headers_of(self, request: HttpRequest, authorization: str | None) -> list[tuple[str, str]]:
        headers = [*request.headers.items()]
        if not any(name.lower() == "user-agent" for name in request.headers):
            headers.append(("User-Agent", self._config.user_agent))
        if authorization is not None:
            headers.append(("Authorization", authorization))
        if self._config.impersonation is not None:
            headers += self._config.impersonation.headers
        return headers

    async def _current_pool(self, request: HttpRequest) -> _Pool:
        version = self._config.certificates_version
        if self._pool is not None and version != self._pool.version:
            await self._renew_pool(self._pool, version)
        self._check_open(request)
        if self._pool is None:
            self._pool = self._open_pool()
        if self._pool.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "a transport works in the event loop of its first request; give each thread its own"
            )
        return self._pool

    def _check_open(self, request: HttpRequest) -> None:
        if self._is_closed:
            raise ConnectionFailedError(
                f"{self._name(request)}: the transport is closed", request.doing, is_unsent=True
            )

    def _open_pool(self) -> _Pool:
        session = self._config.open_session(connections_max=self._connections_max, trace_configs=(progress_trace(),))
        return _Pool(session, self._config.certificates_version)

    async def _renew_pool(self, old: _Pool, version: bytes) -> None:
        try:
            self._pool = self._open_pool()
        except ConfigurationError as error:
            # A certificate and its key are two files, and one may be new before the other: the next version will tell.
            _log.warning("new certificates are not usable, the old ones stay: %s", error)
            old.version = version
            return
        _log.info("%s: the certificates changed; new connections use the new ones", self._config.source)
        self._retired.add(old)
        await self._close_if_idle(old)

    async def _leave(self, pool: _Pool) -> None:
        pool.uses -= 1
        await self._close_if_idle(pool)

    async def _close_if_idle(self, pool: _Pool) -> None:
        if pool in self._retired and pool.uses == 0:
            self._retired.discard(pool)
            await pool.close()

    def _lines(self, request: HttpRequest, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        async def read() -> bytes:
            # For silence once the stream is open: aiohttp's own `sock_read` would count from the request.
            try:
                async with asyncio.timeout(request.timeout_seconds):
                    return await response.content.readany()
            except FAILURES as error:
                raise self._failure(request, error, request.timeout_seconds) from None

        return lines_in(read, lambda text: ConnectionFailedError(f"{self._name(request)}: {text}", request.doing))

    def _is_from_closing(self) -> bool:
        """Return whether a cancellation is aiohttp's: a pool that closes cancels those who wait for a connection."""
        task = asyncio.current_task()
        return self._is_closed and task is not None and task.cancelling() == 0

    def _name(self, request: HttpRequest) -> str:
        host = URL(self._config.host)
        return f"{request.method} {host.host}:{host.port}"

    def _failure(
        self, request: HttpRequest, error: BaseException, seconds: float | None, progress: Progress | None = None
    ) -> ConnectionFailedError:
        """Return what to raise; raise `error` itself where it is a cancellation that somebody asked for."""
        if isinstance(error, asyncio.CancelledError) and not self._is_from_closing():
            raise error
        is_unsent = progress is not None and not progress.is_sent
        if self._is_closed:
            said = "the transport is closed"
        elif is_unsent and progress is not None and progress.is_queued and isinstance(error, TimeoutError):
            said = (
                f"no connection was free within {seconds:g} s: all {self._connections_max} of this transport are in "
                "use (connections_max); nothing was sent"
            )
        else:
            said = failure_in_words(error, seconds)
        return ConnectionFailedError(f"{self._name(request)}: {said}", request.doing, is_unsent=is_unsent)


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    # A large body in one piece holds up the loop, and makes aiohttp warn; from a file it is sent in pieces.
    return BytesIO(body) if body is not None and len(body) > _PIECE_BYTES_MAX else body


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        # A header that is sent several times (Warning, once for each unknown field) is one list.
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
