from __future__ import annotations

from itertools import cycle, islice

import pytest

from reconciler.instant import Instant
from reconciler.workqueue import ItemExponentialRateLimiter

from .replay import Program, is_replayable, limiter_of, programs

TABLES = [table for table in programs("limiters.jsonl") if is_replayable(table)]


def test_the_recorded_tables_of_the_exponential_limiter_are_there() -> None:
    assert len(TABLES) == 11


@pytest.mark.parametrize("table", [pytest.param(table, id=table["id"]) for table in TABLES])
def test_the_delays_are_those_of_go(table: Program) -> None:
    limiter = limiter_of(table)
    before: int = table["forget_before"]
    keys = list(islice(cycle(table["keys"]), before))

    seen = [(limiter.when(key, Instant(0)), limiter.num_requeues(key)) for key in keys]
    limiter.forget(table["keys"][0])
    after = [limiter.when(key, Instant(0)) for key in islice(cycle(table["keys"]), 5)]

    assert seen == list(zip(table["delays"], table["num_requeues"], strict=True))
    assert after == table["delays_after_forget"]


def test_the_default_doubles_from_5_ms_to_1000_s() -> None:
    limiter = ItemExponentialRateLimiter()
    delays = [limiter.when("a", Instant(0)) for _ in range(20)]
    assert delays[:4] == [5_000_000, 10_000_000, 20_000_000, 40_000_000]
    assert delays[17:] == [655_360_000_000, 1_000_000_000_000, 1_000_000_000_000]
    assert "1 failing keys" in repr(limiter)


@pytest.mark.parametrize("base_ns", [pytest.param(1, id="1 ns"), pytest.param(2**40, id="2^40 ns")])
def test_a_delay_is_never_negative_not_even_at_2_to_the_63(base_ns: int) -> None:
    limiter = ItemExponentialRateLimiter(base_ns=base_ns, max_ns=2**63 - 1)
    delays = [limiter.when("a", Instant(0)) for _ in range(2_000)]
    assert delays == sorted(delays)
    assert delays[-1] == 2**63 - 1


def test_a_forgotten_key_starts_again_and_others_keep_their_count() -> None:
    limiter = ItemExponentialRateLimiter()
    for key in "aab":
        limiter.when(key, Instant(0))
    limiter.forget("a")
    limiter.forget("never seen")
    assert (limiter.num_requeues("a"), limiter.num_requeues("b")) == (0, 1)
    assert limiter.when("a", Instant(0)) == 5_000_000


@pytest.mark.parametrize(("base_ns", "max_ns"), [(0, 1), (1, 0), (-1, 1)])
def test_a_bound_that_is_not_positive_is_refused(base_ns: int, max_ns: int) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        ItemExponentialRateLimiter(base_ns=base_ns, max_ns=max_ns)
