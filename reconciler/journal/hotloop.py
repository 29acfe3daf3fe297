"""
Finds runs of passes that only writes of the program's own controllers keep going. Pure.

Either a controller's own write brings its next pass; or another controller of the process answers that write with one
of its own, which brings it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.journal.present import Present
from reconciler.journal.records import Asked, EventSeen, Origin, PassEnded, PassStarted, Record, Wrote
from reconciler.journal.shown import Shown
from reconciler.journal.words import HELD, HOLD, SHUT_DOWN

__all__ = ["ROUNDS_CERTAIN", "ROUNDS_MIN", "Loop", "Round", "longest_loop", "unexplained_versions"]

ROUNDS_MIN = 3
"""Rounds from which on a run is a hot loop: two can be the way to rest of a reconciler that writes twice."""

ROUNDS_CERTAIN = 5
"""Rounds from which on it can be certain: fewer can be the steps of a state machine."""


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
        is_proven: Whether nobody else can have made what the events show, as each write demanded a version.
    """

    wrote: Wrote
    event: EventSeen
    started: PassStarted
    fields: frozenset[str]
    changed: int
    targets: frozenset[str]
    answer: Wrote | None = None
    is_proven: bool = True


@dataclass(slots=True)
class Loop:
    """
    A run of rounds.

    Attributes:
        rounds: Oldest first.
        rest: A pass at the end that wrote nothing; None if the run goes on, or ended otherwise.
        is_going: Whether, as of the newest record, its last write has brought a pass that is in work or queued, or is
            on its way to do so.
        times: In how many rounds one and the same object was written: many objects, each in its turn, are no loop.
    """

    rounds: list[Round] = field(default_factory=list[Round])
    rest: PassStarted | None = None
    is_going: bool = False
    times: int = 0
    _targets: Counter[str] = field(default_factory=Counter[str])

    @property
    def is_answered(self) -> bool:
        """Whether others wrote in return."""
        return any(one.answer is not None for one in self.rounds)

    @property
    def is_proven(self) -> bool:
        """Whether nobody else can have made what the events show."""
        return all(one.is_proven for one in self.rounds)

    def add(self, one: Round) -> None:
        """Take in the next round."""
        self.rest = None
        self.rounds.append(one)
        self._targets.update(one.targets)
        self.times = max(self.times, *(self._targets[target] for target in one.targets))


def longest_loop(records: Sequence[Record], links: Mapping[int, int], neighbours: Iterable[Record] = ()) -> Loop | None:
    """
    Return the longest run that wrote one object at least `ROUNDS_MIN` times, the latest of equals.

    One that is going on comes first from `ROUNDS_CERTAIN` on: longer ones that have ended are no fault any more.
    """
    course = _Course((*records, *neighbours), links)
    longest: Loop | None = None
    run = Loop()
    for started in records:
        if not isinstance(started, PassStarted):
            continue
        one = _round(started, course.shown)
        if one is None:
            run = Loop()
        elif course.writes_of(started):
            run.add(one)
            if run.times >= ROUNDS_MIN and (longest is None or len(run.rounds) >= len(longest.rounds)):
                longest = run
        elif course.has_ended(started):
            run.rest = started
    if run.times >= ROUNDS_MIN and course.is_going(run):
        run.is_going, run.rest = True, None
    return run if run.is_going and run.times >= ROUNDS_CERTAIN else longest


