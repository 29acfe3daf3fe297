"""
What tests of controllers stand on: a loop with virtual time, and the embedded API server without sockets.

No production room may import this one. It has no fake objects: what runs in it is the real queue, cache, manager
and server.
"""

from reconciler.testing.transport import InProcessTransport
from reconciler.testing.virtual import IdleLoopError, VirtualLoop, run_virtual

__all__ = ["IdleLoopError", "InProcessTransport", "VirtualLoop", "run_virtual"]
