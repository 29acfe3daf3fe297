from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from reconciler.clock import LoopClock
from reconciler.instant import Instant, milliseconds, seconds
from reconciler.testing import IdleLoopError, run_virtual
from reconciler.workqueue import ClassicQueue, Discipline, Item, Placed, PriorityQueue, Promotion, Standing, Verdict

from .both import BOTH, OddLimiter, all_keys, assert_cancelled, blocked, key_of, new_queue, on_both, virtual

# Handing out


@on_both
async def test_a_ready_key_is_handed_out_at_once_with_its_causes(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a", causes=(7,))
    assert await queue.get() == Item("a", 0, (7,), LoopClock().now(), 1)


@on_both
async def test_a_delayed_key_comes_at_its_time_to_the_nanosecond(discipline: Discipline) -> None:
    queue = new_queue(discipline, rate_limiter=OddLimiter())
    await asyncio.sleep(0.000000003)
    queue.add_after("b", timedelta(seconds=30, milliseconds=10))
    queue.add_rate_limited("a")
    times: list[int] = []
    for _ in range(2):
        await queue.get()
        times.append(LoopClock().now())
    assert times == [30_009_999_999, 30_010_000_003]


@on_both
async def test_a_sooner_ask_wakes_a_waiting_consumer_sooner(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add_after("a", timedelta(seconds=30))
    consumer = await blocked(queue)
    queue.add_after("b", timedelta(seconds=10))
    assert key_of(await consumer) == "b"
    assert LoopClock().now() == seconds(10)


@virtual
async def test_priority_a_consumer_outlives_a_wake_up_that_an_event_used_up() -> None:
    queue = new_queue("priority")
    queue.add_after("a", timedelta(seconds=30))
    first, second = await blocked(queue), await blocked(queue)
    queue.add("a")
    assert key_of(await first) == "a"
    queue.add_after("b", timedelta(seconds=40))
    assert key_of(await second) == "b"
    assert LoopClock().now() == seconds(40)


@virtual
async def test_classic_an_event_leaves_the_wake_up_to_the_next_consumer() -> None:
    queue = new_queue("classic")
    queue.add_after("a", timedelta(seconds=30))
    first, second = await blocked(queue), await blocked(queue)
    queue.add("a")
    assert key_of(await first) == "a"
    queue.done("a")
    assert key_of(await second) == "a"
    assert LoopClock().now() == seconds(30)


@on_both
async def test_the_length_and_the_snapshot_see_what_fell_due_although_nobody_waits(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add_after("a", timedelta(seconds=30))
    assert len(queue) == 0
    await asyncio.sleep(30)
    assert [row.standing for row in queue.snapshot().rows] == [Standing.READY]
    assert len(queue) == 1


@pytest.mark.parametrize("discipline", BOTH)
def test_a_queue_without_consumers_sets_no_timer(discipline: Discipline) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        queue.add_after("a", timedelta(seconds=30))
        consumer = await blocked(queue)
        consumer.cancel()
        await assert_cancelled(consumer)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(IdleLoopError, match=r"at 0\.000"):
        run_virtual(main())


@pytest.mark.parametrize("discipline", BOTH)
def test_a_get_on_an_empty_queue_waits_for_ever(discipline: Discipline) -> None:
    async def main() -> None:
        await new_queue(discipline).get()

    with pytest.raises(IdleLoopError):
        run_virtual(main())


@on_both
async def test_a_key_is_with_one_worker_at_a_time_and_comes_back_at_done(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    await queue.get()
    queue.add("a")
    consumer = await blocked(queue)
    queue.done("a")
    assert key_of(await consumer) == "a"


@pytest.mark.parametrize(
    ("discipline", "order"),
    [
        pytest.param("classic", "ba", id="classic: at the end of the line"),
        pytest.param("priority", "ab", id="priority: where its ask stood"),
    ],
)
def test_a_key_asked_for_in_work_comes_back_at_done(discipline: Discipline, order: str) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        queue.add("a")
        await queue.get()
        queue.add_with_opts(["a", "b"])
        queue.done("a")
        assert await all_keys(queue) == order

    run_virtual(main())


@pytest.mark.parametrize(
    ("discipline", "order"),
    [
        pytest.param("classic", "ba", id="classic: by when they joined the line"),
        pytest.param("priority", "ab", id="priority: by their counters"),
    ],
)
def test_what_fell_due_in_work_joined_the_line_before_done(discipline: Discipline, order: str) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.add_after("b", timedelta(seconds=10))
        # The only worker is busy, so no timer runs.
        await asyncio.sleep(20)
        queue.done("a")
        assert await all_keys(queue) == order

    run_virtual(main())


@on_both
async def test_a_wake_up_that_fell_due_in_work_is_told_as_parked(discipline: Discipline) -> None:
    told: list[Promotion[str]] = []
    queue = new_queue(discipline, on_promoted=told.append)
    queue.add("a")
    await queue.get()
    queue.add_after("a", timedelta(seconds=10))
    await asyncio.sleep(20)
    queue.done("a")
    assert told == [Promotion("a", 2, Instant(seconds(10)), Verdict.PARKED)]
    assert await all_keys(queue) == "a"


@pytest.mark.parametrize(
    ("discipline", "order"),
    [
        pytest.param("classic", ["a", "b"], id="classic: in their order"),
        pytest.param("priority", ["b", "a"], id="priority: the higher first"),
    ],
)
def test_keys_of_one_call_reach_the_consumers_in_the_order_of_the_queue(
    discipline: Discipline, order: list[str]
) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        queue.add_with_opts(["b"], after=timedelta(seconds=30), priority=9)
        first, second = await blocked(queue), await blocked(queue)
        queue.add_with_opts(["a", "b"])
        assert [key_of(await first), key_of(await second)] == order

    run_virtual(main())


# Delays and the limiter


# What is given as `after`, and when the key is ready on the priority queue.
AFTER_AND_LIMITED = [
    pytest.param(None, milliseconds(5), id="the limiter alone"),
    pytest.param(timedelta(0), milliseconds(5), id="zero counts as not given"),
    pytest.param(timedelta(seconds=1), milliseconds(5), id="the limiter is sooner"),
    pytest.param(timedelta(milliseconds=1), milliseconds(1), id="the delay is sooner"),
    pytest.param(timedelta(seconds=-1), 0, id="a negative delay asks for now"),
]


@pytest.mark.parametrize(("after", "on_priority"), AFTER_AND_LIMITED)
@pytest.mark.parametrize("discipline", BOTH)
def test_a_delay_and_a_limiter_the_priority_queue_takes_the_smaller_and_classic_the_limiters(
    discipline: Discipline, after: timedelta | None, on_priority: int
) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        queue.add_with_opts(["a"], after=after, rate_limited=True)
        expected = on_priority if discipline == "priority" else milliseconds(5)
        assert [row.ready_at for row in queue.snapshot().rows] == [expected]
        assert queue.num_requeues("a") == 1
        queue.forget("a")
        assert queue.num_requeues("a") == 0
        assert queue.snapshot().rows

    run_virtual(main())


@on_both
async def test_the_limiter_is_charged_for_a_key_that_is_ready_already(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    queue.add_with_opts(["a", "a"], rate_limited=True)
    queue.add_rate_limited("a")
    assert queue.num_requeues("a") == 3


@on_both
async def test_without_a_limiter_of_its_own_a_queue_has_the_default_of_its_kind(discipline: Discipline) -> None:
    queue = (ClassicQueue[str] if discipline == "classic" else PriorityQueue[str])(clock=LoopClock())
    queue.add_with_opts([f"{number}" for number in range(101)], rate_limited=True)
    # Only the classic default has a bucket of 100 tokens over all keys: the 101st waits for a tenth of a second.
    last = queue.snapshot().rows[-1].ready_at
    assert last == milliseconds(100 if discipline == "classic" else 5)


# What is told


@on_both
async def test_every_ask_is_told_with_its_own_id_and_who_asked(discipline: Discipline) -> None:
    told: list[tuple[int, str, Verdict, str]] = []
    queue = new_queue(discipline, lambda placed, by: told.append((placed.ask, placed.key, placed.verdict, by)))

    queue.add_after("a", timedelta(seconds=30))
    queue.add("a")
    queue.add_rate_limited("b")
    queue.add_with_opts(["b", "b"], rate_limited=True, by="requeue")
    queue.add_at("c", LoopClock().now())
    queue.hold("c", LoopClock().now())
    queue.shut_down()
    queue.add("a")

    assert told == [
        (1, "a", Verdict.DELAYED, "requeue_after"),
        (2, "a", Verdict.QUEUED if discipline == "classic" else Verdict.MADE_READY, "event"),
        (3, "b", Verdict.DELAYED, "backoff"),
        (4, "b", Verdict.KEPT_SOONER, "requeue"),
        (5, "b", Verdict.KEPT_SOONER, "requeue"),
        (6, "c", Verdict.QUEUED, "requeue_after"),
        (7, "c", Verdict.HELD, "hold"),
        (8, "a", Verdict.SHUT_DOWN, "event"),
    ]


@pytest.mark.parametrize(
    ("discipline", "lost", "causes"),
    [
        pytest.param("classic", 0, (79,), id="classic: the delay stands beside it"),
        pytest.param("priority", 70, (69, 79), id="priority: the delay is gone"),
    ],
)
def test_the_ids_of_asks_can_come_from_outside(discipline: Discipline, lost: int, causes: tuple[int, ...]) -> None:
    async def main() -> None:
        told: list[Placed[str]] = []
        ids = iter([70, 80]).__next__
        queue = new_queue(discipline, lambda placed, by: told.append(placed), ask_ids=ids)
        queue.add_after("a", timedelta(seconds=30), causes=(69,))
        queue.add("a", causes=(79,))
        assert [(one.ask, one.lost_ask, one.causes) for one in told] == [(70, 0, (69,)), (80, lost, (79,))]
        assert await queue.get() == Item("a", 0, causes, LoopClock().now(), 80)

    run_virtual(main())


@on_both
async def test_a_promotion_is_told_once_before_its_worker_runs(discipline: Discipline) -> None:
    events: list[object] = []
    queue = new_queue(discipline, on_promoted=events.append)
    queue.add_after("a", timedelta(seconds=30))

    async def work() -> None:
        await queue.get()
        events.append("worker")

    await asyncio.create_task(work())
    assert events == [Promotion("a", 1, LoopClock().now(), Verdict.QUEUED), "worker"]
    assert LoopClock().now() == seconds(30)


@on_both
async def test_an_ask_is_told_before_its_worker_runs(discipline: Discipline) -> None:
    events: list[str] = []
    queue = new_queue(discipline, lambda placed, by: events.append("told"))

    async def work() -> None:
        await queue.get()
        events.append("worker")

    worker = asyncio.create_task(work())
    await asyncio.sleep(0)
    queue.add("a")
    await worker
    assert events == ["told", "worker"]


@on_both
async def test_an_observer_that_raises_does_not_strand_the_key(discipline: Discipline) -> None:
    def raises(placed: Placed[str], by: str) -> None:
        raise ZeroDivisionError

    queue = new_queue(discipline, raises)
    consumer = await blocked(queue)
    with pytest.raises(ZeroDivisionError):
        queue.add("a")
    assert key_of(await consumer) == "a"


@on_both
async def test_the_repr_says_in_one_line_what_is_inside(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    queue.add("b")
    queue.add_after("c", timedelta(seconds=1))
    await queue.get()
    inside = f"<{discipline.title()}Queue 1 ready, 1 waiting, 1 held, 0 consumers"
    assert repr(queue) == f"{inside}>"
    queue.shut_down()
    assert repr(queue) == f"{inside}, shut down>"


# Shutting down


@on_both
async def test_a_shut_down_ends_every_get_that_waits(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    consumers = [await blocked(queue), await blocked(queue)]
    queue.add_after("later", timedelta(seconds=1))
    assert not queue.is_shutting_down
    queue.shut_down()
    queue.shut_down()
    assert [await consumer for consumer in consumers] == [None, None]
    await asyncio.sleep(2)
    assert await queue.get() is None
    assert queue.is_shutting_down


@pytest.mark.parametrize(
    ("discipline", "handed_out"),
    [
        pytest.param("classic", ["a", "b", None], id="classic: handed out"),
        pytest.param("priority", [None, None, None], id="priority: abandoned"),
    ],
)
def test_what_is_queued_at_the_shut_down(discipline: Discipline, handed_out: list[str | None]) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        queue.add_with_opts(["a", "b"])
        queue.shut_down()
        assert len(queue) == 2
        assert [key_of(await queue.get()) for _ in range(3)] == handed_out

    run_virtual(main())


@pytest.mark.parametrize(
    ("discipline", "handed_out"),
    [
        pytest.param("classic", "a", id="classic: handed out once more"),
        pytest.param("priority", None, id="priority: abandoned"),
    ],
)
def test_a_key_asked_for_in_work_can_be_done_after_the_shut_down(
    discipline: Discipline, handed_out: str | None
) -> None:
    async def main() -> None:
        queue = new_queue(discipline)
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.shut_down()
        queue.done("a")
        assert key_of(await queue.get()) == handed_out

    run_virtual(main())


@on_both
async def test_a_key_held_at_the_shut_down_can_still_be_done(discipline: Discipline) -> None:
    queue = new_queue(discipline)
    queue.add("a")
    await queue.get()
    queue.shut_down()
    queue.done("a")
    assert await queue.get() is None
    assert queue.snapshot().rows == ()
