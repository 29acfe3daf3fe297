"""A controller that owns children, against the real kube-apiserver over sockets and the embedded one in process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, ApiModel, KubeObject, ObjectKey, ObjectMeta, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.builder import controller_managed_by
from reconciler.client import AiohttpTransport, Client, Transport, load_config
from reconciler.clock import SystemWallClock
from reconciler.envtest import RealServer
from reconciler.errors import AlreadyExistsError, NotFoundError
from reconciler.journal import EventSeen
from reconciler.manager import Manager
from reconciler.predicate import GenerationChangedPredicate, LabelChangedPredicate
from reconciler.reconcile import Request
from reconciler.testing import InProcessTransport

pytestmark = pytest.mark.asyncio

NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", is_namespaced=False)
PATIENCE_SECONDS = 20
NUMBERS = itertools.count(1)


class ShelfSpec(ApiModel):
    books: int = 0


class Shelf(KubeObject):
    resource = ResourceType("owning.example.com", "v1", "Shelf", "shelves")
    spec: ShelfSpec = ShelfSpec()


class BookSpec(ApiModel):
    title: str = ""


class Book(KubeObject):
    resource = ResourceType("owning.example.com", "v1", "Book", "books")
    spec: BookSpec = BookSpec()


def definition(kind: ResourceType) -> dict[str, Any]:
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    names = {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural, "singular": kind.kind.lower()}
    version = {"name": kind.version, "served": True, "storage": True, "schema": schema}
    return {
        "metadata": {"name": str(kind)},
        "spec": {"group": kind.group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


async def serve(client: Client, kind: ResourceType) -> None:
    """Define `kind` and return when the server serves it."""
    with contextlib.suppress(AlreadyExistsError):
        await client.create(definition(kind), resource=CUSTOM_RESOURCE_DEFINITION)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await client.list(kind)
            except NotFoundError:
                await asyncio.sleep(0.01)
            else:
                return


@dataclass
class Scene:
    """A running controller that keeps as many books on a shelf as it asks for."""

    manager: Manager
    namespace: str
    passes: int = 0

    @property
    def shelf(self) -> Request:
        return Request(self.namespace, "s")

    @property
    def events(self) -> list[EventSeen]:
        records = self.manager.journal.records("shelf", self.shelf)
        return [record for record in records if isinstance(record, EventSeen)]

    async def reconcile(self, request: Request) -> None:
        client = self.manager.client
        shelf = await client.get(Shelf, request.key)
        owner = {"apiVersion": "owning.example.com/v1", "kind": "Shelf", "controller": True}
        owner |= {"name": shelf.metadata.name, "uid": shelf.metadata.uid}
        for number in range(shelf.spec.books):
            metadata = {"name": f"b{number}", "namespace": request.namespace, "ownerReferences": [owner]}
            try:
                await client.create(Book.model_validate({"metadata": metadata}))
            except AlreadyExistsError:
                continue
        self.passes += 1

    def of_book(self, name: str) -> list[tuple[str, str]]:
        """What was seen of a book, and what dropped it."""
        source = f"{self.namespace}/{name}"
        return [(event.verb, event.dropped_by) for event in self.events if event.source == source]

    async def until_seen(self, name: str, *events: tuple[str, str]) -> int:
        """Return the number of passes when just these events of a book were seen, and what they led to is done."""
        news = asyncio.Event()
        end = self.manager.journal.subscribe(lambda record: news.set())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.of_book(name) != list(events) or self._is_busy():
                news.clear()
                await news.wait()
        end()
        return self.passes

    def _is_busy(self) -> bool:
        explanation = self.manager.journal.explain(self.shelf, scope="shelf")
        return explanation.is_running or explanation.standing is not None


@pytest.fixture(params=["real", "embedded"])
def server(request: pytest.FixtureRequest) -> RealServer | None:
    if request.param == "embedded":
        return None
    real: RealServer = request.getfixturevalue("real_server")
    return real


@pytest_asyncio.fixture
async def scene(server: RealServer | None) -> AsyncGenerator[Scene, None]:
    transport: Transport
    if server is None:
        transport = InProcessTransport(ApiServer(wall=SystemWallClock()))
    else:
        transport = AiohttpTransport(await load_config(server.kubeconfig))
    namespace = f"owning-{next(NUMBERS)}"
    manager = Manager(transport, namespace=namespace, seed=1)
    for kind in (Shelf.resource, Book.resource):
        await serve(manager.client, kind)
    await manager.client.create({"metadata": {"name": namespace}}, resource=NAMESPACES)
    scene = Scene(manager, namespace)
    (
        controller_managed_by(manager)
        .for_(Shelf)
        .owns(Book, predicates=[GenerationChangedPredicate() | LabelChangedPredicate()])
        .complete(scene.reconcile)
    )
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run(stopping))
        yield scene
        stopping.set()
    if server is not None:
        # TLS takes leave of the server in the background, and a loop that ends before warns of open connections.
        await asyncio.sleep(0.1)


async def test_a_childs_change_wakes_its_owner_and_one_that_a_predicate_drops_is_named_in_the_owners_journal(
    scene: Scene,
) -> None:
    client, created = scene.manager.client, ("create", "")
    shelf = Shelf(metadata=ObjectMeta(name="s", namespace=scene.namespace), spec=ShelfSpec(books=2))
    await client.create(shelf)
    await scene.until_seen("b0", created)
    before = await scene.until_seen("b1", created)
    book = ObjectKey(scene.namespace, "b0")

    # A change that the predicate lets through,
    await client.patch(Book, book, {"spec": {"title": "Middlemarch"}})
    updated = ("update", "")
    assert await scene.until_seen("b0", created, updated) == before + 1

    # one that it drops,
    await client.patch(Book, book, {"metadata": {"annotations": {"read": "yes"}}})
    dropped = ("update", "(GenerationChangedPredicate | LabelChangedPredicate)")
    assert await scene.until_seen("b0", created, updated, dropped) == before + 1

    # and a deletion, after which the child is made again.
    await client.delete(Book, book)
    await scene.until_seen("b0", created, updated, dropped, ("delete", ""), created)
    assert (await client.get(Book, book)).metadata.annotations is None
    assert {event.kind for event in scene.events if event.source} == {"Book"}
