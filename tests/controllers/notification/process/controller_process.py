"""
A controller as a user would write one, in a process that can be told to die at an exact moment.

    python -m ... KUBECONFIG NAMESPACE RECEIVER_URL CHANNELS DIE_AT

CHANNELS are names such as `a,b`, each a channel that posts to the receiver; one with a `!` promises at-most-once.
DIE_AT is `never`, `before-put:N`, `after-put:N` (the N-th status write, from 1), `entry:CHANNEL` or `sent:CHANNEL`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from reconciler.client import AiohttpTransport, HttpRequest, HttpResponse, HttpStream, Transport, load_config
from reconciler.controllers.notification import Delivery, Promise, Resolution, setup
from reconciler.errors import TransientDeliveryError
from reconciler.manager import Manager


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingTransport:
    """Counts status writes, and dies before or after one of them."""

    def __init__(self, inner: Transport, die_at: str) -> None:
        self._inner = inner
        self._die_at = die_at
        self._puts = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        is_put = request.method == "PUT" and request.path.endswith("/status")
        self._puts += is_put
        if is_put and self._die_at == f"before-put:{self._puts}":
            die()
        response = await self._inner.send(request)
        if is_put and self._die_at == f"after-put:{self._puts}":
            die()
        return response

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        return self._inner.stream(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(frozen=True)
class PostingChannel:
    url: str
    promise: Promise
    die_at: str
    timeout: timedelta = timedelta(seconds=60)

    async def send(self, delivery: Delivery) -> None:
        if self.die_at == f"entry:{delivery.channel}":
            die()
        call = {"channel": delivery.channel, "attempt": delivery.attempt}
        async with aiohttp.ClientSession() as session, session.post(self.url, json=call) as response:
            if response.status != 200:
                raise TransientDeliveryError(f"the receiver said {response.status}")
        if self.die_at == f"sent:{delivery.channel}":
            die()


@dataclass(frozen=True)
class FixedRouter:
    channels: tuple[str, ...]

    def resolve(self, attributes: Mapping[str, str]) -> Resolution:
        del attributes
        return Resolution(channels=self.channels, receivers=("test",))


async def main(kubeconfig: str, namespace: str, url: str, names: str, die_at: str) -> None:
    promises = {
        name.rstrip("!"): Promise.AT_MOST_ONCE if name.endswith("!") else Promise.AT_LEAST_ONCE
        for name in names.split(",")
    }
    transport = DyingTransport(AiohttpTransport(await load_config(kubeconfig)), die_at)
    manager = Manager(transport, namespace=namespace)
    channels = {name: PostingChannel(url, promise, die_at) for name, promise in promises.items()}
    setup(manager, router=FixedRouter(tuple(promises)), channels=channels)
    await manager.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
