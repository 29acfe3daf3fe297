"""
Finds runs of passes that only writes of the program's own controllers keep going. Pure.

Either a controller's own write brings its next pass; or another controller of the process answers that write with one
of its own, which brings it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from reconciler.journal.present import Present
from reconciler.journal.records import Asked, EventSeen, Origin, PassEnded, PassStarted, Record, Wrote
from reconciler.journal.shown import Shown

__all__ = ["ROUNDS_MIN", "Loop", "Round", "longest_loop", "unexplained_versions"]

ROUNDS_MIN = 3
"""Rounds from which on a run is a hot loop: two can be the way to rest of a reconciler that writes twice."""


@dataclass(frozen=True, slots=True)
class Round:
    """
    A write, its event, and the pass that it started, which wrote again.

    Attributes:
        wrote: What a pass of this key wrote.
        event: What started the next pass: it shows that write, or the answer to it.
        started: That pass.
        fields: The fields that the event, or the events merged with it, say changed.
        changed: The same in parts, as `Changed` has them.
        targets: What the writes behind those events wrote.
        answer: The write of another controller, or over another key, that answers `wrote`; None if none is needed.
    """

    wrote: Wrote
    event: EventSeen
    started: PassStarted
    fields: frozenset[str]
    changed: int
    targets: frozenset[str]
    answer: Wrote | None = None


@dataclass(slots=True)
class Loop:
    """
    A run of rounds.

    Attributes:
        rounds: Oldest first.
        rest: A pass at the end that wrote nothing; None if the run goes on, or an answer may be on its way.
        times: In how many rounds one and the same object was written: many objects, each in its turn, are no loop.
    """

    rounds: list[Round] = field(default_factory=list[Round])
    rest: PassStarted | None = None
    times: int = 0
    _targets: Counter[str] = field(default_factory=Counter[str])

    @property
    def is_answered(self) -> bool:
        """Whether others wrote in return."""
        return any(one.answer is not None for one in self.rounds)

    def add(self, one: Round) -> None:
        """Take in the next round."""
        self.rest = None
        self.rounds.append(one)
        self._targets.update(one.targets)
        self.times = max(self.times, *(self._targets[target] for target in one.targets))


def longest_loop(records: Sequence[Record], links: Mapping[int, int], neighbours: Iterable[Record] = ()) -> Loop | None:
    """Return the longest run that wrote one object at least `ROUNDS_MIN` times, the latest of equals."""
    others = list(neighbours)
    shown = Shown(chain(records, others), links)
    writers = {record.causes[0] for record in records if isinstance(record, Wrote) and shown.has_changed(record)}
    ended = {record.causes[0] for record in records if isinstance(record, PassEnded) and record.causes}
    longest: Loop | None = None
    run = Loop()
    for started in records:
        if not isinstance(started, PassStarted):
            continue
        one = _round(started, shown)
        if one is None:
            run = Loop()
        elif started.id in writers:
            run.add(one)
            if run.times >= ROUNDS_MIN and (longest is None or len(run.rounds) >= len(longest.rounds)):
                longest = run
        elif started.id in ended:
            run.rest = started
    if longest is not None and longest.is_answered and _is_busy(others):
        longest.rest = None
    return longest


def _is_busy(neighbours: Iterable[Record]) -> bool:
    """Whether a pass over one of the neighbours is in work, or about to be."""
    presents: dict[tuple[str, Hashable], Present] = {}
    for record in neighbours:
        presents.setdefault((record.scope, record.key), Present()).follow((record,))
    return any(present.running is not None or present.ready is not None for present in presents.values())


def unexplained_versions(records: Sequence[Record], links: Mapping[int, int]) -> frozenset[str]:
    """Return the versions that updates of a key show, and whose writers its own records do not know."""
    shown = Shown(records, links)
    return frozenset(
        event.new_version
        for event in records
        if isinstance(event, EventSeen)
        and event.verb == "update"
        and event.new_version
        and event.origin is not Origin.OWN
        and shown.made_by(event) is None
    )


def _round(started: PassStarted, shown: Shown) -> Round | None:
    """Return the round that ends with a pass, if nothing but our writes, and answers to them, started it."""
    events = _events_of(started, shown)
    own = [event for event in events if _is_own(event, shown)]
    answers = {event.id: _answered(event, shown) for event in events if event not in own}
    if not events or not all(answers.values()):
        return None
    for event in reversed(events):
        # An answer says more than an own write that came along with it.
        answered = answers.get(event.id) if answers else shown.made_by(event)
        if answered is not None and answered.key == started.key and answered.scope == started.scope:
            answer = shown.made_by(event) if answers else None
            return Round(
                answered,
                event,
                started,
                frozenset(name for one in events for name in one.fields),
                _parts(events),
                frozenset(wrote.target for wrote in map(shown.made_by, events) if wrote is not None),
                answer,
            )
    return None


def _events_of(started: PassStarted, shown: Shown) -> list[EventSeen]:
    """Return the updates that alone, and at once, started a pass; none if anything else did."""
    ask = shown.get(started.causes[0]) if started.causes else None
    if not isinstance(ask, Asked) or ask.by != "event" or ask.asked_for > ask.at:
        return []
    events = [event for event in map(shown.get, started.causes) if isinstance(event, EventSeen)]
    return events if all(event.verb == "update" for event in events) else []


def _is_own(event: EventSeen, shown: Shown) -> bool:
    wrote = shown.made_by(event)
    if wrote is None:
        # Its write is no longer kept. One that changed the generation may have asked for something new.
        return event.origin is Origin.OWN and event.old_generation == event.new_generation
    return wrote.scope == event.scope and wrote.key == event.key


def _answered(event: EventSeen, shown: Shown) -> Wrote | None:
    """Return our write that the one behind an event answers: a pass made it that knew our write, and no other cause."""
    answer = shown.made_by(event)
    pass_id = answer.causes[0] if answer is not None and answer.causes else 0
    other = shown.get(pass_id)
    if not isinstance(other, PassStarted):
        return None
    wrotes = [shown.made_by(cause) for cause in _events_of(other, shown)]
    if not all(wrotes):
        return None
    ours = [wrote for wrote in wrotes if wrote and wrote.scope == event.scope and wrote.key == event.key]
    return ours[-1] if ours else None


def _parts(events: Iterable[EventSeen]) -> int:
    parts = 0
    for event in events:
        parts |= int(event.changed)
    return parts
