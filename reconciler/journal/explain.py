"""
`explain`: the history of one key as data, and `render`: the same in lines for people.

A lost wake-up is a delayed ask that another ask beat, so that no pass starts for it at its own time. Whether that is a
fault is another question: `findings` has the answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.journal.detect import Finding, findings_of
from reconciler.journal.hotloop import ROUNDS_MIN, unexplained_versions
from reconciler.journal.present import Present
from reconciler.journal.records import Asked, EventSeen, Origin, PassEnded, Record, Wrote
from reconciler.journal.sentence import Sentence, Tell, in_words, seconds_in_words
from reconciler.journal.wakes import State, Wake, WakeBy, state_of, wakes_of
from reconciler.journal.words import DONE

if TYPE_CHECKING:
    from reconciler.journal.journal import Journal

__all__ = ["Explanation", "LostWakeUp", "explain", "explain_records", "render", "verdict"]


@dataclass(frozen=True, slots=True)
class LostWakeUp:
    """
    A wake-up that was asked for and is not coming: when it would have been, who asked, and what beat it.

    `beaten_by` is the id of the ask that stands instead; 0 if nothing does, because the queue was shut down.
    """

    due_at: int
    ask_id: int
    beaten_by: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    What is known of one key of one controller.

    Attributes:
        records: Oldest first.
        evicted: Older records that are gone.
        lost: Wake-ups that were beaten, oldest first.
        standing: The ask that the queue still holds for the key, the ready one first; None if nothing is asked for.
        is_running: Whether a pass is running now.
        state: What the key is doing.
        ready: The ask for which it is ready, or will be when the pass in work ends.
        delayed: The ask whose time lies ahead; on the classic queue both can stand.
        owed_at: The moment that is owed (`Result.hold`); None if none is.
        wakes: What would start a pass, the soonest first.
        findings: What looks wrong.
        links: From an own event to the write that did it, by id, also where the event came before the write's answer.
        pinned: How many of the first records are older than the evicted ones: they explain what stands.
        keys_evicted: How many keys left the journal with all their records, this one perhaps among them.
    """

    scope: str
    key: Hashable
    records: tuple[Record, ...]
    evicted: int
    lost: tuple[LostWakeUp, ...]
    standing: Asked | None
    is_running: bool
    state: State
    ready: Asked | None
    delayed: Asked | None
    owed_at: int | None
    wakes: tuple[Wake, ...]
    findings: tuple[Finding, ...]
    links: Mapping[int, int] = field(default_factory=dict[int, int])
    pinned: int = 0
    keys_evicted: int = 0

    def causes_of(self, record: Record) -> tuple[int, ...]:
        """Return the ids of what led to a record, the write that did an own event included."""
        write = self.links.get(record.id)
        return record.causes if write is None or write in record.causes else (*record.causes, write)

    def chain(self, record_id: int) -> tuple[Record, ...]:
        """
        Return a record and everything that led to it, oldest first, as far as it is kept.

        Raises:
            KeyError: No record of this key has that id, or it is gone.
        """
        by_id = {record.id: record for record in self.records}
        found = {record_id: by_id[record_id]}
        todo = [by_id[record_id]]
        while todo:
            for cause in self.causes_of(todo.pop()):
                if cause in by_id and cause not in found:
                    found[cause] = by_id[cause]
                    todo.append(by_id[cause])
        return tuple(found[number] for number in sorted(found))


def explain(journal: Journal, scope: str, key: Hashable) -> Explanation:
    """Return the history of one key; for a key nobody ever saw, one without records."""
    records = journal.records(scope, key)
    return explain_records(
        scope,
        key,
        records,
        neighbours=_neighbours(journal, scope, key, records),
        present=journal.present(scope, key),
        evicted=journal.evicted(scope, key),
        pinned=journal.pinned(scope, key),
        keys_evicted=journal.keys_evicted,
    )


def explain_records(
    scope: str,
    key: Hashable,
    records: Sequence[Record],
    *,
    neighbours: Iterable[Record] = (),
    present: Present | None = None,
    evicted: int = 0,
    pinned: int = 0,
    keys_evicted: int = 0,
) -> Explanation:
    """
    Return the history of one key from its records, oldest first.

    Args:
        scope: The controller.
        key: The queue's key.
        records: All of this key and controller.
        neighbours: Of other controllers and keys: those whose writes may be what the key's events show.
        present: What stands after them; None derives it from them.
        evicted: As in `Explanation`.
        pinned: As in `Explanation`.
        keys_evicted: As in `Explanation`.
    """
    if present is None:
        present = Present()
        present.follow(records)
    links = _links(records)
    lost = [
        LostWakeUp(record.lost_at, record.lost_ask, record.standing_ask)
        for record in records
        if isinstance(record, Asked) and record.lost_ask
    ]
    is_standing = not present.is_shut_down
    return Explanation(
        scope,
        key,
        tuple(records),
        evicted,
        tuple(lost),
        standing=(present.ready or present.delayed) if is_standing else None,
        is_running=present.running is not None,
        state=state_of(present, has_records=bool(records)),
        ready=present.ready if is_standing else None,
        delayed=present.delayed if is_standing else None,
        owed_at=present.owed.due_at if present.owed is not None and is_standing else None,
        wakes=wakes_of(present),
        findings=findings_of(records, present, links, neighbours),
        links=links,
        pinned=pinned,
        keys_evicted=keys_evicted,
    )


