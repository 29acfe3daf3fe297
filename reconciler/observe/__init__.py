"""
What a running process shows of itself. So far: health endpoints.

It reads what other rooms tell it and decides nothing.
"""

from reconciler.observe.health import Check, HealthServer, parse_address

__all__ = ["Check", "HealthServer", "parse_address"]
