"""
A proxy on loopback that breaks the network on demand, between a client and an API server.

It takes plain HTTP and asks the server over TLS with the server's own token, so it can stand before the embedded
server and before a real one alike, look into every line of a watch, and demand tokens of its own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
import msgspec
from aiohttp import web

What = Literal["list", "page", "watch", "get", "write"]
Rest = Literal["cut", "end"]

WAIT_SECONDS_MAX = 20.0
_NOT_PASSED_ON = frozenset({"authorization", "host", "connection", "content-length", "transfer-encoding"})


@dataclass(frozen=True)
class Answer:
    """What the proxy says in the server's place."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Seen:
    """A request that came, when (seconds of the loop), and what it got."""

    at: float
    what: What
    query: Mapping[str, str]
    status: int


def refusal(code: int, reason: str, message: str = "no", **headers: str) -> Answer:
    """A `Status`, as an API server gives it; `Retry_After="1"` is the header `Retry-After: 1`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(code, msgspec.json.encode(status(code, reason, message)), named)


def status(code: int, reason: str, message: str = "no") -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


@dataclass(eq=False)
class _Pipe:
    """One open watch: lines from the server, and what goes to the client. None is an end, `Rest` how it is made."""

    connection: asyncio.Transport
    out: asyncio.Queue[bytes | Rest] = field(default_factory=asyncio.Queue[bytes | Rest])
    held: list[bytes] = field(default_factory=list[bytes])
    is_stalled: bool = False
    breaks_next_line: Rest | None = None


class Proxy:
    """
    Passes everything on, unless told otherwise.

    Attributes:
        url: Where it listens: `http://127.0.0.1:PORT`.
        tokens: The tokens that it lets in; None lets everybody in. Whoever has none of them gets 401.
        is_down: Every request is cut before it is answered.
        is_holding: Lines of watches are kept back until `release`.
        write_delay_seconds: How late the answers to writes come.
        held_lists: Answers to lists that wait for `release_lists`.
        rewrite: What the body of a list and each line of a watch become; None: they stay as they are.
        seen: Every request that was answered.
    """

    def __init__(self, server: aiohttp.ClientSession, *, plural: str) -> None:
        """`server` asks the API server; GETs of a path that ends with `plural` are lists, or further pages of one."""
        self.url = ""
        self.tokens: set[str] | None = None
        self.is_down = False
        self.is_holding = False
        self.write_delay_seconds = 0.0
        self.held_lists = 0
        self.rewrite: Callable[[bytes], bytes] | None = None
        self.seen: list[Seen] = []
        self._server = server
        self._plural = plural
        self._pipes: list[_Pipe] = []
        self._next: dict[What, list[Answer]] = {}
        self._always: dict[What, Answer] = {}
        self._changed = asyncio.Event()
        self._may_list = asyncio.Event()
        self._may_list.set()

    def asked(self, what: What) -> list[Seen]:
        """The requests of a kind so far."""
        return [seen for seen in self.seen if seen.what == what]

    @property
    def open_watches(self) -> int:
        """Watches whose connections are open, also those that nothing comes through."""
        return len(self._pipes)

    @property
    def held_lines(self) -> int:
        """Lines that wait for `release`."""
        return sum(len(pipe.held) for pipe in self._pipes)

    def answer_next(self, what: What, *answers: Answer) -> None:
        """Answer the next requests of a kind in the server's place."""
        self._next.setdefault(what, []).extend(answers)

    def answer_always(self, what: What, answer: Answer | None) -> None:
        """Answer every request of a kind so; None: pass them on again."""
        self._always.pop(what, None)
        if answer is not None:
            self._always[what] = answer

    def stall(self) -> None:
        """Let nothing more through the watches that are open; their connections stay, and nobody is told."""
        for pipe in self._pipes:
            pipe.is_stalled = True

    def cut(self) -> None:
        """Break the connections of all open watches."""
        for pipe in self._pipes:
            pipe.connection.abort()

    def end(self) -> None:
        """End the answers of all open watches properly, as a server does with a watcher that fell behind."""
        for pipe in self._pipes:
            pipe.out.put_nowait("end")

    def release(self, *, reverse: bool = False) -> None:
        """Pass on what was held, in order or the last first."""
        self.is_holding = False
        for pipe in self._pipes:
            for line in reversed(pipe.held) if reverse else pipe.held:
                pipe.out.put_nowait(line)
            pipe.held.clear()

    def hold_lists(self) -> None:
        """Keep the server's answers to lists back until `release_lists`: they are of the past when they come."""
        self._may_list.clear()

    def release_lists(self) -> None:
        """Pass on the lists that were held."""
        self._may_list.set()

    def break_next_line(self, then: Rest) -> None:
        """Pass on half of the next line of each open watch; then cut the connection, or end the answer properly."""
        for pipe in self._pipes:
            pipe.breaks_next_line = then

    def say(self, line: bytes) -> None:
        """Put a line of our own into every open watch."""
        for pipe in self._pipes:
            pipe.out.put_nowait(line + b"\n")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when something that this proxy has seen makes `condition` true."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of the client."""
        if self.is_down:
            return _cut(request)
        what = self._what(request)
        own = self._own_answer(what, request)
        if own is not None:
            self._note(what, request, own.status)
            return web.Response(
                status=own.status, body=own.body, headers={"Content-Type": "application/json", **own.headers}
            )
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        async with await self._ask(request, headers) as answer:
            if what == "watch" and answer.status == 200:
                return await self._stream(request, answer)
            body = await answer.read()
            if what == "write":
                await asyncio.sleep(self.write_delay_seconds)
            if what in {"list", "page"}:
                body = body if self.rewrite is None else self.rewrite(body)
                await self._until_lists_may_pass()
            self._note(what, request, answer.status)
            return web.Response(status=answer.status, body=body, headers=_passed_on(answer))

    async def _ask(self, request: web.Request, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Ask the server. A client that went away is heard only then: a cancelled TLS handshake leaks its socket."""
        body = await request.read() or None
        asking = asyncio.ensure_future(
            self._server.request(request.method, request.path_qs, headers=headers, data=body)
        )
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            _hang_up(await asking)
            raise

    async def _until_lists_may_pass(self) -> None:
        self.held_lists += 1
        self._changed.set()
        try:
            await self._may_list.wait()
        finally:
            self.held_lists -= 1

    def _what(self, request: web.Request) -> What:
        if request.method != "GET":
            return "write"
        if request.query.get("watch"):
            return "watch"
        if not request.path.endswith(f"/{self._plural}"):
            return "get"
        return "page" if request.query.get("continue") else "list"

    def _own_answer(self, what: What, request: web.Request) -> Answer | None:
        if self.tokens is not None:
            sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if sent not in self.tokens:
                return refusal(401, "Unauthorized", "Unauthorized")
        waiting = self._next.get(what)
        return waiting.pop(0) if waiting else self._always.get(what)

    def _note(self, what: What, request: web.Request, code: int) -> None:
        self.seen.append(Seen(asyncio.get_running_loop().time(), what, dict(request.query), code))
        self._changed.set()

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        connection = request.transport
        assert connection is not None
        pipe = _Pipe(connection)
        response = web.StreamResponse(headers=_passed_on(answer))
        await response.prepare(request)
        self._pipes.append(pipe)
        self._note("watch", request, 200)
        reader = asyncio.create_task(self._read(pipe, answer))
        try:
            while (line := await pipe.out.get()) not in {"cut", "end"}:
                assert isinstance(line, bytes)
                await response.write(line)
            if line == "cut":
                return _cut(request)
            await response.write_eof()
            return response
        finally:
            self._pipes.remove(pipe)
            self._changed.set()
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader
            _hang_up(answer)

    async def _read(self, pipe: _Pipe, answer: aiohttp.ClientResponse) -> None:
        """Take the server's lines; a server that is stopped ends the watch."""
        with suppress(aiohttp.ClientError):
            async for line in _lines(answer):
                self._take(pipe, line)
        if not pipe.is_stalled:
            pipe.out.put_nowait("end")

    def _take(self, pipe: _Pipe, line: bytes) -> None:
        if pipe.is_stalled:
            return
        if self.rewrite is not None:
            line = self.rewrite(line)
        if pipe.breaks_next_line is not None:
            pipe.out.put_nowait(line[: len(line) // 2])
            pipe.out.put_nowait(pipe.breaks_next_line)
            pipe.is_stalled = True
        elif self.is_holding:
            pipe.held.append(line)
            self._changed.set()
        else:
            pipe.out.put_nowait(line)


def _hang_up(answer: aiohttp.ClientResponse) -> None:
    """Break off at once: closing waits for the server's part of TLS, and would outlive the loop."""
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        assert isinstance(connection.transport, asyncio.Transport)
        connection.transport.abort()
    answer.close()


def _cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    connection = request.transport
    assert isinstance(connection, asyncio.Transport)
    connection.abort()
    return web.Response(status=500)  # goes nowhere


def _passed_on(answer: aiohttp.ClientResponse) -> dict[str, str]:
    names = ("Content-Type", "Retry-After", "Warning")
    return {name: answer.headers[name] for name in names if name in answer.headers}


async def _lines(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    pending = b""
    async for chunk in answer.content.iter_any():
        *complete, pending = (pending + chunk).split(b"\n")
        for line in complete:
            yield line + b"\n"


@asynccontextmanager
async def proxy_to(url: str, *, ca_pem: bytes, token: str, plural: str) -> AsyncGenerator[Proxy, None]:
    """Serve a proxy to the API server at `url` while the context is open."""
    tls = ssl.create_default_context(cadata=ca_pem.decode())
    async with aiohttp.ClientSession(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(ssl=tls),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=True,
    ) as session:
        proxy = Proxy(session, plural=plural)
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield proxy
        finally:
            proxy.cut()
            await runner.cleanup()
