"""
Stories about `Result(hold=True)`, each on any server and queue: one for each row of the table in docs/hold.md.

Times are in units, one second in virtual time and less on a real server. A story says when passes start; on a real
server within a tolerance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import anyio
import msgspec

from reconciler.api import ObjectKey, ResourceType
from reconciler.builder import controller_managed_by
from reconciler.client import Client, HttpRequest, HttpResponse, HttpStream, RestClient, Transport
from reconciler.control_loop import Controller
from reconciler.errors import ConnectionFailedError, TerminalError
from reconciler.event import GenericEvent
from reconciler.journal import Cause, EventSeen, Origin, Owed, PassStarted, current_cause
from reconciler.manager import Manager
from reconciler.reconcile import Request, Result
from reconciler.source import ChannelSource
from reconciler.workqueue import Discipline, ItemExponentialRateLimiter

TILES = ResourceType("hold.example.com", "v1", "Tile", "tiles")
CHIPS = ResourceType("hold.example.com", "v1", "Chip", "chips")
"""Owned by tiles."""

_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _definition(kind: ResourceType) -> dict[str, Any]:
    names = {"plural": kind.plural, "singular": kind.kind.lower(), "kind": kind.kind, "listKind": f"{kind.kind}List"}
    schema = {"type": "object", "properties": {"spec": _ANYTHING, "status": _ANYTHING}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": names,
            "versions": [{**version, "subresources": {"status": {}}}],
        },
    }


DEFINITIONS = tuple(_definition(kind) for kind in (TILES, CHIPS))

Step = Callable[[], Awaitable[Result | None]]


class Weather:
    """Passes everything on; answers to writes can come late, and a watch can fall behind until it expires."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.answer_delay = 0.0
        self.loses_answers = False
        self._is_behind = False
        self._expiry = asyncio.Event()

    def fall_behind(self) -> None:
        """Let no line of the watch through any more."""
        self._is_behind = True

    def expire(self) -> None:
        """End the watch with 410, so that the cache lists again."""
        self._is_behind = False
        self._expiry.set()
        self._expiry = asyncio.Event()

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer = await self._inner.send(request)
        if request.method != "GET":
            await asyncio.sleep(self.answer_delay)
            if self.loses_answers:
                raise ConnectionFailedError(f"{request.method}: the answer was lost")
        return answer

    def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
        return self._stream(request)

    async def aclose(self) -> None:
        """Leave the inner one open: other benches use it."""

    @asynccontextmanager
    async def _stream(self, request: HttpRequest) -> AsyncGenerator[HttpStream, None]:
        async with self._inner.stream(request) as stream, aclosing(self._lines(stream.lines)) as lines:
            yield HttpStream(stream.status, stream.headers, lines)

    async def _lines(self, inner: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        has_expired = self._expiry
        expiry = asyncio.ensure_future(has_expired.wait())
        line: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                line = asyncio.ensure_future(_next(inner))
                await asyncio.wait({line, expiry}, return_when=asyncio.FIRST_COMPLETED)
                if has_expired.is_set():
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "status": "Failure", "message": "old"}
                    yield msgspec.json.encode({"type": "ERROR", "object": gone})
                    return
                came = line.result()
                if came is None:
                    return
                if not self._is_behind:
                    yield came
        finally:
            for waiting in (expiry, line):
                if waiting is not None and not waiting.done():
                    waiting.cancel()
                    with suppress(asyncio.CancelledError):
                        await waiting


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)


