"""
The control loop: workers that take keys from a queue, call the reconciler, and do with the key what its ending asks.

It does not know where events come from (`source`), nor what a reconciler reads or writes (`client`, `cache`).
"""

from reconciler.control_loop.context import ContextError, PassContext, current_context
from reconciler.control_loop.controller import Controller
from reconciler.control_loop.counts import Counts
from reconciler.control_loop.hold import (
    HoldMode,
    Loudness,
    OwedTime,
    Settlement,
    can_wait,
    loudness_of,
    settle,
)
from reconciler.control_loop.outcome import EFFECTS, Again, Effect, Ending, ending_of
from reconciler.control_loop.told import asked_record, promoted_record

__all__ = [
    "EFFECTS",
    "Again",
    "ContextError",
    "Controller",
    "Counts",
    "Effect",
    "Ending",
    "HoldMode",
    "Loudness",
    "OwedTime",
    "PassContext",
    "Settlement",
    "asked_record",
    "can_wait",
    "current_context",
    "ending_of",
    "loudness_of",
    "promoted_record",
    "settle",
]
