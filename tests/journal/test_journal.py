from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager

import pytest

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
from reconciler.workqueue import Verdict
from tests.journal.scribe import Scribe


def asked(
    journal: Journal,
    key: str,
    *,
    at: int = 0,
    lost: int = 0,
    standing: int | None = None,
    verdict: Verdict = Verdict.DELAYED,
) -> int:
    number = journal.new_id()
    record = Asked(
        number, (), at, "c", key, by="requeue_after", verdict=verdict.value, asked_for=at + 5, ready_at=at + 5,
        lost_ask=lost, lost_at=at, standing_ask=number if standing is None else standing,
    )  # fmt: skip
    return journal.append(record)


def seen(journal: Journal, key: str, verb: str, *, at: int = 0) -> int:
    return journal.append(EventSeen(journal.new_id(), (), at, "c", key, verb=verb))


def test_what_is_evicted_is_told() -> None:
    journal = Journal(per_key_max=2)
    for at in range(5):
        seen(journal, "a", "update", at=at)
    assert list(render(explain(journal, "c", "a")))[1] == "  ... 3 older records are gone"


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
    sooner = asked(journal, "a", at=1, lost=late, verdict=Verdict.MADE_READY)
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
        "asked for a pass in 0.000s (requeue_after): the key waits for that time",
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
    assert {Asked, PassStarted, Wrote, PassEnded} <= {type(record) for record in records}
    assert "hunter2" not in repr(records)
    assert {record.error for record in records if isinstance(record, PassEnded)} == {"ValueError"}


def test_a_key_that_nobody_saw_has_an_empty_history() -> None:
    assert list(render(explain(Journal(), "c", "x"))) == [
        "c x",
        "  now: never seen: its first event would wake it",
    ]


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


def test_one_function_may_subscribe_twice_and_each_subscription_ends_by_itself() -> None:
    journal = Journal()
    told: list[Record] = []
    end = journal.subscribe(told.append)
    journal.subscribe(told.append)
    asked(journal, "a")
    end()
    end()
    asked(journal, "a")
    assert len(told) == 3


def test_records_of_one_key_of_two_controllers_are_kept_apart() -> None:
    journal = Journal()
    one, two = (Scribe(journal, "default/a", scope) for scope in ("one", "two"))
    # In turns, so that the newest record is always the other one's.
    written = [scribe.event() for scribe in (one, two, one, two)]
    kept = [record.id for scope in ("one", "two") for record in journal.records(scope, "default/a")]
    assert kept == [*written[::2], *written[1::2]]
    assert journal.places() == (("one", "default/a"), ("two", "default/a"))
    with pytest.raises(ConfigurationError, match="one, two"):
        journal.explain("default/a")
