"""
The command `reconciler`: one file for a sub-command, loaded only when it is asked for.

Sub-commands print and return an exit code: 0 for success, 1 for a failure, 2 for a request or a file that makes no
sense, 130 after Ctrl-C, 141 where nobody read the output to its end. What they do lives in the rooms below; there is no
logic of its own here.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from reconciler.errors import ConfigurationError

__all__ = ["main"]

# Name -> the module that has `configure(parser)` and `run(arguments) -> exit code`, and what it does.
_COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "conformance": ("reconciler.cli.conformance", "replay traces of Go's queues and controller, and tell what differs"),
    "demo": ("reconciler.cli.demo", "show retries on the embedded API server, live, in half a minute"),
    "dev": ("reconciler.cli.dev", "start the embedded API server alone, for kubectl and controllers"),
    "explain": ("reconciler.cli.explain", "say why an object was or was not reconciled, from a journal file"),
    "run": ("reconciler.cli.run", "run a controller against an API server"),
})  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (None: the process's arguments), and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="reconciler", description="Kubernetes controllers in Python: a development server, and controllers to run."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((word for word in words if not word.startswith("-")), None)
    for name, (module_name, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == asked:
            module = importlib.import_module(module_name)
            module.configure(command)
            command.set_defaults(run=module.run)
    try:
        arguments = parser.parse_args(words)
    except SystemExit as end:
        # argparse has said what is wrong, or printed the help.
        return end.code if isinstance(end.code, int) else 2
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough, such as `| head`; what is left to flush at the exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ConfigurationError as error:
        print(f"reconciler {arguments.command}: {error}", file=sys.stderr)
        return 2
    return code
