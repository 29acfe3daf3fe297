from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
import pytest

from reconciler.api import CUSTOM_RESOURCE_DEFINITION, EncodedObject, ObjectKey
from reconciler.apiserver import ApiServer
from reconciler.cache import Cache, CachedReader
from reconciler.client import Client, HttpRequest, HttpResponse, HttpStream, OwnWrites, RestClient
from reconciler.clock import LoopClock, LoopWallClock
from reconciler.errors import CacheNotSyncedError, ConfigurationError
from reconciler.event import CreateEvent, DeleteEvent, Event, GenericEvent, UpdateEvent
from reconciler.handler import (
    EnqueueRequestForObject,
    EnqueueRequestForOwner,
    EnqueueRequestsFromMapFunc,
    EventHandler,
)
from reconciler.instant import Clock, Instant
from reconciler.journal import Cause, Changed, EventSeen, Journal, Origin, current_cause
from reconciler.predicate import GenerationChangedPredicate, LabelChangedPredicate, Predicate, PredicateFuncs
from reconciler.reconcile import Request
from reconciler.source import LOW_PRIORITY, ChannelSource, Kind, Sighting, Sink, StoppableSource, is_low_priority
from reconciler.testing import InProcessTransport, run_virtual
from tests.cache.objects import WIDGETS, Widget, encoded, wire
from tests.cache.world import CRD

KEY = ObjectKey("default", "a")


@dataclass
class Listener:
    """A sink that writes down what it was told."""

    name: str = "c"
    journal: Journal = field(default_factory=Journal)
    clock: Clock = field(default_factory=LoopClock)
    told: list[tuple[EventSeen, list[Request], int | None]] = field(default_factory=list)
    sightings: list[Sighting | None] = field(default_factory=list)

    def seen(
        self,
        event: EventSeen,
        requests: Iterable[Request],
        *,
        priority: int | None = None,
        sighting: Sighting | None = None,
    ) -> None:
        self.sightings.append(sighting)
        self.told.append((event, list(requests), priority))

    @property
    def events(self) -> list[EventSeen]:
        return [event for event, _, _ in self.told]


@dataclass
class SlowAnswers:
    """A transport whose answers to writes come a second late."""

    inner: InProcessTransport
    is_slow: bool = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer = await self.inner.send(request)
        if self.is_slow and request.method != "GET":
            await asyncio.sleep(1)
        return answer

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        return self.inner.stream(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Scene:
    server: ApiServer
    transport: SlowAnswers
    client: Client
    sink: Listener
    source: Kind
    cache: Cache

    async def create(self, size: int = 0, **more: Any) -> None:
        metadata = {"name": KEY.name, "namespace": KEY.namespace, **more}
        body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": {"size": size}}
        await self.client.create(body, resource=WIDGETS)

    async def resize_as(self, scope: str, size: int) -> None:
        """Write as the controller `scope` does: in a pass, and with a precondition."""
        widget = await self.client.get(Widget, KEY)
        widget.spec.size = size
        token = current_cause.set(Cause(1, scope, "key"))
        try:
            await self.client.update(widget)
        finally:
            current_cause.reset(token)


def on_a_watched_kind(
    story: Callable[[Scene], Awaitable[None]],
    *,
    objects: bool = False,
    handler: EventHandler | None = None,
    predicates: Sequence[Predicate] = (),
    **options: Any,
) -> list[EventSeen]:
    async def main() -> list[EventSeen]:
        server = ApiServer(wall=LoopWallClock())
        transport = SlowAnswers(InProcessTransport(server))
        rest, ledger = RestClient(transport), OwnWrites()
        cache = Cache(rest, random=Random(1))
        source = Kind(cache, Widget, ledger=ledger, handler=handler, predicates=predicates, **options)
        scene = Scene(server, transport, Client(rest, ledger=ledger), Listener(), source, cache)
        await scene.client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        if objects:
            await scene.create()
        source.start(scene.sink)
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(cache.run(stopping))
            await source.wait_for_sync()
            await story(scene)
            await asyncio.sleep(2)
            stopping.set()
        assert source.describe().startswith("cache of widgets.example.com")
        return scene.sink.events

    return run_virtual(main())


async def nothing(scene: Scene) -> None:
    assert [priority for _, _, priority in scene.sink.told] == [LOW_PRIORITY]
    assert [requests for _, requests, _ in scene.sink.told] == [[Request("default", "a")]]


def test_what_is_there_at_the_start_is_initial_and_waits_behind_real_changes() -> None:
    (event,) = on_a_watched_kind(nothing, objects=True)
    assert (event.verb, event.is_initial, event.origin) == ("create", True, Origin.FOREIGN)
    assert (event.old_version, event.scope, event.key) == ("", "c", Request("default", "a"))
    assert event.new_version != ""


@pytest.mark.parametrize(("low_priority", "expected"), [(None, None), (-7, -7), (5, 5)])
def test_an_author_chooses_the_priority_of_what_is_there_at_the_start_and_of_what_did_not_change(
    low_priority: int | None, expected: int | None
) -> None:
    async def story(scene: Scene) -> None:
        assert [priority for _, _, priority in scene.sink.told] == [expected]
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 2}})
        await asyncio.sleep(1)
        assert scene.sink.told[-1][2] is None

    on_a_watched_kind(story, objects=True, low_priority=low_priority)


