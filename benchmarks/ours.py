"""
What this library does in a process of its own, beside the peers: follow, read, start.

`follow` does with our informer what the Go program does with client-go's: two indexes and a handler; `--queued` adds a
controller's source, queue and journal, whose workers do not run. `read` reads every cached object twice. `start` starts
a manager with one controller whose reconciler does nothing.

Run: python -m benchmarks.ours {follow|read|start} URL [--objects N] [--events N] [--queued] [--shares]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from time import perf_counter

import aiohttp

from benchmarks.shares import Shares
from benchmarks.usage import cpu, peak, settled
from reconciler import controller_managed_by
from reconciler.api import EncodedObject, ObjectKey
from reconciler.cache import Cache, CachedReader
from reconciler.client import AiohttpTransport, ClientConfig, OwnWrites, RestClient
from reconciler.clock import LoopClock
from reconciler.control_loop import Controller
from reconciler.event import Event
from reconciler.journal import Journal
from reconciler.kinds import ConfigMap
from reconciler.manager import Manager
from reconciler.reconcile import Request
from reconciler.source import Kind

CONFIG_MAPS = ConfigMap.resource
READS_A_BATCH = 10  # few, so that the garbage collector falls on each of the ways alike


def _by_namespace(item: EncodedObject) -> Iterable[str]:
    return (item.key.namespace,)


def _by_app(item: EncodedObject) -> Iterable[str]:
    return (item.metadata.labels.get("app", ""),)


async def _nothing(request: Request) -> None:
    del request


class _Updates:
    """A handler that counts updates."""

    def __init__(self, expected: int) -> None:
        self._left = expected
        self.all = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if event.verb == "update":
            self._left -= 1
            if not self._left:
                self.all.set()


@asynccontextmanager
async def _caching(url: str) -> AsyncGenerator[Cache]:
    rest = RestClient(AiohttpTransport(ClientConfig.for_host(url)))
    await rest.list_page(CONFIG_MAPS, limit=1)  # brings in what is imported late
    try:
        yield Cache(rest, warn_above_bytes=None)
    finally:
        await rest.aclose()


@asynccontextmanager
async def _running(cache: Cache) -> AsyncGenerator[None]:
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(cache.run(stopping))
        try:
            yield
        finally:
            stopping.set()


async def follow(url: str, events: int, *, is_queued: bool, shares: Shares | None) -> dict[str, object]:
    """List and watch; return the figures, or with `shares` the shares of the files."""
    async with _caching(url) as cache:
        informer, updates = cache.informer(CONFIG_MAPS), _Updates(events)
        informer.add_index("namespace", _by_namespace)
        informer.add_index("app", _by_app)
        informer.add_handler(updates)
        if is_queued:
            controller = Controller("bench", _nothing, clock=LoopClock(), journal=Journal())
            Kind(cache, CONFIG_MAPS, ledger=OwnWrites()).start(controller)
        before = settled()
        found: dict[str, object] = {}
        if shares:
            shares.start()
        cpu_start, start = cpu(), perf_counter()
        async with _running(cache):
            await informer.wait_for_sync()
            found |= {"list_cpu": cpu() - cpu_start, "list_wall": perf_counter() - start}
            if shares:
                found["list"] = shares.stop()
            found |= {"objects": float(len(informer.store)), "peak_bytes": peak() - before}
            found["list_bytes"] = settled() - before
            if shares:
                shares.start()
            async with aiohttp.ClientSession() as session:
                cpu_start, start = cpu(), perf_counter()
                async with session.post(f"{url}/begin"):
                    await updates.all.wait()
                found |= {"watch_cpu": cpu() - cpu_start, "watch_wall": perf_counter() - start}
            if shares:
                found["watch"] = shares.stop()
    return found


class _Reads:
    """The price of a read, in seconds; what was read is held until the batch is over."""

    def __init__(self, batches: Iterator[list[ObjectKey]]) -> None:
        self._batches = batches
        self.seconds: dict[str, float] = {}
        self._count = 0

    async def measure(self, ways: dict[str, Callable[[ObjectKey], Awaitable[object]]]) -> dict[str, float]:
        """Read each batch in each of the ways."""
        for batch in self._batches:
            self._count += len(batch)
            held: list[object] = []
            for way, read in ways.items():
                start = cpu()
                for key in batch:
                    held.append(await read(key))  # noqa: PERF401  # as a reconciler reads: one after the other
                self.seconds[way] = self.seconds.get(way, 0.0) + cpu() - start
        return {way: seconds / self._count for way, seconds in self.seconds.items()}


async def read(url: str) -> dict[str, float]:
    """Read every cached object, typed twice, as a dictionary, and as a copy of a model that somebody kept."""
    async with _caching(url) as cache, _running(cache):
        informer, reader = cache.informer(CONFIG_MAPS), CachedReader(cache)
        await informer.wait_for_sync()
        keys = [item.key for item in informer.store]
        kept = await reader.get(ConfigMap, keys[0])

        async def typed(key: ObjectKey) -> ConfigMap:
            return await reader.get(ConfigMap, key)

        async def untyped(key: ObjectKey) -> object:
            return await reader.get(CONFIG_MAPS, key)

        async def copied(key: ObjectKey) -> ConfigMap:
            del key
            return kept.model_copy(deep=True)

        batches = (keys[at : at + READS_A_BATCH] for at in range(0, len(keys), READS_A_BATCH))
        ways: dict[str, Callable[[ObjectKey], Awaitable[object]]] = {
            "typed": typed,
            "typed_again": typed,
            "untyped": untyped,
            "copied": copied,
        }
        return await _Reads(batches).measure(ways)


async def start(url: str, objects: int) -> dict[str, float]:
    """Start a manager, and stop it when every object had its first pass."""
    found = {"boot_cpu": cpu()}
    begun, stopping, seen = perf_counter(), asyncio.Event(), set[Request]()
    manager = Manager(AiohttpTransport(ClientConfig.for_host(url)))

    async def reconcile(request: Request) -> None:
        if not seen:
            # Workers start when the list is complete and all of it was given to the queue.
            found.update(queued_cpu=cpu() - found["boot_cpu"], queued_wall=perf_counter() - begun)
        seen.add(request)
        if len(seen) == objects:
            found.update(passed_cpu=cpu() - found["boot_cpu"], passed_wall=perf_counter() - begun)
            stopping.set()

    controller_managed_by(manager).for_(ConfigMap).complete(reconcile)
    await manager.run(stopping)
    return found


def main() -> int:
    """Do what is asked, and print the figures as one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ours")
    parser.add_argument("what", choices=("follow", "read", "start"))
    parser.add_argument("url")
    parser.add_argument("--objects", type=int, default=0)
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--queued", action="store_true")
    parser.add_argument("--shares", action="store_true")
    given = parser.parse_args()
    figures: object
    if given.what == "follow":
        shares = Shares() if given.shares else None
        figures = asyncio.run(follow(given.url, given.events, is_queued=given.queued, shares=shares))
    elif given.what == "read":
        figures = asyncio.run(read(given.url))
    else:
        figures = asyncio.run(start(given.url, given.objects))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
