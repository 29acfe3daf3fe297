"""
What tests of controllers stand on: virtual time, schedules that a seed chooses, and the embedded API server.

No production room may import this one. It has no sockets and no fake objects: what runs in it is the real queue,
cache, manager and server. The transport is loaded when it is first used, so that tests of a queue or a phase table need
no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.testing.schedules import SEED_VARIABLE, run_schedules
from reconciler.testing.virtual import IdleLoopError, VirtualLoop, run_virtual

if TYPE_CHECKING:
    from reconciler.testing.transport import InProcessTransport

__all__ = ["SEED_VARIABLE", "IdleLoopError", "InProcessTransport", "VirtualLoop", "run_schedules", "run_virtual"]


# A type checker that saw this function would take every misspelt name for an object.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name != "InProcessTransport":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from reconciler.testing.transport import InProcessTransport

        return InProcessTransport
