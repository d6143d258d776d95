"""The gifts of a plan on a real MongoDB."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from storage.database import Session
from storage.gold.spent_gold import SpentGoldStore
from tests.support.storage import GiftProcess, StoresFixture, rose

gen_test = pytest.mark.gen_test(timeout=30)


@gen_test
async def test_only_so_many_of_the_newest_gifts_are_read(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert = await stores.create_users((100, 0), (0, 0))
    gifts = [rose(anna, bert, f"g{number}", gold=10) for number in range(4)]
    for gift in gifts:
        await GiftProcess(stores).give(gift)
    since, store = datetime.now(UTC) - timedelta(hours=1), SpentGoldStore(stores.database)

    async def read(session: Session) -> list[str]:
        async with aclosing(store.gifts(session, anna, since)) as found:
            return [gift.key async for gift in found]

    newest_first = [gift.key for gift in reversed(gifts)]
    assert await stores.ledger.run_transaction(read) == newest_first
    monkeypatch.setattr("storage.gold.spent_gold.MAX_READ", 3)
    monkeypatch.setattr("storage.gold.spent_gold.GIFTS_PER_QUERY", 2)
    assert await stores.ledger.run_transaction(read) == newest_first[:3]
