"""When claims are tried again."""

from datetime import UTC, datetime, timedelta

import pytest

from core.retry import IM_RELAY, MODERATION, ORDERS, OUTBOX, REFUND_CASES, TRANSFERS, Delays

AT = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(("delays", "longest"), [(OUTBOX, 600), (IM_RELAY, 60)])
def test_delays_double_from_a_second_to_the_longest_with_jitter(
    delays: Delays, longest: int
) -> None:
    seconds = [delays.after(tries).total_seconds() for tries in range(1, 3_000)]
    assert min(seconds) >= 1
    assert max(seconds) <= longest
    assert sum(seconds[20:]) / len(seconds[20:]) > longest * 0.7
    assert len({delays.after(6) for _ in range(10)}) > 1


@pytest.mark.parametrize(
    ("delays", "seconds"),
    [
        (MODERATION, [2, 4, 8, 16, 32, 64, 120, 120]),
        (REFUND_CASES, [60, 300, 900, 3600, 3600]),
    ],
)
def test_delays_without_jitter_are_the_first_ones_and_then_the_last(
    delays: Delays, seconds: list[int]
) -> None:
    found = [delays.after(tries).total_seconds() for tries in range(1, len(seconds) + 1)]
    assert found == seconds


@pytest.mark.parametrize(
    ("delays", "minutes"), [(ORDERS, [1, 5, 15, 60, 180, 240]), (TRANSFERS, [1, 5, 15, 75, 135])]
)
def test_checks_follow_the_age_and_are_then_hourly(delays: Delays, minutes: list[int]) -> None:
    checks, at = [], AT
    for _ in minutes:
        at = delays.next_check(AT, at)
        checks.append((at - AT) / MINUTE)
    assert checks == minutes