@dataclass
class Bench:
    """One controller over tiles, whose passes do what a script says; then they return None."""

    manager: Manager
    outsider: Client
    weather: Weather
    namespace: str
    unit: float
    tolerance: float
    began: float
    steps: list[Step] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    controller: Controller = field(init=False)
    channel: ChannelSource = field(default_factory=ChannelSource)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def wire(self, queue: Discipline) -> None:
        """Make the controller of `manager`."""
        limiter = ItemExponentialRateLimiter(base_ns=round(2 * self.unit * 1e9))
        self.controller = (
            controller_managed_by(self.manager)
            .for_(TILES)
            .owns(CHIPS)
            .watches_raw(self.channel)
            .with_options(queue=queue, rate_limiter=limiter, reconcile_timeout=self.span(3))
            .complete(self.reconcile)
        )

    async def run(self) -> None:
        """Run the present manager until `stopping`."""
        ended = self.ended
        await self.manager.run(self.stopping)
        ended.set()

    async def stop(self) -> None:
        """Stop the manager, and wait for its end."""
        self.stopping.set()
        await self.ended.wait()

    async def reconcile(self, request: Request) -> Result | None:
        del request
        self.starts.append(self.now())
        return await self.steps.pop(0)() if self.steps else None

    def now(self) -> float:
        """Return the time in units since the story began."""
        return (asyncio.get_running_loop().time() - self.began) / self.unit

    async def at(self, moment: float) -> None:
        await asyncio.sleep((moment - self.now()) * self.unit)

    def span(self, units: float) -> timedelta:
        return timedelta(seconds=units * self.unit)

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.namespace, "a")

    @property
    def request(self) -> Request:
        return Request(self.namespace, "a")

    async def create(self, **metadata: Any) -> None:
        body = {"metadata": {"name": "a", "namespace": self.namespace, **metadata}, "spec": {}}
        await self.outsider.create(body, resource=TILES)

    async def write_status(self, client: Client | None = None, **status: Any) -> None:
        """Write the status with a resource version, as a careful controller does."""
        client = client or self.manager.client
        tile = await client.get(TILES, self.key)
        await client.status.update({**tile, "status": status}, resource=TILES)

    async def write_spec(self, client: Client | None = None, **spec: Any) -> None:
        client = client or self.manager.client
        tile = await client.get(TILES, self.key)
        await client.update({**tile, "spec": spec}, resource=TILES)

    def says(
        self, result: Result | None = None, *, before: Callable[[], Awaitable[None]] | None = None, lasting: float = 0
    ) -> Step:
        async def step() -> Result | None:
            if before is not None:
                await before()
            await asyncio.sleep(lasting * self.unit)
            return result

        return step

    def holds(
        self,
        units: float,
        *,
        mode: Any = True,
        before: Callable[[], Awaitable[None]] | None = None,
        lasting: float = 0,
    ) -> Step:
        return self.says(Result(requeue_after=self.span(units), hold=mode), before=before, lasting=lasting)

    def fails(self, error: Exception) -> Step:
        async def step() -> Result | None:
            raise error

        return step

    def expect(self, *starts: float) -> None:
        """Check when passes started: never sooner, and at most the tolerance later."""
        seen = [round(start, 3) for start in self.starts]
        assert len(seen) == len(starts), (seen, starts)
        for start, wanted in zip(self.starts, starts, strict=True):
            assert -0.001 <= start - wanted <= self.tolerance, (seen, starts)

    def records(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.controller.explain(self.request).records if isinstance(each, kind)]

    def owed(self) -> list[str]:
        return [record.what for record in self.records(Owed)]

    def origins(self) -> list[Origin]:
        return [record.origin for record in self.records(EventSeen) if record.verb == "update"]


Story = Callable[[Bench], Awaitable[None]]


async def nobody() -> None:
    """Wait for nobody."""


async def tell(
    story: Story,
    inner: Transport,
    *,
    queue: Discipline,
    namespace: str,
    unit: float,
    tolerance: float,
    others: Callable[[], Awaitable[None]] = nobody,
) -> None:
    """Run a controller against the server behind `inner` while `story` is told, once the `others` are ready, too."""
    weather = Weather(inner)
    manager = Manager(weather, namespace=namespace, seed=3)
    bench = Bench(
        manager, Client(RestClient(inner)), weather, namespace, unit, tolerance, asyncio.get_running_loop().time()
    )
    bench.wire(queue)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.run)
        for kind in (TILES, CHIPS):
            await manager.cache.informer(kind).wait_for_sync()
        await others()
        bench.began = asyncio.get_running_loop().time()
        await story(bench)
        bench.stopping.set()


async def an_own_write_waits_for_the_owed_time_and_its_pass_sees_it(b: Bench) -> None:
    b.steps = [b.holds(5, before=lambda: b.write_status(n=1)), b.holds(4)]
    await b.create()
    await b.at(8)
    b.expect(0, 5)
    assert b.origins() == [Origin.OWN] or b.origins() == [Origin.UNDETERMINED]
    own = next(record for record in b.records(EventSeen) if record.verb == "update")
    assert own.id in b.records(PassStarted)[1].causes
    assert b.owed() == ["promised", "settled", "promised"]


