"""
What a running process shows of itself. So far: health endpoints, and metrics of the cache.

It reads what other rooms tell it and decides nothing.
"""

from reconciler.observe.health import Check, HealthServer, parse_address
from reconciler.observe.metrics import export_cache

__all__ = ["Check", "HealthServer", "export_cache", "parse_address"]
