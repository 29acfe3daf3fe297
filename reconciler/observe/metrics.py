"""
What a running process exports as OpenTelemetry metrics. So far: what its cache holds.

Only the API of OpenTelemetry is used here; where the figures go, the program's meter provider says.
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from reconciler.api import ResourceType
from reconciler.cache import Cache

__all__ = ["export_cache"]


def export_cache(cache: Cache, meter: Meter) -> None:
    """
    Export how much each kind holds, read from the cache whenever the figures are collected, in whatever thread.

    The gauges are `reconciler_cache_objects` (objects) and `reconciler_cache_bytes` (bytes of their JSON), each with
    the attributes `group`, `version` and `kind`. A kind that was released is no longer reported.
    """

    def objects(options: CallbackOptions) -> Iterable[Observation]:
        del options
        return [Observation(count, _attributes(kind)) for kind, count, _ in cache.sizes()]

    def held(options: CallbackOptions) -> Iterable[Observation]:
        del options
        return [Observation(count, _attributes(kind)) for kind, _, count in cache.sizes()]

    meter.create_observable_gauge(
        "reconciler_cache_objects", [objects], unit="{object}", description="Objects that the cache holds."
    )
    meter.create_observable_gauge(
        "reconciler_cache_bytes", [held], unit="By", description="Bytes of JSON that the cache holds."
    )


def _attributes(kind: ResourceType) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}
