from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, EncodedObject, ObjectKey, ResourceType
from reconciler.apiserver import ApiServer
from reconciler.builder import Builder, controller_managed_by
from reconciler.cache import Cache
from reconciler.client import Client, OwnWrites, RestClient
from reconciler.clock import LoopWallClock, SystemWallClock
from reconciler.errors import CacheNotSyncedError, ConfigurationError, TransientDeliveryError
from reconciler.event import Event, GenericEvent
from reconciler.handler import EnqueueRequestForObject, EnqueueRequestsFromMapFunc
from reconciler.journal import Asked, Cause, EventSeen, Origin, Owed, current_cause, render
from reconciler.manager import Group, Manager
from reconciler.predicate import GenerationChangedPredicate, LabelSelectorPredicate, PredicateFuncs
from reconciler.reconcile import Reconciler, Request, Result
from reconciler.source import ChannelSource
from reconciler.testing import InProcessTransport, run_virtual
from reconciler.workqueue import ItemExponentialRateLimiter
from tests.cache.objects import WIDGETS, Widget
from tests.cache.world import CRD
from tests.test_source import SlowAnswers

PARTS = ResourceType("example.com", "v1", "Part", "parts")
RACKS = ResourceType("example.com", "v1", "Rack", "racks", is_namespaced=False)

Story = Callable[[Manager, Client], Awaitable[None]]


def definition(kind: ResourceType) -> dict[str, Any]:
    """A definition like that of widgets."""
    names = {"plural": kind.plural, "kind": kind.kind, "listKind": f"{kind.kind}List", "singular": kind.kind.lower()}
    scope = "Namespaced" if kind.is_namespaced else "Cluster"
    return {**CRD, "metadata": {"name": str(kind)}, "spec": {**CRD["spec"], "names": names, "scope": scope}}


def managed(wire: Callable[[Manager], object], story: Story, *, has_crd: bool = True) -> None:
    """Run what `wire` adds to a manager, beside a story."""

    async def main() -> None:
        transport = InProcessTransport(ApiServer(wall=LoopWallClock()))
        client = Client(RestClient(transport))
        if has_crd:
            for crd in (CRD, definition(PARTS)):
                await client.create(crd, resource=CUSTOM_RESOURCE_DEFINITION)
            await asyncio.sleep(1)
        manager = Manager(transport, wall=LoopWallClock(), seed=1)
        wire(manager)
        stopping = asyncio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(manager.run, stopping)
            await asyncio.sleep(1)
            await story(manager, client)
            stopping.set()

    run_virtual(main())