@pytest.mark.parametrize("given", ["x", True, 1.5])
def test_a_priority_that_is_no_whole_number_is_refused_when_it_is_given(given: Any) -> None:
    async def main() -> None:
        cache = Cache(RestClient(InProcessTransport(ApiServer(wall=LoopWallClock()))))
        with pytest.raises(ConfigurationError, match=f"low_priority is {given!r}: give a whole number, or None"):
            Kind(cache, WIDGETS, ledger=OwnWrites(), low_priority=given)

    run_virtual(main())


def test_a_life_is_seen_with_versions_generations_and_what_changed() -> None:
    async def story(scene: Scene) -> None:
        await scene.create(1)
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 2}})
        await scene.client.patch(WIDGETS, KEY, {"metadata": {"labels": {"x": "y"}}})
        await scene.client.delete(WIDGETS, KEY)
        await asyncio.sleep(1)
        assert {priority for _, _, priority in scene.sink.told} == {None}

    created, resized, labelled, deleted = on_a_watched_kind(story)
    assert [each.verb for each in (created, resized, labelled, deleted)] == ["create", "update", "update", "delete"]
    assert not created.is_initial
    assert (resized.changed, labelled.changed) == (Changed.GENERATION, Changed.LABELS)
    assert (resized.old_generation, resized.new_generation) == (1, 2)
    assert resized.old_version == created.new_version
    assert labelled.old_version == resized.new_version
    assert deleted.new_version == ""
    assert sorted({each.id for each in (created, resized, labelled, deleted)}) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("writer", "origin"),
    [
        pytest.param("c", Origin.OWN, id="this controller"),
        pytest.param("other", Origin.FOREIGN, id="another controller of the process"),
    ],
)
def test_an_update_is_own_only_if_this_very_controller_wrote_it(writer: str, origin: Origin) -> None:
    async def story(scene: Scene) -> None:
        await scene.resize_as(writer, 5)

    _, update = on_a_watched_kind(story, objects=True)
    assert update.origin is origin


def test_an_update_by_anyone_else_is_foreign() -> None:
    async def story(scene: Scene) -> None:
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 2}})

    _, update = on_a_watched_kind(story, objects=True)
    assert update.origin is Origin.FOREIGN


def test_an_update_that_comes_before_the_answer_of_its_write_is_undetermined() -> None:
    async def story(scene: Scene) -> None:
        scene.transport.is_slow = True
        await scene.resize_as("c", 5)

    _, update = on_a_watched_kind(story, objects=True)
    assert update.origin is Origin.UNDETERMINED


def test_a_version_that_is_seen_again_after_a_relist_waits_behind_real_changes() -> None:
    async def story(scene: Scene) -> None:
        scene.server.compact()
        scene.server.end_watches()
        await asyncio.sleep(60)
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 2}})
        await asyncio.sleep(1)
        assert [priority for _, _, priority in scene.sink.told] == [LOW_PRIORITY, LOW_PRIORITY, None]

    _, again, update = on_a_watched_kind(story, objects=True)
    assert (again.verb, again.changed, again.origin) == ("update", Changed.NOTHING, Origin.FOREIGN)
    assert again.old_version == again.new_version == update.old_version


