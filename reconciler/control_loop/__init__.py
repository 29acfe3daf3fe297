"""
The control loop: workers that take keys from a queue, call the reconciler, and do with the key what its ending asks.

It does not know where events come from (`source`), nor what a reconciler reads or writes (`client`, `cache`).
"""

from reconciler.control_loop.controller import Controller
from reconciler.control_loop.outcome import EFFECTS, Again, Effect, Ending, ending_of

__all__ = ["EFFECTS", "Again", "Controller", "Effect", "Ending", "ending_of"]