class _Course:
    """What became of passes and writes, over all keys whose records are there."""

    def __init__(self, records: Sequence[Record], links: Mapping[int, int]) -> None:
        self.shown = Shown(records, links)
        self._writes: dict[int, list[Wrote]] = {}
        self._ended: set[int] = set()
        self._events: list[EventSeen] = []
        self._asked: dict[int, Asked] = {}
        self._started: dict[int, PassStarted] = {}
        self._presents: dict[tuple[str, Hashable], Present] = {}
        for record in records:
            self._presents.setdefault((record.scope, record.key), Present()).follow((record,))
            self._take_in(record)

    def writes_of(self, started: PassStarted) -> Sequence[Wrote]:
        """Return the writes of a pass that made a new version."""
        return self._writes.get(started.id, ())

    def has_ended(self, started: PassStarted) -> bool:
        """Whether a pass is over."""
        return started.id in self._ended

    def is_going(self, run: Loop) -> bool:
        """Whether the last write of a run, the latest one of its key, has brought or will bring a pass."""
        targets = {wrote.target for one in run.rounds for wrote in (one.wrote, one.answer) if wrote is not None}
        todo, known = [run.rounds[-1].started], set[int]()
        while todo:
            started = todo.pop()
            if not self.has_ended(started):
                return True
            known.add(started.id)
            for wrote in self.writes_of(started):
                shown_by = [event for event in self._events if self.shown.made_by(event) is wrote]
                if self._is_on_its_way(wrote, targets) if not shown_by else any(map(self._is_queued, shown_by)):
                    return True
                brought = (self._started.get(event.id) for event in shown_by)
                todo += [later for later in brought if later is not None and later.id not in known]
        return False

    def _take_in(self, record: Record) -> None:
        if isinstance(record, Wrote):
            if self.shown.has_changed(record):
                self._writes.setdefault(record.causes[0], []).append(record)
        elif isinstance(record, EventSeen):
            self._events.append(record)
        elif isinstance(record, Asked):
            # An event that came while a pass ran asks a second time if it can wait with the key.
            self._asked.update(dict.fromkeys(record.causes, record))
        elif isinstance(record, PassStarted):
            for cause in record.causes:
                self._started.setdefault(cause, record)
        elif isinstance(record, PassEnded):
            self._ended.update(record.causes[:1])

    def _is_queued(self, event: EventSeen) -> bool:
        """Whether a pass that an event asked for is about to come."""
        if event.dropped_by or event.id in self._started:
            return False
        ask = self._asked.get(event.id)
        if ask is None:
            return True  # it was seen just now
        if ask.by == HOLD or ask.verdict == HELD or ask.asked_for > ask.at:
            return False
        # A stop of the process is not the end that the run would have come to.
        return ask.verdict == SHUT_DOWN or self._presents[event.scope, event.key].ready is not None

    def _is_on_its_way(self, wrote: Wrote, targets: Iterable[str]) -> bool:
        """Whether the event of a write may come yet: earlier writes of this object had theirs."""
        if wrote.target not in targets:
            return False
        target = wrote.target.partition(" ")[2]
        return not any(
            event.id > wrote.id and (event.source or str(event.key)) == target and self._is_later(event, wrote)
            for event in self._events
        )

    def _is_later(self, event: EventSeen, wrote: Wrote) -> bool:
        """Whether an event shows the object as it was after a write: with what somebody else did, or gone."""
        maker = self.shown.made_by(event)
        return maker is None or maker.id > wrote.id


def unexplained_versions(records: Sequence[Record], links: Mapping[int, int]) -> frozenset[str]:
    """Return the versions that updates of a key show, and whose writers its own records do not know."""
    shown = Shown(records, links)
    return frozenset(
        event.new_version
        for event in records
        if isinstance(event, EventSeen)
        and event.verb == "update"
        and event.new_version
        and shown.made_by(event) is None
    )


def _round(started: PassStarted, shown: Shown) -> Round | None:
    """Return the round that ends with a pass, if nothing but our writes, and answers to them, started it."""
    events = _events_of(started, shown)
    own = [event for event in events if _is_own(event, shown)]
    answers = {event.id: _answered(event, shown) for event in events if event not in own}
    if not events or not all(answers.values()):
        return None
    makers = [shown.made_by(event) for event in events]
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
                frozenset(wrote.target for wrote in makers if wrote is not None),
                answer,
                is_proven=all(_is_proven(wrote) for wrote in (*makers, answered)),
            )
    return None


def _is_proven(wrote: Wrote | None) -> bool:
    # Without a version it may have changed nothing, and have returned what somebody else made just then, whose event
    # comes later. One that is no longer kept was known to the own-write ledger, which takes no such write.
    return wrote is None or bool(wrote.old_version)


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