@pytest.mark.parametrize(
    ("event", "is_low"),
    [
        pytest.param(CreateEvent(encoded("a", 1), is_initial=True), True, id="initial list"),
        pytest.param(CreateEvent(encoded("a", 1)), False, id="created since"),
        pytest.param(UpdateEvent(encoded("a", 1), encoded("a", 1)), True, id="unchanged"),
        pytest.param(UpdateEvent(encoded("a", 1), encoded("a", 2)), False, id="changed"),
        pytest.param(DeleteEvent(encoded("a", 1)), False, id="deleted"),
        pytest.param(GenericEvent(KEY), False, id="generic"),
    ],
)
def test_only_news_that_are_none_may_wait(event: Event, is_low: bool) -> None:
    assert is_low_priority(event) is is_low


class ForItsShelf:
    """Asks for the shelf that each widget stands on."""

    def requests(self, event: Event) -> Iterable[Request]:
        return (Request(event.key.namespace, "shelf"),)


def test_an_event_of_a_derived_key_names_the_object_that_it_is_about() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        (sighting,) = scene.sink.sightings
        assert sighting is not None
        assert not sighting.is_primary
        assert sighting.uid

    (event,) = on_a_watched_kind(story, objects=True, handler=ForItsShelf())
    assert (event.key, event.kind, event.source) == (Request("default", "shelf"), "Widget", "default/a")


class WithItsShelf(EnqueueRequestForObject):
    """Asks for the object, and for one more."""

    __slots__ = ()

    def requests(self, event: Event) -> tuple[Request, ...]:
        return (*super().requests(event), Request(event.key.namespace, "shelf"))


def test_a_handler_that_is_derived_from_the_default_one_is_asked() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)

    seen = on_a_watched_kind(story, objects=True, handler=WithItsShelf())
    assert [(event.key.name, event.source) for event in seen] == [("a", ""), ("shelf", "default/a")]


def test_an_own_write_names_the_fields_that_it_changed_and_a_foreign_one_costs_no_look() -> None:
    async def story(scene: Scene) -> None:
        await scene.resize_as("c", 5)
        await asyncio.sleep(1)
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 6}})

    created, own, foreign = on_a_watched_kind(story, objects=True)
    assert (created.fields, own.fields, foreign.fields) == ((), ("spec.size",), ())
    assert (own.kind, own.source) == ("Widget", "")


def test_an_event_that_a_predicate_drops_is_written_down_and_asks_for_nothing() -> None:
    async def story(scene: Scene) -> None:
        await scene.client.patch(WIDGETS, KEY, {"metadata": {"labels": {"x": "y"}}})
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 6}})
        await asyncio.sleep(1)
        assert [len(requests) for _, requests, _ in scene.sink.told] == [1, 0, 1]

    created, labelled, resized = on_a_watched_kind(story, objects=True, predicates=[GenerationChangedPredicate()])
    assert [event.dropped_by for event in (created, labelled, resized)] == ["", "GenerationChangedPredicate", ""]
    assert labelled.key == Request("default", "a")


def test_a_sighting_knows_whether_nothing_but_status_changed() -> None:
    def version(number: int, **fields: Any) -> EncodedObject:
        return EncodedObject.from_json(msgspec.json.encode({**wire("a", number), **fields}), keep_managed_fields=True)

    before = version(1)
    status = version(2, status={"ready": True})
    labelled = version(3, metadata={**wire("a", 3)["metadata"], "labels": {"x": "y"}})
    managed = version(4, metadata={**wire("a", 4)["metadata"], "managedFields": [{"manager": "m"}]})

    def is_status_only(new: EncodedObject | None) -> bool:
        return Sighting("uid-a", True, before, new).is_status_only()

    # A cache does not keep managed fields, so a change of them alone looks like any other that is not seen.
    assert [is_status_only(new) for new in (status, labelled, managed, None)] == [True, False, False, False]


def test_the_journal_names_all_parts_of_a_combination_that_dropped_an_event() -> None:
    async def story(scene: Scene) -> None:
        await scene.client.patch(WIDGETS, KEY, {"metadata": {"annotations": {"x": "y"}}})
        await scene.client.patch(WIDGETS, KEY, {"metadata": {"labels": {"x": "y"}}})

    predicate = GenerationChangedPredicate() | LabelChangedPredicate()
    created, noted, labelled = on_a_watched_kind(story, objects=True, predicates=[predicate])
    assert noted.dropped_by == "(GenerationChangedPredicate | LabelChangedPredicate)"
    assert (created.dropped_by, labelled.dropped_by) == ("", "")


OWNER = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "boss", "uid": "uid-boss"}


