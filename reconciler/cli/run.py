"""`reconciler run`: a controller that comes with the library, against any API server."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.cli.logs import configure_logging
from reconciler.client import AiohttpTransport, ClientConfig, load_config
from reconciler.controllers.notification import (
    NotificationConfig,
    Routing,
    build_channels,
    check_directories,
    load_notification_config,
    load_routing,
    setup,
)
from reconciler.errors import ConfigurationError
from reconciler.journal import JournalWriter
from reconciler.manager import Manager

__all__ = ["configure", "namespace_of", "run", "run_until_signal"]

_log = logging.getLogger("reconciler.run")

DEFAULT_CONFIG = Path("/etc/notification/config.yaml")
DEFAULT_ROUTING = Path("/etc/notification-routing/routing.yaml")
SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_DESCRIPTION = """\
Runs the NotificationRequest controller until SIGTERM or Ctrl-C. It waits for an API server that is away, and for the
CustomResourceDefinition if it is not there yet.

Without --kubeconfig: the pod's service account, else $KUBECONFIG, else ~/.kube/config.
Exit codes: 0 stopped by a signal; 1 crashed; 2 a file or an option is wrong (said with file, line and key).
"""

_EXAMPLE = """\
example, with two terminals:

  $ reconciler dev --kubeconfig dev.kubeconfig --with-notification-crd

  $ reconciler run notification --kubeconfig dev.kubeconfig \\
      --config examples/notification-config.yaml --routing examples/notification-routing.yaml
  $ kubectl --kubeconfig dev.kubeconfig apply -f examples/notifications/
  $ kubectl --kubeconfig dev.kubeconfig get notif -w
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to its parser."""
    parser.description = _DESCRIPTION
    parser.epilog = _EXAMPLE
    parser.add_argument("controller", choices=["notification"], help="which controller")
    parser.add_argument("--kubeconfig", metavar="FILE", help="how to reach the API server")
    parser.add_argument("--context", metavar="NAME", help="a context of the kubeconfig other than its current one")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"the controller's configuration (default: {DEFAULT_CONFIG} if it is there, else built-in defaults)",
    )
    parser.add_argument(
        "--routing",
        metavar="FILE",
        type=Path,
        help=f"which notification goes where (default: $ROUTING_CONFIG_PATH, else {DEFAULT_ROUTING})",
    )
    parser.add_argument(
        "--namespace",
        metavar="NAME",
        help="the namespace to watch (default: $KUBERNAUT_CONTROLLER_NAMESPACE, else the pod's, else the "
        "kubeconfig context's, else default)",
    )
    parser.add_argument(
        "--journal",
        metavar="FILE",
        type=Path,
        help="write down why everything happens, for `reconciler explain`; at 100 MiB, and at the next start, the file "
        "becomes FILE.1 (default: kept in memory alone)",
    )


def run(args: argparse.Namespace) -> int:
    """
    Run until a signal, and return the exit code.

    Raises:
        ConfigurationError: A file or an option is wrong; nothing was started.
    """
    config_file: Path | None = args.config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    config = load_notification_config(config_file) if config_file else NotificationConfig()
    routing = load_routing(args.routing or os.environ.get("ROUTING_CONFIG_PATH") or DEFAULT_ROUTING)
    configure_logging(config.logging_level, config.logging_format)
    for warning in (*config.warnings, *routing.warnings):
        _log.warning("%s", warning)
    if config_file is None:
        _log.info("no --config, and no %s: built-in defaults", DEFAULT_CONFIG)
    asyncio.run(_run(args, config, routing))
    return 0


def namespace_of(asked: str | None, client: ClientConfig) -> str:
    """Return the namespace to watch: the one asked for, the environment's, the pod's, the context's, or `default`."""
    with suppress(OSError):
        return asked or os.environ.get("KUBERNAUT_CONTROLLER_NAMESPACE") or _pod_namespace()
    return client.namespace or "default"


async def run_until_signal(manager: Manager) -> None:
    """Run `manager` until SIGTERM or SIGINT; a second one ends the process at once."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        _log.info("%s: stopping; passes in work finish first", number.name)
        loop.remove_signal_handler(number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    await manager.run(stopping)


async def _run(args: argparse.Namespace, config: NotificationConfig, routing: Routing) -> None:
    client = await load_config(args.kubeconfig, context=args.context)
    channels = build_channels(config, routing)
    for problem in await asyncio.to_thread(check_directories, config, routing):
        _log.warning("%s; deliveries to it fail until it is repaired", problem)
    namespace = namespace_of(args.namespace, client)
    manager = Manager(AiohttpTransport(client), namespace=namespace, health_address=config.health_probe_addr)
    setup(manager, router=routing, channels=channels)
    _log.info("NotificationRequests of namespace %s at %s", namespace, client.host)
    with _journal_file(args.journal, manager):
        await run_until_signal(manager)


@contextmanager
def _journal_file(file: Path | None, manager: Manager) -> Generator[None]:
    """Write the manager's journal into `file`, until the end of the block."""
    if file is None:
        yield
        return
    call_soon = asyncio.get_running_loop().call_soon
    writer = JournalWriter(file, clock=manager.clock, wall=manager.wall, call_soon=call_soon)
    end = manager.journal.subscribe(writer)
    _log.info("journal in %s", file)
    try:
        yield
    finally:
        end()
        writer.close()


def _pod_namespace() -> str:
    namespace = SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    if not namespace:
        raise ConfigurationError(f"{SERVICE_ACCOUNT_NAMESPACE} is empty; name the namespace with --namespace")
    return namespace
