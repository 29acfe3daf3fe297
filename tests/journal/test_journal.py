from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.journal import (
    Asked,
    Cause,
    EventSeen,
    Journal,
    Noted,
    PassStarted,
    Record,
    current_cause,
    explain,
    render,
)


def asked(journal: Journal, key: str, *, at: int = 0, lost: int = 0, standing: int | None = None) -> int:
    number = journal.new_id()
    record = Asked(
        number, (), at, "c", key, by="requeue_after", verdict="v", asked_for=at + 5, ready_at=at + 5,
        lost_ask=lost, lost_at=at, standing_ask=number if standing is None else standing,
    )  # fmt: skip
    return journal.append(record)


def seen(journal: Journal, key: str, verb: str) -> int:
    return journal.append(EventSeen(journal.new_id(), (), 0, "c", key, verb=verb))


def test_a_hot_key_never_evicts_a_sleeping_keys_last_ask() -> None:
    journal = Journal(per_key_max=10, records_max=12)
    sleeping = asked(journal, "sleeping")
    for _ in range(100):
        asked(journal, "hot")
    assert [record.id for record in journal.records("c", "sleeping")] == [sleeping]
    assert journal.evicted("c", "hot") >= 90


def test_deleted_objects_leave_first_also_after_the_pass_that_finds_nothing() -> None:
    journal = Journal(keys_max=2)
    asked(journal, "alive")
    seen(journal, "gone", "delete")
    journal.append(PassStarted(journal.new_id(), (), 0, "c", "gone", priority=0, waited=0))
    asked(journal, "new")
    assert [key for _, key in journal.places()] == ["alive", "new"]
    assert journal.keys_evicted == 1


def test_a_subscriber_may_leave_while_it_is_told_and_the_next_is_told_all_the_same() -> None:
    journal = Journal(is_retaining=False)
    told: list[Record] = []

    def once(_: Record) -> None:
        leave()

    leave = journal.subscribe(once)
    journal.subscribe(told.append)
    asked(journal, "a")
    asked(journal, "a")
    assert len(told) == 2
    assert journal.records("c", "a") == ()


def test_a_note_belongs_to_the_running_pass_and_outside_of_one_there_is_none() -> None:
    journal = Journal()
    journal.note(1, "topic", "nobody")
    token = current_cause.set(Cause(7, "c", "a"))
    journal.note(2, "topic", "why")
    current_cause.reset(token)
    (note,) = journal.records("c", "a")
    assert isinstance(note, Noted)
    assert (note.causes, note.text) == ((7,), "why")


def test_an_explanation_names_lost_wake_ups_and_what_stands() -> None:
    journal = Journal()
    late = asked(journal, "a")
    sooner = asked(journal, "a", at=1, lost=late)
    explanation = explain(journal, "c", "a")
    assert explanation.standing is not None
    assert explanation.standing.id == sooner
    assert [(lost.ask_id, lost.beaten_by) for lost in explanation.lost] == [(late, sooner)]
    journal.append(PassStarted(journal.new_id(), (sooner,), 2, "c", "a", priority=0, waited=0))
    running = explain(journal, "c", "a")
    assert (running.standing, running.is_running) == (None, True)
    lines = list(render(running))
    assert f"the wake-up of #{late} at 0.000s is gone" in lines[2]
    assert lines[-1] == "  now: a pass is running"


def test_a_key_that_nobody_saw_has_an_empty_history() -> None:
    assert list(render(explain(Journal(), "c", "x"))) == [
        "c x",
        "  now: nothing is asked for; an event would wake it",
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["ask", "delete", "create"])), max_size=80),
    st.integers(1, 8),
    st.integers(1, 5),
    st.integers(6, 20),
)
def test_the_bounds_hold_whatever_is_written(
    writes: list[tuple[str, str]], per_key: int, keys: int, records: int
) -> None:
    journal = Journal(per_key_max=per_key, keys_max=keys, records_max=records)
    for key, what in writes:
        if what == "ask":
            asked(journal, key)
        else:
            seen(journal, key, what)
        rings = [journal.records(scope, name) for scope, name in journal.places()]
        assert len(rings) <= keys
        assert all(len(ring) <= per_key for ring in rings)
        assert sum(map(len, rings)) <= records