def test_what_is_dropped_of_a_child_is_written_down_where_its_owner_is_looked_up() -> None:
    async def story(scene: Scene) -> None:
        await scene.create(ownerReferences=[OWNER])
        await scene.client.patch(WIDGETS, KEY, {"metadata": {"labels": {"x": "y"}}})
        await asyncio.sleep(1)
        assert [requests for _, requests, _ in scene.sink.told] == [[Request("default", "boss")], []]

    created, labelled = on_a_watched_kind(
        story, handler=EnqueueRequestForOwner(Widget), predicates=[GenerationChangedPredicate()]
    )
    assert (created.key, labelled.key) == (Request("default", "boss"), Request("default", "boss"))
    assert (labelled.dropped_by, labelled.source) == ("GenerationChangedPredicate", "default/a")


def test_a_function_never_sees_what_a_predicate_dropped() -> None:
    def shelf(obj: EncodedObject) -> list[Request]:
        return [Request("default", obj.metadata.labels["shelf"])]

    async def story(scene: Scene) -> None:
        await scene.create()

    has_label = PredicateFuncs(create=lambda event: "shelf" in event.new.metadata.labels, name="HasShelf")
    (event,) = on_a_watched_kind(story, handler=EnqueueRequestsFromMapFunc(shelf), predicates=[has_label])
    assert (event.key, event.dropped_by, event.source) == (Request("default", "a"), "HasShelf", "default/a")


def test_a_kind_that_is_stopped_feeds_no_more_and_goes_on_when_it_is_started_again() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        scene.source.stop()
        scene.source.stop()
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 2}})
        await asyncio.sleep(1)
        assert len(scene.sink.events) == 1
        scene.source.start(scene.sink)

    first, again = on_a_watched_kind(story, objects=True)
    assert (first.is_initial, again.is_initial) == (True, True)
    assert first.new_version != again.new_version


def test_a_kind_that_is_started_twice_for_one_controller_feeds_it_once() -> None:
    async def story(scene: Scene) -> None:
        scene.source.start(scene.sink)
        with pytest.raises(
            ConfigurationError, match="feeds controller c already: make another source for controller d"
        ):
            scene.source.start(Listener("d"))

    assert len(on_a_watched_kind(story, objects=True)) == 1


def test_a_kind_holds_its_informer_from_start_to_stop_and_the_last_one_ends_it() -> None:
    async def story(scene: Scene) -> None:
        assert scene.server.open_watches == 1
        other = Kind(scene.cache, WIDGETS, ledger=OwnWrites())
        other.start(Listener("d"))
        scene.source.stop()
        await asyncio.sleep(1)
        assert scene.server.open_watches == 1
        other.stop()
        await asyncio.sleep(1)
        assert (scene.server.open_watches, scene.cache.informers) == (0, ())
        assert other.describe() == "source of widgets.example.com: not started"
        with pytest.raises(CacheNotSyncedError, match="not started"):
            await other.wait_for_sync()
        scene.source.start(scene.sink)
        await scene.source.wait_for_sync()
        await asyncio.sleep(1)
        assert scene.server.open_watches == 1

    first, again = on_a_watched_kind(story, objects=True)
    assert (first.is_initial, again.is_initial) == (True, True)


def test_a_kind_that_somebody_read_before_stays_when_its_last_source_is_stopped() -> None:
    async def main() -> None:
        server = ApiServer(wall=LoopWallClock())
        rest = RestClient(InProcessTransport(server))
        await Client(rest).create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        cache, stopping = Cache(rest, random=Random(1)), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(cache.run(stopping))
            await asyncio.sleep(0)
            await CachedReader(cache).list(Widget)
            source = Kind(cache, Widget, ledger=OwnWrites())
            source.start(Listener())
            source.stop()
            await asyncio.sleep(1)
            assert [informer.has_ended for informer in cache.informers] == [False]
            stopping.set()

    run_virtual(main())


class StopsAtOnce(Listener):
    """A sink that stops its source as soon as it is told of something."""

    source: Kind

    def seen(self, event: EventSeen, requests: Iterable[Request], **more: Any) -> None:
        super().seen(event, requests, **more)
        self.source.stop()