async def an_event_that_comes_before_its_writes_answer_waits_too(b: Bench) -> None:
    b.weather.answer_delay = 0.2  # of a second: the watch is faster by far
    b.steps = [b.holds(5, before=lambda: b.write_status(n=1))]
    await b.create()
    await b.at(7)
    delay = 0.2 / b.unit
    b.expect(0, 5 + delay)
    assert b.origins() == [Origin.UNDETERMINED]


async def a_no_op_patch_that_returns_a_foreigners_version_makes_nothing_quiet(b: Bench) -> None:
    async def meet_a_foreigner() -> None:
        await b.write_spec(b.outsider, size=1)
        await b.manager.client.patch(TILES, b.key, {"spec": {"size": 1}})  # changes nothing, and has no precondition

    b.steps = [b.holds(5, before=meet_a_foreigner), b.says()]
    await b.create()
    await b.at(7)
    b.expect(0, 0, 5)
    assert b.origins() == [Origin.FOREIGN]


async def a_foreign_change_starts_a_pass_and_the_owed_time_stands(b: Bench) -> None:
    b.steps = [b.holds(5), b.says()]
    await b.create()
    await b.at(2)
    await b.write_spec(b.outsider, size=2)
    await b.at(7)
    b.expect(0, 2, 5)
    assert b.owed() == ["promised", "settled"]


async def a_foreign_status_waits_only_where_the_result_says_so(b: Bench) -> None:
    b.steps = [b.holds(4, mode="status"), b.holds(4)]
    await b.create()
    await b.at(1)
    await b.write_status(b.outsider, approved=True)
    await b.at(5)
    b.expect(0, 4)
    await b.write_status(b.outsider, approved=False)
    await b.at(9)
    b.expect(0, 4, 5, 8)


async def a_resync_of_the_same_version_waits(b: Bench) -> None:
    b.steps = [b.holds(6)]
    await b.create()
    await b.at(1)
    b.weather.expire()  # the cache lists again, and sees the same version
    await b.at(8)
    b.expect(0, 6)


async def two_own_writes_that_a_relist_joins_wait(b: Bench) -> None:
    async def write_twice() -> None:
        b.weather.fall_behind()
        await b.write_status(n=1)
        await b.write_status(n=2)
        b.weather.expire()
        await asyncio.sleep(1.5 * b.unit)

    b.steps = [b.holds(6, before=write_twice)]
    await b.create()
    await b.at(12)
    b.expect(0, 7.5)
    assert b.origins() == [Origin.OWN]


async def a_relist_over_a_gap_is_loud(b: Bench) -> None:
    async def write_around_a_foreigner() -> None:
        b.weather.fall_behind()
        await b.write_status(n=1)
        await b.write_spec(b.outsider, size=3)
        await b.write_status(n=2)
        b.weather.expire()
        await asyncio.sleep(1.5 * b.unit)

    b.steps = [b.holds(6, before=write_around_a_foreigner)]
    await b.create()
    await b.at(12)
    b.expect(0, 1.5, 7.5)
    assert b.origins() == [Origin.FOREIGN]


async def a_deletion_that_is_asked_for_is_loud_even_by_us(b: Bench) -> None:
    b.steps = [b.holds(5, before=lambda: b.manager.client.delete(TILES, b.key))]
    await b.create(finalizers=["example.com/keep"])
    await b.at(3)
    b.expect(0, 0)
    await b.outsider.patch(TILES, b.key, {"metadata": {"finalizers": None}})
    await b.at(7)
    b.expect(0, 0, 3)
    assert b.owed() == ["promised", "object gone"]


async def an_object_that_is_made_anew_inherits_nothing(b: Bench) -> None:
    b.steps = [b.holds(5)]
    await b.create()
    await b.at(1)
    await b.outsider.delete(TILES, b.key)
    await b.at(2)
    await b.create()
    await b.at(7)
    b.expect(0, 1, 2)
    assert b.owed() == ["promised", "object gone"]