def render(explanation: Explanation, *, start: int = 0, tell: Tell | None = None) -> Iterator[str]:
    """
    Yield one line for each record, and the verdict in one or two sentences.

    Args:
        explanation: What to tell.
        start: The instant that times are counted from.
        tell: How a moment is told, such as in wall time; the default says seconds since `start`.
    """

    def since_start(at: int) -> str:
        return seconds_in_words(at - start)

    told = tell or since_start
    yield f"{explanation.scope} {explanation.key}"
    for number, record in enumerate(explanation.records):
        if number == explanation.pinned and explanation.evicted:
            yield f"  ... {explanation.evicted} older records are gone"
        causes = explanation.causes_of(record)
        because = f"  <- {', '.join(f'#{cause}' for cause in causes)}" if causes else ""
        yield f"  {told(record.at):>9}  #{record.id:<5} {in_words(record, told)}{because}"
    yield from (f"  {sentence.told(told)}" for sentence in verdict(explanation))


def verdict(explanation: Explanation) -> tuple[Sentence, ...]:
    """Return the present in a sentence or two, and one more for each finding."""
    findings = (
        Sentence((f"{'wrong' if finding.is_certain else 'to check'}: {finding.kind.value}: ", *finding.said.parts))
        for finding in explanation.findings
    )
    return (Sentence(("now: ", *_NOW[explanation.state](explanation))), *findings)


def _in_work(explanation: Explanation) -> tuple[str | int, ...]:
    again = next((wake for wake in explanation.wakes if wake.ask), None)
    after = ("; the next one comes ", *again.said.parts) if again else ()
    return ("a pass is running", *after)


def _ready(explanation: Explanation) -> tuple[str | int, ...]:
    ask = explanation.ready
    assert ask is not None
    return ("ready since ", ask.ready_at, f", asked for by #{ask.id} ({ask.by}); a free worker takes it")


def _waiting(explanation: Explanation) -> tuple[str | int, ...]:
    soonest, event = explanation.wakes[0], explanation.wakes[-1]
    by = soonest.by is WakeBy.TIME and explanation.delayed is not None and explanation.delayed.by == "event"
    what = "an event's time" if by else "its retry"
    return (f"waiting for {what} ", *soonest.said.parts, f"; {event.by.value} would wake it sooner")


def _idle(explanation: Explanation) -> tuple[str | int, ...]:
    if explanation.wakes[0].by is WakeBy.NOTHING:
        return ("nothing would wake it: the queue is shut down; the first list after a restart brings it back",)
    ended = next((record for record in reversed(explanation.records) if isinstance(record, PassEnded)), None)
    last = f"the last pass ended: {ended.ending} (#{ended.id}); " if ended is not None and ended.ending != DONE else ""
    well = f"the last pass ended well (#{ended.id}); " if ended is not None and not last else ""
    return (f"idle: {last or well}nothing is asked for, only an event would wake it",)


def _never_seen(explanation: Explanation) -> tuple[str | int, ...]:
    if explanation.keys_evicted:
        return (
            f"no record of this key: never seen, or among the {explanation.keys_evicted} keys that left the journal",
        )
    return ("never seen: its first event would wake it",)


_NOW = {
    State.IN_WORK: _in_work,
    State.READY: _ready,
    State.WAITING: _waiting,
    State.IDLE: _idle,
    State.NEVER_SEEN: _never_seen,
}


def _neighbours(journal: Journal, scope: str, key: Hashable, records: Sequence[Record]) -> Iterator[Record]:
    """Yield the records of other keys that wrote what this key's events show; none where they cannot be a loop."""
    versions = unexplained_versions(records, _links(records))
    if len(versions) < ROUNDS_MIN:
        return
    for place in journal.places():
        others = journal.records(*place) if place != (scope, key) else ()
        if any(isinstance(record, Wrote) and record.new_version in versions for record in others):
            yield from others


def _links(records: Sequence[Record]) -> dict[int, int]:
    """Lead from each own event to the write that produced its version; a write's answer may come after its event."""
    # One that may have changed nothing would stand before the write whose version it returned.
    writes = {
        record.new_version: record
        for record in records
        if isinstance(record, Wrote) and (record.verb == "create" or record.old_version not in {"", record.new_version})
    }
    links: dict[int, int] = {}
    for event in records:
        wrote = writes.get(event.new_version) if isinstance(event, EventSeen) else None
        if isinstance(event, EventSeen) and wrote is not None and _is_linked(wrote, event):
            links[event.id] = wrote.id
    return links


def _is_linked(wrote: Wrote, event: EventSeen) -> bool:
    if event.verb == "create":
        return wrote.verb == "create"
    # A write without a precondition may have changed nothing, and returned a version that somebody else made.
    return event.verb == "update" and event.origin is not Origin.FOREIGN and wrote.verb != "create"
