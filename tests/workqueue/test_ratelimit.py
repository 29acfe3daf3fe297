from __future__ import annotations

import pytest

from reconciler.instant import Instant
from reconciler.workqueue import ItemExponentialRateLimiter


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
