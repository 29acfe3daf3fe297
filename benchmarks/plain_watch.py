"""
kubernetes-asyncio's own watch beside the informers: list, then stream, into the dictionaries of a user.

That is what a user of that library writes by hand: one list, the models that it makes, a dictionary as the store and
two as indexes, and a count where a handler would be. There is no relist, no resumption, no resync and no queue.

Run: python -m benchmarks.plain_watch URL OBJECTS EVENTS
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from importlib import import_module
from time import perf_counter
from typing import Any

import aiohttp

from benchmarks.usage import cpu, peak, settled

# These have no types.
client: Any = import_module("kubernetes_asyncio.client")
watch: Any = import_module("kubernetes_asyncio.watch")

Key = tuple[str, str]


class Held:
    """The objects by key, and the keys by namespace and by a label."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.objects: dict[Key, Any] = {}
        self.by_namespace: defaultdict[str, set[Key]] = defaultdict(set)
        self.by_app: defaultdict[str, set[Key]] = defaultdict(set)

    def put(self, item: Any) -> None:
        """Take the new state of an object."""
        key = (item.metadata.namespace, item.metadata.name)
        old = self.objects.get(key)
        if old is not None:
            self.by_app[old.metadata.labels.get("app", "")].discard(key)
        self.objects[key] = item
        self.by_namespace[item.metadata.namespace].add(key)
        self.by_app[item.metadata.labels.get("app", "")].add(key)


async def _stream(read: Any, version: str, held: Held, events: int) -> None:
    seen = 0
    async for event in watch.Watch().stream(read, resource_version=version):
        held.put(event["object"])
        seen += 1
        if seen == events:
            return


async def follow(url: str, events: int) -> dict[str, float]:
    """List and watch, and return the figures."""
    held = Held()
    async with client.ApiClient(client.Configuration(host=url)) as api:
        read = client.CoreV1Api(api).list_config_map_for_all_namespaces
        await read(limit=1)  # brings in what is imported late
        before = settled()
        cpu_start, start = cpu(), perf_counter()
        whole = await read()
        for item in whole.items:
            held.put(item)
        version = whole.metadata.resource_version
        del whole
        found = {
            "list_cpu": cpu() - cpu_start,
            "list_wall": perf_counter() - start,
            "objects": float(len(held.objects)),
        }
        found |= {"peak_bytes": peak() - before, "list_bytes": settled() - before}
        cpu_start, start = cpu(), perf_counter()
        streaming = asyncio.create_task(_stream(read, version, held, events))
        async with aiohttp.ClientSession() as session, session.post(f"{url}/begin"):
            await streaming
        return found | {"watch_cpu": cpu() - cpu_start, "watch_wall": perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(follow(sys.argv[1], int(sys.argv[3])))))