def test_a_kind_that_is_stopped_by_its_own_first_event_stays_stopped() -> None:
    async def story(scene: Scene) -> None:
        # Somebody else holds the kind, so what is there is told in the very start.
        with scene.cache.acquire(Widget):
            await held(scene)

    async def held(scene: Scene) -> None:
        scene.source.stop()
        await scene.client.create({**wire("b", 1), "metadata": {"name": "b", "namespace": "default"}}, resource=WIDGETS)
        await asyncio.sleep(1)
        sink = StopsAtOnce()
        sink.source = scene.source
        scene.source.start(sink)
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 2}})
        await asyncio.sleep(1)
        assert len(sink.events) == 1
        scene.source.start(scene.sink)
        await scene.client.patch(WIDGETS, KEY, {"spec": {"size": 3}})

    events = on_a_watched_kind(story, objects=True)
    # The two there were at the third start, each once, and the last change, once.
    assert [(event.verb, str(event.key)) for event in events[1:]] == [
        ("create", "default/a"),
        ("create", "default/b"),
        ("update", "default/a"),
    ]


class Breaks(Listener):
    """A sink that cannot take what it is told."""

    def seen(self, event: EventSeen, requests: Iterable[Request], **more: Any) -> None:
        raise KeyError("no room")


def test_a_start_that_fails_leaves_nothing_behind_and_can_be_repeated() -> None:
    async def main() -> None:
        rest = RestClient(InProcessTransport(ApiServer(wall=LoopWallClock())))
        client, cache, stopping = Client(rest), Cache(rest, random=Random(1)), asyncio.Event()
        await client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        await client.create({"metadata": {"name": "a", "namespace": "default"}}, resource=WIDGETS)
        source, sink = Kind(cache, Widget, ledger=OwnWrites()), Listener()
        async with asyncio.TaskGroup() as group:
            group.create_task(cache.run(stopping))
            with cache.acquire(Widget) as held:
                await held.informer.wait_for_sync()
                with pytest.raises(KeyError, match="no room"):
                    source.start(Breaks(name="broken"))
                source.start(sink)
                assert [event.verb for event in sink.events] == ["create"]
                source.stop()
            # The one that failed holds nothing: the last to leave ends the informer.
            await asyncio.sleep(1)
            assert cache.informers == ()
            stopping.set()

    run_virtual(main())


class Told(Listener):
    """A sink that needs no loop."""

    def __init__(self) -> None:
        super().__init__(clock=StoppedClock())

    @property
    def keys(self) -> list[str]:
        return [str(request) for _, requests, _ in self.told for request in requests]


class StoppedClock:
    """A clock at the moment 7."""

    def now(self) -> Instant:
        return Instant(7)


def test_what_a_channel_is_sent_is_a_loud_generic_event_of_its_own_key() -> None:
    source, sink = ChannelSource(), Told()
    source.start(sink)
    assert source.send(GenericEvent(KEY))
    ((event, requests, priority),) = sink.told
    assert (event.verb, event.key, event.origin, event.at) == ("generic", Request("default", "a"), Origin.FOREIGN, 7)
    assert (event.kind, event.source, event.new_version) == ("", "", "")
    assert requests == [Request("default", "a")]
    assert priority is None
    # Without a sighting an event never waits.
    assert sink.sightings == [None]


def test_what_was_sent_before_the_start_is_fed_at_the_start_in_order_and_once() -> None:
    source, sink = ChannelSource(name="hooks"), Told()
    for name in ("a", "b", "a"):
        assert source.send(GenericEvent(ObjectKey("default", name)))
    assert source.describe() == "hooks: not started, 3 waiting"
    source.start(sink)
    source.start(sink)
    assert sink.keys == ["default/a", "default/b", "default/a"]
    assert source.describe() == "hooks: started"


def test_a_channel_refuses_more_than_it_may_keep_before_the_start() -> None:
    source, sink = ChannelSource(name="hooks", buffer_max=1), Told()
    source.send(GenericEvent(KEY))
    with pytest.raises(BufferError, match="hooks: 1 events wait already"):
        source.send(GenericEvent(KEY))
    source.start(sink)
    for _ in range(3):
        source.send(GenericEvent(KEY))
    assert sink.keys == ["default/a"] * 4


def test_a_channel_asks_its_handler_and_names_itself_where_the_key_is_derived() -> None:
    handler = EnqueueRequestForOwner(Widget)
    source, sink = ChannelSource(handler, name="hooks"), Told()
    source.start(sink)
    source.send(GenericEvent(KEY, encoded("a", 4, ownerReferences=[OWNER])))
    (event,) = sink.events
    assert (event.key, event.kind, event.source) == (Request("default", "boss"), "hooks", "default/a")
    assert event.new_version == "4"
    with pytest.raises(ValueError, match="send it with `new`"):
        source.send(GenericEvent(KEY))


