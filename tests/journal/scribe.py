"""Writes records as the control loop and the client do, one line of a test for each."""

from __future__ import annotations

from collections.abc import Hashable

from reconciler.journal import (
    Asked,
    Changed,
    EventSeen,
    Explanation,
    Journal,
    Origin,
    Owed,
    PassEnded,
    PassStarted,
    Promoted,
    Wrote,
    explain,
)
from reconciler.workqueue import Verdict

SECOND = 1_000_000_000


class Scribe:
    """One key of one controller; `at` is the present moment in seconds, which the test moves."""

    def __init__(self, journal: Journal | None = None, key: Hashable = "default/a", scope: str = "c") -> None:
        self.journal = journal or Journal()
        self.key = key
        self.scope = scope
        self.at = 0.0

    @property
    def now(self) -> int:
        return round(self.at * SECOND)

    def event(
        self,
        verb: str = "update",
        *,
        origin: Origin = Origin.FOREIGN,
        changed: Changed = Changed.OTHER,
        old: str = "",
        new: str = "",
        generations: tuple[int, int] = (1, 1),
        fields: tuple[str, ...] = (),
        source: str = "",
        kind: str = "Widget",
        dropped_by: str = "",
    ) -> int:
        number = self.journal.new_id()
        return self.journal.append(
            EventSeen(
                number, (), self.now, self.scope, self.key, verb, changed, old, new, *generations,
                origin=origin, fields=fields, source=source, kind=kind, dropped_by=dropped_by,
            )
        )  # fmt: skip

    def ask(
        self,
        verdict: Verdict = Verdict.QUEUED,
        *,
        by: str = "event",
        cause: int = 0,
        after: float = 0,
        lost: int = 0,
        lost_at: float = -1,
        standing: int | None = None,
        ready_at: float | None = None,
    ) -> int:
        number = self.journal.new_id()
        asked_for = self.now + round(after * SECOND)
        lost = number if lost == -1 else lost
        return self.journal.append(
            Asked(
                number, (cause,) if cause else (), self.now, self.scope, self.key, by, verdict.value, asked_for,
                asked_for if ready_at is None else round(ready_at * SECOND),
                round(lost_at * SECOND) if lost else -1, lost, number if standing is None else standing,
            )
        )  # fmt: skip

    def promote(self, ask: int, verdict: Verdict = Verdict.QUEUED) -> int:
        return self.journal.append(
            Promoted(self.journal.new_id(), (ask,), self.now, self.scope, self.key, ask, verdict.value)
        )

    def owe(self, what: str, due_at: float, *, withdrew: int = 0) -> int:
        return self.journal.append(
            Owed(self.journal.new_id(), (), self.now, self.scope, self.key, what, round(due_at * SECOND), withdrew)
        )

    def start(self, *causes: int) -> int:
        return self.journal.append(PassStarted(self.journal.new_id(), causes, self.now, self.scope, self.key, 0, 0))

    def write(
        self,
        started: int,
        old: str,
        new: str,
        *,
        verb: str = "update",
        target: str = "widgets/status default/a",
        code: int = 200,
        sent_after: int = 0,
    ) -> int:
        return self.journal.append(
            Wrote(
                self.journal.new_id(), (started,), self.now, self.scope, self.key, verb, target, old, new, code,
                sent_after=sent_after,
            )
        )  # fmt: skip

    def end(self, started: int, ending: str = "done", *, after: float = 0) -> int:
        return self.journal.append(
            PassEnded(self.journal.new_id(), (started,), self.now, self.scope, self.key, ending, round(after * SECOND))
        )

    def ends_and_asks(self, started: int, after: float, verdict: Verdict = Verdict.DELAYED, **more: int) -> int:
        """The pass asks for `requeue_after`; return the ask."""
        ended = self.end(started, "asked to come back later", after=after)
        lost_at = self.at + after if more.get("lost") == -1 else -1
        return self.ask(verdict, by="requeue_after", cause=ended, after=after, lost_at=lost_at, **more)

    def cycle(self) -> None:
        """An event, its ask, and a pass that ends well."""
        event = self.event()
        ask = self.ask(cause=event)
        self.end(self.start(ask, event))

    def explain(self) -> Explanation:
        return explain(self.journal, self.scope, self.key)
