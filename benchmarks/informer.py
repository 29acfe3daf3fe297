"""
Measure the informer beside client-go's, typed and dynamic, and print the ratios.

One server process answers all of them over loopback HTTP, from bytes that were made before: a list of ConfigMaps of
2 KiB, and a watch that changes each of them. Every informer keeps two indexes and calls a handler; "queued" is ours
with a controller's source, queue and journal as well, whose workers do not run. They take turns, and the best round of
each figure counts. Go may use every processor. Without Go there are no ratios.

Run: python -m benchmarks.informer [--objects N] [--events N] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import multiprocessing
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import aiohttp
from aiohttp import web

from reconciler.api import EncodedObject, ResourceType
from reconciler.cache import Cache
from reconciler.client import AiohttpTransport, ClientConfig, OwnWrites, RestClient
from reconciler.clock import LoopClock
from reconciler.control_loop import Controller
from reconciler.event import Event
from reconciler.journal import Journal
from reconciler.reconcile import Request
from reconciler.source import Kind

GO = Path(__file__).parent / "go" / "informer"
CONFIG_MAPS = ResourceType("", "v1", "ConfigMap", "configmaps")
OBJECT_BYTES = 2048
EVENTS_A_WRITE = 64

Figures = dict[str, float]


def config_map(number: int, version: int) -> bytes:
    """Return an object of 2 KiB."""
    metadata = {
        "name": f"object-{number:06}",
        "namespace": f"namespace-{number % 50}",
        "uid": f"00000000-0000-0000-0000-{number:012}",
        "resourceVersion": str(version),
        "creationTimestamp": "2024-01-01T00:00:00Z",
        "labels": {"app": f"app-{number % 100}", "tier": "back"},
        "annotations": {"example.com/owner": "team-a"},
    }
    data = {f"key-{each}": f"value {each} of {number} " * 3 for each in range(20)}
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    data["padding"] = "x" * max(0, OBJECT_BYTES - len(json.dumps(whole)) - 15)
    return json.dumps(whole).encode()


class Server:
    """Answers lists and watches from bytes made before."""

    def __init__(self, objects: int, events: int) -> None:
        """Make the bytes."""
        self._items = [config_map(number, number + 1) for number in range(objects)]
        lines = [
            b'{"type":"MODIFIED","object":' + config_map(number % objects, objects + number + 1) + b"}\n"
            for number in range(events)
        ]
        self._chunks = [b"".join(lines[at : at + EVENTS_A_WRITE]) for at in range(0, events, EVENTS_A_WRITE)]
        self._begin: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def read(self, request: web.Request) -> web.StreamResponse:
        """Answer a list or a watch."""
        if request.query.get("sendInitialEvents"):
            # As a server without streaming lists; client-go lists in one piece then.
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}
            return web.json_response(status, status=422)
        if request.query.get("watch"):
            return await self._watch(request)
        first = int(request.query.get("continue") or 0)
        after = first + int(request.query.get("limit") or len(self._items))
        token = f'"continue":"{after}",' if after < len(self._items) else ""
        head = (
            f'{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{{token}"resourceVersion":"{len(self._items)}"}},'
        )
        body = head.encode() + b'"items":[' + b",".join(self._items[first:after]) + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        begin = asyncio.Event()
        self._begin.put_nowait(begin)
        await begin.wait()
        for chunk in self._chunks:
            await response.write(chunk)
        await asyncio.Event().wait()  # until the client goes away
        return response

    async def begin(self, request: web.Request) -> web.Response:
        """Let the newest watch bring its events."""
        del request
        begin = await self._begin.get()
        while not self._begin.empty():
            begin = self._begin.get_nowait()
        begin.set()
        return web.Response()


async def serve(objects: int, events: int, tell: Connection) -> None:
    """Serve until the process is ended."""
    server = Server(objects, events)
    application = web.Application()
    application.router.add_get("/api/v1/configmaps", server.read)
    application.router.add_post("/begin", server.begin)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tell.send(runner.addresses[0][1])
    await asyncio.Event().wait()


def _serve(objects: int, events: int, tell: Connection) -> None:
    asyncio.run(serve(objects, events, tell))


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _memory(line: str) -> float:
    text = Path("/proc/self/status").read_text()
    return next(float(each.split()[1]) * 1024 for each in text.splitlines() if each.startswith(f"{line}:"))


def _settled() -> float:
    gc.collect()
    # As Go's debug.FreeOSMemory: what was freed goes back to the system.
    ctypes.CDLL(None).malloc_trim(0)
    return _memory("VmRSS")


def _by_namespace(item: EncodedObject) -> Iterable[str]:
    return (item.key.namespace,)


def _by_app(item: EncodedObject) -> Iterable[str]:
    return (item.metadata.labels.get("app", ""),)


async def _nothing(request: Request) -> None:
    del request


def _queue_up(cache: Cache) -> None:
    """Let a controller hear of every event."""
    controller = Controller("bench", _nothing, clock=LoopClock(), journal=Journal())
    Kind(cache, CONFIG_MAPS, ledger=OwnWrites()).start(controller)


async def follow(url: str, events: int, *, is_queued: bool) -> Figures:
    """Do with our informer what the Go program does with client-go's."""
    rest = RestClient(AiohttpTransport(ClientConfig.for_host(url)))
    await rest.list_page(CONFIG_MAPS, limit=1)  # brings in what is imported late
    cache = Cache(rest, warn_above_bytes=None)
    informer = cache.informer(CONFIG_MAPS)
    informer.add_index("namespace", _by_namespace)
    informer.add_index("app", _by_app)
    seen, everything = 0, asyncio.Event()

    def on_event(event: Event) -> None:
        nonlocal seen
        if event.verb == "update":
            seen += 1
            if seen == events:
                everything.set()

    informer.add_handler(on_event)
    if is_queued:
        _queue_up(cache)
    before = _settled()
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        cpu, start = _cpu(), perf_counter()
        group.create_task(cache.run(stopping))
        await informer.wait_for_sync()
        found = {"list_cpu": _cpu() - cpu, "list_wall": perf_counter() - start, "objects": float(len(informer.store))}
        found["peak_bytes"] = _memory("VmHWM") - before
        found["list_bytes"] = _settled() - before
        async with aiohttp.ClientSession() as session:
            cpu, start = _cpu(), perf_counter()
            async with session.post(f"{url}/begin"):
                await everything.wait()
            found |= {"watch_cpu": _cpu() - cpu, "watch_wall": perf_counter() - start}
        stopping.set()
    await rest.aclose()
    return found


