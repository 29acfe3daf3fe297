from __future__ import annotations

import pytest

from reconciler.errors import ConfigurationError
from reconciler.journal import Asked, Explanation, Journal, Origin, State, WakeBy, explain, render
from reconciler.workqueue import Verdict
from tests.journal.scribe import SECOND, Scribe


def standing(explanation: Explanation) -> tuple[int | None, int | None]:
    ready, delayed = explanation.ready, explanation.delayed
    return ready.id if ready else None, delayed.id if delayed else None


def test_on_the_classic_queue_a_ready_ask_and_a_delayed_one_stand_at_once() -> None:
    key = Scribe()
    delayed = key.ask(Verdict.DELAYED, by="requeue_after", after=30)
    ready = key.ask(cause=key.event())
    explanation = key.explain()
    assert standing(explanation) == (ready, delayed)
    assert explanation.state is State.READY
    # The pass takes the ready one, and the delayed one still stands.
    key.end(key.start(ready))
    assert standing(key.explain()) == (None, delayed)
    assert key.explain().state is State.WAITING


@pytest.mark.parametrize(
    ("verdict", "left"),
    [
        pytest.param(Verdict.QUEUED, (2, 1), id="ready beside the delayed"),
        pytest.param(Verdict.PARKED, (2, 1), id="parked beside the delayed"),
        pytest.param(Verdict.DELAYED, (None, 2), id="another delayed"),
        pytest.param(Verdict.SOONER, (None, 2), id="sooner"),
        pytest.param(Verdict.MADE_READY, (2, None), id="the delayed one made ready"),
        pytest.param(Verdict.KEPT_SOONER, (None, 1), id="kept sooner"),
        pytest.param(Verdict.FOLDED, (None, 1), id="folded"),
        pytest.param(Verdict.HELD, (None, 1), id="held"),
    ],
)
def test_what_stands_after_each_verdict_on_a_key_that_waits(
    verdict: Verdict, left: tuple[int | None, int | None]
) -> None:
    key = Scribe()
    first = key.ask(Verdict.DELAYED, by="requeue_after", after=30)
    key.ask(
        verdict, after=5, standing=first if verdict in {Verdict.KEPT_SOONER, Verdict.FOLDED, Verdict.HELD} else None
    )
    assert standing(key.explain()) == left


@pytest.mark.parametrize(
    ("verdict", "is_ready"), [(Verdict.QUEUED, True), (Verdict.PARKED, True), (Verdict.FOLDED, False)]
)
def test_a_promotion_moves_the_delayed_ask_or_ends_it(verdict: Verdict, is_ready: bool) -> None:
    key = Scribe()
    ask = key.ask(Verdict.DELAYED, by="requeue_after", after=30)
    key.at = 30
    key.promote(ask, verdict)
    assert standing(key.explain()) == (ask if is_ready else None, None)


def test_an_ask_that_came_between_hand_out_and_start_stands() -> None:
    key = Scribe()
    taken = key.ask()
    later = key.ask(Verdict.PARKED)
    key.start(taken)
    explanation = key.explain()
    assert (explanation.state, standing(explanation)) == (State.IN_WORK, (later, None))


def test_a_shut_down_queue_holds_nothing_and_nothing_wakes_it() -> None:
    key = Scribe()
    key.ask(Verdict.DELAYED, by="requeue_after", after=30)
    ask = key.ask(Verdict.SHUT_DOWN, lost=-1, standing=0)
    explanation = key.explain()
    assert explanation.state is State.IDLE
    assert [wake.by for wake in explanation.wakes] == [WakeBy.NOTHING]
    assert (explanation.standing, explanation.findings) == (None, ())
    assert [(lost.ask_id, lost.beaten_by) for lost in explanation.lost] == [(ask, 0)]
    assert "the queue is shut down" in list(render(explanation))[-1]
    # A controller that is started anew has a new queue.
    again = key.ask()
    assert standing(key.explain()) == (again, None)


