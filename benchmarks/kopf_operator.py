"""
kopf beside the informers: an operator with an event handler and two indexes whose values are the objects.

That is what a kopf user writes who wants to read objects without asking the server; kopf keeps no other store. kopf
gives each object a task and a queue of its own, so there is no work queue, no journal and no controller beside it. Its
log is off, which `kopf run` would write at each event. It runs in an environment of its own, where nothing of this
library is installed.

Run: PYTHON -m benchmarks.kopf_operator URL OBJECTS EVENTS [--indexed]
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from time import perf_counter
from typing import Any

import aiohttp

from benchmarks.usage import cpu, peak, settled

# kopf is installed in the peers' environment only, not where the types are checked.
kopf: Any = import_module("kopf")

IDLE_SECONDS = 6  # the task of an object ends after five seconds without an event


class Seen:
    """What the handler has seen."""

    def __init__(self, objects: int, events: int) -> None:
        """Nothing yet."""
        self.listed, self.changed = asyncio.Event(), asyncio.Event()
        self._objects, self._events = objects, events

    async def on_event(self, event: dict[str, Any], **_: object) -> None:
        """Count an object of the list, which comes without a type, or an event of the watch."""
        if event["type"] is None:
            self._objects -= 1
            if not self._objects:
                self.listed.set()
        else:
            self._events -= 1
            if not self._events:
                self.changed.set()


async def by_namespace(namespace: str, body: Any, **_: object) -> dict[str, Any]:
    """Index by namespace."""
    return {namespace: dict(body)}


async def by_app(labels: Any, body: Any, **_: object) -> dict[str, Any]:
    """Index by a label."""
    return {labels.get("app", ""): dict(body)}


async def follow(url: str, objects: int, events: int, *, is_indexed: bool) -> dict[str, float]:
    """Run the operator, and return its figures."""
    seen, registry, settings = Seen(objects, events), kopf.OperatorRegistry(), kopf.OperatorSettings()
    counted: dict[str, Any] = {}

    def login(**_: object) -> Any:
        return kopf.ConnectionInfo(server=url)

    async def startup(**given: Any) -> None:
        counted.update(given)  # the indexes are among them

    kopf.on.login(registry=registry)(login)
    kopf.on.startup(registry=registry)(startup)
    if is_indexed:
        kopf.index("configmaps", id="objects_by_namespace", registry=registry)(by_namespace)
        kopf.index("configmaps", id="objects_by_app", registry=registry)(by_app)
    kopf.on.event("configmaps", registry=registry)(seen.on_event)
    before, stop = settled(), asyncio.Event()
    cpu_start, start = cpu(), perf_counter()
    running = asyncio.create_task(
        kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True, stop_flag=stop)
    )
    await seen.listed.wait()
    found = {"list_cpu": cpu() - cpu_start, "list_wall": perf_counter() - start, "peak_bytes": peak() - before}
    indexed = counted["objects_by_namespace"].values() if is_indexed else ()
    found["objects"] = float(sum(map(len, indexed)) if is_indexed else objects)
    await asyncio.sleep(IDLE_SECONDS)
    found["list_bytes"] = settled() - before
    cpu_start, start = cpu(), perf_counter()
    async with aiohttp.ClientSession() as session, session.post(f"{url}/begin"):
        await seen.changed.wait()
    found |= {"watch_cpu": cpu() - cpu_start, "watch_wall": perf_counter() - start}
    stop.set()
    await running
    return found


if __name__ == "__main__":
    print(
        json.dumps(
            asyncio.run(follow(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), is_indexed="--indexed" in sys.argv))
        )
    )
