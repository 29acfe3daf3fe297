"""Drives a limiter table: call by call, with the time that passes between them."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.instant import Instant
from reconciler.testing.conformance.difference import Difference, Outcome
from reconciler.testing.conformance.parts import Parts
from reconciler.testing.conformance.programs import LimiterTable

__all__ = ["on_limiter"]


def on_limiter(table: LimiterTable, parts: Parts) -> Difference | None:
    """Ask a limiter what the table says; return the first difference."""
    for index, (step, recorded, seen) in enumerate(_calls(table, parts)):
        if recorded != seen:
            return Difference("the rate limiter", step, index, recorded, seen)
    return None


def _calls(table: LimiterTable, parts: Parts) -> Iterator[tuple[str, Outcome, Outcome]]:
    limiter = parts.limiter(table.limiter)
    now = 0
    for index, (delay, count) in enumerate(zip(table.delays, table.num_requeues, strict=True)):
        key = table.keys[index % len(table.keys)]
        seen = {"delay": limiter.when(key, Instant(now)), "num_requeues": limiter.num_requeues(key)}
        yield f"call {index} of {table.forget_before}: when {key} at {now}", _recorded(delay, count), seen
        now += table.gap
    limiter.forget(table.keys[0])
    for index, delay in enumerate(table.delays_after_forget):
        key = table.keys[index % len(table.keys)]
        step = f"call {index} after forget {table.keys[0]}: when {key} at {now}"
        yield step, {"delay": delay}, {"delay": limiter.when(key, Instant(now))}
        now += table.gap


def _recorded(delay: int, count: int) -> Outcome:
    return {"delay": delay, "num_requeues": count}