@pytest.mark.parametrize(
    ("what", "owed_at", "withdraws", "delayed"),
    [
        ("promised", 30 * SECOND, False, True),
        ("replaced", 30 * SECOND, True, False),
        ("dropped", None, True, False),
        ("cancelled", None, True, False),
        ("cancelled", None, False, True),
        ("object gone", None, True, False),
        ("lost at stop", None, False, False),
        ("settled", None, False, True),
    ],
)
def test_what_is_owed_after_each_word(what: str, owed_at: int | None, withdraws: bool, delayed: bool) -> None:
    key = Scribe()
    key.owe("promised", 30)
    ask = key.ask(Verdict.DELAYED, by="requeue_after", after=30)
    key.owe(what, 30, withdrew=ask if withdraws else 0)
    explanation = key.explain()
    assert explanation.owed_at == owed_at
    assert standing(explanation) == (None, ask if delayed else None)


def test_an_owed_time_that_is_replaced_by_another_is_owed_from_then_on() -> None:
    key = Scribe()
    key.owe("promised", 30)
    key.owe("replaced", 60)
    assert key.explain().owed_at == 60 * SECOND


def test_an_owed_time_says_which_events_would_come_before_it() -> None:
    key = Scribe()
    ask = key.ask(Verdict.DELAYED, by="requeue_after", after=30)
    key.owe("promised", 30)
    owed, event = key.explain().wakes
    assert (owed.by, owed.at, owed.ask) == (WakeBy.OWED, 30 * SECOND, ask)
    assert event.by is WakeBy.LOUD_EVENT
    assert "quiet ones wait" in event.sentence


