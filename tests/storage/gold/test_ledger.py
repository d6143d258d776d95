"""The ledger on a real MongoDB: entries are unique, atomic, and never overdraw a balance."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import core.retry
from core.errors import TryAgain
from core.locks import NamedLocks
from ledger.errors import EntryExists, InsufficientGold, RequestIdReused
from ledger.journal import Balance, EventReference, JournalEntry, postings_for, user_account
from ledger.refund_plan import gift_reversal
from services.gold.ledger import LedgerService
from storage.database import Document, Session
from storage.errors import UserNotFound
from storage.gold.ledger import ranking_changes_in
from storage.gold.spent_gold import SpentGoldStore
from tests.support.query_profile import profile_queries
from tests.support.storage import GiftProcess, StoresFixture, rose

gen_test = pytest.mark.gen_test(timeout=60)


def ledger_services(stores: StoresFixture, n: int) -> list[LedgerService]:
    """Services of `n` processes, each with its own locks."""
    return [LedgerService(stores.ledger, NamedLocks().hold) for _ in range(n)]


@gen_test
async def test_gold_is_granted_once(stores: StoresFixture) -> None:
    (anna,) = await stores.create_users((1, 2))
    answers = await asyncio.gather(
        *(service.grant(anna, 50, "prize", "g", "ops") for service in ledger_services(stores, 5))
    )
    assert answers == [{"gold": 51, "income": 2}] * 5
    (entry,) = await stores.entries()
    assert (entry["_id"], entry["note"], entry["by"]) == ("grant:g", "prize", "ops")
    with pytest.raises(UserNotFound):
        await ledger_services(stores, 1)[0].grant("unknown", 50, "prize", "h", "ops")


@gen_test
async def test_concurrent_grants_with_the_same_request_id_apply_one(stores: StoresFixture) -> None:
    (anna,) = await stores.create_users((0, 0))
    results = await asyncio.gather(
        *(
            service.grant(anna, 50 + n, "prize", "g", "ops")
            for n, service in enumerate(ledger_services(stores, 2))
        ),
        return_exceptions=True,
    )
    (error,) = [it for it in results if isinstance(it, BaseException)]
    assert isinstance(error, RequestIdReused)
    (entry,) = await stores.entries()
    assert await stores.balance(anna) == (entry["content"]["gold"], 0)


@gen_test
async def test_duplicate_entry_key_undoes_the_transaction(stores: StoresFixture) -> None:
    (anna,) = await stores.create_users((0, 0))
    lines = postings_for(anna, 5)

    async def work(session: Session) -> None:
        await stores.ledger.move(session, lines)
        await stores.ledger.write(session, JournalEntry("key", "grant", "ops", lines, {}), None)

    await stores.ledger.run_transaction(work)
    with pytest.raises(EntryExists) as error:
        await stores.ledger.run_transaction(work)
    assert error.value.key == "key"
    assert await stores.balance(anna) == (5, 0)


async def write(
    stores: StoresFixture, entry: JournalEntry, event: EventReference | None = None
) -> None:
    await stores.ledger.run_transaction(lambda session: stores.ledger.write(session, entry, event))


@gen_test
async def test_entry_published_in_a_room_refers_to_its_event(stores: StoresFixture) -> None:
    await write(
        stores,
        JournalEntry("key", "gift", "anna", (), {"a": 1}, {"b": 2}),
        EventReference(7, "e", 42),
    )
    (entry,) = await stores.entries()
    assert (entry["live_id"], entry["epoch"], entry["seq"]) == (7, "e", 42)
    assert await stores.ledger.find("key") == ({"a": 1}, {"b": 2})
    assert await stores.ledger.find("other") is None


@gen_test
async def test_entry_is_read_as_it_was_written(stores: StoresFixture) -> None:
    entry = JournalEntry(
        "key", "grant", "ops", postings_for("anna", 5), {"a": 1}, {"b": 2}, "a note"
    )
    await write(stores, entry)
    assert await stores.ledger.entry("key") == entry
    assert await stores.ledger.entry("other") is None


@gen_test
async def test_balances_move_together_or_not_at_all(stores: StoresFixture) -> None:
    anna, bert = await stores.create_users((0, 10), (0, 0))
    lines = postings_for(anna, 5, -11) + postings_for(bert, 3)
    with pytest.raises(InsufficientGold):
        await stores.ledger.run_transaction(lambda session: stores.ledger.move(session, lines))
    assert await stores.balance(anna) == (0, 10)
    assert await stores.balance(bert) == (0, 0)
    lines = postings_for(anna, 5, -10) + postings_for(bert, 3)
    balances = await stores.ledger.run_transaction(
        lambda session: stores.ledger.move(session, lines)
    )
    assert balances == {anna: Balance(5, 0), bert: Balance(3, 0)}


# ---- uncommitted entries


@gen_test
async def test_find_committed_waits_until_the_entry_is_committed(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, lookups = stores.ledger.find, []

    async def find_late(key: str) -> Any:
        lookups.append(key)
        if len(lookups) == 3:
            await write(stores, JournalEntry("key", "grant", "ops", (), {"a": 1}, {"b": 2}))
        return await find(key)

    monkeypatch.setattr(stores.ledger, "find", find_late)
    assert await stores.ledger.find_committed("key") == ({"a": 1}, {"b": 2})
    assert lookups == ["key"] * 3


@gen_test
async def test_find_committed_times_out_with_try_again(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core.retry, "CONFLICT_SECONDS", 0.05)
    with pytest.raises(TryAgain):
        await stores.ledger.find_committed("key")


# ---- rankings


@gen_test
async def test_concurrent_reversals_return_a_gift_once_and_unrank_it(stores: StoresFixture) -> None:
    anna, bert = await stores.create_users((100, 0), (0, 0))
    await GiftProcess(stores).give(rose(anna, bert, "r"))
    (gift,) = await stores.entries()
    scopes = {change.scope for change in ranking_changes_in(gift)}
    assert [await stores.rankings.top(scope, "gold", 50) for scope in scopes] == [[(anna, 10)]]
    answers = await asyncio.gather(
        *(
            service.reverse(gift["_id"], "by mistake", "ops")
            for service in ledger_services(stores, 4)
        )
    )
    assert answers == [{"reverses": gift["_id"]}] * 4
    assert (await stores.balance(anna), await stores.balance(bert)) == ((100, 0), (0, 0))
    assert [await stores.rankings.top(scope, "gold", 50) for scope in scopes] == [[]]


@gen_test
async def test_reversed_grant_changes_no_ranking(stores: StoresFixture) -> None:
    (anna,) = await stores.create_users((0, 0))
    (ledger_service,) = ledger_services(stores, 1)
    await ledger_service.grant(anna, 50, "prize", "g", "ops")
    await ledger_service.reverse("grant:g", "by mistake", "ops")
    assert await stores.database.collection("rankings").count_documents({}) == 0
    entries = await stores.entries()
    assert [change for entry in entries for change in ranking_changes_in(entry)] == []


@gen_test
async def test_gold_gifts_are_those_paid_with_gold_and_not_reversed(stores: StoresFixture) -> None:
    anna, bert = await stores.create_users((40, 30), (0, 0))
    process = GiftProcess(stores)
    for request_id in ("to anna", "to her debt", "kept", "half of income", "of income"):
        gold = 20 if request_id == "half of income" else 10
        await process.give(rose(anna, bert, request_id, gold=gold))
    (ledger_service,) = ledger_services(stores, 1)
    await ledger_service.reverse(f"gift:{anna}:to anna", "by mistake", "ops")
    gift = await stores.ledger.entry(f"gift:{anna}:to her debt")
    assert gift
    reversal = gift_reversal(gift, bert, "ops", "refund", debt=10, free=5)
    assert user_account(anna) not in {line.account for line in reversal.lines}
    await stores.ledger.run_transaction(lambda tx: stores.ledger.write(tx, reversal, None))
    spent_gold = SpentGoldStore(stores.database)
    found = await spent_gold.gold_gifts(anna, datetime(2026, 1, 1, tzinfo=UTC))
    assert [(gift.gold, gift.live_id) for gift in found] == [(10, 0), (10, 0)]
    assert await spent_gold.gold_gifts(anna, datetime.now(UTC) + timedelta(days=1)) == []


# ---- search


async def insert_entries(stores: StoresFixture, count: int) -> list[Document]:
    """Insert entries one second apart, each with its own user and gift or order."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows: list[Document] = [
        {
            "_id": f"recharge:Q{n:05}" if n % 2 else f"gift:{20_000_000 + n}:r-{n}",
            "kind": "recharge" if n % 2 else "gift",
            "at": start + timedelta(seconds=n),
            "by": "test",
            "lines": [{"account": f"user:{20_000_000 + n}", "unit": "gold", "amount": 1}],
        }
        for n in range(count)
    ]
    await stores.database.collection("ledger").insert_many(rows)
    return rows


