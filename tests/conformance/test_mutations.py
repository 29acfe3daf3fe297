"""
The traces bite: break one rule of a core, a queue, a limiter or the controller, and some trace notices.

Each row is one rule: the module, the passage as it stands there, what replaces it. A row whose passage has changed
fails, and wants to be written anew. What notices must be an outcome that differs, not a crash, and no invariant is
checked: it is the traces that are tested here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from reconciler.testing.conformance import Difference, Parts, Program, read_traces
from reconciler.testing.conformance.controllers import on_controller
from reconciler.testing.conformance.cores import on_core
from reconciler.testing.conformance.limiters import on_limiter
from reconciler.testing.conformance.programs import LimiterTable, QueueProgram, Scenario
from reconciler.testing.conformance.shells import on_shell

from .mutants import mutant

TRACES = Path(__file__).parent.parent / "traces"


@dataclass(frozen=True)
class Room:
    """A module whose rules are broken: what must be made anew with it, how it is driven, on which files."""

    module: str
    parts: Callable[[Any], Parts]
    replay: Callable[[Any, Parts], Difference | None]
    files: Sequence[str]
    rebuilt: Sequence[str] = ()

    def mutated(self, old: str, new: str) -> Parts:
        made = mutant(self.module, old, new, self.rebuilt)
        return self.parts(made[(self.module, *self.rebuilt)[-1]])


def core(program: QueueProgram, parts: Parts) -> Difference | None:
    return on_core(program, parts, is_checking=False)


def shell(program: QueueProgram, parts: Parts) -> Difference | None:
    return on_shell(program, parts, is_checking=False)


def limiter(program: LimiterTable | QueueProgram, parts: Parts) -> Difference | None:
    return core(program, parts) if isinstance(program, QueueProgram) else on_limiter(program, parts)


def controller(scenario: Scenario, parts: Parts) -> Difference | None:
    return on_controller(scenario, parts, is_checking=False)


# The hand-written files come first: they are short, and most rules have a program of their own there.
CLASSIC_FILES = ("classic_hand.jsonl", "classic.jsonl")
PRIORITY_FILES = ("priority_hand.jsonl", "priority.jsonl")
CONTROLLER_FILES = ("controller_hand.jsonl", "controller_requeue.jsonl", "controller.jsonl")

CLASSIC = Room("reconciler.workqueue.classic", lambda made: Parts(classic_core=made.ClassicCore), core, CLASSIC_FILES)
DELAYS = Room(
    "reconciler.workqueue.delays",
    lambda made: Parts(classic_core=made.ClassicCore),
    core,
    CLASSIC_FILES,
    rebuilt=("reconciler.workqueue.classic",),
)
PRIORITY = Room("reconciler.workqueue.core", lambda made: Parts(priority_core=made.PriorityCore), core, PRIORITY_FILES)
CLASSIC_QUEUE = Room(
    "reconciler.workqueue.queue", lambda made: Parts(classic_queue=made.ClassicQueue), shell, CLASSIC_FILES
)
PRIORITY_QUEUE = Room(
    "reconciler.workqueue.queue", lambda made: Parts(priority_queue=made.PriorityQueue), shell, PRIORITY_FILES
)
LIMITERS = Room(
    "reconciler.workqueue.ratelimit",
    lambda made: Parts(limiters=made),
    limiter,
    ("limiters.jsonl", "classic.jsonl", "priority.jsonl"),
)
CONTROLLER = Room(
    "reconciler.control_loop.controller", lambda made: Parts(controller=made.Controller), controller, CONTROLLER_FILES
)
OUTCOME = Room(
    "reconciler.control_loop.outcome",
    lambda made: Parts(controller=made.Controller),
    controller,
    CONTROLLER_FILES,
    rebuilt=(
        "reconciler.control_loop.counts",
        "reconciler.control_loop.hold",
        "reconciler.control_loop.owing",
        "reconciler.control_loop.controller",
    ),
)

MUTATIONS: Sequence[tuple[Room, str, str, str]] = (
    (
        CLASSIC,
        "done that leaves nothing in work sends the first waiting get to the end",
        "        elif self._consumers and not self._line:\n",
        "        elif False:\n",
    ),
    (
        CLASSIC,
        "a key that was asked for while in work joins the end of the line",
        "            self._come_due.discard(key)\n            self._line.append(key)\n",
        "            self._come_due.discard(key)\n            self._line.appendleft(key)\n",
    ),
    (
        CLASSIC,
        "after a shutdown what is in the line is still handed out",
        "        self._is_shut_down = True\n        if not self._is_draining:\n",
        "        self._is_shut_down = True\n        self._line.clear()\n        if not self._is_draining:\n",
    ),
    (
        CLASSIC,
        "a stray done queues a ready key twice",
        "        self._held.pop(key, None)\n",
        "        if self._held.pop(key, None) is None:\n            return\n",
    ),
    (
        CLASSIC,
        "an event costs no delayed ask",
        "        if mark is None:\n            self._marks[key] = Item(",
        "        if (delay := self._delays.get(key)) is not None:\n            self._delays.remove(delay)\n"
        "        if mark is None:\n            self._marks[key] = Item(",
    ),
    (
        CLASSIC,
        "of two delayed asks the sooner counts",
        "        if ready_at > was_at:\n",
        "        if ready_at < was_at:\n",
    ),
    (
        CLASSIC,
        "the length leaves delayed keys out",
        "        return len(self._line)\n",
        "        return len(self._line) + len(self._delays)\n",
    ),
    (
        CLASSIC,
        "a key in work is only marked",
        "            if key in self._held:\n",
        "            if False:\n",
    ),
    (
        CLASSIC,
        "a drain waits for what is in work, not for the line",
        "        if self._held:\n            # The call wakes",
        "        if self._held or self._line:\n            # The call wakes",
    ),
    (
        CLASSIC,
        "of two drains the later is woken first",
        "            self._drains = {drain: None} | self._drains\n",
        "            self._drains = self._drains | {drain: None}\n",
    ),
    (
        CLASSIC,
        "after a shutdown delayed keys are lost",
        "        if now <= self._now or self._is_shut_down:\n            return ()\n",
        "        if now <= self._now:\n            return ()\n",
    ),
    (
        DELAYS,
        "equal times do not pass each other on the way up",
        "            if ready_at >= parent.ready_at:\n",
        "            if ready_at > parent.ready_at:\n",
    ),
    (
        DELAYS,
        "equal times do not pass each other on the way down",
        "            if child.ready_at >= ready_at:\n",
        "            if child.ready_at > ready_at:\n",
    ),
    (
        DELAYS,
        "of two equal children the left one comes up",
        "heap[below + 1].ready_at < child.ready_at:",
        "heap[below + 1].ready_at <= child.ready_at:",
    ),
    (
        DELAYS,
        "the first changes places with the last before it is taken out",
        "        self._swap(0, last)\n        self._down(0, last)\n        return self._drop_last()\n",
        "        import heapq\n\n"
        "        first = heapq.nsmallest(1, self.heap, key=lambda delay: (delay.ready_at, delay.number))[0]\n"
        "        self.remove(first)\n        return first\n",
    ),
    (
        PRIORITY,
        "no priority means 0, so a plain add lifts an entry of a lower one",
        "            return self._merge(entry, now, asked_for, priority or 0, ask,",
        "            return self._merge(entry, now, asked_for, entry.priority if priority is None else priority, ask,",
    ),
    (
        PRIORITY,
        "an entry that an ask makes ready keeps its counter",
        "            entry.ready_at = asked_for\n            self._make_ready(entry)\n",
        "            entry.ready_at = asked_for\n            entry.counter = self._next_counter()\n"
        "            self._make_ready(entry)\n",
    ),
    (
        PRIORITY,
        "an entry whose time has come takes the next counter",
        "            entry.counter = self._next_counter()\n            self._make_ready(entry)\n",
        "            self._make_ready(entry)\n",
    ),
    (
        PRIORITY,
        "an entry whose priority rises takes the next counter",
        "            entry.priority = priority\n            entry.counter = self._next_counter()\n",
        "            entry.priority = priority\n",
    ),
    (
        PRIORITY,
        "the higher priority counts",
        "        if priority > entry.priority:\n",
        "        if priority != entry.priority:\n",
    ),
    (
        PRIORITY,
        "a key asked for in work has its own priority, not the one it was handed out with",
        "        level = priority or 0\n",
        "        level = priority or (self._held[key].priority if key in self._held else 0)\n",
    ),
    (
        PRIORITY,
        "a key asked for in work keeps the place of its ask",
        "            entry.is_quiet = False\n            self._place_ready(entry)\n",
        "            entry.is_quiet = False\n            entry.counter = self._next_counter()\n"
        "            self._place_ready(entry)\n",
    ),
    (
        PRIORITY,
        "the sooner time counts",
        "        if entry.is_ready or asked_for > entry.ready_at:\n",
        "        if entry.is_ready or asked_for < entry.ready_at:\n",
    ),
    (
        PRIORITY,
        "keys due at one moment become ready in the order of their counters",
        "(entry.ready_at, -entry.priority, entry.counter, ",
        "(entry.ready_at, -entry.number, entry.counter, ",
    ),
    (
        PRIORITY,
        "the length leaves waiting entries out",
        "        return self._length\n",
        "        return len(self._entries)\n",
    ),
    (
        PRIORITY,
        "after a shutdown nothing is handed out",
        "        entry = None if self._is_shut_down else self._ready.pop()\n",
        "        entry = self._ready.pop()\n",
    ),
    (
        CLASSIC_QUEUE,
        "the classic queue's limiter counts after a shutdown",
        "    _charges_limiter_after_shut_down = True\n",
        "    _charges_limiter_after_shut_down = False\n",
    ),
    (
        PRIORITY_QUEUE,
        "the priority queue's limiter does not count after a shutdown",
        "    _charges_limiter_after_shut_down = False\n",
        "    _charges_limiter_after_shut_down = True\n",
    ),
    (
        PRIORITY_QUEUE,
        "of a delay and the limiter's the smaller counts",
        "    _limiter_excludes_after = False\n",
        "    _limiter_excludes_after = True\n",
    ),
    (
        LIMITERS,
        "a full bucket holds its burst",
        "        self._tokens = float(burst)\n",
        "        self._tokens = float(burst - 1)\n",
    ),
    (
        LIMITERS,
        "a bucket holds no more than its burst",
        "self._tokens = min(self._tokens + (whole + rest / 1e9) * self._qps, self._burst)",
        "self._tokens = self._tokens + (whole + rest / 1e9) * self._qps",
    ),
    (
        LIMITERS,
        "each limiter is charged, whoever has the longest delay",
        "        return max([limiter.when(key, now) for limiter in self._limiters])\n",
        "        return next((delay for limiter in self._limiters if (delay := limiter.when(key, now))), 0)\n",
    ),
    (
        LIMITERS,
        "the first failure waits for the base",
        "2.0 ** min(failures, 63)",
        "2.0 ** min(failures + 1, 63)",
    ),
    (
        LIMITERS,
        "the last of the fast tries is a fast one",
        "        return self._fast_ns if failures <= self._max_fast else self._slow_ns\n",
        "        return self._fast_ns if failures < self._max_fast else self._slow_ns\n",
    ),
    (
        OUTCOME,
        "a failure for good keeps the count of failures",
        '    Ending.FAILED_FOR_GOOD:  Effect(False, ',
        '    Ending.FAILED_FOR_GOOD:  Effect(True, ',
    ),
    (
        OUTCOME,
        "a pass that asks to come back later forgets its failures",
        '    Ending.ASKED_LATER:      Effect(True, ',
        '    Ending.ASKED_LATER:      Effect(False, ',
    ),
    (
        OUTCOME,
        "a requeue counts as a failure",
        '    Ending.ASKED_REQUEUE:    Effect(False, ',
        '    Ending.ASKED_REQUEUE:    Effect(True, ',
    ),
    (
        OUTCOME,
        "a pass that is done forgets its failures",
        '    Ending.DONE:             Effect(True, ',
        '    Ending.DONE:             Effect(False, ',
    ),
    (
        CONTROLLER,
        "a requeue carries the priority that the key was handed out with",
        "    return item.priority if asked is None else asked\n",
        "    return 0 if asked is None else asked\n",
    ),
    (
        CONTROLLER,
        "after a stop the classic queue's ready keys are worked off",
        '        while not stopping.is_set() or self._on_stop == "signal":\n',
        "        while not stopping.is_set():\n",
    ),
)  # fmt: skip


@cache
def programs(file: str) -> tuple[Program, ...]:
    return tuple(program for _, program in read_traces(TRACES / file).programs)


def differences(room: Room, parts: Parts) -> Iterator[Difference]:
    for file in room.files:
        for program in programs(file):
            difference = room.replay(program, parts)
            if difference is not None:
                yield difference


@pytest.mark.parametrize(
    ("room", "old", "new"),
    [
        pytest.param(room, old, new, id=f"{room.module.rpartition('.')[2]}: {rule}")
        for room, rule, old, new in MUTATIONS
    ],
)
def test_a_broken_rule_is_caught(room: Room, old: str, new: str) -> None:
    caught = next(differences(room, room.mutated(old, new)), None)
    assert caught is not None, "no trace notices"
    assert "raised" not in caught.seen


@pytest.mark.parametrize("room", [CLASSIC, DELAYS, PRIORITY, CLASSIC_QUEUE, LIMITERS, OUTCOME], ids=lambda r: r.module)
def test_what_is_made_anew_without_a_change_comes_out_as_in_go(room: Room) -> None:
    passage = '"""\n\nfrom __future__ import annotations\n'
    parts = room.mutated(passage, passage)
    # Only hand-written programs: all others are in the replay of the parts that users run.
    for program in programs(room.files[0]):
        assert room.replay(program, parts) is None
