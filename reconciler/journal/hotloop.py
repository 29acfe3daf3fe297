"""Finds runs of passes that only the controller's own writes keep going. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.journal.records import Asked, EventSeen, Origin, PassStarted, Record, Wrote

__all__ = ["ROUNDS_MIN", "Round", "longest_loop"]

ROUNDS_MIN = 3
"""Rounds from which on a run is a hot loop: two can be the way to rest of a reconciler that writes twice."""


@dataclass(frozen=True, slots=True)
class Round:
    """
    An own write, its event, and the pass that it started, which wrote again.

    `fields` are those that the event, or the events merged with it, say changed.
    """

    wrote: Wrote
    event: EventSeen
    started: PassStarted
    fields: frozenset[str]


def longest_loop(records: Sequence[Record], links: Mapping[int, int]) -> tuple[Round, ...]:
    """Return the longest run of at least `ROUNDS_MIN` rounds, the latest of equals; empty if there is none."""
    by_id = {record.id: record for record in records}
    writers = {record.causes[0] for record in records if isinstance(record, Wrote) and _has_changed(record)}
    longest: list[Round] = []
    run: list[Round] = []
    before: PassStarted | None = None
    for started in records:
        if not isinstance(started, PassStarted):
            continue
        one = None if before is None else _round(before, started, by_id, links)
        run = [] if one is None or started.id not in writers else [*run, one]
        if len(run) >= max(ROUNDS_MIN, len(longest)):
            longest = run
        before = started
    return tuple(longest)


def _has_changed(wrote: Wrote) -> bool:
    return bool(wrote.causes) and 200 <= wrote.code < 300 and wrote.new_version != wrote.old_version


def _round(
    before: PassStarted, started: PassStarted, by_id: Mapping[int, Record], links: Mapping[int, int]
) -> Round | None:
    """Return the round from the pass `before` to the next, if nothing but own writes of the one led to the other."""
    ask = by_id.get(started.causes[0]) if started.causes else None
    if not isinstance(ask, Asked) or ask.by != "event" or ask.asked_for > ask.at:
        return None
    events = [event for event in map(by_id.get, started.causes) if isinstance(event, EventSeen)]
    if not events or not all(_is_own(event, links) and not _is_meant(event) for event in events):
        return None
    fields = frozenset(field for event in events for field in event.fields)
    for event in reversed(events):
        wrote = by_id.get(links.get(event.id, 0))
        if isinstance(wrote, Wrote) and before.id in wrote.causes:
            return Round(wrote, event, started, fields)
    return None


def _is_own(event: EventSeen, links: Mapping[int, int]) -> bool:
    return event.verb == "update" and (event.origin is Origin.OWN or event.id in links)


def _is_meant(event: EventSeen) -> bool:
    return event.old_generation != event.new_generation