async def a_new_uid_behind_one_name_is_loud_and_inherits_nothing(b: Bench) -> None:
    b.steps = [b.holds(6)]
    await b.create()
    await b.at(1)
    b.weather.fall_behind()
    await b.outsider.delete(TILES, b.key)
    await b.create()
    b.weather.expire()
    await b.at(9)
    assert len(b.starts) == 2
    assert b.starts[1] < 4
    assert b.owed() == ["promised", "object gone"]


async def an_explicit_trigger_is_loud(b: Bench) -> None:
    b.steps = [b.holds(5)]
    await b.create()
    await b.at(1)
    b.controller.queue.add(b.request)
    await b.at(7)
    b.expect(0, 1, 5)


async def quiet_events_during_the_work_wait_and_one_loud_one_takes_them_along(b: Bench) -> None:
    async def write() -> None:
        await b.write_status(n=1)
        await asyncio.sleep(0.5 * b.unit)

    async def write_and_be_met() -> None:
        await b.write_status(n=2)
        await b.write_spec(b.outsider, size=4)
        await asyncio.sleep(0.5 * b.unit)

    b.steps = [b.holds(4, before=write), b.holds(4, before=write_and_be_met)]
    await b.create()
    await b.at(10)
    b.expect(0, 4.5, 5, 9)
    seen = [record.id for record in b.records(EventSeen) if record.verb == "update"]
    assert len(seen) == 3
    second, third = b.records(PassStarted)[1:3]
    assert seen[0] in second.causes
    assert set(seen[1:]) <= set(third.causes)


async def without_hold_an_own_write_starts_a_pass_as_in_go(b: Bench) -> None:
    b.steps = [b.says(Result(requeue_after=b.span(5)), before=lambda: b.write_status(n=1)), b.says()]
    await b.create()
    await b.at(7)
    if b.controller.queue.discipline == "priority":
        b.expect(0, 0)
    else:
        b.expect(0, 0, 5)


async def a_loud_pass_before_the_time_sees_what_was_held(b: Bench) -> None:
    b.steps = [b.holds(5, before=lambda: b.write_status(n=1)), b.says()]
    await b.create()
    await b.at(2)
    await b.write_spec(b.outsider, size=5)
    await b.at(7)
    b.expect(0, 2, 5)
    own, foreign = [record.id for record in b.records(EventSeen) if record.verb == "update"]
    assert {own, foreign} <= set(b.records(PassStarted)[1].causes)


async def a_later_result_replaces_the_owed_time(b: Bench) -> None:
    b.steps = [b.holds(3), b.holds(5)]
    await b.create()
    await b.at(1)
    await b.write_spec(b.outsider, size=6)
    await b.at(8)
    b.expect(0, 1, 6)
    assert b.owed() == ["promised", "replaced", "settled"]


async def a_result_without_hold_turns_the_promise_into_a_hint(b: Bench) -> None:
    b.steps = [b.holds(3), b.says(Result(requeue_after=b.span(5))), b.says()]
    await b.create()
    await b.at(1)
    await b.write_spec(b.outsider, size=7)
    await b.at(8)
    b.expect(0, 1, 6)
    assert b.owed() == ["promised", "dropped"]


async def cancel_drops_the_owed_time(b: Bench) -> None:
    b.steps = [b.holds(3), b.says(Result.cancel())]
    await b.create()
    await b.at(1)
    await b.write_spec(b.outsider, size=8)
    await b.at(6)
    b.expect(0, 1)
    assert b.owed() == ["promised", "cancelled"]


async def an_error_for_good_leaves_the_owed_time_standing(b: Bench) -> None:
    b.steps = [b.holds(4), b.fails(TerminalError("no"))]
    await b.create()
    await b.at(1)
    await b.write_spec(b.outsider, size=9)
    await b.at(6)
    b.expect(0, 1, 4)


async def after_an_error_the_sooner_of_backoff_and_owed_time_comes_first(b: Bench) -> None:
    # The backoff is 2 units, then 4.
    b.steps = [b.holds(6), b.fails(OSError("away")), b.fails(OSError("away"))]
    await b.create()
    await b.at(1)
    await b.write_spec(b.outsider, size=10)
    await b.at(9)
    # At 3 the backoff; at 6 the owed time, sooner than the backoff at 7; what that one asked for is used up or merged.
    b.expect(0, 1, 3, 6)
    assert b.owed() == ["promised", "settled"]


