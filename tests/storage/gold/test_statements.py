"""Statements and spent gold, against a real MongoDB."""

import random
from collections.abc import Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

import pytest
from tornado.ioloop import IOLoop

from core.limits import NamedLocks
from ledger.errors import InsufficientGold
from ledger.journal import Unit, user_account
from ledger.refund_plan import gift_reversal
from ledger.withdrawal_requests import Payee
from services.gold.ledger import LedgerService
from storage.database import Document, Session
from storage.gold.statements import SpentGoldStore
from tests.support.refunds import RefundFixture
from tests.support.storage import GiftProcess, StoresFixture, rose


@pytest.fixture
def refunds(io_loop: IOLoop, stores: StoresFixture) -> RefundFixture:
    fixture: RefundFixture = io_loop.run_sync(lambda: RefundFixture.create(stores))
    return fixture


async def whole(stores: StoresFixture, user_id: str, unit: Unit) -> Sequence[Document]:
    return await stores.statements.page(user_id, unit, 0, 1_000)


async def check(stores: StoresFixture, user_id: str, unit: Unit, size: int = 3) -> None:
    """The statement, also in pages, is the journal; its first balance is the present one."""
    rows = await whole(stores, user_id, unit)
    pages = [
        await stores.statements.page(user_id, unit, skip, size)
        for skip in range(0, len(rows) + size, size)
    ]
    assert [row for page in pages for row in page] == rows
    balance = getattr(await stores.balance(user_id), unit)
    for row in rows:
        assert row["balance"] == balance
        balance -= row["amount"]
    assert balance == 0
    journal = {"lines": {"$elemMatch": {"account": user_account(user_id), "unit": unit}}}
    entries = await stores.rows("ledger").find(journal).to_list()
    assert sorted(row["time"] for row in rows) == sorted(entry["at"] for entry in entries)
    assert [row["time"] for row in rows] == sorted((row["time"] for row in rows), reverse=True)


@pytest.mark.parametrize("seed", range(3))
async def test_each_balance_less_its_amount_is_the_next_balance(
    stores: StoresFixture, seed: int
) -> None:
    chance = random.Random(seed)
    users = await stores.create_users((50, 20), (0, 60), (200, 0))
    process = GiftProcess(stores)
    for number in range(30):
        sender, receiver = chance.sample(users, 2)
        gold = chance.choice([1, 7, 20])
        if chance.random() < 0.2:
            await process.ledger_service.grant(receiver, gold, "x", f"grant-{number}", "olga")
        else:
            gift = rose(sender, receiver, f"g{number}", gold=gold)
            with suppress(InsufficientGold):
                await process.give(gift)
                if chance.random() < 0.2:
                    await process.ledger_service.reverse(gift.key, "x", "olga")
    for user_id in users:
        for unit in ("gold", "income"):
            await check(stores, user_id, unit, chance.randint(1, 7))


async def test_every_kind_names_the_other_user_of_a_gift_and_no_entry_of_others(
    refunds: RefundFixture,
) -> None:
    stores, giver, host, other = refunds.stores, refunds.giver, refunds.hosts[0], refunds.hosts[1]
    ledger, withdrawals = refunds.gifts.ledger_service, refunds.process.withdrawals
    await refunds.recharge(60)
    await ledger.reverse(await refunds.give(host, 20), "by mistake", "olga")
    await refunds.give(host, 40)
    await ledger.grant(giver, 5, "birthday", "grant", "olga")
    await refunds.give(other, 1)  # earns nothing
    await refunds.pay_out(host, 15)
    held = await withdrawals.request(Payee(host, "wx1", "o1"), 5, "w2")
    await withdrawals.decline(held.id, "olga", "late")
    owing = {"$set": {"owed": 3}}
    await stores.rows("users").update_one({"_id": giver}, owing)
    await ledger.pay_off_debt(giver, 3, "refund", "one", "olga", by_house=False)
    await ledger.pay_off_debt(giver, 0, "refund", "two", "olga", by_house=True)

    async def found(user_id: str, unit: Unit) -> list[tuple[str, str, int]]:
        rows = await whole(stores, user_id, unit)
        return [
            (row["what"], row["who"]["user_id"] if row["who"] else "", row["amount"])
            for row in rows
        ]

    assert await found(giver, "gold") == [
        ("settle", "", -3),
        ("gift", other, -1),
        ("grant", "", 5),
        ("gift", host, -40),
        ("reversal", host, 20),
        ("gift", host, -20),
        ("recharge", "", 60),
    ]
    assert await found(host, "income") == [
        ("return", "", 5),
        ("withdrawal", "", -5),
        ("withdrawal", "", -15),
        ("gift", giver, 20),
        ("reversal", giver, -10),
        ("gift", giver, 10),
    ]
    for user_id, unit in ((giver, "income"), (host, "gold"), (other, "income"), ("1", "gold")):
        assert await found(user_id, unit) == []
    for user_id in (giver, host):
        await check(stores, user_id, "gold")
        await check(stores, user_id, "income")


# ---- spent gold

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
    await stores.ledger.run_transaction(lambda tx: stores.ledger.write(tx, reversal))
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
    monkeypatch.setattr("storage.gold.statements.MAX_READ", 3)
    monkeypatch.setattr("storage.gold.statements.GIFTS_PER_QUERY", 2)
    assert await stores.ledger.run_transaction(read) == newest_first[:3]
