"""The status manager's promises, on the embedded API server in virtual time, and on a real kube-apiserver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest
from pydantic import Field

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ApiModel, KubeObject, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.client import (
    AiohttpTransport,
    Client,
    HttpRequest,
    HttpResponse,
    HttpStream,
    RestClient,
    Transport,
    load_config,
)
from reconciler.clock import LoopWallClock
from reconciler.envtest import RealServer
from reconciler.errors import ConflictError, InvalidError, NotFoundError
from reconciler.status import StatusManager
from reconciler.testing import InProcessTransport, run_virtual
from tests.definitions import definition

# A group of its own: the real server is shared with other tests.
GAUGES = ResourceType("status.reconciler.test", "v1", "Gauge", "gauges")
STATUS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "value": {"type": "integer", "maximum": 100},
        "seen": {"type": "array", "items": {"type": "integer"}},
    },
}
CRD = definition(GAUGES, spec={"unit": {"type": "string"}}, status=STATUS["properties"])


class Spec(ApiModel):
    unit: str = ""


class Status(ApiModel):
    value: int = 0
    seen: list[int] = Field(default_factory=list)
    unknown: str | None = None


class Gauge(KubeObject):
    resource: ClassVar[ResourceType] = GAUGES

    spec: Spec = Spec()
    status: Status = Status()


class Interrupted:
    """A transport on which others write first, so many times."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.others = Client(RestClient(inner))
        self.interruptions = 0
        self.writes = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        if request.path.endswith("/status"):
            self.writes += 1
            if self.interruptions:
                self.interruptions -= 1
                *_, namespace, _, name, _ = request.path.split("/")
                patch = {"status": {"seen": [self.interruptions]}}
                await self.others.status.patch(Gauge, ObjectKey(namespace, name), patch)
        return await self.inner.send(request)

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        return self.inner.stream(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


class Story:
    def __init__(self, transport: Transport, namespace: str) -> None:
        self.transport = Interrupted(transport)
        self.client = Client(RestClient(self.transport))
        self.statuses = StatusManager(self.client, tries_max=3)
        self.namespace = namespace

    async def tell(self) -> None:
        async with asyncio.timeout(120):
            await self.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
            await self._until_served()
            await self._a_write_happens_once()
            await self._conflicts_are_read_again()
            await self._only_status_is_written()
            await self._what_the_schema_refuses_is_raised()
            await self._another_object_is_never_touched()

    async def _until_served(self) -> None:
        while True:
            try:
                await self.client.list(Gauge, namespace=self.namespace)
            except NotFoundError:
                await asyncio.sleep(0.2)
            else:
                return

    async def create(self, name: str) -> Gauge:
        metadata = {"name": name, "namespace": self.namespace}
        return await self.client.create(Gauge.model_validate({"metadata": metadata, "spec": {"unit": "m"}}))

    async def _a_write_happens_once(self) -> None:
        seen = await self.create("once")
        first = await self.statuses.write(seen, value(5))
        again = await self.statuses.write(seen, value(5))
        assert (first.was_needed, first.answer, first.stored.status.value) == (True, 0, 5)
        assert (again.was_needed, again.answer, again.stored.status.value) == (False, 5, 5)
        assert again.stored.metadata.resource_version == first.stored.metadata.resource_version
        assert self.transport.writes == 1

    async def _conflicts_are_read_again(self) -> None:
        seen = await self.create("busy")
        self.transport.writes, self.transport.interruptions = 0, 2
        write = await self.statuses.write(seen, value(7))
        assert (write.stored.status.value, write.stored.status.seen, self.transport.writes) == (7, [0], 3)
        # As many conflicts as tries: the caller is told, and nothing of the others' is lost.
        self.transport.interruptions = 3
        with pytest.raises(ConflictError):
            await self.statuses.write(seen, value(8))
        left = await self.client.get(Gauge, seen.key)
        assert (left.status.value, left.status.seen) == (7, [0])

    async def _only_status_is_written(self) -> None:
        seen = await self.create("whole")

        def everything(fresh: Gauge) -> None:
            fresh.spec.unit = "km"
            fresh.metadata.labels = {"x": "y"}
            fresh.status.value = 1
            fresh.status.unknown = "pruned"

        write = await self.statuses.write(seen, everything)
        assert (write.stored.spec.unit, write.stored.metadata.labels) == ("m", None)
        assert (write.sent.status.unknown, write.stored.status.unknown, write.stored.status.value) == (
            "pruned",
            None,
            1,
        )

    async def _what_the_schema_refuses_is_raised(self) -> None:
        seen = await self.create("strict")
        self.transport.writes = 0
        with pytest.raises(InvalidError, match=r"status\.value"):
            await self.statuses.write(seen, value(101))
        assert self.transport.writes == 1

    async def _another_object_is_never_touched(self) -> None:
        old = await self.create("again")
        await self.client.delete(Gauge, old.key)
        with pytest.raises(NotFoundError):
            await self.statuses.write(old, value(1))
        new = await self.create("again")
        with pytest.raises(NotFoundError, match=f"its UID was {old.metadata.uid}"):
            await self.statuses.write(old, value(1))
        left = await self.client.get(Gauge, new.key)
        assert left.metadata.resource_version == new.metadata.resource_version


def value(number: int) -> Callable[[Gauge], int]:
    def change(fresh: Gauge) -> int:
        before = fresh.status.value
        fresh.status.value = number
        return before

    return change


def test_the_story_on_the_embedded_server() -> None:
    async def main() -> None:
        await Story(InProcessTransport(ApiServer(wall=LoopWallClock())), "default").tell()

    run_virtual(main())


@pytest.mark.asyncio
async def test_the_story_on_a_real_server(real_server: RealServer, real_namespace: str) -> None:
    transport = AiohttpTransport(await load_config(kubeconfig=real_server.kubeconfig))
    story = Story(transport, real_namespace)
    try:
        await story.tell()
    finally:
        await story.client.delete(CUSTOM_RESOURCE_DEFINITION, ObjectKey("", CRD["metadata"]["name"]))
        await transport.aclose()
