"""Replays a program on everything that it is about."""

from __future__ import annotations

from reconciler.testing.conformance.controllers import on_controller
from reconciler.testing.conformance.cores import on_core
from reconciler.testing.conformance.difference import Difference
from reconciler.testing.conformance.limiters import on_limiter
from reconciler.testing.conformance.parts import Parts
from reconciler.testing.conformance.programs import LimiterTable, Program, QueueProgram, Scenario, Startup
from reconciler.testing.conformance.shells import on_shell
from reconciler.testing.conformance.startups import on_startup

__all__ = ["replay"]

_ALL = Parts()


def replay(program: Program, parts: Parts = _ALL) -> Difference | None:
    """
    Do what `program` says, and return where it first came out otherwise than recorded; None: it came out the same.

    A queue program is driven twice: on the bare core, and on the queue in virtual time. It cannot be called from a
    running loop.

    Args:
        program: From `read_traces`.
        parts: What is driven; the default is what users run.
    """
    match program:
        case QueueProgram():
            return on_core(program, parts) or on_shell(program, parts)
        case Scenario():
            return on_controller(program, parts)
        case LimiterTable():
            return on_limiter(program, parts)
        case Startup():
            return on_startup(program, parts)
