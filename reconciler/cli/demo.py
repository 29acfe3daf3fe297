"""
`reconciler demo`: the embedded API server, the controller and four notifications in one process, shown live.

Everything is the ordinary thing: the server on a loopback socket, the manager, the client with its token. Only the
directories are broken on purpose: a file stands where the directory should be, which stops root as well.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import anyio
import yaml
from rich.console import Console
from rich.text import Text

from reconciler.api import CUSTOM_RESOURCE_DEFINITION
from reconciler.apiserver import ApiServer
from reconciler.apiserver.http import Address, serve
from reconciler.cli.demo_check import EXPECTED, Expected, problems
from reconciler.cli.demo_show import Show
from reconciler.cli.demo_timeline import timeline
from reconciler.client import AiohttpTransport, ClientConfig
from reconciler.clock import LoopClock, SystemWallClock
from reconciler.control_loop import Controller
from reconciler.controllers.notification import (
    TABLE,
    ConsoleRecord,
    NotificationConfig,
    NotificationRequest,
    Phase,
    build_channels,
    custom_resource_definition,
    load_routing,
    setup,
)
from reconciler.errors import ConfigurationError
from reconciler.journal import render
from reconciler.manager import Manager
from reconciler.reconcile import Request

__all__ = ["configure", "run"]

_NAMESPACE = "default"
_PLACEHOLDER = "/tmp/notifications"  # the directory that the example routing file names
_REPAIR_AFTER_SECONDS = 2.5
_LONGEST_SECONDS = 36.0
_EXPLAINED = "only-channel-fails"

_DESCRIPTION = """\
Start the embedded API server on loopback, run the NotificationRequest controller against it, create the example
notifications, and show what becomes of each: one is delivered at once, one is retried until its directory is
repaired, one gives up on its broken directory, one fails altogether. Takes about 20 seconds.

Exit codes: 0 everything came out as it must, attempts and their spacing included; 1 something did not; 2 the
examples cannot be read.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to its parser."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "--examples", type=Path, default=Path("examples"), metavar="DIR", help="where the examples are (./examples)"
    )
    parser.add_argument("--journal", action="store_true", help="print the whole journal of the one that fails")


def run(arguments: argparse.Namespace) -> int:
    """
    Run the demonstration, and return the exit code.

    Raises:
        ConfigurationError: The examples are not there or not readable.
    """
    examples = _read_examples(arguments.examples)
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    with tempfile.TemporaryDirectory(prefix="reconciler-demo-") as directory:
        return asyncio.run(_demonstrate(arguments.examples, examples, Path(directory), is_full=arguments.journal))


@dataclass(slots=True)
class _Stage:
    """What the demonstration works with, and what it has seen."""

    manager: Manager
    controller: Controller
    show: Show
    directory: Path
    phases: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    objects: dict[str, NotificationRequest] = field(default_factory=dict[str, NotificationRequest])
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def saw(self, obj: NotificationRequest) -> None:
        self.objects[obj.metadata.name] = obj
        seen = self.phases.setdefault(obj.metadata.name, [])
        if obj.status.phase and obj.status.phase not in seen[-1:]:
            seen.append(obj.status.phase)
        self.show.update(obj)
        self.changed.set()

    def is_over(self, names: Sequence[str]) -> bool:
        return all(name in self.objects and TABLE.is_terminal(Phase(self.objects[name].status.phase)) for name in names)


def _read_examples(directory: Path) -> list[NotificationRequest]:
    files = sorted((directory / "notifications").glob("*.yaml"))
    if not files:
        raise ConfigurationError(f"{directory}/notifications: no *.yaml there; name the examples with --examples DIR")
    try:
        examples = [NotificationRequest.model_validate(yaml.safe_load(file.read_text())) for file in files]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{directory}/notifications: {error}") from error
    missing = set(EXPECTED) ^ {example.metadata.name for example in examples}
    if missing:
        raise ConfigurationError(f"{directory}/notifications: expected exactly {', '.join(EXPECTED)}")
    for example in examples:
        example.metadata.namespace = _NAMESPACE
    return examples


async def _demonstrate(
    examples_dir: Path, examples: Sequence[NotificationRequest], directory: Path, *, is_full: bool
) -> int:
    clock, wall, console = LoopClock(), SystemWallClock(), Console()
    started = clock.now()
    server = ApiServer(wall=wall)
    _break_directories(directory)
    async with serve(server) as address:
        with Show(console, elapsed=lambda: (clock.now() - started) / 1e9, now=wall.now) as show:
            show.say(f"embedded API server on {address.url}; deliveries go to {directory}")
            stage = await _set_up(address, examples_dir, directory, show)
            await _play(stage, examples)
        return _report(console, stage, started, is_full=is_full)


