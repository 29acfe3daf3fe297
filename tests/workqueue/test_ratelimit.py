from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.instant import Instant, milliseconds, seconds
from reconciler.workqueue import (
    BucketRateLimiter,
    ItemExponentialRateLimiter,
    ItemFastSlowRateLimiter,
    JitteredRateLimiter,
    MaxOfRateLimiter,
    RateLimiter,
    WithMaxWaitRateLimiter,
    default_controller_rate_limiter,
    default_item_based_rate_limiter,
    default_priority_rate_limiter,
)

NOW = Instant(0)
NAN, INFINITE = float("nan"), float("inf")


def delays(limiter: RateLimiter[str], keys: str, *, now: Instant = NOW) -> list[int]:
    """Let each key fail once, in order."""
    return [limiter.when(key, now) for key in keys]


def fast_slow() -> ItemFastSlowRateLimiter:
    return ItemFastSlowRateLimiter(fast_ns=5, slow_ns=100, max_fast=2)


# Bounds

REFUSED = [
    pytest.param(lambda: ItemExponentialRateLimiter(base_ns=0), "base_ns must be more than 0, is 0", id="base 0"),
    pytest.param(
        lambda: ItemExponentialRateLimiter(base_ns=-1), "base_ns must be more than 0, is -1", id="base below 0"
    ),
    pytest.param(lambda: ItemExponentialRateLimiter(max_ns=0), "max_ns must be more than 0, is 0", id="max 0"),
    pytest.param(
        lambda: ItemFastSlowRateLimiter(fast_ns=-1, slow_ns=0, max_fast=0),
        "fast_ns must be 0 or more",
        id="fast below 0",
    ),
    pytest.param(
        lambda: ItemFastSlowRateLimiter(fast_ns=0, slow_ns=-1, max_fast=0),
        "slow_ns must be 0 or more",
        id="slow below 0",
    ),
    pytest.param(
        lambda: ItemFastSlowRateLimiter(fast_ns=0, slow_ns=0, max_fast=-1),
        "max_fast must be 0 or more, is -1",
        id="fewer than no fast tries",
    ),
    pytest.param(lambda: BucketRateLimiter(qps=0), "qps must be more than 0 and finite, is 0", id="qps 0"),
    pytest.param(lambda: BucketRateLimiter(qps=-1), "qps must be more than 0 and finite, is -1", id="qps below 0"),
    pytest.param(lambda: BucketRateLimiter(burst=NAN), "burst must be at least 1, is nan", id="burst NaN"),  # type: ignore[arg-type]
    pytest.param(lambda: ItemExponentialRateLimiter(base_ns=NAN), "base_ns must be more than 0, is nan", id="base NaN"),  # type: ignore[arg-type]
    pytest.param(lambda: BucketRateLimiter(qps=NAN), "qps must be more than 0 and finite, is nan", id="qps NaN"),
    pytest.param(
        lambda: BucketRateLimiter(qps=INFINITE), "qps must be more than 0 and finite, is inf", id="qps infinite"
    ),
    pytest.param(lambda: BucketRateLimiter(burst=0), "burst must be at least 1, is 0", id="burst 0"),
    pytest.param(lambda: BucketRateLimiter(burst=-1), "burst must be at least 1, is -1", id="burst below 0"),
    pytest.param(MaxOfRateLimiter[str], "limiters: at least one is needed", id="the most of nothing"),
    pytest.param(
        lambda: WithMaxWaitRateLimiter(fast_slow(), max_ns=-1), "max_ns must be 0 or more, is -1", id="a cap below 0"
    ),
    pytest.param(
        lambda: JitteredRateLimiter(fast_slow(), fraction=-0.1, seed=1),
        "fraction must be 0 or more and finite, is -0.1",
        id="a fraction below 0",
    ),
    pytest.param(
        lambda: JitteredRateLimiter(fast_slow(), fraction=NAN, seed=1),
        "fraction must be 0 or more and finite, is nan",
        id="a fraction that is NaN",
    ),
    pytest.param(
        lambda: JitteredRateLimiter(fast_slow(), fraction=INFINITE, seed=1),
        "fraction must be 0 or more and finite, is inf",
        id="a fraction without end",
    ),
]


@pytest.mark.parametrize(("make", "says"), REFUSED)
def test_an_argument_outside_of_its_bounds_is_refused_by_name(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}"):
        make()


def test_a_base_over_the_longest_delay_is_allowed_as_in_go_and_waits_the_longest() -> None:
    assert delays(ItemExponentialRateLimiter(base_ns=10, max_ns=3), "aa") == [3, 3]


def test_the_least_that_is_allowed_works() -> None:
    assert delays(ItemFastSlowRateLimiter(fast_ns=0, slow_ns=0, max_fast=0), "aa") == [0, 0]
    assert delays(WithMaxWaitRateLimiter(fast_slow(), max_ns=0), "aaa") == [0, 0, 0]
    assert delays(JitteredRateLimiter(fast_slow(), fraction=0, seed=1), "aaa") == [5, 5, 100]


