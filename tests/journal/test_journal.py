from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import ResourceType
from reconciler.client import Client, HttpRequest, HttpResponse, HttpStream, RestClient
from reconciler.clock import LoopClock
from reconciler.control_loop import Controller
from reconciler.errors import ConfigurationError, InvalidError
from reconciler.journal import (
    Asked,
    Cause,
    Changed,
    EventSeen,
    Journal,
    Noted,
    Origin,
    PassEnded,
    PassStarted,
    Record,
    Wrote,
    current_cause,
    explain,
    render,
)
from reconciler.reconcile import Request
from reconciler.testing import run_virtual


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


def test_a_sleeping_key_pays_only_with_what_it_has_beyond_its_share_and_never_with_its_last() -> None:
    # Given a journal nearly filled by one key that then sleeps,
    journal = Journal(per_key_max=100, records_max=120)
    last = [asked(journal, "rich") for _ in range(100)][-1]
    # when many others write,
    for _ in range(50):
        for number in range(20):
            asked(journal, f"poor-{number}")
    # then it pays until they have their share, and what is left is its newest.
    share = 120 // 21
    rich = [record.id for record in journal.records("c", "rich")]
    assert rich == list(range(last - len(rich) + 1, last + 1))
    assert len(rich) == 120 - 20 * share
    assert {len(journal.records("c", f"poor-{number}")) for number in range(20)} == {share}


def test_more_keys_than_records_cost_the_longest_silent_key_not_the_newest_record() -> None:
    journal = Journal(keys_max=100, records_max=3)
    for key in "abcde":
        last = asked(journal, key)
    assert [key for _, key in journal.places()] == ["c", "d", "e"]
    assert [record.id for record in journal.records("c", "e")] == [last]


def test_what_is_evicted_is_told() -> None:
    journal = Journal(per_key_max=2)
    for at in range(5):
        asked(journal, "a", at=at)
    assert list(render(explain(journal, "c", "a")))[1] == "  ... 3 older records are gone"


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


def test_every_kind_of_record_has_words_of_its_own() -> None:
    journal = Journal()
    event = EventSeen(
        journal.new_id(), (), 0, "c", "a", verb="update", changed=Changed.LABELS | Changed.OTHER,
        old_version="1", new_version="2", origin=Origin.OWN,
    )  # fmt: skip
    journal.append(event)
    ask = asked(journal, "a", at=1_000_000)
    start = journal.append(PassStarted(journal.new_id(), (ask,), 2_000_000, "c", "a", priority=0, waited=500_000))
    wrote = Wrote(
        journal.new_id(), (start,), 3_000_000, "c", "a", verb="update", target="pods/status default/a",
        old_version="2", new_version="", code=0, is_late=True,
    )  # fmt: skip
    journal.append(wrote)
    journal.append(Noted(journal.new_id(), (start,), 3_000_000, "c", "a", topic="decided", text="Failed: all used"))
    ended = PassEnded(
        journal.new_id(), (start,), 4_000_000, "c", "a", ending="failed", asked_after=2_000_000_000, error="OSError"
    )
    journal.append(ended)
    lines = list(render(explain(journal, "c", "a")))
    assert [line.split(maxsplit=2)[2].strip() for line in lines[1:7]] == [
        "update seen, changed labels|status or other, own write, version 2",
        "asked for a pass in 0.000s (requeue_after): v",
        "pass started after waiting 0.001s  <- #2",
        "update pods/status default/a: no answer, version 2 -> - (late)  <- #3",
        "decided: Failed: all used  <- #3",
        "pass ended: failed (OSError), come back after 2.000s  <- #3",
    ]


def test_what_a_pass_raises_and_a_server_refuses_leaves_no_text_in_the_journal() -> None:
    journal = Journal()

    class Refusing:
        async def send(self, request: HttpRequest) -> HttpResponse:
            del request
            body = {"kind": "Status", "code": 422, "reason": "Invalid", "message": "value hunter2 is wrong"}
            return HttpResponse(422, {}, json.dumps(body).encode())

        def stream(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpStream]:
            raise NotImplementedError(request.path)

        async def aclose(self) -> None:
            pass

    async def reconcile(request: Request) -> None:
        client = Client(RestClient(Refusing()), journal=journal)
        secret = {"metadata": {"name": request.name, "namespace": "default"}, "data": {"password": "hunter2"}}
        try:
            await client.create(secret, resource=ResourceType("", "v1", "Secret", "secrets"))
        except InvalidError as error:
            raise ValueError("password hunter2 at https://user:hunter2@example.com") from error

    async def main() -> None:
        controller = Controller("c", reconcile, clock=LoopClock(), journal=journal)
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(1, stopping.set)
        controller.queue.add(Request("default", "a"))
        await controller.run(stopping)

    run_virtual(main())
    records = journal.records("c", Request("default", "a"))
    assert {type(record) for record in records} == {Asked, PassStarted, Wrote, PassEnded}
    assert "hunter2" not in repr(records)
    assert {record.error for record in records if isinstance(record, PassEnded)} == {"ValueError"}


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


@pytest.mark.parametrize("bound", ["per_key_max", "keys_max", "records_max"])
def test_a_journal_that_could_keep_nothing_is_refused(bound: str) -> None:
    with pytest.raises(ConfigurationError, match="is_retaining=False"):
        Journal(**{bound: 0})


def test_a_subscription_may_be_ended_twice() -> None:
    journal = Journal()
    told: list[Record] = []
    end = journal.subscribe(told.append)
    end()
    end()
    asked(journal, "a")
    assert told == []
