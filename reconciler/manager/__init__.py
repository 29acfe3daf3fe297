"""
One process: client, cache, controllers, health and recorder, started in order and stopped in reverse.

Leader election and metrics are not here yet.
"""

from reconciler.manager.manager import Manager
from reconciler.manager.runnables import Group, Runnable, Runnables

__all__ = ["Group", "Manager", "Runnable", "Runnables"]
