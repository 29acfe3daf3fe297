"""
One status write for what a pass learned: read fresh, apply, write with a precondition, and again on conflict.

It does not know phases, attempts or conditions of any kind: what changes is the caller's function.
"""

from reconciler.status.manager import StatusManager, StatusWrite

__all__ = ["StatusManager", "StatusWrite"]
