"""Token buckets: rates, the burst, and the bound on memory."""

import pytest

from core.limits import Rate, TokenBuckets
from tests.support.names import Names


def count_taken(buckets: TokenBuckets, key: str, now: float, attempts: int) -> int:
    return sum(not buckets.take(key, now) for _ in range(attempts))


def test_full_bucket_gives_its_burst_at_once_and_then_one_token_per_interval() -> None:
    buckets = TokenBuckets(Rate(2, 10))
    assert count_taken(buckets, "a", 100.0, 50) == 10
    assert [count_taken(buckets, "a", now, 50) for now in (100.4, 100.5, 101.0, 103.0)] == [
        *(0, 1, 1, 4)
    ]


def test_empty_bucket_returns_the_seconds_until_the_next_token() -> None:
    buckets = TokenBuckets(Rate(0.1, 1))
    assert buckets.take("a", 100.0) == 0
    assert buckets.take("a", 104.0) == pytest.approx(6)
    assert buckets.take("a", 110.0) == 0


def test_refused_attempts_do_not_delay_the_next_token_of_any_key() -> None:
    buckets = TokenBuckets(Rate(1, 3))
    assert count_taken(buckets, "a", 100.0, 1000) == count_taken(buckets, "b", 100.0, 9) == 3
    assert count_taken(buckets, "a", 101.0, 9) == 1
    assert count_taken(buckets, "a", 1e6, 9) == 3, "never more than its burst"


def test_token_given_back_can_be_taken_again() -> None:
    buckets = TokenBuckets(Rate(0.1, 2))
    count_taken(buckets, "a", 100.0, 9)
    buckets.give_back("a")
    assert count_taken(buckets, "a", 100.0, 9) == 1
    buckets.give_back("unknown")
    assert count_taken(buckets, "unknown", 100.0, 9) == 2


def test_rate_zero_is_no_limit_and_stores_nothing() -> None:
    buckets, names = TokenBuckets(Rate(0, 5)), Names()
    assert count_taken(buckets, names.new("a"), 100.0, 1000) == 1000
    assert names.stored_count == 0


def test_flood_of_keys_keeps_the_most_recently_used_buckets_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.limits.MAX_BUCKETS", 100)
    buckets, names = TokenBuckets(Rate(0.001, 2)), Names()
    for n in range(10_000):
        buckets.take(names.new(f"{n}"), 100.0)
        buckets.take("busy", 100.0 + n * 1000)
    assert names.stored_count == 99
    assert count_taken(buckets, "busy", 100.0 + 9_999 * 1000, 9) == 1
    assert count_taken(buckets, "0", 100.0, 9) == 2


def test_a_rate_is_that_of_several_users_or_fills_faster() -> None:
    assert Rate(0.5, 3).times(4) == (2, 12)
    assert (Rate(0.5, 3).faster(4), Rate(0.5, 3).faster(0)) == ((2, 3), (0, 3))
