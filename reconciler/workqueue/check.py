"""Checks the invariants Q1 to Q12 of core.py, and nothing else does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import TypeVar

from reconciler.errors import InvariantError
from reconciler.workqueue.answers import QueueSnapshot, Standing
from reconciler.workqueue.core import CAUSES_MAX, DEAD_PLACES_MAX

__all__ = ["check"]

K = TypeVar("K", bound=Hashable)


def check(queue: QueueSnapshot[K], *, before: QueueSnapshot[K] | None = None) -> None:
    """
    Check a queue at rest, between two calls of its shell.

    Args:
        queue: The queue now.
        before: The same queue earlier; Q3 and Q4 compare the two, and are skipped without it.

    Raises:
        InvariantError: Names each broken invariant by its number, with what was seen.
    """
    broken = [*_entries(queue), *_order(queue), *_bounds(queue)]
    if before is not None:
        broken += _moves(before, queue)
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
    if queue.is_shut_down and queue.consumers:
        yield f"Q12: {queue.consumers} consumers wait on a queue that is shut down"


def _moves(before: QueueSnapshot[K], after: QueueSnapshot[K]) -> Iterator[str]:
    earlier = {row.number: row for row in before.rows}
    for row in after.rows:
        was = earlier.get(row.number)
        if was is None:
            continue
        if was.standing is Standing.WAITING and row.ready_at > was.ready_at:
            yield f"Q3: {row.key!r} moved from {was.ready_at} to {row.ready_at}"
        if row.priority < was.priority:
            yield f"Q4: the priority of {row.key!r} fell from {was.priority} to {row.priority}"
