"""The ledger on a real MongoDB: entries are unique, atomic, and never overdraw a balance."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.monitoring import CommandStartedEvent

import core.retry
from core.errors import TryAgain, WriteConflict
from core.limits import NamedLocks
from ledger.errors import DebtExceeded, InsufficientGold, RequestIdReused
from ledger.gifts import GiftTransfer
from ledger.journal import (
    HOUSE,
    Balance,
    JournalEntry,
    Posting,
    debt_account,
    postings_for,
)
from services.gold.ledger import LedgerService
from storage.database import CommandLatency, Database, Session
from storage.errors import UserNotFound
from storage.gold.ledger import BatchContext, LedgerStore
from storage.gold.rankings import RankingStore
from tests.support.storage import NAME, StoresFixture, rose


def ledger_services(stores: StoresFixture, n: int) -> list[LedgerService]:
    """Services of `n` processes, each with its own locks."""
    return [LedgerService(stores.ledger, NamedLocks().lock) for _ in range(n)]


# ---- entries and balances


async def test_gold_is_granted_once_by_any_number_of_processes(stores: StoresFixture) -> None:
    (anna,) = await stores.create_users((1, 2))
    services = ledger_services(stores, 4)
    grants = [service.grant(anna, 50, "prize", "g", "ops") for service in services]
    assert await asyncio.gather(*grants) == [{"gold": 51, "income": 2}] * 4
    (entry,) = await stores.entries()
    assert (entry["_id"], entry["note"], entry["by"]) == ("grant:g", "prize", "ops")
    others = [service.grant(anna, 7 + n, "x", "h", "ops") for n, service in enumerate(services)]
    results = await asyncio.gather(*others, return_exceptions=True)
    assert [type(result) for result in results].count(RequestIdReused) == 3
    (_, entry) = await stores.entries()
    assert await stores.balance(anna) == (51 + entry["content"]["gold"], 2)
    with pytest.raises(UserNotFound):
        await services[0].grant("unknown", 50, "prize", "i", "ops")


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
    owed = (Posting(debt_account(anna), "gold", 1), Posting(HOUSE, "gold", -1))
    with pytest.raises(DebtExceeded):
        await stores.ledger.run_transaction(lambda session: stores.ledger.move(session, owed))


async def test_work_is_run_once_and_waits_for_the_commit_of_another_process_or_gives_up(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (anna,) = await stores.create_users((0, 0))
    find, lookups, hidden = stores.ledger.find, list[str](), 2

    async def work(session: Session) -> str:
        lines = postings_for(anna, 5)
        await stores.ledger.move(session, lines)
        entry = JournalEntry("key", "grant", "ops", lines, {"a": 1}, {"b": 2})
        await stores.ledger.write(session, entry)
        return "done"

    async def find_late(key: str, session: Session | None = None) -> Any:
        """The entry is not visible to the first lookups."""
        lookups.append("before" if session else "after")
        return await find(key, session) if len(lookups) > hidden else None

    assert await stores.ledger.run_once("key", work) == "done"
    assert await stores.ledger.run_once("key", work) == ({"a": 1}, {"b": 2})
    monkeypatch.setattr(stores.ledger, "find", find_late)
    assert await stores.ledger.run_once("key", work) == ({"a": 1}, {"b": 2})
    assert lookups == ["before", "after", "after"]
    monkeypatch.setattr(core.retry, "CONFLICT_SECONDS", 0.05)
    hidden = 1_000
    with pytest.raises(TryAgain):
        await stores.ledger.run_once("key", work)
    assert await stores.balance(anna) == (5, 0)


# ---- gifts


async def test_gifts_are_written_only_if_no_balance_has_changed_and_no_key_is_taken(
    stores: StoresFixture,
) -> None:
    anna, bert = await stores.create_users((15, 5), (15, 5))

    async def decide(transfer: GiftTransfer) -> BatchContext:
        context = await stores.ledger.load_context([transfer])
        context.batch.give(transfer, None)
        return context

    async def write_gifts(batch: BatchContext) -> None:
        await stores.database.transaction(lambda tx: stores.ledger.write_gifts(tx, batch))

    users = stores.rows("users")
    for user_id, unit in ((anna, "gold"), (anna, "income"), (bert, "gold"), (bert, "income")):
        batch = await decide(rose(anna, bert, "r"))
        await users.update_one({"_id": user_id}, {"$inc": {unit: 50}})
        with pytest.raises(WriteConflict):
            await write_gifts(batch)
    batches = [await decide(rose(anna, bert, "s", gold=0)) for _ in range(2)]
    await write_gifts(batches[0])
    with pytest.raises(WriteConflict):
        await write_gifts(batches[1])  # free: no balance changes
    assert await stores.balance(anna) == await stores.balance(bert) == (65, 55)
    assert len(await stores.entries()) == 1
    assert await stores.rows("rankings").count_documents({}) == 0


class ReadConcernSpy(CommandLatency):
    """Keeps the read concern of each find."""

    def __init__(self) -> None:
        super().__init__(lambda *_: None)
        self.levels: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.levels.append(event.command["readConcern"]["level"])


async def test_a_primary_is_confirmed_once_for_all_who_ask_at_a_time(mongo_uri: str) -> None:
    spy = ReadConcernSpy()
    database = Database(mongo_uri, NAME, [spy])
    store = LedgerStore(database, RankingStore(database), 0, lambda *_: None)
    await asyncio.gather(*(store.confirm_primary() for _ in range(5)))
    await database.close()
    assert spy.levels == ["linearizable"]


# ---- search


async def test_entries_of_withdrawals_and_refunds_are_left_out(stores: StoresFixture) -> None:
    of_refund = {"kind": "reversal", "content": {"fen": 600}}
    of_case = {"kind": "reversal", "by": "R2026"}
    hidden = [*({"kind": kind} for kind in ("withdrawal", "payout", "return")), of_refund, of_case]
    shown = [{"kind": "reversal"}, {"kind": "recharge", "content": {"fen": 600}}]
    fields = {"at": datetime.now(UTC), "by": "olga", "lines": [], "content": {}}
    await stores.rows("ledger").insert_many(
        [{"_id": f"entry:{n}", **fields, **row} for n, row in enumerate([*hidden, *shown])]
    )
    found, _ = await stores.statements.entries("", "", "", 10, money_out=False)
    assert [row["kind"] for row in found] == ["recharge", "reversal"]
    assert await stores.statements.entries("", "payout", "", 10, money_out=False) == ([], None)
    assert len((await stores.statements.entries("", "", "", 10))[0]) == 7
