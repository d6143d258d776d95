"""The gifts on which a user spent gold, read from a real MongoDB."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from core.limits import NamedLocks
from ledger.journal import user_account
from ledger.refund_plan import gift_reversal
from services.gold.ledger import LedgerService
from storage.database import Session
from storage.gold.spent_gold import SpentGoldStore
from tests.support.storage import GiftProcess, StoresFixture, rose

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


async def test_gold_gifts_are_those_paid_with_gold_and_not_reversed(stores: StoresFixture) -> None:
    anna, bert = await stores.create_users((40, 30), (0, 0))
    process = GiftProcess(stores)
    for request_id in ("to anna", "to her debt", "kept", "half of income", "of income"):
        gold = 20 if request_id == "half of income" else 10
        await process.give(rose(anna, bert, request_id, gold=gold))
    ledger_service = LedgerService(stores.ledger, NamedLocks().lock)
    await ledger_service.reverse(f"gift:{anna}:to anna", "by mistake", "ops")
    gift = await stores.ledger.entry(f"gift:{anna}:to her debt")
    assert gift
    reversal = gift_reversal(gift, bert, "ops", "refund", debt=10, free=5)
    assert user_account(anna) not in {line.account for line in reversal.lines}
    await stores.ledger.run_transaction(lambda tx: stores.ledger.write(tx, reversal, None))
    spent_gold = SpentGoldStore(stores.database)
    found = await spent_gold.gold_gifts(anna, SINCE)
    assert [(gift.gold, gift.live_id) for gift in found] == [(10, 0), (10, 0)]
    assert await spent_gold.gold_gifts(anna, datetime.now(UTC) + timedelta(days=1)) == []


async def test_only_so_many_of_the_newest_gifts_are_read(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert = await stores.create_users((100, 0), (0, 0))
    gifts = [rose(anna, bert, f"g{number}", gold=10) for number in range(4)]
    for gift in gifts:
        await GiftProcess(stores).give(gift)
    store = SpentGoldStore(stores.database)

    async def read(session: Session) -> list[str]:
        async with aclosing(store.gifts(session, anna, SINCE)) as found:
            return [gift.key async for gift in found]

    newest_first = [gift.key for gift in reversed(gifts)]
    assert await stores.ledger.run_transaction(read) == newest_first
    monkeypatch.setattr("storage.gold.spent_gold.MAX_READ", 3)
    monkeypatch.setattr("storage.gold.spent_gold.GIFTS_PER_QUERY", 2)
    assert await stores.ledger.run_transaction(read) == newest_first[:3]