def states() -> list[tuple[Scribe, State, list[WakeBy], str]]:
    idle, failed, ready, waiting, work, parked = (Scribe() for _ in range(6))
    idle.cycle()
    failed.end(failed.start(failed.ask()), "failed for good")
    ready.ask(cause=ready.event())
    waiting.ends_and_asks(waiting.start(waiting.ask()), 30)
    work.start(work.ask())
    parked.start(parked.ask())
    parked.ask(Verdict.PARKED)
    return [
        (Scribe(), State.NEVER_SEEN, [WakeBy.ONLY_EVENT], "now: never seen: its first event would wake it"),
        (
            idle, State.IDLE, [WakeBy.ONLY_EVENT],
            "now: idle: the last pass ended well (#4); nothing is asked for, only an event would wake it",
        ),
        (
            failed, State.IDLE, [WakeBy.ONLY_EVENT],
            "now: idle: the last pass ended: failed for good (#3); nothing is asked for, only an event would wake it",
        ),
        (
            ready, State.READY, [WakeBy.WORKER, WakeBy.EVENT],
            "now: ready since 0.000s, asked for by #2 (event); a free worker takes it",
        ),
        (
            waiting, State.WAITING, [WakeBy.TIME, WakeBy.EVENT],
            "now: waiting for its retry at 30.000s, asked for by #4 (requeue_after); any event would wake it sooner",
        ),
        (work, State.IN_WORK, [WakeBy.EVENT], "now: a pass is running"),
        (
            parked, State.IN_WORK, [WakeBy.END_OF_PASS, WakeBy.EVENT],
            "now: a pass is running; the next one comes as soon as the pass in work ends, asked for by #3",
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(("key", "state", "wakes", "line"), states())
def test_each_state_has_its_wakes_and_its_sentence(key: Scribe, state: State, wakes: list[WakeBy], line: str) -> None:
    explanation = key.explain()
    assert explanation.state is state
    assert [wake.by for wake in explanation.wakes] == wakes
    assert list(render(explanation))[-1] == f"  {line}"


def test_moments_are_told_as_the_reader_wants_them() -> None:
    key = Scribe()
    key.at = 5
    key.ends_and_asks(key.start(key.ask()), 30)
    assert list(render(key.explain(), start=5 * SECOND))[-1].startswith("  now: waiting for its retry at 30.000s")
    told = list(render(key.explain(), tell=lambda at: f"<{at // SECOND}>"))
    assert told[1].split()[0] == "<5>"
    assert "at <35>" in told[-1]


def test_an_own_event_is_linked_to_its_write_also_when_it_came_before_the_answer() -> None:
    key = Scribe()
    started = key.start(key.ask())
    early = key.event(origin=Origin.UNDETERMINED, old="1", new="2")
    first = key.write(started, "1", "2")
    second = key.write(started, "2", "3")
    late = key.event(origin=Origin.OWN, old="2", new="3")
    explanation = key.explain()
    assert explanation.links == {early: first, late: second}
    assert [line.rpartition("<- ")[2] for line in render(explanation) if " seen" in line] == [f"#{first}", f"#{second}"]
    assert [record.id for record in explanation.chain(late)] == [1, started, second, late]


@pytest.mark.parametrize(
    ("old", "origin", "verb"),
    [
        pytest.param("", Origin.UNDETERMINED, "patch", id="a write without precondition may have changed nothing"),
        pytest.param("2", Origin.UNDETERMINED, "update", id="a write that changed nothing"),
        pytest.param("1", Origin.FOREIGN, "update", id="an event that is known to be somebody else's"),
    ],
)
def test_a_version_alone_makes_no_event_an_own_one(old: str, origin: Origin, verb: str) -> None:
    key = Scribe()
    key.write(key.start(key.ask()), old, "2", verb=verb)
    key.event(origin=origin, old="1", new="2")
    assert key.explain().links == {}


def test_an_object_that_the_pass_created_is_its_own() -> None:
    key = Scribe()
    write = key.write(key.start(key.ask()), "", "9", verb="create", code=201)
    event = key.event("create", new="9", source="default/child", kind="Pod")
    assert key.explain().links == {event: write}


def test_a_chain_leads_from_a_pass_back_to_the_event_of_the_pass_before() -> None:
    key = Scribe()
    event = key.event()
    first = key.ask(cause=event)
    start = key.start(first, event)
    again = key.ends_and_asks(start, 30)
    key.at = 30
    key.promote(again)
    second = key.start(again, again - 1)
    key.event()
    explanation = key.explain()
    assert [record.id for record in explanation.chain(second)] == [event, first, start, again - 1, again, second]
    with pytest.raises(KeyError):
        explanation.chain(999)


def test_a_journal_explains_a_key_and_finds_its_controller() -> None:
    journal = Journal()
    key, other = Scribe(journal, "default/a", "one"), Scribe(journal, "default/b", "two")
    key.cycle()
    other.cycle()
    assert journal.explain("default/a") == explain(journal, "one", "default/a")
    assert journal.explain("default/b").scope == "two"
    assert journal.explain("default/c").state is State.NEVER_SEEN
    Scribe(journal, "default/a", "two").cycle()
    with pytest.raises(ConfigurationError, match=r"default/a: one, two; name one with scope="):
        journal.explain("default/a")
    assert journal.explain("default/a", scope="two").scope == "two"


def test_what_stands_is_known_when_the_key_was_evicted_in_between() -> None:
    journal = Journal(keys_max=1)
    key = Scribe(journal)
    gone = key.ask(Verdict.DELAYED, by="requeue_after", after=30)
    Scribe(journal, "other").cycle()
    merged = key.ask(Verdict.KEPT_SOONER, by="requeue_after", after=60, standing=gone, ready_at=30)
    explanation = key.explain()
    assert explanation.delayed is not None
    assert (explanation.delayed.id, explanation.delayed.ready_at) == (merged, 30 * SECOND)
    assert list(render(Scribe(journal, "other").explain()))[-1] == (
        "  now: no record of this key: never seen, or among the 2 keys that left the journal"
    )


def test_promotions_owed_times_and_dropped_events_have_words() -> None:
    key = Scribe()
    ask = key.ask(Verdict.DELAYED, by="requeue_after", after=30)
    key.owe("promised", 30)
    key.event(source="default/child", kind="Pod", dropped_by="GenerationChanged", new="7")
    key.at = 30
    key.promote(ask)
    lines = [line.split(maxsplit=2)[2] for line in list(render(key.explain()))[2:5]]
    assert lines == [
        "owed wake-up at 30.000s: promised",
        "update of Pod default/child seen, changed status or other, foreign, version 7; dropped by GenerationChanged",
        f"the time of #{ask} has come: the key is ready  <- #{ask}",
    ]
    assert isinstance(key.explain().records[0], Asked)
