"""A transport in memory that answers from a script, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from reconciler.client import ClientConfig, HttpRequest, HttpResponse, HttpStream

Answer = HttpResponse | Exception | Callable[[HttpRequest], HttpResponse]


def answer(status: int, body: object = None, **headers: str) -> HttpResponse:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def refusal(code: int, reason: str, message: str = "no", **details: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }


async def after_refusal(config: ClientConfig) -> str | None:
    """Return the `Authorization` that a transport sends after a server refused the present one."""
    return await config.authorization_instead_of(await config.authorization(), config.certificates_version)


class ScriptedTransport:
    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []
        self.asked_at: list[float] = []
        self.is_closed = False
        self.open_streams = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, HttpResponse) else found(request)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        response = await self.send(request)
        self.open_streams += 1
        try:
            yield HttpStream(response.status, response.headers, _lines(response.body))
        finally:
            self.open_streams -= 1

    async def aclose(self) -> None:
        self.is_closed = True


async def _lines(body: bytes) -> AsyncGenerator[bytes, None]:
    for line in body.splitlines():
        await asyncio.sleep(0)
        yield line
