from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from reconciler.api import ObjectMeta
from reconciler.apiserver import ApiServer
from reconciler.clock import LoopWallClock
from reconciler.kinds import CustomResourceDefinition, Namespace
from reconciler.manager import Manager
from reconciler.testing import InProcessTransport, run_virtual

NAMESPACE = ("", "v1", "Namespace")


def collected(reader: InMemoryMetricReader) -> dict[str, dict[tuple[object, ...], int | float]]:
    """Return the points of each metric by group, version and kind."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: {
            tuple((point.attributes or {}).get(each) for each in ("group", "version", "kind")): point.value
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        }
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_objects_and_bytes_of_each_kind_are_exported_until_it_is_released() -> None:
    async def main() -> None:
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], shutdown_on_exit=False)
        manager = Manager(InProcessTransport(ApiServer(wall=LoopWallClock())), meter=provider.get_meter("test"))
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run(stopping))
            await asyncio.sleep(1)
            # Given two kinds that somebody reads,
            before = await manager.cached_reader.list(Namespace)
            await manager.cached_reader.list(CustomResourceDefinition)
            # (collected in another thread, as exporters do)
            with ThreadPoolExecutor(1) as thread:
                first = thread.submit(collected, reader).result()
            assert first["reconciler_cache_objects"][NAMESPACE] == len(before)
            assert first["reconciler_cache_objects"][("apiextensions.k8s.io", "v1", "CustomResourceDefinition")] == 0
            # when an object is made,
            await manager.client.create(Namespace(metadata=ObjectMeta(name="one-more")))
            await asyncio.sleep(1)
            # then the next figures show it,
            second = collected(reader)
            assert second["reconciler_cache_objects"][NAMESPACE] == len(before) + 1
            held = manager.cache.informer(Namespace).store.bytes_held
            assert second["reconciler_cache_bytes"][NAMESPACE] == held > first["reconciler_cache_bytes"][NAMESPACE] > 0
            # and a kind that was released is reported no longer.
            manager.cache.release(CustomResourceDefinition)
            assert set(collected(reader)["reconciler_cache_objects"]) == {NAMESPACE}
            stopping.set()
        provider.shutdown()

    run_virtual(main())
