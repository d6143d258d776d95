from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.payouts import withdrawable_income
from services.payouts.withdrawable_income import CACHED_SECONDS, RecentIncomeCache
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock
from tests.support.withdrawal_fixture import WithdrawalFixture


@pytest.fixture
def cache_of() -> Callable[[WithdrawalFixture, Clock], RecentIncomeCache]:
    def build(fixture: WithdrawalFixture, clock: Clock) -> RecentIncomeCache:
        return RecentIncomeCache(fixture.process.payees, timedelta(days=7), clock)

    return build


async def test_income_that_came_since_it_was_summed_counts_as_recent(
    stores: StoresFixture, cache_of: Callable[[WithdrawalFixture, Clock], RecentIncomeCache]
) -> None:
    fixture, clock = await WithdrawalFixture.create(stores, 100), Clock(100.0)
    cache, user_id = cache_of(fixture, clock), fixture.user.user_id
    await fixture.gift(40, datetime.now(UTC), "gift:a:1")
    assert await cache.of(user_id, 140) == 40
    await fixture.gift(5, datetime.now(UTC), "gift:a:2")
    assert await cache.of(user_id, 145) == 45
    assert await cache.of(user_id, 90) == 40, "what was withdrawn had matured"
    await fixture.gift(3, datetime.now(UTC) - timedelta(days=8), "gift:a:3")
    clock.now += CACHED_SECONDS
    assert await cache.of(user_id, 148) == 45


async def test_only_so_many_sums_are_kept(
    stores: StoresFixture,
    cache_of: Callable[[WithdrawalFixture, Clock], RecentIncomeCache],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(withdrawable_income, "MAX_CACHED", 1)
    fixture = await WithdrawalFixture.create(stores, 100)
    cache, user_id = cache_of(fixture, Clock(100.0)), fixture.user.user_id
    assert await cache.of(user_id, 100) == 0
    await fixture.gift(40, datetime.now(UTC), "gift:a:1")
    await cache.of("another", 0)
    assert await cache.of(user_id, 100) == 40, "summed again"
