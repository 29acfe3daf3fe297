"""A transport that fails on demand, around one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from reconciler.client import HttpRequest, HttpResponse, HttpStream, Transport
from reconciler.errors import ConnectionFailedError


class FaultyTransport:
    """
    Passes requests on, unless told otherwise.

    Attributes:
        is_down: Every request fails, as if nobody listened.
        is_silent: Streams open, and then bring nothing.
        may_pass: Streams bring what they bring only while this is set.
        no_answer: Which of "list" and "watch" are taken and never answered.
        lists: Answers for the next lists, before the server is asked.
        watches: The same for watches.
        requests: What was asked, as (time, "list" or "watch" or "other", query).
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._cut: asyncio.Event | None = None
        self.is_down = False
        self.is_silent = False
        self.no_answer: set[str] = set()
        self.may_pass = asyncio.Event()
        self.may_pass.set()
        self.lists: list[HttpResponse] = []
        self.watches: list[HttpResponse] = []
        self.requests: list[tuple[float, str, dict[str, str]]] = []
        self.open_streams = 0

    def asked(self, what: str) -> list[tuple[float, dict[str, str]]]:
        return [(at, query) for at, verb, query in self.requests if verb == what]

    def cut(self) -> None:
        """Break every open stream."""
        if self._cut is not None:
            self._cut.set()
        self._cut = None

    def move_to(self, inner: Transport) -> None:
        """Pass on to another one from now on."""
        self.cut()
        self._inner = inner

    async def send(self, request: HttpRequest) -> HttpResponse:
        is_list = request.method == "GET" and request.path.endswith("/widgets")
        self._note("list" if is_list else "other", request)
        if is_list and "list" in self.no_answer:
            await _never(request)
        if is_list and self.lists:
            return self.lists.pop(0)
        return await self._inner.send(request)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        self._note("watch", request)
        self.open_streams += 1
        try:
            if "watch" in self.no_answer:
                await _never(request)
            if self.watches:
                answer = self.watches.pop(0)
                yield HttpStream(answer.status, answer.headers, _lines(answer.body))
                return
            async with self._inner.stream(request) as stream, aclosing(self._breakable(stream.lines)) as lines:
                yield HttpStream(stream.status, stream.headers, lines)
        finally:
            self.open_streams -= 1

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _note(self, what: str, request: HttpRequest) -> None:
        self.requests.append((asyncio.get_running_loop().time(), what, dict(request.query)))
        if self.is_down:
            raise ConnectionFailedError("GET 127.0.0.1:1: connection refused")

    async def _breakable(self, lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        if self._cut is None:
            self._cut = asyncio.Event()
        if self.is_silent:
            lines = _nothing()
        cut = asyncio.ensure_future(self._cut.wait())
        try:
            while True:
                line = asyncio.ensure_future(_next(lines))
                try:
                    await asyncio.wait({line, cut}, return_when=asyncio.FIRST_COMPLETED)
                    if cut.done():
                        raise ConnectionFailedError("GET 127.0.0.1:1: the answer broke off")
                    found = line.result()
                finally:
                    await _end(line)
                if found is None:
                    return
                await self.may_pass.wait()
                yield found
        finally:
            await _end(cut)


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)


async def _end(future: asyncio.Future[object]) -> None:
    if not future.done():
        future.cancel()
        await asyncio.wait({future})


async def _never(request: HttpRequest) -> None:
    # The time-out is the transport's: the library gives it with each request.
    try:
        async with asyncio.timeout(request.timeout_seconds):
            await asyncio.Event().wait()
    except TimeoutError as error:
        raise ConnectionFailedError("GET 127.0.0.1:1: no answer in time") from error


async def _nothing() -> AsyncGenerator[bytes, None]:
    await asyncio.Event().wait()
    yield b""


async def _lines(body: bytes) -> AsyncGenerator[bytes, None]:
    for line in body.splitlines():
        yield line
