"""What is kept, and who leaves: R1 and R2 of reconciler/journal/retention.py, and the bounds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.journal import Asked, EventSeen, Journal, PassEnded, PassStarted, Present, Record, WakeBy, render
from reconciler.workqueue import Verdict
from tests.journal.scribe import SECOND, Scribe

CYCLES = 500_000
OTHERS = 200_000


def cycle(journal: Journal, key: str, count: int = 1) -> None:
    """Write an event, its ask, and a pass that ends well, without the detours of a `Scribe`: there are millions."""
    append, new_id, queued = journal.append, journal.new_id, Verdict.QUEUED.value
    for _ in range(count):
        event = append(EventSeen(new_id(), (), 0, "c", key, "update"))
        ask = append(Asked(new_id(), (event,), 0, "c", key, "event", queued, 0, 0, -1, 0, event + 1))
        started = append(PassStarted(new_id(), (ask, event), 0, "c", key, 0, 0))
        append(PassEnded(new_id(), (started,), 0, "c", key, "done"))


def test_a_key_that_asked_for_900_s_is_still_explained_after_a_hot_neighbour_and_many_other_keys() -> None:
    # Given a pass that asks for 900 s,
    journal = Journal()
    sleeper = Scribe(journal, "default/sleeper")
    started = sleeper.start(sleeper.ask(cause=sleeper.event()))
    ask = sleeper.ends_and_asks(started, 900)
    # when a neighbour cycles and other keys come and go,
    cycle(journal, "default/neighbour", CYCLES)
    for number in range(OTHERS):
        cycle(journal, f"default/other-{number}")
    # then its pass, its ask and what would wake it are known.
    explanation = sleeper.explain()
    assert {started, ask} <= {record.id for record in explanation.records}
    assert explanation.delayed is not None
    assert explanation.delayed.id == ask
    assert [(wake.by, wake.at) for wake in explanation.wakes] == [(WakeBy.TIME, 900 * SECOND), (WakeBy.EVENT, None)]
    assert list(render(explanation))[-1] == (
        f"  now: waiting for its retry at 900.000s, asked for by #{ask} (requeue_after); any event would wake it sooner"
    )


def test_a_relist_that_makes_thousands_of_keys_ready_evicts_none_that_waits() -> None:
    journal = Journal(keys_max=100)
    sleeper = Scribe(journal, "sleeper")
    sleeper.ask(Verdict.DELAYED, by="requeue_after", after=900)
    for number in range(1_000):
        other = Scribe(journal, f"other-{number}")
        other.ask(cause=other.event())
    assert sleeper.explain().delayed is not None


def test_events_that_change_nothing_do_not_push_out_a_keys_own_ask() -> None:
    journal = Journal(per_key_max=32)
    key = Scribe(journal)
    for _ in range(10):
        key.cycle()
    started = key.start(key.ask(cause=key.event()))
    ask = key.ends_and_asks(started, 900)
    for _ in range(500):
        key.event(dropped_by="GenerationChanged")
    explanation = key.explain()
    assert [type(record) for record in explanation.records[: explanation.pinned]] == [PassStarted, PassEnded, Asked]
    assert explanation.records[explanation.pinned - 1].id == ask
    assert len(explanation.records) + explanation.evicted == 40 + 5 + 500
    assert len(explanation.records) <= 32
    # The gap is shown where it is.
    lines = list(render(explanation))
    assert lines[explanation.pinned + 1] == f"  ... {explanation.evicted} older records are gone"


def test_events_that_change_nothing_do_not_push_out_why_a_wake_up_was_lost() -> None:
    key = Scribe(Journal(per_key_max=64))
    started = key.start(key.ask(cause=key.event()))
    late = key.ends_and_asks(started, 900)
    beating = key.event()
    beat = key.ask(Verdict.MADE_READY, cause=beating, lost=late, lost_at=900)
    key.end(key.start(beat, beating))
    before = key.explain().findings
    for _ in range(500):
        key.event(dropped_by="GenerationChanged")
    assert len(before) == 1
    assert key.explain().findings == before


def test_a_hot_key_never_evicts_a_sleeping_keys_last_ask() -> None:
    journal = Journal(per_key_max=10, records_max=12)
    sleeper = Scribe(journal, "sleeping")
    ask = sleeper.ask(Verdict.DELAYED, after=5)
    hot = Scribe(journal, "hot")
    for _ in range(100):
        hot.event()
    assert [record.id for record in sleeper.explain().records] == [ask]
    assert journal.evicted("c", "hot") >= 90


def test_a_sleeping_key_pays_only_with_what_it_has_beyond_its_share_and_never_with_its_newest() -> None:
    # Given a journal nearly filled by one key that then sleeps,
    journal = Journal(per_key_max=100, records_max=120)
    rich = Scribe(journal, "rich")
    last = [rich.event() for _ in range(90)][-1]
    # when many others write,
    for _ in range(50):
        for number in range(20):
            Scribe(journal, f"poor-{number}").event()
    # then it pays, down to its share and not below, and what is left is its newest.
    share = 120 // 21
    kept = [record.id for record in rich.explain().records]
    assert len(kept) >= share
    assert kept == list(range(last - len(kept) + 1, last + 1))
    assert all(len(journal.records("c", f"poor-{number}")) >= share - share // 4 for number in range(20))


def test_more_keys_than_records_cost_the_longest_silent_key_not_the_newest_record() -> None:
    journal = Journal(keys_max=100, records_max=3)
    for key in "abcde":
        last = Scribe(journal, key).event()
    assert [key for _, key in journal.places()] == ["c", "d", "e"]
    assert [record.id for record in journal.records("c", "e")] == [last]


def test_deleted_objects_leave_first_also_after_the_pass_that_finds_nothing() -> None:
    journal = Journal(keys_max=2)
    Scribe(journal, "alive").event()
    gone = Scribe(journal, "gone")
    gone.event("delete")
    gone.start(gone.ask(cause=gone.event("delete", source="default/child")))
    Scribe(journal, "new").event()
    assert [key for _, key in journal.places()] == ["alive", "new"]
    assert journal.keys_evicted == 1


def test_the_deletion_of_another_object_or_a_new_one_of_the_name_does_not_make_a_key_leave_first() -> None:
    journal = Journal(keys_max=3)
    Scribe(journal, "silent").event()
    Scribe(journal, "owner").event("delete", source="default/child")
    again = Scribe(journal, "again")
    again.event("delete")
    again.event("create")
    Scribe(journal, "new").event()
    assert [key for _, key in journal.places()] == ["owner", "again", "new"]


Step = tuple[str, str]
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.sampled_from(
            [
                "event",
                "create",
                "delete",
                "child",
                "now",
                "later",
                "beat",
                "kept",
                "start",
                "end",
                "stop",
                "owe",
                "settle",
            ]
        ),
    ),
    max_size=80,
)


def write(journal: Journal, step: Step) -> None:
    key, what = step
    scribe = Scribe(journal, key)
    ready, delayed = (journal.present("c", key).ready, journal.present("c", key).delayed)
    match what:
        case "event":
            scribe.event()
        case "create" | "delete":
            scribe.event(what)
        case "child":
            scribe.event("delete", source="default/child")
        case "now":
            scribe.ask(Verdict.QUEUED)
        case "later":
            scribe.ask(Verdict.DELAYED, by="requeue_after", after=5)
        case "beat" if delayed:
            scribe.ask(Verdict.MADE_READY, lost=delayed.id, lost_at=5)
        case "kept" if standing := ready or delayed:
            scribe.ask(Verdict.KEPT_SOONER, by="requeue_after", after=9, lost=-1, standing=standing.id)
        case "beat" | "kept":
            scribe.event()
        case "start":
            taken = ready or delayed
            scribe.start(*([taken.id] if taken else []))
        case "end":
            scribe.end(0)
        case "stop":
            scribe.ask(Verdict.SHUT_DOWN, standing=0)
        case _:
            scribe.owe("promised" if what == "owe" else "settled", 5)


def leaves_before(records: list[Record]) -> tuple[int, int]:
    """R1 by hand, over the whole history of a key since it came in."""
    present = Present()
    present.follow(records)
    own = [record for record in records if getattr(record, "verb", "") and not getattr(record, "source", "")]
    if own and getattr(own[-1], "verb", "") == "delete":
        rank = 0
    elif present.is_shut_down or not present.has_pending:
        rank = 1
    else:
        rank = 3 if present.is_asleep else 2
    return rank, records[-1].id


@settings(deadline=None)
@given(STEPS, st.integers(1, 6))
def test_keys_leave_in_the_order_of_r1(steps: list[Step], keys_max: int) -> None:
    journal = Journal(keys_max=keys_max)
    histories: dict[str, list[Record]] = {}
    for step in steps:
        if step[0] not in histories and len(histories) == keys_max:
            del histories[min(histories, key=lambda key: leaves_before(histories[key]))]
        write(journal, step)
        histories.setdefault(step[0], []).append(journal.records("c", step[0])[-1])
        assert {key for _, key in journal.places()} == set(histories)


@settings(deadline=None)
@given(STEPS, st.integers(1, 40))
def test_what_stands_stays_known_and_explained_however_small_the_ring(steps: list[Step], per_key_max: int) -> None:
    journal = Journal(per_key_max=per_key_max)
    history: list[Record] = []
    for _, what in steps:
        write(journal, ("a", what))
        kept = journal.records("c", "a")
        history.append(kept[-1])
        present = Present()
        present.follow(history)
        now = journal.present("c", "a")
        assert (now.ready, now.delayed, now.owed, now.running) == (
            present.ready, present.delayed, present.owed, present.running
        )  # fmt: skip
        assert len(kept) + journal.evicted("c", "a") == len(history)
        # R2: as many of the newest pieces of evidence as there is room for beside the newest record.
        if per_key_max >= 32:
            assert set(now.evidence()) <= {record.id for record in kept}


@settings(deadline=None)
@given(STEPS, st.integers(1, 8), st.integers(1, 5), st.integers(6, 20))
def test_the_bounds_hold_whatever_is_written(steps: list[Step], per_key: int, keys: int, records: int) -> None:
    journal = Journal(per_key_max=per_key, keys_max=keys, records_max=records)
    for step in steps:
        write(journal, step)
        rings = [journal.records(scope, name) for scope, name in journal.places()]
        assert len(rings) <= keys
        assert all(0 < len(ring) <= per_key for ring in rings)
        assert sum(map(len, rings)) <= records
        assert journal.records("c", step[0])