# Exponential


def test_the_default_doubles_from_5_ms_to_1000_s() -> None:
    limiter = ItemExponentialRateLimiter()
    doubling = delays(limiter, "a" * 20)
    assert doubling[:4] == [5_000_000, 10_000_000, 20_000_000, 40_000_000]
    assert doubling[17:] == [655_360_000_000, 1_000_000_000_000, 1_000_000_000_000]
    assert repr(limiter) == "<ItemExponentialRateLimiter 5000000 ns to 1000000000000 ns, 1 failing keys>"


@pytest.mark.parametrize("base_ns", [pytest.param(1, id="1 ns"), pytest.param(2**40, id="2^40 ns")])
def test_a_delay_is_never_negative_not_even_at_2_to_the_63(base_ns: int) -> None:
    limiter = ItemExponentialRateLimiter(base_ns=base_ns, max_ns=2**63 - 1)
    doubling = delays(limiter, "a" * 2_000)
    assert doubling == sorted(doubling)
    assert doubling[-1] == 2**63 - 1


# Fast and slow


def test_the_first_tries_of_each_key_are_fast_and_the_others_slow() -> None:
    limiter = fast_slow()
    assert delays(limiter, "aabaab") == [5, 5, 5, 100, 100, 5]
    assert repr(limiter) == "<ItemFastSlowRateLimiter 2 times 5 ns, then 100 ns, 2 failing keys>"


# Failures that are counted and forgotten

COUNTING = [
    pytest.param(ItemExponentialRateLimiter, id="exponential"),
    pytest.param(fast_slow, id="fast and slow"),
    pytest.param(lambda: MaxOfRateLimiter(ItemExponentialRateLimiter(), BucketRateLimiter()), id="max of"),
    pytest.param(lambda: WithMaxWaitRateLimiter(ItemExponentialRateLimiter(), max_ns=seconds(1)), id="with max wait"),
    pytest.param(lambda: JitteredRateLimiter(fast_slow(), fraction=0, seed=1), id="jittered"),
]


@pytest.mark.parametrize("make", COUNTING)
def test_a_forgotten_key_starts_again_and_others_keep_their_count(make: Callable[[], RateLimiter[str]]) -> None:
    limiter = make()
    (first, *_) = delays(limiter, "aaab")
    assert (limiter.num_requeues("a"), limiter.num_requeues("b"), limiter.num_requeues("c")) == (3, 1, 0)
    limiter.forget("a")
    limiter.forget("never seen")
    assert (limiter.num_requeues("a"), limiter.num_requeues("b")) == (0, 1)
    assert limiter.when("a", NOW) == first


# Bucket


def test_a_full_bucket_lets_its_burst_through_and_the_debt_has_no_bound() -> None:
    limiter = BucketRateLimiter(qps=10, burst=3)
    assert delays(limiter, "abcabc") == [0, 0, 0, milliseconds(100), milliseconds(200), milliseconds(300)]
    assert delays(limiter, "a" * 994)[-1] == seconds(99.7)
    assert repr(limiter) == "<BucketRateLimiter 10 a second, -997 of 3 tokens>"


def test_tokens_come_back_with_the_time_and_pay_the_debt_first() -> None:
    limiter = BucketRateLimiter(qps=10, burst=2)
    delays(limiter, "aaaa")
    assert delays(limiter, "a", now=Instant(milliseconds(100))) == [milliseconds(200)]
    assert delays(limiter, "aa", now=Instant(milliseconds(400))) == [0, milliseconds(100)]


def test_a_bucket_is_never_fuller_than_its_burst() -> None:
    limiter = BucketRateLimiter(qps=10, burst=2)
    delays(limiter, "a")
    assert delays(limiter, "aaa", now=Instant(seconds(1_000))) == [0, 0, milliseconds(100)]


def test_a_bucket_counts_no_failures_and_forgets_no_token() -> None:
    limiter = BucketRateLimiter(qps=10, burst=1)
    delays(limiter, "aa")
    limiter.forget("a")
    assert limiter.num_requeues("a") == 0
    assert limiter.when("a", NOW) == milliseconds(200)


# Limiters over others


def test_max_of_charges_each_limiter_every_time_and_waits_for_the_slowest() -> None:
    exponential, bucket = ItemExponentialRateLimiter(base_ns=seconds(1)), BucketRateLimiter(qps=10, burst=1)
    limiter = MaxOfRateLimiter(exponential, bucket)
    assert delays(limiter, "aa") == [seconds(1), seconds(2)]
    # The bucket was charged although the other won both times: the third token is two tenths of a second away.
    assert bucket.when("b", NOW) == milliseconds(200)
    assert exponential.num_requeues("a") == 2