async def _set_up(address: Address, examples_dir: Path, directory: Path, show: Show) -> _Stage:
    ca_file = directory / "ca.crt"
    routing_file = directory / "routing.yaml"
    example = (examples_dir / "notification-routing.yaml").read_text()
    ca_file.write_bytes(address.ca_pem)
    routing_file.write_text(example.replace(_PLACEHOLDER, str(directory / "deliveries")))
    routing, config = load_routing(routing_file), NotificationConfig()

    def print_delivery(record: ConsoleRecord) -> None:
        show.say(f"console of {record.name}: {record.text.splitlines()[0]}")

    client = ClientConfig.for_host(address.url, token=address.token, ca_file=ca_file, namespace=_NAMESPACE)
    manager = Manager(AiohttpTransport(client), namespace=_NAMESPACE, grace=timedelta(seconds=5))
    controller = setup(manager, router=routing, channels=build_channels(config, routing, console=print_delivery))
    await manager.client.create(custom_resource_definition(), resource=CUSTOM_RESOURCE_DEFINITION)
    return _Stage(manager, controller, show, directory)


async def _play(stage: _Stage, examples: Sequence[NotificationRequest]) -> None:
    stopping = asyncio.Event()
    names = [example.metadata.name for example in examples]
    async with anyio.create_task_group() as group:
        group.start_soon(stage.manager.run, stopping)
        with anyio.move_on_after(_LONGEST_SECONDS):
            for example in examples:
                stage.saw(await stage.manager.client.create(example))
            async with anyio.create_task_group() as acting:
                acting.start_soon(_watch, stage)
                acting.start_soon(_repair, stage)
                acting.start_soon(_redraw, stage)
                while not stage.is_over(names):
                    await stage.changed.wait()
                    stage.changed.clear()
                acting.cancel_scope.cancel()
        stopping.set()


async def _watch(stage: _Stage) -> None:
    async with stage.manager.client.watch(NotificationRequest, namespace=_NAMESPACE) as events:
        async for event in events:
            stage.saw(event.object)


async def _redraw(stage: _Stage) -> None:
    while True:
        stage.show.redraw()
        await asyncio.sleep(0.2)


async def _repair(stage: _Stage) -> None:
    """Repair one directory, some time after the first attempt has failed."""
    await asyncio.sleep(_REPAIR_AFTER_SECONDS)
    await asyncio.to_thread((stage.directory / "deliveries" / "repaired").unlink)
    stage.show.say("the directory of repaired-directory is repaired now")


def _break_directories(directory: Path) -> None:
    deliveries = directory / "deliveries"
    deliveries.mkdir()
    for name in ("repaired", "broken"):
        (deliveries / name).write_text("a file where a directory should be\n")


def _report(console: Console, stage: _Stage, started: int, *, is_full: bool) -> int:
    wrong: list[str] = []
    console.print("\nSummary")
    for name, expected in EXPECTED.items():
        found = list(_problems(stage, name, expected))
        wrong += [f"{name}: {problem}" for problem in found]
        mark = Text("NOT as expected", style="bold red") if found else Text("as expected", style="green")
        phases = " > ".join(stage.phases.get(name, []))
        console.print(Text(f"  {name:<18}  {phases:<44}  ").append(mark), soft_wrap=True)
        console.print(Text(f"  {'':<18}  {expected.story}", style="dim"), soft_wrap=True)
    console.print(f"\nWhy each attempt of {_EXPLAINED} happened when it did")
    for line in _why(stage.controller, started, is_full=is_full):
        console.print(Text(line), soft_wrap=True)
    for problem in wrong:
        console.print(Text(f"wrong: {problem}", style="bold red"), soft_wrap=True)
    return 1 if wrong else 0


def _problems(stage: _Stage, name: str, expected: Expected) -> Iterator[str]:
    obj = stage.objects.get(name)
    if obj is None:
        yield "was never created"
        return
    files = len(list((stage.directory / "deliveries").glob(f"*/notification-{name}-{obj.metadata.uid}-*")))
    yield from problems(obj, expected, phases_seen=stage.phases.get(name, []), files=files)


def _why(controller: Controller, started: int, *, is_full: bool) -> Iterator[str]:
    explanation = controller.explain(Request(_NAMESPACE, _EXPLAINED))
    if is_full:
        yield from render(explanation, start=started)
    else:
        yield from timeline(explanation.records, start=started)
        yield "  (all that the journal holds of it: --journal)"
