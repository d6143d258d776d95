from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger.errors import IncomeNotMatured
from ledger.journal import negate
from services.payouts import withdrawals
from services.payouts.withdrawals import CACHED_SECONDS, MaturedIncome
from tests.support.storage import StoresFixture
from tests.support.tencent import Clock
from tests.support.withdrawal_fixture import WithdrawalFixture


async def test_income_is_recent_from_its_gift_on_though_older_sums_are_kept(
    stores: StoresFixture, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawals, "MAX_CACHED", 1)
    fixture = await WithdrawalFixture.create(stores, 100)
    cache = MaturedIncome(stores.payees, fixture.settings)
    user_id, now = fixture.user.user_id, datetime.now(UTC)
    await fixture.gift(40, now, "gift:a:1")
    assert await cache.recent(user_id) == 40
    await fixture.gift(5, now, "gift:a:2")
    assert await cache.recent(user_id) == 45
    await fixture.gift(3, now - timedelta(hours=1), "gift:a:3")  # a sum that is kept
    assert await cache.recent(user_id) == 45
    clock.now += CACHED_SECONDS
    assert await cache.recent(user_id) == 48
    await fixture.gift(7, now - timedelta(hours=1), "gift:a:4")
    await cache.recent("another")  # only so many sums are kept
    assert await cache.recent(user_id) == 55, "summed again"


async def test_income_matures_by_the_provider_and_not_that_of_a_reversed_gift(
    stores: StoresFixture,
) -> None:
    """Apple pays later; a gift may be reversed in the minute that is not kept."""
    fixture = await WithdrawalFixture.create(stores, 100, maturity_days=7, ios_maturity_days=45)
    user_id, now = fixture.user.user_id, datetime.now(UTC)
    await stores.make_indexes()

    async def matured() -> int:
        return await MaturedIncome(stores.payees, fixture.settings).of(user_id)

    for days, income, ios in ((1, 1, True), (6, 2, False), (8, 4, False), (8, 8, True)):
        await fixture.gift(income, now - timedelta(days=days), f"gift:{income}", ios=ios)
    for key, days in (("gift:16", 44), ("gift:32", 44), ("gift:64", 46)):
        await fixture.gift(int(key[5:]), now - timedelta(days=days), key, ios=True)
    await fixture.gift(128, now, "gift:128")
    assert await matured() == 100 + 4 + 64
    for key, days in (("gift:16", 20), ("gift:8", 2), ("gift:2", 3), ("gift:128", 0)):
        entry = await stores.ledger.entry(key)
        assert entry
        reversal = replace(entry, key=f"reversal:{key}", kind="reversal", lines=negate(entry.lines))
        at = now - timedelta(days=days)
        await fixture.write(replace(reversal, content={"reverses": key}), at)
        assert await matured() == 100 + 4 + 64, key
    with pytest.raises(IncomeNotMatured):
        await fixture.request(169)
    assert (await fixture.request(168)).income == 168