def test_max_of_counts_as_the_limiter_that_counts_most_and_forgets_in_each() -> None:
    first, second = ItemExponentialRateLimiter(), fast_slow()
    limiter = MaxOfRateLimiter(first, second)
    second.when("a", NOW)
    limiter.when("a", NOW)
    assert (first.num_requeues("a"), limiter.num_requeues("a")) == (1, 2)
    limiter.forget("a")
    assert (first.num_requeues("a"), second.num_requeues("a")) == (0, 0)
    assert repr(limiter) == f"<MaxOfRateLimiter ({first!r}, {second!r})>"


def test_a_cap_shortens_the_delay_and_not_the_debt() -> None:
    bucket = BucketRateLimiter(qps=1, burst=1)
    limiter = WithMaxWaitRateLimiter(bucket, max_ns=seconds(2))
    assert delays(limiter, "aaaaa") == [0, seconds(1), seconds(2), seconds(2), seconds(2)]
    assert bucket.when("a", NOW) == seconds(5)
    assert repr(limiter) == f"<WithMaxWaitRateLimiter 2000000000 ns over {bucket!r}>"


# Jitter

INNER = [
    pytest.param(ItemExponentialRateLimiter, id="exponential"),
    pytest.param(lambda: ItemFastSlowRateLimiter(fast_ns=500, slow_ns=9_000, max_fast=3), id="fast and slow"),
    pytest.param(lambda: BucketRateLimiter(qps=10, burst=2), id="bucket"),
    pytest.param(lambda: MaxOfRateLimiter(ItemExponentialRateLimiter(), BucketRateLimiter(burst=1)), id="max of"),
    pytest.param(lambda: WithMaxWaitRateLimiter(ItemExponentialRateLimiter(), max_ns=seconds(1)), id="with max wait"),
    pytest.param(lambda: JitteredRateLimiter(ItemExponentialRateLimiter(), seed=9), id="jittered already"),
]


@pytest.mark.parametrize("fraction", [0.1, 1.0, 3.5])
@pytest.mark.parametrize("make", INNER)
def test_a_jittered_delay_is_never_shorter_and_at_most_the_fraction_longer(
    make: Callable[[], RateLimiter[str]], fraction: float
) -> None:
    plain = delays(make(), "abab" * 50)
    jittered = delays(JitteredRateLimiter(make(), fraction=fraction, seed=1), "abab" * 50)
    assert all(delay <= longer <= delay * (1 + fraction) for delay, longer in zip(plain, jittered, strict=True))
    # Over this many the additions fill the range.
    parts = [(longer - delay) / delay / fraction for delay, longer in zip(plain, jittered, strict=True) if delay]
    assert min(parts) < 0.1
    assert max(parts) > 0.9


@pytest.mark.parametrize("make", INNER)
def test_equal_seeds_give_equal_delays_and_other_seeds_others(make: Callable[[], RateLimiter[str]]) -> None:
    first, again, other = (delays(JitteredRateLimiter(make(), seed=seed), "ab" * 20) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("make", INNER)
def test_jitter_passes_on_what_is_counted_and_what_is_forgotten(make: Callable[[], RateLimiter[str]]) -> None:
    inner, twin = make(), make()
    limiter = JitteredRateLimiter(inner, seed=1)
    delays(limiter, "aab")
    delays(twin, "aab")
    assert [limiter.num_requeues(key) for key in "abc"] == [twin.num_requeues(key) for key in "abc"]
    limiter.forget("a")
    assert inner.num_requeues("a") == limiter.num_requeues("a") == 0
    assert repr(limiter) == f"<JitteredRateLimiter up to 10% over {inner!r}>"


# Defaults


def test_the_default_on_the_classic_queue_is_exponential_with_ten_a_second_over_all_keys() -> None:
    limiter = default_controller_rate_limiter()
    assert delays(limiter, "aaa") == [milliseconds(5), milliseconds(10), milliseconds(20)]
    for number in range(97):
        assert limiter.when(f"{number}", NOW) == milliseconds(5)
    assert delays(limiter, "yz") == [milliseconds(100), milliseconds(200)]


def test_the_default_on_the_priority_queue_is_exponential_alone() -> None:
    limiter = default_priority_rate_limiter()
    assert {limiter.when(f"{number}", NOW) for number in range(200)} == {milliseconds(5)}
    assert delays(limiter, "a" * 19)[-1] == seconds(1_000)


def test_the_item_based_default_starts_at_1_ms() -> None:
    limiter = default_item_based_rate_limiter()
    assert delays(limiter, "aab") == [milliseconds(1), milliseconds(2), milliseconds(1)]
    assert delays(limiter, "a" * 19)[-1] == seconds(1_000)


def test_each_call_of_a_default_makes_a_limiter_of_its_own() -> None:
    for make in (default_controller_rate_limiter, default_priority_rate_limiter, default_item_based_rate_limiter):
        make().when("a", NOW)
        assert make().num_requeues("a") == 0
