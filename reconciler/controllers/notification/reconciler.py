"""
The NotificationRequest reconciler: read, plan, announce, deliver, record.

Expected flow of a pass: the cached object tells cheaply that nothing is due; else the object is read fresh, what is
due is announced in `status` (the first write), sent, and the outcomes and the phase that follows are recorded (the
second write). The pass returns when the next attempt is due.

Guarantees:
    - Nothing is sent unless the write that announces it succeeded on the version it was planned from: no stale read,
      second process or conflict leads to a send that the record does not allow.
    - An outcome is kept until it is recorded; a recorded success is never sent again.
    - Next times follow from `status` and the policy, in every phase that is not terminal; events, restarts and lost
      timers can make an attempt later, never sooner.

Assumptions: one process works on an object at a time. A second one is safe for the record, but may take a send that
the first has in flight for one in doubt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

import anyio

from reconciler.client import Client, Reader
from reconciler.controllers.notification.conditions import routing_condition
from reconciler.controllers.notification.delivery.channel import Channel, Promise
from reconciler.controllers.notification.delivery.send import send
from reconciler.controllers.notification.memory import Memories, Memory
from reconciler.controllers.notification.phases import TABLE, Phase
from reconciler.controllers.notification.plan import ChannelPlan, Decision, Plan, decide, make_plan
from reconciler.controllers.notification.policy import Policy
from reconciler.controllers.notification.record import (
    announce,
    begin_sending,
    enter_pending,
    has_intents,
    record_decision,
    settle,
)
from reconciler.controllers.notification.routing import Resolution, attributes
from reconciler.controllers.notification.types import NotificationRequest
from reconciler.errors import NotFoundError
from reconciler.instant import Clock, WallClock
from reconciler.journal import Journal
from reconciler.reconcile import Request, Result
from reconciler.recorder import EventRecorder
from reconciler.status import StatusManager

__all__ = ["NotificationReconciler", "Router"]

_log = logging.getLogger("reconciler.notification")

A = TypeVar("A")

# A wait of zero would mean "do not come back".
_AT_ONCE = timedelta(microseconds=1)


class Router(Protocol):
    """Chooses the channels of a request."""

    def resolve(self, attributes: Mapping[str, str]) -> Resolution:
        """Return the channel keys for a request with these attributes, without repeats."""
        ...


@dataclass(frozen=True, slots=True)
class _Conclusion:
    decision: Decision
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Begun:
    """What the first write of a pass led to: sends, or a conclusion, or a result at once."""

    sends: tuple[ChannelPlan, ...] = ()
    conclusion: _Conclusion | None = None
    result: Result | None = None
    has_begun_sending: bool = False


class NotificationReconciler:
    """Delivers NotificationRequests to their channels, and tries again until the policy's attempts are used."""

    def __init__(
        self,
        *,
        cached: Reader,
        client: Client,
        router: Router,
        channels: Mapping[str, Channel],
        recorder: EventRecorder,
        journal: Journal,
        clock: Clock,
        wall: WallClock,
    ) -> None:
        """
        Take everything a pass needs; `client` must read from the API server, `cached` may lag behind it.

        A channel key that routing names and `channels` lacks counts as a delivery that failed for now: after a
        changed routing file a request may carry a key that the next file brings back.
        """
        self._cached = cached
        self._statuses = StatusManager(client)
        self._router = router
        self._channels = channels
        self._recorder = recorder
        self._journal = journal
        self._clock = clock
        self._wall = wall
        self._memories = Memories(clock, wall)
        self._has_warned_of_pruning = False

    @property
    def remembered(self) -> int:
        """How many objects it remembers something of; those that are gone are forgotten."""
        return len(self._memories)

    async def reconcile(self, request: Request) -> Result | None:
        """Make one pass over a NotificationRequest; see the module."""
        try:
            seen = await self._cached.get(NotificationRequest, request.key)
        except NotFoundError:
            self._memories.forget(request.key)
            return None
        memory = self._memories.of(request.key, seen.metadata.uid)
        if not memory.unwritten and (wait := self._nothing_to_do(seen, memory)) is not None:
            return wait
        try:
            return await self._work(seen, memory)
        except NotFoundError:
            # Deleted meanwhile, which cancels it. If another object has the name by now, its own event brings it.
            self._journal.note(self._clock.now(), "cancelled", "the object was deleted")
            self._memories.forget(request.key)
            return None

    def _nothing_to_do(self, seen: NotificationRequest, memory: Memory) -> Result | None:
        """Say from the cached object alone that a pass has nothing to do; None if it must look closer."""
        phase = Phase(seen.status.phase)
        if TABLE.is_terminal(phase):
            self._note("nothing to do", f"phase {phase} is terminal")
            return Result()
        if seen.metadata.deletion_timestamp is not None:
            self._note("cancelled", "the object is being deleted")
            return Result()
        if phase in (Phase.UNSET, Phase.PENDING) or has_intents(seen.status):
            return None
        plan = self._plan(seen, memory)
        if plan.due or plan.next_wait is None:
            return None
        self._note_waiting(plan)
        return Result(requeue_after=plan.next_wait)

    async def _work(self, seen: NotificationRequest, memory: Memory) -> Result | None:
        stored, begun = await self._write(seen, memory, lambda fresh: self._begin(fresh, memory))
        # Only now, and only what this write announced, is sent.
        memory.unsent.clear()
        if begun.has_begun_sending:
            self._recorder.event(stored, "Normal", "PhaseTransition", "Transitioned to Sending phase")
        if not begun.sends:
            return begun.result or self._conclude(stored, begun.conclusion)
        await self._send_all(stored, begun.sends, memory)
        stored, conclusion = await self._write(stored, memory, lambda fresh: self._finish(fresh, memory))
        return self._conclude(stored, conclusion)

    async def _write(
        self, seen: NotificationRequest, memory: Memory, change: Callable[[NotificationRequest], A]
    ) -> tuple[NotificationRequest, A]:
        """Store a change that settles what is unwritten; then it is written, and may be told."""
        write = await self._statuses.write(seen, change)
        self._notice_pruning(write.sent, write.stored)
        for outcome in memory.unwritten:
            if outcome.error_class is None:
                message = f"Successfully delivered to channel {outcome.channel}"
                self._recorder.event(write.stored, "Normal", "NotificationSent", message)
        memory.unwritten.clear()
        return write.stored, write.answer

    def _begin(self, fresh: NotificationRequest, memory: Memory) -> _Begun:
        """Settle what is open, then announce what is due; or decide, if nothing is. Changes the status of `fresh`."""
        status, now, generation = fresh.status, self._wall.now(), fresh.metadata.generation
        phase = Phase(status.phase)
        if phase is Phase.UNSET:
            enter_pending(status, now=now, generation=generation)
            return _Begun(result=Result(requeue=True))
        settle(status, memory.unwritten, unsent=memory.unsent)
        if TABLE.is_terminal(phase):
            return self._found_terminal(fresh, memory)
        if fresh.metadata.deletion_timestamp is not None:
            return _Begun(result=Result())
        if phase is Phase.PENDING:
            self._begin_sending(fresh)
        plan = self._plan(fresh, memory)
        announced = list(self._to_announce(plan.due))
        announce(status, announced, now=now)
        # If the answer to this write is lost, the next pass finds the announcement, and knows that nothing was sent.
        memory.unsent.update(announced)
        if not plan.due:
            return _Begun(conclusion=self._decide(fresh, memory), has_begun_sending=phase is Phase.PENDING)
        return _Begun(sends=plan.due, has_begun_sending=phase is Phase.PENDING)

    def _found_terminal(self, fresh: NotificationRequest, memory: Memory) -> _Begun:
        """Tell the end if our own write made it and its answer was lost; else there is nothing to tell."""
        if not memory.unwritten:
            return _Begun(result=Result())
        status = fresh.status
        ended = Decision(Phase(status.phase), status.reason, status.message)
        return _Begun(conclusion=_Conclusion(ended, self._plan(fresh, memory)))

    def _begin_sending(self, fresh: NotificationRequest) -> None:
        now, generation = self._wall.now(), fresh.metadata.generation
        of_request = attributes(fresh)
        resolution = self._router.resolve(of_request)
        routing = routing_condition(resolution, of_request, now=now, generation=generation)
        begin_sending(fresh.status, channels=resolution.channels, routing=routing, now=now, generation=generation)

    def _to_announce(self, due: Iterable[ChannelPlan]) -> Iterator[tuple[str, int]]:
        for channel in due:
            if self.promise_of(channel.channel) is not Promise.DEDUPLICATED:
                yield channel.channel, channel.attempt

    async def _send_all(self, obj: NotificationRequest, sends: Sequence[ChannelPlan], memory: Memory) -> None:
        async def send_one(due: ChannelPlan) -> None:
            self._note("send", f"{due.channel} {due.reason}")
            outcome = await send(
                self._channels.get(due.channel), obj, due.channel, due.attempt, clock=self._clock, wall=self._wall
            )
            memory.learn(outcome)
            said = f"{outcome.error_class} failure: {outcome.error}" if outcome.error_class else "delivered"
            self._note("outcome", f"{due.channel} attempt {due.attempt}: {said}")

        try:
            async with anyio.create_task_group() as group:
                for due in sends:
                    group.start_soon(send_one, due)
        except ExceptionGroup as errors:
            # What a channel raises is an outcome, so this is a broken invariant: in a group nobody would know it.
            raise errors.exceptions[0] from errors

    def _finish(self, fresh: NotificationRequest, memory: Memory) -> _Conclusion | None:
        """Record the outcomes, and decide. Changes the status of `fresh`."""
        settle(fresh.status, memory.unwritten)
        # Another process may have ended it meanwhile: then the attempts are recorded, and its phase stands.
        return None if TABLE.is_terminal(Phase(fresh.status.phase)) else self._decide(fresh, memory)

    def _decide(self, fresh: NotificationRequest, memory: Memory) -> _Conclusion:
        """Decide the phase of a settled object, and write it into its status."""
        plan = self._plan(fresh, memory)
        decision = decide(plan, Policy.of(fresh.spec.retry_policy))
        record_decision(fresh.status, decision, plan, now=self._wall.now(), generation=fresh.metadata.generation)
        return _Conclusion(decision, plan)

    def _conclude(self, obj: NotificationRequest, conclusion: _Conclusion | None) -> Result | None:
        """Tell what was decided, and return when to come back."""
        if conclusion is None:
            return None
        decision, plan = conclusion.decision, conclusion.plan
        self._note("decided", f"{decision.phase}: {decision.message}")
        self._emit(obj, decision)
        if plan.next_wait is None:
            return None
        self._note_waiting(plan)
        return Result(requeue_after=max(plan.next_wait, _AT_ONCE))

    def _emit(self, obj: NotificationRequest, decision: Decision) -> None:
        match decision.phase:
            case Phase.RETRYING:
                message = f"Retrying failed channels with backoff {decision.backoff}"
                self._recorder.event(obj, "Normal", "NotificationRetrying", message)
            case Phase.PARTIALLY_SENT:
                self._recorder.event(obj, "Normal", "NotificationPartiallySent", decision.message)
            case Phase.FAILED:
                self._recorder.event(obj, "Warning", "NotificationFailed", decision.message)
            case _:
                pass

    def _plan(self, obj: NotificationRequest, memory: Memory) -> Plan:
        return make_plan(
            obj.status,
            uid=obj.metadata.uid,
            channels=self.channels_of(obj),
            policy=Policy.of(obj.spec.retry_policy),
            promise_of=self.promise_of,
            age_of=memory.age_of,
        )

    def channels_of(self, obj: NotificationRequest) -> Sequence[str]:
        """Return the object's channels: those frozen at its first pass, else what routing says now."""
        delivery = obj.status.delivery
        if delivery is not None and delivery.channels:
            return [channel.name for channel in delivery.channels]
        return self._router.resolve(attributes(obj)).channels

    def promise_of(self, channel: str) -> Promise:
        """Return what a channel promises; one that is not registered now is never sent to, so either would do."""
        known = self._channels.get(channel)
        return known.promise if known else Promise.AT_LEAST_ONCE

    def _notice_pruning(self, sent: NotificationRequest, stored: NotificationRequest) -> None:
        meant = sent.status.delivery
        if self._has_warned_of_pruning or meant is None or not meant.to_wire() or stored.status.delivery is not None:
            return
        self._has_warned_of_pruning = True
        _log.warning(
            "the CustomResourceDefinition in this cluster has no status.delivery: attempts in doubt after a crash "
            "cannot be recorded, channels are resolved anew in each pass, and an error's class is read from its text; "
            "install this version's CustomResourceDefinition to get the full promises"
        )

    def _note(self, topic: str, text: str) -> None:
        self._journal.note(self._clock.now(), topic, text)

    def _note_waiting(self, plan: Plan) -> None:
        for channel in plan.channels:
            if channel.wait:
                self._note("wait", f"{channel.channel} {channel.reason}; due in {channel.wait.total_seconds():.3f} s")
