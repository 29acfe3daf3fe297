"""
Conformance: replays programs that were recorded from the Go libraries on the queues and the controller of this library.

It reads trace files (JSON Lines, see docs/conformance.md), drives what users run, and compares every outcome. It
records no traces, and it takes no outcome for granted: a field that it does not know is an error.
"""

from reconciler.testing.conformance.difference import Difference, report
from reconciler.testing.conformance.parts import Parts
from reconciler.testing.conformance.programs import Program, TraceFile, read_traces
from reconciler.testing.conformance.replay import replay

__all__ = ["Difference", "Parts", "Program", "TraceFile", "read_traces", "replay", "report"]
