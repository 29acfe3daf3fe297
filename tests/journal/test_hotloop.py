"""Which writes keep a key busy: without a version, over children, and of two controllers that answer each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.journal import Changed, EventSeen, Explanation, Finding, Journal, Origin, hot_loop
from reconciler.workqueue import Verdict
from tests.journal.scribe import Scribe

LOOP = 6


def start(key: Scribe, event: int) -> int:
    return key.start(key.ask(Verdict.PARKED, cause=event), event)


def loop_of(explanation: Explanation) -> Finding | None:
    return next(iter(explanation.findings), None)


def patched(key: Scribe, started: int, number: int) -> int:
    """The pass patches, and the answer comes before the event."""
    key.write(started, "", str(number), verb="patch")
    return key.event(old=str(number - 1), new=str(number))


def updated(key: Scribe, started: int, number: int) -> int:
    """The pass updates what it read, so nobody else can have made the version."""
    key.write(started, str(number - 1), str(number))
    return key.event(old=str(number - 1), new=str(number), origin=Origin.OWN)


def seen_first(key: Scribe, started: int, number: int) -> int:
    event = key.event(old=str(number - 1), new=str(number))
    key.at += 0.01
    key.write(started, "", str(number), verb="patch")
    return event


def seen_before_it_was_sent(key: Scribe, started: int, number: int) -> int:
    event = key.event(old=str(number - 1), new=str(number))
    key.write(started, "", str(number), verb="patch", sent_after=event)
    return event


def seen_at_the_start(key: Scribe, started: int, number: int) -> int:
    """The pass has nothing to change, and gets the version that started it; then somebody else makes another."""
    key.write(started, "", str(number - 1), verb="patch")
    return key.event(old=str(number - 1), new=str(number))


def a_child_seen_before_it_was_sent(key: Scribe, started: int, number: int) -> int:
    event = key.event(old=str(number - 1), new=str(number), source="default/b", kind="Bolt")
    key.write(started, "", str(number), verb="patch", target="bolts default/b", sent_after=event)
    return event


def returned_before(key: Scribe, started: int, number: int) -> int:
    key.write(started - 1_000, "", str(number), verb="patch")
    return patched(key, started, number)


def labelled(key: Scribe, started: int, number: int) -> int:
    key.write(started, "", str(number), verb="patch")
    return key.event(old=str(number - 1), new=str(number), changed=Changed.LABELS)


def of_another(key: Scribe, started: int, number: int) -> int:
    key.write(started, "", str(number), verb="patch", target="widgets default/b")
    return key.event(old=str(number - 1), new=str(number))


def refused(key: Scribe, started: int, number: int) -> int:
    key.write(started, "", str(number), verb="patch", code=409)
    return key.event(old=str(number - 1), new=str(number))


def joined(key: Scribe, started: int, number: int) -> int:
    key.write(started, str(number - 1), str(number))
    return key.event(old=str(number - 2), new=str(number), origin=Origin.FOREIGN)


def a_child(key: Scribe, started: int, number: int) -> int:
    key.write(started, "", str(number), verb="patch", target="bolts default/b")
    return key.event(old=str(number - 1), new=str(number), source="default/b", kind="Bolt", generations=(1, 2))


def a_child_each(key: Scribe, started: int, number: int) -> int:
    name = f"default/b{number}"
    key.write(started, "", str(number), verb="patch", target=f"bolts {name}")
    return key.event(old=str(number - 1), new=str(number), source=name, kind="Bolt")


def two_children_in_turn(key: Scribe, started: int, number: int) -> int:
    name = f"default/b{number % 2}"
    key.write(started, "", str(number), verb="patch", target=f"bolts {name}")
    return key.event(old=str(number - 2), new=str(number), source=name, kind="Bolt")


@pytest.mark.parametrize(
    ("write", "rounds"),
    [
        pytest.param(updated, LOOP, id="an update of what was read"),
        pytest.param(patched, LOOP, id="the event comes after the answer"),
        pytest.param(seen_first, LOOP, id="the event comes just before the answer"),
        pytest.param(
            seen_before_it_was_sent, None, id="the version was seen before it was sent, so nothing was changed"
        ),
        pytest.param(seen_at_the_start, None, id="the version was seen before the pass"),
        pytest.param(a_child_seen_before_it_was_sent, None, id="the version of a child was seen before it was sent"),
        pytest.param(returned_before, None, id="another write had that version first"),
        pytest.param(labelled, None, id="a write of status changes no labels"),
        pytest.param(of_another, None, id="another object"),
        pytest.param(refused, None, id="a write that was refused"),
        pytest.param(joined, None, id="somebody else's change is joined with a write that demanded a version"),
        pytest.param(a_child, LOOP, id="an owned child, also its spec"),
        pytest.param(a_child_each, None, id="a child in each pass, each once"),
        pytest.param(two_children_in_turn, LOOP, id="two children in turn, for ever"),
    ],
)
def test_an_event_is_a_writes_own_where_it_shows_a_version_that_only_this_write_can_have_made(
    write: Callable[[Scribe, int, int], int], rounds: int | None
) -> None:
    key = Scribe()
    key.at = 1
    started = start(key, key.event())
    for number in range(1, LOOP + 1):
        event = write(key, started, number)
        key.end(started)
        started = start(key, event)
    write(key, started, LOOP + 1)
    loop = loop_of(key.explain())
    assert (loop.rounds if loop else None) == rounds


def keep_busy(key: Scribe, write: Callable[[Scribe, int, int], int] = updated, rounds: int = LOOP) -> int:
    """Play rounds, each pass the doing of the write before; return the pass that is in work then."""
    started = start(key, key.event())
    for number in range(1, rounds + 1):
        event = write(key, started, number)
        key.end(started)
        started = start(key, event)
    return started


def test_a_patch_that_changes_nothing_ends_the_run() -> None:
    key = Scribe()
    started = keep_busy(key)
    # While the last pass is in work, it may write yet;
    assert (found := loop_of(key.explain())) is not None
    assert (found.rounds, found.is_certain) == (LOOP - 1, True)
    # its patch has nothing to change, and returns the version that started it.
    key.write(started, "", str(LOOP), verb="patch")
    key.end(started)
    assert (found := loop_of(key.explain())) is not None
    assert (found.rounds, found.is_certain) == (LOOP - 1, False)
    assert f"pass #{started} then wrote nothing" in found.sentence


@pytest.mark.parametrize("write", [patched, seen_first])
def test_a_write_without_a_version_is_to_be_checked_since_another_process_may_have_made_what_is_seen(
    write: Callable[[Scribe, int, int], int],
) -> None:
    """It may change nothing, and return what somebody else made, whose event comes late: the records are the same."""
    key = Scribe()
    keep_busy(key, write)
    found = loop_of(key.explain())
    assert found is not None
    assert (found.rounds, found.is_certain) == (LOOP - 1, False)
    assert found.sentence.endswith(
        "; a write without a resourceVersion may have changed nothing, and have returned a version that another "
        "process made: compare what changed with what it sent"
    )


def test_one_write_without_a_version_among_others_makes_the_run_one_to_be_checked() -> None:
    def one_in_six(key: Scribe, started: int, number: int) -> int:
        return (patched if number == 3 else updated)(key, started, number)

    key = Scribe()
    keep_busy(key, one_in_six)
    found = loop_of(key.explain())
    assert found is not None
    assert (found.rounds, found.is_certain) == (LOOP - 1, False)


def last_write(key: Scribe, started: int, *, target: str = "widgets/status default/a") -> None:
    key.write(started, str(LOOP), str(LOOP + 1), target=target)


def seen(key: Scribe, *, verb: str = "update", origin: Origin = Origin.OWN, new: int = LOOP + 1, by: str = "") -> int:
    return key.event(verb, old=str(new - 1), new=str(new), origin=origin, dropped_by=by)


def on_its_way(key: Scribe, started: int) -> None:
    last_write(key, started)
    key.end(started)


def seen_just_now(key: Scribe, started: int) -> None:
    on_its_way(key, started)
    seen(key)


def queued(key: Scribe, started: int) -> None:
    on_its_way(key, started)
    key.ask(Verdict.QUEUED, cause=seen(key))


def queued_while_in_work(key: Scribe, started: int) -> None:
    last_write(key, started)
    key.ask(Verdict.PARKED, cause=seen(key))
    key.end(started)


def begun(key: Scribe, started: int) -> None:
    last_write(key, started)
    event = seen(key)
    key.end(started)
    start(key, event)


def stopped(key: Scribe, started: int) -> None:
    on_its_way(key, started)
    key.ask(Verdict.SHUT_DOWN, cause=seen(key))


def dropped(key: Scribe, started: int) -> None:
    on_its_way(key, started)
    seen(key, by="GenerationChangedPredicate")


def held(key: Scribe, started: int) -> None:
    last_write(key, started)
    key.ends_and_asks(started, 300)
    key.ask(Verdict.DELAYED, by="hold", cause=seen(key), after=300)


def held_with_what_stands(key: Scribe, started: int) -> None:
    last_write(key, started)
    retry = key.ends_and_asks(started, 300)
    key.ask(Verdict.HELD, cause=seen(key), after=300, standing=retry)


def held_after_the_pass(key: Scribe, started: int) -> None:
    """The event had made the key ready; when the pass ends, that is taken back."""
    last_write(key, started)
    event = seen(key)
    key.ask(Verdict.PARKED, cause=event)
    key.ends_and_asks(started, 300)
    key.ask(Verdict.DELAYED, by="hold", cause=event, after=300)


def slowed_down(key: Scribe, started: int) -> None:
    on_its_way(key, started)
    key.ask(Verdict.DELAYED, cause=seen(key), after=10)


def of_what_nobody_watches(key: Scribe, started: int) -> None:
    last_write(key, started, target="secrets default/a")
    key.end(started)


def gone(key: Scribe, started: int) -> None:
    on_its_way(key, started)
    seen(key, verb="delete", new=LOOP + 2)


def hidden_by_another(key: Scribe, started: int) -> None:
    """A watch that began anew shows the object as it is now, and not each version."""
    on_its_way(key, started)
    seen(key, origin=Origin.FOREIGN, new=LOOP + 2)


def at_its_own_time(key: Scribe, started: int) -> None:
    key.at += 300
    dropped(key, started)
    key.end(key.start(key.promote(key.ends_and_asks(started, 300))))


def joined_by_another(key: Scribe, started: int) -> None:
    last_write(key, started)
    event = seen(key)
    key.end(started)
    key.start(key.ask(cause=event), event, key.event())


def only_an_older_one_came(key: Scribe, started: int) -> None:
    """The pass wrote twice: the event of its first write has come."""
    key.write(started, str(LOOP), str(LOOP + 1))
    key.write(started, str(LOOP + 1), str(LOOP + 2))
    event = seen(key)
    key.end(started)
    key.end(start(key, event))


@pytest.mark.parametrize(
    ("last", "is_going"),
    [
        (on_its_way, True),
        (seen_just_now, True),
        (queued, True),
        (queued_while_in_work, True),
        (begun, True),
        (stopped, True),
        (only_an_older_one_came, True),
        (dropped, False),
        (held, False),
        (held_with_what_stands, False),
        (held_after_the_pass, False),
        (slowed_down, False),
        (of_what_nobody_watches, False),
        (gone, False),
        (hidden_by_another, False),
        (at_its_own_time, False),
        (joined_by_another, False),
    ],
)
def test_a_run_is_certain_only_while_its_last_write_brings_the_next_pass(
    last: Callable[[Scribe, int], None], *, is_going: bool
) -> None:
    """One that has ended can have been the steps of a state machine, whatever ended it."""
    key = Scribe()
    started = keep_busy(key)
    last(key, started)
    found = loop_of(key.explain())
    assert found is not None
    assert (found.rounds, found.is_certain) == (LOOP, is_going)
    assert (f"it has ended with pass #{started}; " in found.sentence) == (not is_going)


def test_a_run_that_goes_on_is_told_before_a_longer_one_that_has_ended() -> None:
    key = Scribe()
    started = keep_busy(key, rounds=9)
    key.end(started)
    keep_busy(key, lambda key, started, number: updated(key, started, number + 20), rounds=6)
    found = loop_of(key.explain())
    assert found is not None
    assert (found.rounds, found.is_certain) == (5, True)


def test_a_patch_that_changed_nothing_takes_no_link_from_the_write_that_made_its_version() -> None:
    key = Scribe()
    started = start(key, key.event())
    write = key.write(started, "1", "2")
    event = key.event(old="1", new="2", origin=Origin.OWN)
    key.end(started)
    key.write(start(key, event), "", "2", verb="patch")
    assert key.explain().links == {event: write}


@pytest.mark.parametrize(
    ("parts", "is_certain", "said"),
    [
        ((Changed.ANNOTATIONS,), True, "changed each time: annotations; which fields is not recorded"),
        ((Changed.GENERATION | Changed.LABELS, Changed.GENERATION), True, "changed each time: spec; which fields"),
        ((Changed.ANNOTATIONS, Changed.LABELS), False, "no part of the object changed in every round"),
    ],
)
def test_where_no_field_is_recorded_the_part_of_the_object_is_named(
    parts: tuple[Changed, ...], is_certain: bool, said: str
) -> None:
    def changes(key: Scribe, started: int, number: int) -> int:
        key.write(started, str(number - 1), str(number), target="widgets default/a")
        changed = parts[number % len(parts)]
        return key.event(old=str(number - 1), new=str(number), changed=changed, origin=Origin.OWN)

    key = Scribe()
    keep_busy(key, changes)
    found = loop_of(key.explain())
    assert found is not None
    assert (found.is_certain, found.fields) == (is_certain, ())
    assert said in found.sentence
    assert "resourceVersion" not in found.sentence


def test_where_no_write_carried_a_version_the_finding_says_that_hold_does_not_know_them() -> None:
    key = Scribe()
    keep_busy(key, patched)
    found = loop_of(key.explain())
    assert found is not None
    assert "the writes carried no resourceVersion, so Result(hold=True) takes them for another's" in found.sentence


class Pair:
    """Two keys whose passes answer each other: `one` writes, `other` sees it and writes, and so on."""

    def __init__(self, one: Scribe, other: Scribe) -> None:
        self.one = one
        self.other = other
        self.version = 0
        self.target = "widgets default/a"
        self.foreign_to: Scribe | None = None
        self.is_versioned = True

    def write(self, writer: Scribe, started: int, target: str = "widgets default/a") -> tuple[int, int]:
        """A pass writes; both see it. Return the event of `one`, and that of `other`."""
        self.version += 1
        old, new = str(self.version - 1), str(self.version)
        writer.write(started, old if self.is_versioned else "", new, target=target)
        writer.end(started)
        first = self.seen(self.one, writer, generations=(self.version, self.version + 1))
        return first, self.seen(self.other, writer)

    def seen(self, key: Scribe, writer: Scribe, *, generations: tuple[int, int] = (1, 1)) -> int:
        is_own = self.is_versioned and writer.scope == key.scope
        return key.event(
            old=str(self.version - 1), new=str(self.version), generations=generations, source="default/a",
            origin=Origin.OWN if is_own else Origin.FOREIGN,
        )  # fmt: skip

    def start(self, key: Scribe, event: int) -> int:
        if key is not self.foreign_to:
            return start(key, event)
        return key.start(key.ask(Verdict.PARKED, cause=event), event, key.event())

    def play(self, rounds: int) -> None:
        started = start(self.one, self.one.event())
        for _ in range(rounds):
            _, seen = self.write(self.one, started)
            answer, _ = self.write(self.other, self.start(self.other, seen), self.target)
            started = self.start(self.one, answer)
        self.write(self.one, started)

    def found(self) -> Finding | None:
        return loop_of(self.one.explain())


def test_two_controllers_that_answer_each_others_writes_are_a_loop_that_names_the_other() -> None:
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, scope="other"))
    pair.play(LOOP)
    found = pair.found()
    assert found is not None
    assert (found.rounds, found.is_certain, found.others) == (LOOP, True, ("other",))
    assert (
        "each pass wrote (update widgets default/a), other wrote in return (update widgets default/a), and nothing but "
        "these writes brought the next pass"
    ) in found.sentence
    explanation = pair.one.explain()
    assert set(found.record_ids) <= {record.id for record in explanation.records}
    # Records of the key alone do not show it.
    assert hot_loop(explanation.records, explanation.links) is None


@pytest.mark.parametrize("is_versioned", [True, False])
def test_two_keys_of_one_controller_that_answer_each_other_are_told_by_key(*, is_versioned: bool) -> None:
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, key="default/z"))
    pair.is_versioned = is_versioned
    pair.play(LOOP)
    found = pair.found()
    assert found is not None
    assert found.others == ("c default/z",)


@pytest.mark.parametrize("whose", ["one", "other"])
def test_a_pass_that_others_asked_for_as_well_is_no_round(whose: str) -> None:
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, scope="other"))
    pair.foreign_to = pair.one if whose == "one" else pair.other
    pair.play(LOOP)
    assert pair.found() is None


def test_one_that_answers_by_another_write_may_be_doing_the_steps_of_its_work() -> None:
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, scope="other"))
    pair.target = "widgets/status default/a"
    pair.play(LOOP)
    found = pair.found()
    assert found is not None
    assert (found.rounds, found.is_certain) == (LOOP, False)


def last_event(key: Scribe) -> int:
    return [record.id for record in key.explain().records if isinstance(record, EventSeen)][-1]


def test_a_pair_has_come_to_rest_only_when_the_other_one_has_nothing_to_do() -> None:
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, scope="other"))
    pair.play(LOOP)
    # The last answer is on its way: `one` has seen its own write meanwhile, and wrote nothing.
    resting = start(pair.one, last_event(pair.one))
    pair.one.end(resting)
    answering = start(pair.other, last_event(pair.other))
    found = pair.found()
    assert found is not None
    assert found.is_certain
    # When the other one ends without a write, nothing goes on.
    pair.other.end(answering)
    found = pair.found()
    assert found is not None
    assert (found.is_certain, f"pass #{resting} then wrote nothing" in found.sentence) == (False, True)


def test_a_pair_whose_other_one_holds_the_last_event_has_come_to_rest() -> None:
    """A handshake that is finished: the last pass of the one wrote, and neither has anything left to do."""
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, scope="other"))
    started = start(pair.one, pair.one.event())
    for _ in range(LOOP):
        _, answered = pair.write(pair.one, started)
        answer, _ = pair.write(pair.other, start(pair.other, answered))
        started = start(pair.one, answer)
    own, others = pair.write(pair.one, started)
    # Its own event waits with the key;
    pair.one.ask(Verdict.DELAYED, by="hold", cause=own, after=600)
    assert (found := pair.found()) is not None
    assert found.is_certain
    # the other's pass finds nothing to do.
    answering = start(pair.other, others)
    assert (found := pair.found()) is not None
    assert found.is_certain
    pair.other.end(answering)
    assert (found := pair.found()) is not None
    assert (found.rounds, found.is_certain) == (LOOP, False)
    assert f"it has ended with pass #{started}; " in found.sentence


def test_a_pair_that_writes_without_a_version_is_to_be_checked() -> None:
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, scope="other"))
    pair.is_versioned = False
    pair.play(LOOP)
    found = pair.found()
    assert found is not None
    assert (found.rounds, found.is_certain, found.others) == (LOOP, False, ("other",))
    assert "compare what changed with what it sent" in found.sentence