def test_the_journal_names_the_predicate_that_dropped_what_a_channel_was_sent() -> None:
    only_b = PredicateFuncs(generic=lambda event: event.key.name == "b", name="OnlyB")
    source, sink = ChannelSource(predicates=[only_b]), Told()
    source.start(sink)
    source.send(GenericEvent(KEY))
    source.send(GenericEvent(ObjectKey("default", "b")))
    assert [event.dropped_by for event in sink.events] == ["OnlyB", ""]
    assert sink.keys == ["default/b"]


def test_a_stopped_channel_says_that_it_takes_nothing_until_it_is_started_again() -> None:
    source, sink = ChannelSource(), Told()
    source.send(GenericEvent(ObjectKey("default", "dropped")))
    source.stop()
    assert source.describe() == "channel: stopped"
    assert not source.send(GenericEvent(KEY))
    source.start(sink)
    assert source.send(GenericEvent(KEY))
    assert sink.keys == ["default/a"]


def test_a_channel_feeds_one_controller() -> None:
    source = ChannelSource(name="hooks")
    source.start(Told())
    other: Sink = Told()
    with pytest.raises(ConfigurationError, match="hooks feeds controller c already"):
        source.start(other)


def test_a_channel_refuses_another_thread_and_says_what_to_write() -> None:
    source, sink = ChannelSource(), Told()
    source.start(sink)
    said: list[str] = []

    def elsewhere() -> None:
        try:
            source.send(GenericEvent(KEY))
        except RuntimeError as error:
            said.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert said == ["channel: from another thread, write loop.call_soon_threadsafe(source.send, event)"]
    assert sink.events == []


def test_a_channel_is_synced_as_soon_as_it_is_started() -> None:
    source: StoppableSource = ChannelSource()

    async def main() -> float:
        source.start(Listener())
        await source.wait_for_sync()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 0


def test_what_a_handler_or_predicate_raises_names_it_and_its_controller_and_the_object_but_no_value_of_it() -> None:
    def fails(obj: EncodedObject) -> list[Request]:
        raise KeyError("labels")

    def fails_on_events(event: Event) -> bool:
        raise KeyError("labels")

    event = GenericEvent(KEY, encoded("a", 1))
    handler = EnqueueRequestsFromMapFunc(fails)
    for source, asked in (
        (ChannelSource(handler), "EnqueueRequestsFromMapFunc"),
        (ChannelSource(predicates=[PredicateFuncs(generic=fails_on_events, name="Mine")]), "Mine"),
    ):
        source.start(Listener())
        with pytest.raises(KeyError) as caught:
            source.send(event)
        assert caught.value.__notes__ == [f"raised by {asked} of controller c, at generic default/a"]


@pytest.mark.parametrize(
    ("options", "is_whole"),
    [
        pytest.param({}, True, id="all of it"),
        pytest.param({"metadata_only": True}, False, id="metadata alone"),
        pytest.param({"transform": lambda held: held}, False, id="a transform"),
        pytest.param({"transform_bytes": lambda held: held}, False, id="a transform of bytes"),
    ],
)
def test_a_sighting_of_a_kind_that_is_held_in_part_trusts_the_generation_alone(
    options: dict[str, Any], is_whole: bool
) -> None:
    def version(number: int, generation: int) -> EncodedObject:
        found = wire("a", number, generation=generation)
        return EncodedObject.from_json(msgspec.json.encode({**found, "status": {"seen": number}}))

    async def main() -> None:
        server, sink, stopping = ApiServer(wall=LoopWallClock()), Listener(), asyncio.Event()
        client, cache = Client(RestClient(InProcessTransport(server))), Cache(RestClient(InProcessTransport(server)))
        cache.options(WIDGETS, **options)
        await client.create(CRD, resource=CUSTOM_RESOURCE_DEFINITION)
        await asyncio.sleep(1)
        await client.create({"metadata": {"name": "a", "namespace": "default"}}, resource=WIDGETS)
        source = Kind(cache, WIDGETS, ledger=OwnWrites())
        source.start(sink)
        async with asyncio.TaskGroup() as group:
            group.create_task(cache.run(stopping))
            await source.wait_for_sync()
            stopping.set()
        (sighting,) = sink.sightings
        assert sighting is not None
        old, moved, unmoved = version(1, 1), version(2, 2), version(2, 1)
        assert msgspec.structs.replace(sighting, old=old, new=moved).is_status_only() is is_whole
        assert msgspec.structs.replace(sighting, old=old, new=unmoved).is_status_only()

    run_virtual(main())
