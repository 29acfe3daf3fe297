from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from reconciler.client import DEFAULT_BACKOFF, DEFAULT_RETRY, RetryBackoff, retry_on_conflict
from reconciler.clock import LoopClock
from reconciler.errors import AlreadyExistsError, ApiStatus, ConflictError
from reconciler.instant import milliseconds
from reconciler.testing import run_virtual

STEADY = RetryBackoff(steps=4, duration=timedelta(milliseconds=10), factor=5.0)


def conflict() -> ConflictError:
    return ConflictError(ApiStatus(409, "Conflict"))


class Attempt:
    """Fails as often as told, and notes when it was called."""

    def __init__(self, failures: int, error: Callable[[], Exception] = conflict) -> None:
        self.failures = failures
        self.error = error
        self.called_at: list[int] = []

    async def __call__(self) -> int:
        self.called_at.append(LoopClock().now())
        if len(self.called_at) <= self.failures:
            raise self.error()
        return len(self.called_at)

    def run(self, *args: Any, **options: Any) -> int:
        async def main() -> int:
            return await retry_on_conflict(self, *args, **options)

        return run_virtual(main())


def test_what_succeeds_at_once_is_called_once_and_without_a_pause() -> None:
    attempt = Attempt(failures=0)
    assert attempt.run() == 1
    assert len(attempt.called_at) == 1


def test_a_conflict_is_tried_again_after_pauses_that_grow_by_the_factor() -> None:
    attempt = Attempt(failures=3)
    assert attempt.run(STEADY) == 4
    start = attempt.called_at[0]
    assert [at - start for at in attempt.called_at] == [milliseconds(ms) for ms in (0, 10, 60, 310)]


def test_the_last_conflict_is_raised_without_a_pause_after_it() -> None:
    attempt = Attempt(failures=9)

    async def main() -> int:
        with pytest.raises(ConflictError):
            await retry_on_conflict(attempt, STEADY)
        return LoopClock().now()

    assert run_virtual(main()) == attempt.called_at[-1]
    assert len(attempt.called_at) == 4


def test_by_default_there_are_five_tries_ten_milliseconds_and_a_tenth_apart() -> None:
    attempt = Attempt(failures=9)
    with pytest.raises(ConflictError):
        attempt.run(random=Random(1))
    pauses = [later - at for at, later in zip(attempt.called_at, attempt.called_at[1:], strict=False)]
    assert len(pauses) == 4
    assert all(milliseconds(10) <= pause <= milliseconds(11) for pause in pauses)
    assert len(set(pauses)) > 1


def test_the_same_generator_gives_the_same_pauses() -> None:
    first, second = Attempt(failures=4), Attempt(failures=4)
    first.run(random=Random(5))
    second.run(random=Random(5))
    assert first.called_at == second.called_at


def test_any_other_error_ends_it_at_once() -> None:
    attempt = Attempt(failures=1, error=lambda: AlreadyExistsError(ApiStatus(409, "AlreadyExists")))
    with pytest.raises(AlreadyExistsError):
        attempt.run()
    assert len(attempt.called_at) == 1


def test_a_cancellation_ends_a_pause() -> None:
    attempt = Attempt(failures=9)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await retry_on_conflict(attempt)

    run_virtual(main())
    assert len(attempt.called_at) == 1


def test_the_defaults_are_those_of_go() -> None:
    ten = timedelta(milliseconds=10)
    assert RetryBackoff(steps=5, duration=ten, factor=1.0, jitter=0.1) == DEFAULT_RETRY
    assert RetryBackoff(steps=4, duration=ten, factor=5.0, jitter=0.1) == DEFAULT_BACKOFF


def test_the_jitter_is_drawn_from_the_pause_without_the_jitter_before_it() -> None:
    class Most(Random):
        def random(self) -> float:
            return 1.0

    assert list(DEFAULT_BACKOFF.pauses_seconds(Most())) == pytest.approx([0.011, 0.055, 0.275])


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"duration": timedelta(seconds=-1)}, {"factor": -1.0}, {"jitter": -0.1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one step"):
        RetryBackoff(**{"steps": 1, "duration": timedelta(0), **wrong})
