"""The embedded API server without sockets, in the form that the client takes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from types import TracebackType
from typing import Self, cast

from reconciler.apiserver import ApiServer, ServerRequest, ServerResponse
from reconciler.client import HttpRequest, HttpResponse, HttpStream

__all__ = ["InProcessTransport"]


class InProcessTransport:
    """
    Calls an `ApiServer` directly, so that client and server live in one loop with virtual time.

    There is no network that could fail, no credentials and no time-out; wrap it to add faults.
    """

    def __init__(self, server: ApiServer) -> None:
        """Take the server to call; it may serve others too."""
        self._server = server

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the whole answer."""
        response = await self._handle(request)
        if isinstance(response.body, bytes):
            return HttpResponse(response.status, _lower(response), response.body)
        async with _closing(response.body) as chunks:
            return HttpResponse(response.status, _lower(response), b"".join([chunk async for chunk in chunks]))

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        """Open a watch; leaving the context ends it on the server."""
        return self._stream(request)

    async def aclose(self) -> None:
        """Close nothing: there is no connection."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _handle(self, request: HttpRequest) -> ServerResponse:
        return await self._server.handle(
            ServerRequest(request.method, request.path, request.query, request.headers, request.body or b"")
        )

    @asynccontextmanager
    async def _stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream]:
        response = await self._handle(request)
        if isinstance(response.body, bytes):
            yield HttpStream(response.status, _lower(response), _lines_of(response.body))
            return
        async with _closing(response.body) as chunks:
            yield HttpStream(response.status, _lower(response), _lines_in(chunks))


def _lower(response: ServerResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


async def _lines_of(body: bytes) -> AsyncIterator[bytes]:
    for line in body.splitlines():
        yield line


async def _lines_in(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        for line in chunk.splitlines():
            if line:
                yield line


def _closing(stream: AsyncIterator[bytes]) -> AbstractAsyncContextManager[AsyncGenerator[bytes, None]]:
    # The server's streams are generators: an open one holds a watch until it is closed.
    return aclosing(cast("AsyncGenerator[bytes, None]", stream))
