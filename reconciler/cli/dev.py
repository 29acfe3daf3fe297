"""`reconciler dev`: the embedded API server alone, for kubectl and for controllers under development."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from reconciler.api import CUSTOM_RESOURCE_DEFINITION
from reconciler.apiserver import ApiServer, ServerRequest
from reconciler.apiserver.http import Address, serve
from reconciler.apiserver.kubeconfig import write_kubeconfig
from reconciler.clock import SystemWallClock

__all__ = ["configure", "run"]

_NOTIFICATION_CRD = Path(__file__).parent.parent / "controllers" / "notification" / "crd.yaml"

_DESCRIPTION = """\
Start a Kubernetes API server on this machine, in memory, with nothing to install.

It keeps CustomResourceDefinitions and their objects, Namespaces and Events, and speaks
HTTPS on 127.0.0.1 alone. The kubeconfig it writes (readable by you alone) carries its
certificate and token. Everything is forgotten when it ends; Ctrl-C ends it.
"""

_EXAMPLE = """\
example, with two terminals:

  $ reconciler dev --kubeconfig dev.kubeconfig --crd my-crd.yaml

  $ export KUBECONFIG=dev.kubeconfig
  $ kubectl api-resources
  $ kubectl apply -f my-object.yaml
  $ kubectl get mykinds -w
"""


class _CannotStartError(Exception):
    """What the user asked for cannot be done; the message says why."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to its parser."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLE
    parser.add_argument("--kubeconfig", required=True, metavar="FILE", help="where to write the kubeconfig (mode 0600)")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="port to listen on (default: a free one)")
    parser.add_argument(
        "--crd", action="append", default=[], type=Path, metavar="FILE",
        help="YAML file of CustomResourceDefinitions to install at the start; may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--with-notification-crd", action="store_true", help="install the NotificationRequest definition as well"
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"must be between 0 and 65535, is {port}")
    return port


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Returns 0, or 2 where the server cannot be started as asked."""
    files = [*arguments.crd, *([_NOTIFICATION_CRD] if arguments.with_notification_crd else [])]
    try:
        definitions = [definition for file in files for definition in _read_definitions(file)]
        asyncio.run(_serve(Path(arguments.kubeconfig), arguments.port, definitions))
    except _CannotStartError as error:
        print(f"reconciler dev: {error}", file=sys.stderr)
        return 2
    return 0


def _read_definitions(file: Path) -> list[tuple[Path, dict[str, Any]]]:
    try:
        documents: list[Any] = [document for document in yaml.safe_load_all(file.read_bytes()) if document is not None]
    except OSError as error:
        raise _CannotStartError(f"cannot read {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise _CannotStartError(f"{file} is not YAML: {error}") from error
    for document in documents:
        kind = cast("dict[str, Any]", document).get("kind") if isinstance(document, dict) else None
        if kind != "CustomResourceDefinition":
            raise _CannotStartError(f"{file} holds a {kind or 'document without kind'}, not a CustomResourceDefinition")
    return [(file, document) for document in documents]


async def _serve(kubeconfig: Path, port: int, definitions: Sequence[tuple[Path, dict[str, Any]]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = ApiServer(wall=SystemWallClock(), seed=_fresh_seed())
    names = [await _install(server, file, definition) for file, definition in definitions]
    try:
        async with serve(server, port=port) as address:
            written = await _write(kubeconfig, address)
            print(_welcome(address, written, names), flush=True)
            await stop.wait()
            print("Stopping.", flush=True)
    except OSError as error:
        raise _CannotStartError(f"cannot listen on port {port}: {error.strerror or error}") from error


def _fresh_seed() -> int:
    # Uids must differ between runs, or a controller would take the objects of two runs for the same ones.
    return secrets.randbits(64)


async def _install(server: ApiServer, file: Path, definition: dict[str, Any]) -> str:
    body = json.dumps(definition).encode()
    path, headers = CUSTOM_RESOURCE_DEFINITION.path(), {"Content-Type": "application/json"}
    response = await server.handle(ServerRequest("POST", path, headers=headers, body=body))
    assert isinstance(response.body, bytes)
    answer: dict[str, Any] = json.loads(response.body)
    if response.status != 201:
        raise _CannotStartError(f"{file}: {answer['message']}")
    name: str = answer["metadata"]["name"]
    return name


async def _write(kubeconfig: Path, address: Address) -> Path:
    try:
        return await asyncio.to_thread(write_kubeconfig, kubeconfig, address)
    except FileExistsError as error:
        raise _CannotStartError(str(error)) from error
    except OSError as error:
        raise _CannotStartError(f"cannot write {kubeconfig}: {error.strerror}") from error


def _welcome(address: Address, kubeconfig: Path, names: Sequence[str]) -> str:
    resource = names[0].partition(".")[0] if names else "namespaces"
    installed = [f"Installed: {', '.join(names)}"] if names else []
    return "\n".join(
        [
            f"The API server listens on {address.url}. It is in memory: everything is forgotten when it ends.",
            f"Kubeconfig: {kubeconfig}",
            *installed,
            "",
            "Try in another terminal:",
            f"  export KUBECONFIG={shlex.quote(str(kubeconfig))}",
            "  kubectl api-resources",
            f"  kubectl get {resource} -w",
            "  kubectl apply -f FILE.yaml",
            "",
            "Ctrl-C ends it.",
        ]
    )