async def a_pass_that_starts_at_the_owed_time_settles_it(b: Bench) -> None:
    b.steps = [b.holds(2), b.says(before=lambda: b.write_status(n=1))]
    await b.create()
    await b.at(5)
    b.expect(0, 2, 2)  # the own write of the second pass is loud again: nothing is owed any more
    assert b.owed() == ["promised", "settled"]


async def a_pass_over_an_object_that_is_gone_by_its_end_is_owed_nothing(b: Bench) -> None:
    async def lose_the_object() -> None:
        await b.outsider.delete(TILES, b.key)
        await asyncio.sleep(0.5 * b.unit)

    b.steps = [b.holds(3, before=lose_the_object)]
    await b.create()
    await b.at(6)
    # A hint, as without `hold`: the deletion uses it up on the priority queue, and not on the classic one.
    b.expect(*([0, 0.5] if b.controller.queue.discipline == "priority" else [0, 0.5, 3.5]))
    assert b.owed() == ["object gone"]


async def an_own_write_to_an_owned_object_waits(b: Bench) -> None:
    chip = ObjectKey(b.namespace, "chip")

    async def make_a_chip() -> None:
        tile = await b.manager.client.get(TILES, b.key)
        owner = {"apiVersion": TILES.api_version, "kind": "Tile", "name": "a", "uid": tile["metadata"]["uid"]}
        metadata = {
            "name": chip.name,
            "namespace": b.namespace,
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": False}],
        }
        await b.manager.client.create({"metadata": metadata, "spec": {}}, resource=CHIPS)

    async def write_the_chip() -> None:
        now = await b.manager.client.get(CHIPS, chip)
        await b.manager.client.update({**now, "spec": {"size": 2}}, resource=CHIPS)
        await asyncio.sleep(0.2 * b.unit)

    b.steps = [b.says(before=make_a_chip), b.holds(4, before=write_the_chip)]
    await b.create()
    await b.at(6)
    b.expect(0, 0, 4.2)  # that the chip was made is loud, and starts the second pass
    assert [record.source for record in b.records(EventSeen) if record.kind == "Chip"] == [f"{b.namespace}/chip"] * 2


async def what_another_controller_of_the_process_writes_is_loud(b: Bench) -> None:
    b.steps = [b.holds(5)]
    await b.create()
    await b.at(2)
    token = current_cause.set(Cause(1, "another", b.request))
    try:
        await b.write_status(n=1)
    finally:
        current_cause.reset(token)
    await b.at(7)
    b.expect(0, 2, 5)
    assert b.origins() == [Origin.FOREIGN]


async def a_write_whose_answer_is_lost_makes_nothing_quiet(b: Bench) -> None:
    async def write_and_hear_nothing() -> None:
        b.weather.loses_answers = True
        with suppress(ConnectionFailedError):
            await b.write_status(n=1)
        b.weather.loses_answers = False
        await asyncio.sleep(0.2 * b.unit)

    b.steps = [b.holds(5, before=write_and_hear_nothing)]
    await b.create()
    await b.at(7)
    b.expect(0, 0.2, 5.2)


async def what_is_not_answered_when_its_pass_ends_is_loud(b: Bench) -> None:
    async def write_without_waiting() -> None:
        b.weather.answer_delay = b.unit
        b.tasks.append(asyncio.create_task(b.write_status(n=1)))
        await asyncio.sleep(0.3 * b.unit)

    b.steps = [b.holds(5, before=write_without_waiting)]
    await b.create()
    await b.at(7)
    await asyncio.gather(*b.tasks)
    b.expect(0, 0.3, 5.3)
    assert b.origins() == [Origin.UNDETERMINED]


async def a_status_that_comes_before_its_answer_waits_where_any_status_does(b: Bench) -> None:
    async def write_without_waiting() -> None:
        b.weather.answer_delay = b.unit
        b.tasks.append(asyncio.create_task(b.write_status(n=1)))
        await asyncio.sleep(0.3 * b.unit)

    b.steps = [b.holds(5, mode="status", before=write_without_waiting)]
    await b.create()
    await b.at(7)
    await asyncio.gather(*b.tasks)
    b.expect(0, 5.3)


