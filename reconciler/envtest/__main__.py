"""The command `python -m reconciler.envtest`: build the programs, or run a server until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from reconciler.envtest.binaries import COMPONENTS, KUBERNETES_VERSION, build, cache_dir_default
from reconciler.envtest.processes import EnvtestError
from reconciler.envtest.server import RealServer, running
from reconciler.errors import ConfigurationError

_DESCRIPTION = f"""\
A real kube-apiserver {KUBERNETES_VERSION} and its etcd, on this machine, for tests and for trying things out.

  python -m reconciler.envtest build    builds both once (about 4 minutes on two cores; needs Go)
  python -m reconciler.envtest start    runs a fresh server until Ctrl-C (ready after about 2.5 s)
"""

_EPILOG = """\
example:
  python -m reconciler.envtest start > kubeconfig-path &
  export KUBECONFIG=$(head -1 kubeconfig-path)     # written when the server is ready
  kubectl create namespace demo
  kill %1                                          # the server and its data are gone

environment:
  RECONCILER_ENVTEST_DIR  the cache directory (default $XDG_CACHE_HOME/reconciler-envtest,
                          else ~/.cache/reconciler-envtest)

exit codes: 0 done, 1 the build or a server failed, 2 wrong usage or Go is missing, 130 interrupted before it was ready
"""

_START = """\
Run a fresh kube-apiserver and etcd until Ctrl-C (or SIGTERM). The first line on standard output is the path of a
kubeconfig whose user may do everything; all else goes to standard error. Data and kubeconfig vanish at the end.
"""


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m reconciler.envtest", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="{build,start}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--cache-dir", type=Path, default=cache_dir_default(), help="where the programs are kept (%(default)s)"
    )
    verbs.add_parser("build", parents=[common], help="build what is missing", description="Build what is missing.")
    start = verbs.add_parser(
        "start", parents=[common], help="run a server until Ctrl-C", description=_START, formatter_class=raw
    )
    start.add_argument("--log-dir", type=Path, help="keep the logs of both servers there")
    start.add_argument(
        "--apiserver-arg",
        action="append",
        default=[],
        metavar="=--FLAG",
        help="a further flag of kube-apiserver, as --apiserver-arg=--v=4; may be repeated",
    )
    return parser


def _build(arguments: argparse.Namespace) -> None:
    binaries = build(cache_dir=arguments.cache_dir, components=COMPONENTS)
    sys.stdout.write(f"{binaries.etcd}\n{binaries.kube_apiserver}\n")


def _start(arguments: argparse.Namespace) -> None:
    binaries = build(cache_dir=arguments.cache_dir)
    with running(binaries=binaries, log_dir=arguments.log_dir, apiserver_args=arguments.apiserver_arg) as server:
        _serve_until_signal(server)


def _serve_until_signal(server: RealServer) -> None:
    # Both explicitly: a shell starts its background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.stdout.write(f"{server.kubeconfig}\n")
    sys.stdout.flush()
    sys.stderr.write(
        f"kube-apiserver {server.version} is ready at {server.url}; its log: {server.logs['kube-apiserver']}\n"
        f"In another shell: export KUBECONFIG={server.kubeconfig}\n"
        "Ctrl-C ends it and removes its data.\n"
    )
    pause = threading.Event()
    with suppress(KeyboardInterrupt):
        while not pause.wait(1.0):
            server.raise_if_ended()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        {"build": _build, "start": _start}[arguments.verb](arguments)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except EnvtestError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