async def create(client: Client, name: str, *, kind: ResourceType = WIDGETS, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", **more}
    body: dict[str, Any] = {"apiVersion": "example.com/v1", "kind": kind.kind, "metadata": metadata, "spec": {}}
    return await client.create(body, resource=kind)


async def create_part(client: Client, name: str, owner: dict[str, Any], *, controller: bool = True) -> None:
    reference = {"apiVersion": "example.com/v1", "kind": "Widget", "name": owner["metadata"]["name"]}
    reference |= {"uid": owner["metadata"]["uid"], "controller": controller}
    await create(client, name, kind=PARTS, ownerReferences=[reference])


class Passes:
    """A reconciler that does nothing but count; `since` forgets."""

    def __init__(self) -> None:
        self._names: list[str] = []

    async def reconcile(self, request: Request) -> None:
        self._names.append(request.name)

    async def since(self) -> list[str]:
        """Names that were reconciled since the last call, a second from now."""
        await asyncio.sleep(1)
        names, self._names = self._names, []
        return names


def dropped(manager: Manager, scope: str, name: str) -> list[tuple[str, str, str]]:
    """Source, verb and predicate of what was dropped for a key."""
    records = manager.journal.records(scope, Request("default", name))
    return [(r.source, r.verb, r.dropped_by) for r in records if isinstance(r, EventSeen) and r.dropped_by]


class Doubler:
    """A reconciler as an object: doubles a size until it is at least 8."""

    def __init__(self) -> None:
        self.manager: Manager | None = None
        self.calls: list[Request] = []

    async def reconcile(self, request: Request) -> Result | None:
        assert self.manager is not None
        self.calls.append(request)
        widget = await self.manager.client.get(Widget, request.key)
        if widget.spec.size < 8:
            widget.spec.size = max(1, widget.spec.size * 2)
            await self.manager.client.update(widget)
        return None


def test_a_reconciler_is_called_again_for_what_its_own_writes_change() -> None:
    doubler = Doubler()

    def wire(manager: Manager) -> None:
        doubler.manager = manager
        reconciler: Reconciler = doubler
        assert controller_managed_by(manager).for_(Widget).complete(reconciler).name == "widget"

    async def story(manager: Manager, client: Client) -> None:
        await create(client, "a")
        await asyncio.sleep(10)
        assert (await client.get(Widget, ObjectKey("default", "a"))).spec.size == 8
        assert (await manager.cached_reader.get(Widget, ObjectKey("default", "a"))).spec.size == 8
        assert manager.cache.problem() is None

    managed(wire, story)
    assert doubler.calls == [Request("default", "a")] * 5


def test_a_function_and_an_untyped_kind_do_as_well_and_options_reach_the_controller() -> None:
    started: list[tuple[float, str]] = []

    async def reconcile(request: Request) -> None:
        started.append((round(asyncio.get_running_loop().time(), 6), request.name))
        if request.name == "hangs":
            await asyncio.sleep(100)
        raise TransientDeliveryError("always")

    def wire(manager: Manager) -> None:
        limiter = ItemExponentialRateLimiter(base_ns=40_000_000_000, max_ns=40_000_000_000)
        controller = (
            controller_managed_by(manager)
            .named("mine")
            .for_(WIDGETS)
            .with_options(max_concurrent_reconciles=2, rate_limiter=limiter, reconcile_timeout=timedelta(seconds=3))
            .complete(reconcile)
        )
        assert controller.name == "mine"

    async def story(manager: Manager, client: Client) -> None:
        del manager
        await create(client, "hangs")
        await create(client, "fails")
        await asyncio.sleep(60)

    managed(wire, story)
    # Two at once; each again 40 s after its end: at once, and after the 3 s that a pass may take.
    assert started == [(2, "hangs"), (2, "fails"), (42, "fails"), (45, "hangs")]


def test_two_kinds_in_one_manager_have_controllers_of_their_own_and_one_journal() -> None:
    async def reconcile(request: Request) -> None:
        del request

    def wire(manager: Manager) -> None:
        controller_managed_by(manager).for_(Widget).complete(reconcile)
        controller_managed_by(manager).named("second").for_(Widget).complete(reconcile)

    async def story(manager: Manager, client: Client) -> None:
        await create(client, "a")
        await asyncio.sleep(1)
        key = Request("default", "a")
        assert sorted(manager.journal.places()) == [("second", key), ("widget", key)]
        assert len(manager.cache.statuses()) == 1

    managed(wire, story)


def test_a_kind_that_is_never_served_ends_the_manager_in_time_with_its_name() -> None:
    async def reconcile(request: Request) -> None:
        del request

    def wire(manager: Manager) -> None:
        limit = timedelta(seconds=30)
        controller_managed_by(manager).for_(Widget).with_options(cache_sync_timeout=limit).complete(reconcile)

    async def story(manager: Manager, client: Client) -> None:
        del client
        assert "widgets.example.com" in (manager.cache.problem() or "")
        await asyncio.sleep(100)

    with pytest.raises(ExceptionGroup) as caught:
        managed(wire, story, has_crd=False)
    (error,) = caught.value.exceptions
    assert isinstance(error, CacheNotSyncedError)
    assert "controller widget: not synced after 30 s: cache of widgets.example.com" in str(error)


def test_an_object_is_reconciled_again_when_a_child_that_it_controls_changes_and_not_for_what_is_dropped() -> None:
    passes = Passes()

    def wire(manager: Manager) -> None:
        builder = controller_managed_by(manager).for_(Widget)
        builder.owns(PARTS, predicates=[GenerationChangedPredicate()]).complete(passes)

    async def story(manager: Manager, client: Client) -> None:
        owner = await create(client, "a")
        assert await passes.since() == ["a"]
        await create_part(client, "p", owner)
        await create_part(client, "uncontrolled", owner, controller=False)
        assert await passes.since() == ["a"]
        part = ObjectKey("default", "p")
        await client.patch(PARTS, part, {"metadata": {"labels": {"x": "y"}}})
        assert await passes.since() == []
        assert dropped(manager, "widget", "a") == [("default/p", "update", "GenerationChangedPredicate")]
        await client.patch(PARTS, part, {"spec": {"size": 2}})
        assert await passes.since() == ["a"]
        await client.patch(PARTS, part, {"metadata": {"ownerReferences": None}, "spec": {"size": 3}})
        assert await passes.since() == ["a"]
        await client.delete(PARTS, part)
        assert await passes.since() == []
        said = list(render(manager.journal.explain(Request("default", "a"), scope="widget")))
        dropping = [line for line in said if "dropped by GenerationChangedPredicate" in line]
        assert len(dropping) == 1
        assert "update of Part default/p seen, changed labels" in dropping[0]

    managed(wire, story)


def test_the_priority_of_what_is_there_at_the_start_is_chosen_for_each_kind() -> None:
    def wire(manager: Manager) -> None:
        builder = controller_managed_by(manager).for_(Widget, low_priority=None).owns(PARTS, low_priority=-5)
        builder.watches(RACKS, EnqueueRequestForObject(), low_priority=7).complete(Passes())

    async def main() -> dict[str, int]:
        transport = InProcessTransport(ApiServer(wall=LoopWallClock()))
        client = Client(RestClient(transport))
        for crd in (CRD, definition(PARTS), definition(RACKS)):
            await client.create(crd, resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        owner = {"metadata": {"name": "gone", "uid": "u"}}
        await create(client, "own")
        await create_part(client, "p", owner)
        await client.create({"metadata": {"name": "rack"}, "spec": {}}, resource=RACKS)
        manager, stopping = Manager(transport, wall=LoopWallClock(), seed=1), asyncio.Event()
        wire(manager)
        async with anyio.create_task_group() as group:
            group.start_soon(manager.run, stopping)
            await asyncio.sleep(5)
            stopping.set()
        keys = {name: Request("" if name == "rack" else "default", name) for name in ("own", "gone", "rack")}
        asked = {name: manager.journal.records("widget", key) for name, key in keys.items()}
        return {name: next(r.priority for r in records if isinstance(r, Asked)) for name, records in asked.items()}

    assert run_virtual(main()) == {"own": 0, "gone": -5, "rack": 7}


def test_every_owner_is_reconciled_where_controlling_does_not_count() -> None:
    passes = Passes()

    def wire(manager: Manager) -> None:
        controller_managed_by(manager).for_(Widget).owns(PARTS, controller_only=False).complete(passes)

    async def story(manager: Manager, client: Client) -> None:
        del manager
        owner = await create(client, "a")
        assert await passes.since() == ["a"]
        await create_part(client, "p", owner, controller=False)
        assert await passes.since() == ["a"]

    managed(wire, story)


def of_label(obj: EncodedObject) -> list[Request]:
    return [Request(obj.key.namespace, name) for name in obj.metadata.labels.values()]


def test_a_watched_kind_asks_for_what_its_handler_says_of_the_old_and_the_new_object() -> None:
    passes = Passes()

    def wire(manager: Manager) -> None:
        builder = controller_managed_by(manager).for_(Widget)
        builder.watches(PARTS, EnqueueRequestsFromMapFunc(of_label)).complete(passes)

    async def story(manager: Manager, client: Client) -> None:
        del manager
        await create(client, "p", kind=PARTS, labels={"for": "a"})
        assert await passes.since() == ["a"]
        await client.patch(PARTS, ObjectKey("default", "p"), {"metadata": {"labels": {"for": "b"}}})
        assert sorted(await passes.since()) == ["a", "b"]

    managed(wire, story)


def test_a_controller_may_have_watches_alone_if_it_has_a_name() -> None:
    passes = Passes()

    def wire(manager: Manager) -> None:
        controller_managed_by(manager).named("parts").watches(PARTS, EnqueueRequestForObject()).complete(passes)

    async def story(manager: Manager, client: Client) -> None:
        await create(client, "p", kind=PARTS)
        assert await passes.since() == ["p"]
        assert manager.journal.places() == (("parts", Request("default", "p")),)

    managed(wire, story)


def test_the_filter_of_all_events_is_asked_first_of_each_kind_and_raw_sources_pass_by_it() -> None:
    passes, channel = Passes(), ChannelSource(name="hooks")
    asked: list[str] = []

    def spy(event: Event) -> bool:
        asked.append(event.key.name)
        return True

    def wire(manager: Manager) -> None:
        late = PredicateFuncs(create=spy, update=spy, name="Late")
        (
            controller_managed_by(manager)
            .with_event_filter(LabelSelectorPredicate({"team": "blue"}))
            .for_(Widget, predicates=[late])
            .watches(PARTS, EnqueueRequestForObject(), predicates=[late])
            .watches_raw(channel)
            .with_event_filter(PredicateFuncs(create=lambda event: event.key.name != "no", name="NotNo"))
            .complete(passes)
        )

    async def story(manager: Manager, client: Client) -> None:
        for name in ("a", "no"):
            await create(client, name, labels={"team": "blue"})
        await create(client, "red", labels={"team": "red"})
        await create(client, "red-part", kind=PARTS, labels={"team": "red"})
        assert (await passes.since(), asked) == (["a"], ["a"])
        assert dropped(manager, "widget", "red") == [("", "create", "LabelSelectorPredicate")]
        assert dropped(manager, "widget", "no") == [("", "create", "NotNo")]
        assert dropped(manager, "widget", "red-part") == [("default/red-part", "create", "LabelSelectorPredicate")]
        channel.send(GenericEvent(ObjectKey("default", "red")))
        assert await passes.since() == ["red"]

    managed(wire, story)


def test_what_a_channel_is_sent_does_not_wait_for_a_wake_up_that_is_owed() -> None:
    channel = ChannelSource()
    channel.send(GenericEvent(ObjectKey("default", "early")))
    times: list[tuple[float, str]] = []

    async def reconcile(request: Request) -> Result:
        times.append((asyncio.get_running_loop().time(), request.name))
        return Result(requeue_after=timedelta(seconds=30), hold=True)

    def wire(manager: Manager) -> None:
        controller_managed_by(manager).named("hooks").watches_raw(channel).complete(reconcile)

    async def story(manager: Manager, client: Client) -> None:
        del client
        await asyncio.sleep(10)
        channel.send(GenericEvent(ObjectKey("default", "early")))
        await asyncio.sleep(1)
        seen = [r for r in manager.journal.records("hooks", Request("default", "early")) if isinstance(r, EventSeen)]
        assert [(event.verb, event.is_quiet) for event in seen] == [("generic", False)] * 2

    managed(wire, story)
    assert times == [(1, "early"), (12, "early")]


def test_another_object_of_the_same_name_does_not_take_a_wake_up_with_it_that_is_owed_to_the_key() -> None:
    times: list[float] = []

    async def reconcile(request: Request) -> Result:
        del request
        times.append(round(asyncio.get_running_loop().time(), 3))
        return Result(requeue_after=timedelta(seconds=100), hold=True)

    def wire(manager: Manager) -> None:
        builder = controller_managed_by(manager).for_(Widget)
        builder.watches(PARTS, EnqueueRequestForObject()).complete(reconcile)

    async def story(manager: Manager, client: Client) -> None:
        await create(client, "a")
        await asyncio.sleep(10)
        await create(client, "a", kind=PARTS)
        await asyncio.sleep(10)
        await client.delete(PARTS, ObjectKey("default", "a"))
        await asyncio.sleep(105)
        records = manager.journal.records("widget", Request("default", "a"))
        assert "object gone" not in {record.what for record in records if isinstance(record, Owed)}
        deleted = [r for r in records if isinstance(r, EventSeen) and r.verb == "delete"]
        assert [(event.kind, event.source) for event in deleted] == [("Part", "default/a")]

    managed(wire, story)
    assert times == [2, 12, 22, 122]


def test_a_kind_of_another_cluster_is_watched_through_its_own_cache_and_its_own_ledger() -> None:
    passes, ledger = Passes(), OwnWrites()
    far: list[RestClient] = []

    def wire(manager: Manager) -> None:
        far.append(RestClient(InProcessTransport(ApiServer(wall=LoopWallClock()))))
        cache = Cache(far[0])
        manager.add(cache, name="other cluster", group=Group.CACHES)
        builder = controller_managed_by(manager).for_(Widget)
        builder.watches(PARTS, EnqueueRequestForObject(), cache=cache, ledger=ledger).complete(passes)

    async def story(manager: Manager, client: Client) -> None:
        other = Client(far[0], ledger=ledger)
        await other.create(definition(PARTS), resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(60)
        part = await create(other, "far", kind=PARTS)
        await create(client, "near", kind=PARTS)
        assert await passes.since() == ["far"]
        assert [status.resource for status in manager.cache.statuses()] == [WIDGETS]
        # A write to the other cluster in a pass of this controller is in that cluster's ledger.
        token = current_cause.set(Cause(1, "widget", Request("default", "far")))
        await other.update({**part, "spec": {"size": 2}}, resource=PARTS)
        current_cause.reset(token)
        assert await passes.since() == ["far"]
        records = manager.journal.records("widget", Request("default", "far"))
        updates = [record for record in records if isinstance(record, EventSeen) and record.verb == "update"]
        assert [update.origin for update in updates] == [Origin.OWN]

    managed(wire, story)


def test_an_own_write_to_another_cluster_whose_answer_is_not_there_yet_counts_as_anothers_doing() -> None:
    far: list[SlowAnswers] = []
    passes: list[str] = []
    ledger = OwnWrites()

    async def reconcile(request: Request) -> Result | None:
        passes.append(request.name)
        if request.name == "writer":
            # A write in a pass to the other cluster, whose event comes a second before its answer.
            other = Client(RestClient(far[0]), ledger=ledger)
            part = await other.get(PARTS, ObjectKey("default", "owed"))
            far[0].is_slow = True
            await other.update({**part, "spec": {"size": 2}}, resource=PARTS)
        return Result(requeue_after=timedelta(hours=1), hold=True) if request.name == "owed" else None

    def wire(manager: Manager) -> None:
        far.append(SlowAnswers(InProcessTransport(ApiServer(wall=LoopWallClock()))))
        cache = Cache(RestClient(far[0]))
        manager.add(cache, name="other cluster", group=Group.CACHES)
        builder = controller_managed_by(manager).for_(Widget)
        builder.watches(PARTS, EnqueueRequestForObject(), cache=cache, ledger=ledger).complete(reconcile)

    async def story(manager: Manager, client: Client) -> None:
        # Given a key that is owed a wake-up, with an object in each cluster,
        other = Client(RestClient(far[0]))
        await other.create(definition(PARTS), resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(60)
        await create(other, "owed", kind=PARTS)
        await create(client, "owed")
        await asyncio.sleep(10)
        passes.clear()
        # when another key's pass writes the object of the other cluster,
        await create(client, "writer")
        await asyncio.sleep(10)
        records = manager.journal.records("widget", Request("default", "owed"))
        update = next(r for r in reversed(records) if isinstance(r, EventSeen) and r.verb == "update")
        assert (update.origin, update.is_quiet) == (Origin.UNDETERMINED, False)
        # then the key is looked at, at the latest when that pass has ended: the ledger of this cluster knows no more.
        assert passes == ["writer", "owed"]

    managed(wire, story)


def a_builder() -> Builder:
    return controller_managed_by(Manager(InProcessTransport(ApiServer(wall=SystemWallClock()))))


async def do_nothing(request: Request) -> None:
    del request


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param(lambda: a_builder().complete(do_nothing), r"Call for_\(KIND\)", id="no kind"),
        pytest.param(lambda: a_builder().for_(Widget).for_(Widget), "may be called once", id="two kinds"),
        pytest.param(
            lambda: a_builder().for_(Widget).with_options(max_concurrent_reconciles=0).complete(do_nothing),
            "at least 1 worker",
            id="no worker",
        ),
        pytest.param(
            lambda: a_builder().named("c").owns(PARTS).complete(do_nothing),
            r"who owns the objects of owns\(Part\)\? Call for_\(KIND\)",
            id="children of nobody",
        ),
        pytest.param(
            lambda: a_builder().for_(Widget).owns(RACKS).complete(do_nothing),
            r"owns\(Rack\): Kubernetes lets no namespaced object, as Widget is, own one of cluster scope",
            id="children of cluster scope of a namespaced object",
        ),
        pytest.param(
            lambda: a_builder().watches(PARTS, EnqueueRequestForObject()).complete(do_nothing),
            r'call named\("\.\.\."\)',
            id="watches without a name",
        ),
        pytest.param(
            lambda: a_builder().watches_raw(ChannelSource()).complete(do_nothing),
            r'call named\("\.\.\."\)',
            id="a raw source without a name",
        ),
        pytest.param(
            lambda: a_builder().for_(Widget, predicates=[GenerationChangedPredicate]),  # type: ignore[list-item]  # the error is the test
            r"write GenerationChangedPredicate\(\)",
            id="a class for a predicate",
        ),
        pytest.param(
            lambda: a_builder().owns(PARTS, predicates=GenerationChangedPredicate()),  # type: ignore[arg-type]  # the error is the test
            "predicates must be a list",
            id="one predicate instead of a list",
        ),
        pytest.param(
            lambda: a_builder().with_event_filter([GenerationChangedPredicate()]),  # type: ignore[arg-type]  # the error is the test
            "is no predicate",
            id="a list for a predicate",
        ),
        pytest.param(
            lambda: a_builder().watches(PARTS, of_label),  # type: ignore[arg-type]  # the error is the test
            r"write EnqueueRequestsFromMapFunc\(function\)",
            id="a function for a handler",
        ),
        pytest.param(
            lambda: a_builder().watches(PARTS, EnqueueRequestForObject(), ledger=OwnWrites()),
            "give its cache= too",
            id="a ledger of the manager's own cluster",
        ),
        pytest.param(
            lambda: a_builder().watches_raw(ChannelSource),  # type: ignore[arg-type]  # the error is the test
            "it is a class",
            id="a class for a source",
        ),
        pytest.param(
            lambda: a_builder().watches_raw(Passes()),  # type: ignore[arg-type]  # the error is the test
            "it lacks start, wait_for_sync, describe",
            id="something else for a source",
        ),
    ],
)
def test_wrong_wiring_is_refused_before_anything_runs(wrong: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        wrong()
