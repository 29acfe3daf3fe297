"""
What a running process exports as OpenTelemetry metrics. So far: what its cache holds.

Only the API of OpenTelemetry is used here; where the figures go, the program's meter provider says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from reconciler.cache import Cache, InformerStatus

__all__ = ["export_cache"]


def export_cache(cache: Cache, meter: Meter) -> None:
    """
    Export how much each kind holds, read from the cache whenever the figures are collected.

    The gauges are `reconciler_cache_objects` (objects) and `reconciler_cache_bytes` (bytes of their JSON), each with the attributes `group`, `version` and `kind`. A kind that was released is no longer reported.
    Collect in the loop's thread, or take figures that are a moment old.
    """

    def gauge(name: str, unit: str, description: str, figure: Callable[[InformerStatus], int]) -> None:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            del options
            return [Observation(figure(each), _attributes(each)) for each in cache.statuses()]

        meter.create_observable_gauge(name, [observe], unit=unit, description=description)

    gauge("reconciler_cache_objects", "{object}", "Objects that the cache holds.", lambda each: each.objects)
    gauge("reconciler_cache_bytes", "By", "Bytes of JSON that the cache holds.", lambda each: each.bytes_held)


def _attributes(status: InformerStatus) -> dict[str, str]:
    kind = status.resource
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}