async def a_generic_event_is_loud(b: Bench) -> None:
    b.steps = [b.holds(5)]
    await b.create()
    await b.at(1)
    b.channel.send(GenericEvent(b.key))
    await b.at(7)
    b.expect(0, 1, 5)


async def a_stop_loses_what_is_owed_and_the_next_start_brings_the_key_back(b: Bench) -> None:
    b.steps = [b.holds(6)]
    await b.create()
    await b.at(1)
    queue = b.controller.queue.discipline
    await b.stop()
    assert b.owed() == ["promised", "lost at stop"]
    b.manager = Manager(b.weather, namespace=b.namespace, seed=4)
    b.channel, b.stopping, b.ended = ChannelSource(), asyncio.Event(), asyncio.Event()
    b.wire(queue)
    async with anyio.create_task_group() as group:
        group.start_soon(b.run)
        await b.at(8)
        assert len(b.starts) == 2
        assert 1 <= b.starts[1] < 3  # from the initial list, and nobody comes at 6
        assert b.owed() == []
        b.stopping.set()


async def a_requeue_leaves_the_owed_time_standing(b: Bench) -> None:
    b.steps = [b.holds(6), b.says(Result(requeue=True))]
    await b.create()
    await b.at(1)
    await b.write_spec(b.outsider, size=11)
    await b.at(8)
    b.expect(0, 1, 3, 6)  # the backoff is 2 units


async def an_unexpected_error_leaves_the_owed_time_standing(b: Bench) -> None:
    b.steps = [b.holds(6), b.fails(KeyError("oops"))]
    await b.create()
    await b.at(1)
    await b.write_spec(b.outsider, size=12)
    await b.at(8)
    b.expect(0, 1, 3, 6)


async def a_pass_that_runs_into_its_time_out_leaves_the_owed_time_standing(b: Bench) -> None:
    b.steps = [b.holds(8), b.says(lasting=20)]
    await b.create()
    await b.at(1)
    await b.write_spec(b.outsider, size=13)
    await b.at(10)
    b.expect(0, 1, 6, 8)  # out of time at 4, and a backoff of 2


STORIES: tuple[Story, ...] = (
    an_own_write_waits_for_the_owed_time_and_its_pass_sees_it,
    an_event_that_comes_before_its_writes_answer_waits_too,
    a_no_op_patch_that_returns_a_foreigners_version_makes_nothing_quiet,
    a_foreign_change_starts_a_pass_and_the_owed_time_stands,
    a_foreign_status_waits_only_where_the_result_says_so,
    a_resync_of_the_same_version_waits,
    two_own_writes_that_a_relist_joins_wait,
    a_relist_over_a_gap_is_loud,
    a_deletion_that_is_asked_for_is_loud_even_by_us,
    an_object_that_is_made_anew_inherits_nothing,
    a_new_uid_behind_one_name_is_loud_and_inherits_nothing,
    an_explicit_trigger_is_loud,
    quiet_events_during_the_work_wait_and_one_loud_one_takes_them_along,
    without_hold_an_own_write_starts_a_pass_as_in_go,
    a_loud_pass_before_the_time_sees_what_was_held,
    a_later_result_replaces_the_owed_time,
    a_result_without_hold_turns_the_promise_into_a_hint,
    cancel_drops_the_owed_time,
    an_error_for_good_leaves_the_owed_time_standing,
    after_an_error_the_sooner_of_backoff_and_owed_time_comes_first,
    a_pass_that_starts_at_the_owed_time_settles_it,
    a_pass_over_an_object_that_is_gone_by_its_end_is_owed_nothing,
    an_own_write_to_an_owned_object_waits,
    what_another_controller_of_the_process_writes_is_loud,
    a_write_whose_answer_is_lost_makes_nothing_quiet,
    what_is_not_answered_when_its_pass_ends_is_loud,
    a_status_that_comes_before_its_answer_waits_where_any_status_does,
    a_generic_event_is_loud,
    a_stop_loses_what_is_owed_and_the_next_start_brings_the_key_back,
    a_requeue_leaves_the_owed_time_standing,
    an_unexpected_error_leaves_the_owed_time_standing,
    a_pass_that_runs_into_its_time_out_leaves_the_owed_time_standing,
)
