"""Checks the invariants Q1 to Q13 of core.py and C1 to C11 of classic.py, and nothing else does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import TypeVar

from reconciler.errors import InvariantError
from reconciler.workqueue.answers import CAUSES_MAX, QueueSnapshot, Standing
from reconciler.workqueue.line import DEAD_PLACES_MAX

__all__ = ["check"]

K = TypeVar("K", bound=Hashable)


def check(queue: QueueSnapshot[K], *, before: QueueSnapshot[K] | None = None) -> None:
    """
    Check a queue at rest, between two calls of its shell.

    Args:
        queue: The queue now.
        before: The same queue earlier; Q3, Q4 and C3 compare the two, and are skipped without it.

    Raises:
        InvariantError: Names each broken invariant by its number, with what was seen.
    """
    if queue.discipline == "classic":
        broken = [*_places(queue), *_line(queue), *_classic_bounds(queue), *_moves_later(before, queue, "C3")]
    else:
        broken = [*_entries(queue), *_order(queue), *_bounds(queue), *_moves_later(before, queue, "Q3")]
        broken += _falls(before, queue)
    if broken:
        raise InvariantError("the work queue breaks " + "; ".join(broken))


def _entries(queue: QueueSnapshot[K]) -> Iterator[str]:
    locked = {row.key for row in queue.rows if row.is_locked}
    # An entry that was given back beside a newer one is free to go out, and still locks the newer one.
    out = [row for row in queue.rows if row.standing is Standing.HELD or (row.key in locked and not row.is_locked)]
    rest = [row for row in queue.rows if row not in out]
    for rows in (out, rest):
        for key, entries in Counter(row.key for row in rows).items():
            if entries > 1:
                yield f"Q1: {key!r} has {entries} entries {'handed out' if rows is out else 'to hand out'}"
    keys_out = {row.key for row in out}
    for row in rest:
        if row.is_locked != (row.key in keys_out):
            yield f"Q2: {row.key!r} is {'' if row.is_locked else 'not '}locked, against its hand-out"


def _order(queue: QueueSnapshot[K]) -> Iterator[str]:
    ready = [row for row in queue.rows if row.standing is Standing.READY]
    waiting = [row for row in queue.rows if row.standing is Standing.WAITING]
    first = next((row.number for row in ready if not row.is_locked and not queue.is_shut_down), None)
    soonest = None if queue.is_shut_down else min((row.ready_at for row in waiting), default=None)
    for row in ready + waiting:
        if (row.ready_at > queue.at) != (row.standing is Standing.WAITING) and not queue.is_shut_down:
            yield f"Q5: {row.key!r} is {row.standing.value} at {queue.at} with the time {row.ready_at}"
    if queue.consumers and first is not None:
        yield f"Q6: {queue.consumers} consumers wait, entry {first} could be handed out"
    if queue.length != len(ready):
        yield f"Q7: the length is {queue.length}, with {len(ready)} ready entries"
    if queue.up_next != first:
        yield f"Q8: entry {queue.up_next} is next, entry {first} should be"
    if queue.next_ready_at != soonest:
        yield f"Q9: the next ready time is {queue.next_ready_at}, the soonest entry waits for {soonest}"


def _bounds(queue: QueueSnapshot[K]) -> Iterator[str]:
    if queue.dead_places > len(queue.rows) + DEAD_PLACES_MAX:
        yield f"Q10: {queue.dead_places} dead places beside {len(queue.rows)} entries"
    for row in queue.rows:
        if len(row.causes) > CAUSES_MAX:
            yield f"Q11: {row.key!r} carries {len(row.causes)} causes"
        if row.is_quiet and not (row.is_locked and row.standing is Standing.READY):
            yield f"Q13: {row.key!r} is quiet, {row.standing.value}{'' if row.is_locked else ' and not locked'}"
    if queue.is_shut_down and queue.consumers:
        yield f"Q12: {queue.consumers} consumers wait on a queue that is shut down"


def _places(queue: QueueSnapshot[K]) -> Iterator[str]:
    for standing in (Standing.HELD, Standing.WAITING):
        for key, places in Counter(row.key for row in queue.rows if row.standing is standing).items():
            if places > 1:
                yield f"C1: {key!r} is {standing.value} {places} times"
    held = {row.key for row in queue.rows if row.standing is Standing.HELD}
    for key, marks in Counter(row.key for row in queue.rows if row.standing is Standing.READY and row.number).items():
        in_line = any(row.key == key and not row.is_locked for row in queue.rows if row.standing is Standing.READY)
        if marks > 1 and not in_line:
            yield f"C1: {key!r} is marked {marks} times"
        if not in_line and key not in held:
            yield f"C2: {key!r} is marked, and neither in the line nor in work"


def _line(queue: QueueSnapshot[K]) -> Iterator[str]:
    line = [row for row in queue.rows if row.standing is Standing.READY and not row.is_locked]
    soonest = min((row.ready_at for row in queue.rows if row.standing is Standing.WAITING), default=None)
    for row in queue.rows:
        is_due = row.ready_at <= queue.at
        if row.standing is (Standing.WAITING if is_due else Standing.READY) and not queue.is_shut_down:
            yield f"C4: {row.key!r} is {row.standing.value} at {queue.at} with the time {row.ready_at}"
    if queue.consumers and line:
        yield f"C5: {queue.consumers} consumers wait, {line[0].key!r} could be handed out"
    if queue.length != len(line):
        yield f"C6: the length is {queue.length}, with {len(line)} keys in the line"
    first = line[0].number if line else None
    if queue.up_next != first:
        yield f"C7: entry {queue.up_next} is next, entry {first} should be"
    if not queue.is_shut_down and queue.next_ready_at != soonest:
        yield f"C8: the next ready time is {queue.next_ready_at}, the soonest delayed ask waits for {soonest}"


def _classic_bounds(queue: QueueSnapshot[K]) -> Iterator[str]:
    held = {row.key for row in queue.rows if row.standing is Standing.HELD}
    for row in queue.rows:
        if len(row.causes) > CAUSES_MAX:
            yield f"C9: {row.key!r} carries {len(row.causes)} causes"
        if row.is_quiet and row.key not in held:
            yield f"C11: {row.key!r} has a quiet mark, and is not in work"
    if queue.is_shut_down and queue.consumers:
        yield f"C10: {queue.consumers} consumers wait on a queue that is shut down"
    if queue.drains and not queue.is_shut_down:
        yield f"C10: {queue.drains} drains wait on a queue that is not shut down"


def _moves_later(before: QueueSnapshot[K] | None, after: QueueSnapshot[K], number: str) -> Iterator[str]:
    waiting = {row.number: row for row in before.rows if row.standing is Standing.WAITING} if before else {}
    for row in after.rows:
        was = waiting.get(row.number)
        # On the classic queue the numbers of marks are others than those of delayed asks.
        is_same = was is not None and (after.discipline == "priority" or row.standing is Standing.WAITING)
        if was is not None and is_same and row.ready_at > was.ready_at:
            yield f"{number}: {row.key!r} moved from {was.ready_at} to {row.ready_at}"


def _falls(before: QueueSnapshot[K] | None, after: QueueSnapshot[K]) -> Iterator[str]:
    earlier = {row.number: row for row in before.rows} if before else {}
    for row in after.rows:
        was = earlier.get(row.number)
        if was is not None and row.priority < was.priority:
            yield f"Q4: the priority of {row.key!r} fell from {was.priority} to {row.priority}"
