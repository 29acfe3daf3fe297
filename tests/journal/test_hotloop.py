"""Which writes keep a key busy: without a version, over children, and of two controllers that answer each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.journal import Changed, Explanation, Finding, Journal, Origin, hot_loop
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


def test_a_patch_that_changes_nothing_ends_the_run() -> None:
    key = Scribe()
    started = start(key, key.event())
    for number in range(1, LOOP + 1):
        event = patched(key, started, number)
        key.end(started)
        started = start(key, event)
    # While the last pass is in work, it may write yet;
    assert (found := loop_of(key.explain())) is not None
    assert (found.rounds, found.is_certain) == (LOOP - 1, True)
    # its patch has nothing to change, and returns the version that started it.
    key.write(started, "", str(LOOP), verb="patch")
    key.end(started)
    assert (found := loop_of(key.explain())) is not None
    assert (found.rounds, found.is_certain) == (LOOP - 1, False)
    assert f"pass #{started} then wrote nothing" in found.sentence


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
    key = Scribe()
    started = start(key, key.event())
    for number in range(1, LOOP + 1):
        key.write(started, "", str(number), verb="patch", target="widgets default/a")
        event = key.event(old=str(number - 1), new=str(number), changed=parts[number % len(parts)])
        key.end(started)
        started = start(key, event)
    found = loop_of(key.explain())
    assert found is not None
    assert (found.is_certain, found.fields) == (is_certain, ())
    assert said in found.sentence
    assert "carried no resourceVersion, so Result(hold=True) takes them for another's" in found.sentence


class Pair:
    """Two keys whose passes answer each other: `one` writes, `other` sees it and writes, and so on."""

    def __init__(self, one: Scribe, other: Scribe) -> None:
        self.one = one
        self.other = other
        self.version = 0
        self.target = "widgets default/a"
        self.foreign_to: Scribe | None = None

    def write(self, writer: Scribe, started: int, target: str = "widgets default/a") -> tuple[int, int]:
        """A pass patches; both see it. Return the event of `one`, and that of `other`."""
        self.version += 1
        old, new = str(self.version - 1), str(self.version)
        writer.write(started, "", new, verb="patch", target=target)
        writer.end(started)
        first = self.one.event(old=old, new=new, generations=(self.version, self.version + 1), source="default/a")
        return first, self.other.event(old=old, new=new, source="default/a")

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
        "each pass wrote (patch widgets default/a), other wrote in return (patch widgets default/a), and nothing but "
        "these writes brought the next pass"
    ) in found.sentence
    explanation = pair.one.explain()
    assert set(found.record_ids) <= {record.id for record in explanation.records}
    # Records of the key alone do not show it.
    assert hot_loop(explanation.records, explanation.links) is None


def test_two_keys_of_one_controller_that_answer_each_other_are_told_by_key() -> None:
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, key="default/z"))
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


def test_a_pair_has_come_to_rest_only_when_the_other_one_has_nothing_to_do() -> None:
    journal = Journal()
    pair = Pair(Scribe(journal), Scribe(journal, scope="other"))
    pair.play(LOOP)
    # The last answer is on its way: `one` has seen its own write meanwhile, and wrote nothing.
    last = [record.id for record in pair.one.explain().records if type(record).__name__ == "EventSeen"][-1]
    resting = start(pair.one, last)
    pair.one.end(resting)
    answering = start(
        pair.other, pair.other.event(old=str(pair.version - 1), new=str(pair.version), source="default/a")
    )
    found = pair.found()
    assert found is not None
    assert found.is_certain
    # When the other one ends without a write, nothing goes on.
    pair.other.end(answering)
    found = pair.found()
    assert found is not None
    assert (found.is_certain, f"pass #{resting} then wrote nothing" in found.sentence) == (False, True)
