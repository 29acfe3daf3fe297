"""
A controller as a user would write one, in a process that can be told to die at an exact moment.

    python controller_process.py KUBECONFIG NAMESPACE RECEIVER_URL CHANNELS DIE_AT

It posts `{"working": true}` to the receiver once its cache is synced. CHANNELS are names such as `a,b`, each a channel
that posts to the receiver; `a!` promises at-most-once, `a=` has a receiver that drops repeats. DIE_AT is `never`, or

    before:KIND:N, after:KIND:N   the N-th (from 1) status write of that KIND: not made, or made and answered
    sent:CHANNEL:N                the receiver has answered attempt N, and the channel has not returned

where a write is an `intent` if it announces a send, else an `outcome` if it holds attempts, else a `move`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from reconciler.client import AiohttpTransport, HttpRequest, HttpResponse, HttpStream, Transport, load_config
from reconciler.controllers.notification import Delivery, NotificationRequest, Promise, Resolution, setup
from reconciler.errors import TransientDeliveryError
from reconciler.manager import Manager

PROMISES = {"!": Promise.AT_MOST_ONCE, "=": Promise.DEDUPLICATED}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingTransport:
    """Counts status writes by their kind, and dies before or after one of them."""

    def __init__(self, inner: Transport, die_at: str) -> None:
        self._inner = inner
        self._die_at = die_at
        self._writes: Counter[str] = Counter()

    async def send(self, request: HttpRequest) -> HttpResponse:
        if request.method != "PUT" or not request.path.endswith("/status"):
            return await self._inner.send(request)
        kind = kind_of(json.loads(request.body or b"{}").get("status", {}))
        self._writes[kind] += 1
        here = f"{kind}:{self._writes[kind]}"
        if self._die_at == f"before:{here}":
            die()
        response = await self._inner.send(request)
        if self._die_at == f"after:{here}":
            die()
        return response

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        return self._inner.stream(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def kind_of(status: Mapping[str, Mapping[str, object]]) -> str:
    if status.get("delivery", {}).get("intents"):
        return "intent"
    return "outcome" if status.get("deliveryAttempts") else "move"


@dataclass(frozen=True)
class PostingChannel:
    url: str
    promise: Promise
    die_at: str
    timeout: timedelta = timedelta(seconds=60)

    async def send(self, delivery: Delivery) -> None:
        status = await post(self.url, {"channel": delivery.channel, "attempt": delivery.attempt})
        if status != 200:
            raise TransientDeliveryError(f"the receiver said {status}")
        if self.die_at == f"sent:{delivery.channel}:{delivery.attempt}":
            die()


@dataclass(frozen=True)
class FixedRouter:
    channels: tuple[str, ...]

    def resolve(self, attributes: Mapping[str, str]) -> Resolution:
        del attributes
        return Resolution(channels=self.channels, receivers=("test",))


async def post(url: str, said: Mapping[str, object]) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, json=said) as response:
        return response.status


async def main(kubeconfig: str, namespace: str, url: str, names: str, die_at: str) -> None:
    promises = {name.rstrip("!="): PROMISES.get(name[-1], Promise.AT_LEAST_ONCE) for name in names.split(",")}
    manager = Manager(DyingTransport(AiohttpTransport(await load_config(kubeconfig)), die_at), namespace=namespace)
    channels = {name: PostingChannel(url, promise, die_at) for name, promise in promises.items()}
    setup(manager, router=FixedRouter(tuple(promises)), channels=channels)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run(stopping))
        await manager.cache.informer(NotificationRequest).wait_for_sync()
        await post(url, {"working": True})


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