@gen_test
async def test_search_finds_an_entry_by_key_prefix_order_or_user(stores: StoresFixture) -> None:
    rows = await insert_entries(stores, 40)
    gift, recharge = rows[20]["_id"], rows[21]["_id"]
    for search, wanted in (
        (gift, gift),
        (gift[:13], gift),
        ("20000020", gift),
        (recharge, recharge),
        ("Q00021", recharge),
        ("20000021", recharge),
    ):
        found, _ = await stores.ledger.page("", "", "", 50, search=search)
        assert wanted in [row["_id"] for row in found], search
    for search in ("gift.", "r-20", "2000002", "q00021"):
        assert await stores.ledger.page("", "", "", 10, search=search) == ([], None), search
    assert await stores.ledger.page("", "gift", "", 10, search="Q00021") == ([], None)


@pytest.mark.gen_test
async def test_entries_of_withdrawals_and_refunds_are_left_out(stores: StoresFixture) -> None:
    rows = stores.database.collection("ledger")
    shown = {"at": datetime.now(UTC), "by": "olga", "lines": [], "content": {}}
    of_refund = {"kind": "reversal", "content": {"fen": 600}}
    of_case = {"kind": "reversal", "by": "R2026"}
    hidden = [*({"kind": kind} for kind in ("withdrawal", "payout", "return")), of_refund, of_case]
    for row in (*hidden, {"kind": "reversal"}, {"kind": "recharge", "content": {"fen": 600}}):
        await rows.insert_one({"_id": f"entry:{await rows.count_documents({})}", **shown, **row})
    found, _ = await stores.ledger.page("", "", "", 10, money_out=False)
    assert [row["kind"] for row in found] == ["recharge", "reversal"]
    assert await stores.ledger.page("", "payout", "", 10, money_out=False) == ([], None)
    assert len((await stores.ledger.page("", "", "", 10))[0]) == 7


@gen_test
async def test_ledger_pages_and_searches_read_few_documents(stores: StoresFixture) -> None:
    rows = await insert_entries(stores, 3000)
    middle = rows[1500]
    cursor = f"{int(middle['at'].timestamp() * 1000)}.{middle['_id']}"
    async with profile_queries(stores.database, "ledger") as examined:
        for search in (middle["_id"], "20001500", "Q01501"):
            found, _ = await stores.ledger.page("", "", "", 10, search=search)
            assert len(found) == 1
        await stores.ledger.page("", "", cursor, 10)
    assert all(count <= 60 for count in examined), examined
    assert len(examined) == 4