def build_go(directory: Path) -> Path | None:
    """Build the Go program; None where Go is not there."""
    if shutil.which("go") is None:
        return None
    program = directory / "go-informer"
    command = ["go", "build", "-mod=readonly", "-o", str(program), "."]
    built = subprocess.run(command, cwd=GO, capture_output=True, text=True, check=False)
    if built.returncode:
        raise SystemExit(f"the Go benchmark in {GO} cannot be built:\n{built.stderr}")
    return program


def run(command: list[str]) -> Figures:
    """Run one informer in a process of its own."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{ran.stderr}")
    figures: Figures = json.loads(ran.stdout.splitlines()[-1])
    return figures


ROWS = (
    ("list: CPU", "list_cpu", "ms", 1e3, 0.30),
    ("list: wall time", "list_wall", "ms", 1e3, None),
    ("watch: CPU an event", "watch_cpu", "us", 1e6, 0.20),
    ("watch: wall time an event", "watch_wall", "us", 1e6, None),
    ("settled memory an object", "list_bytes", "bytes", 1.0, 0.8),
    ("peak memory an object", "peak_bytes", "bytes", 1.0, None),
)


def show(best: dict[str, Figures], objects: int, events: int) -> None:
    """Print the table; in brackets the ratio to Go's typed informer."""
    print(f"{'':36}" + "".join(f"{who:>20}" for who in best))
    for title, name, unit, scale, aim in ROWS:
        count = events if name.startswith("watch") else objects if name.endswith("bytes") else 1
        typed = best["typed"][name] if "typed" in best else None
        cells = [
            f"{figures[name] * scale / count:>12,.1f}"
            + (f"{f'({figures[name] / typed:.2f})':>8}" if typed else f"{'':8}")
            for figures in best.values()
        ]
        reached = best["queued"][name]
        aimed = f"  aim {aim:.2f}, {'met' if reached <= aim * typed else 'missed'}" if aim and typed else ""
        print(f"{f'{title} ({unit})':36}" + "".join(cells) + aimed)


def measure(url: str, events: int, rounds: int) -> dict[str, Figures]:
    """Let each have its rounds, in turns, and return the best of each figure."""
    best: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as directory:
        go = build_go(Path(directory))
        ours = [sys.executable, "-m", "benchmarks.informer", "--follow", url, "--events", str(events)]
        commands = {"ours": ours, "queued": [*ours, "--queued"]}
        for form in ("typed", "dynamic") if go else ():
            commands[form] = [str(go), "-url", url, "-form", form, "-events", str(events)]
        for _ in range(rounds):
            for who, command in commands.items():
                figures = run(command)
                known = best.setdefault(who, figures)
                best[who] = {name: min(known[name], figure) for name, figure in figures.items()}
    return best


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.informer", description=(__doc__ or "").strip())
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3, help="the best counts (default: 3)")
    parser.add_argument("--follow", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--queued", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.follow:
        print(json.dumps(asyncio.run(follow(options.follow, options.events, is_queued=options.queued))))
        return 0
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors")
    print(
        f"{options.objects:,} objects of {OBJECT_BYTES} bytes, {options.events:,} events; in brackets: to Go's typed\n"
    )
    context = multiprocessing.get_context("spawn")
    hear, tell = context.Pipe(duplex=False)
    server = context.Process(target=_serve, args=(options.objects, options.events, tell), daemon=True)
    server.start()
    try:
        best = measure(f"http://127.0.0.1:{hear.recv()}", options.events, options.rounds)
    finally:
        server.terminate()
        server.join()
    for who, figures in best.items():
        if figures["objects"] != options.objects:
            raise SystemExit(f"{who} holds {figures['objects']:.0f} objects, not {options.objects}")
    show(best, options.objects, options.events)
    return 0


if __name__ == "__main__":
    sys.exit(main())
