from datetime import UTC, datetime, timedelta

import pytest

from services.payouts import withdrawable_income
from services.payouts.withdrawable_income import CACHED_SECONDS, RecentIncomeCache
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock
from tests.support.withdrawal_fixture import WithdrawalFixture


async def test_income_that_came_since_it_was_summed_counts_as_recent(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawable_income, "MAX_CACHED", 1)
    fixture, clock = await WithdrawalFixture.create(stores, 100), Clock(100.0)
    cache = RecentIncomeCache(stores.payees, timedelta(days=7), clock)
    user_id, now = fixture.user.user_id, datetime.now(UTC)
    await fixture.gift(40, now, "gift:a:1")
    assert await cache.of(user_id, 140) == 40
    await fixture.gift(5, now, "gift:a:2")
    assert await cache.of(user_id, 145) == 45
    assert await cache.of(user_id, 90) == 40, "what was withdrawn had matured"
    await fixture.gift(3, now - timedelta(days=8), "gift:a:3")
    clock.now += CACHED_SECONDS
    assert await cache.of(user_id, 148) == 45
    await fixture.gift(7, now - timedelta(days=8), "gift:a:4")
    await cache.of("another", 0)  # only so many sums are kept
    assert await cache.of(user_id, 155) == 45, "summed again"
