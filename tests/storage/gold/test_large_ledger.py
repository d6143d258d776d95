"""Checks of a ledger of many users: how much of it they read into the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from core.clock import day_of
from ledger.gifts import day_scope
from ledger.journal import JournalEntry, Posting, postings_for, user_account
from storage.database import Database
from storage.documents import BATCH_ROWS
from storage.gold import ledger_reconciler as module
from storage.gold.ledger import entry_document
from storage.gold.ledger_reconciler import LedgerReconciler
from storage.gold.rankings import RankingStore
from tests.support.batch_sizes import BatchSizes
from tests.support.storage import NAME, StoresFixture

USERS = 1_200
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=30)


@pytest.fixture
def many_users(io_loop: IOLoop, stores: StoresFixture) -> None:
    """Users with 7 gold and 3 income, each of whom has given a gift to the next one today."""

    async def insert() -> None:
        ids = [f"{10_000_000 + n}" for n in range(USERS)]
        entries: list[dict[str, Any]] = []
        for user_id, next_id in zip(ids, [*ids[1:], ids[0]], strict=True):
            grant = JournalEntry(f"g:{user_id}", "grant", "ops", postings_for(user_id, 10), {})
            lines = (
                *(Posting(user_account(user_id), "gold", -3), Posting("house", "gold", 3)),
                *postings_for(next_id, income=3),
            )
            gift = JournalEntry(f"gift:{user_id}:1", "gift", user_id, lines, {})
            entries += [entry_document(grant, None, LONG_AGO), entry_document(gift, None, NOW)]
        amounts, scope = {"gold": 3, "income": 3}, day_scope(day_of(NOW))
        balances = {"gold": 7, "income": 3, "owed": 0, "owed_income": 0}
        rows: dict[str, list[dict[str, Any]]] = {
            "users": [{"_id": id_, "openid": id_, **balances} for id_ in ids],
            "ledger": entries,
            "rankings": [
                {"_id": f"{scope}:{id_}", "scope": scope, "user_id": id_, **amounts} for id_ in ids
            ],
        }
        for name, documents in rows.items():
            await stores.database.collection(name).insert_many(documents)

    io_loop.run_sync(insert)


@asynccontextmanager
async def measured(mongo_uri: str) -> AsyncIterator[tuple[Database, BatchSizes]]:
    sizes = BatchSizes()
    database = Database(mongo_uri, NAME, [sizes])
    yield database, sizes
    await database.close()


@pytest.mark.usefixtures("many_users")
async def test_a_check_of_a_consistent_ledger_reads_small_batches(mongo_uri: str) -> None:
    async with measured(mongo_uri) as (database, sizes):
        assert await LedgerReconciler(database).problems() == []
        assert sizes.total <= 10
        assert await LedgerReconciler(database).problems(NOW - timedelta(hours=1)) == []
    assert sizes.largest <= BATCH_ROWS
    assert sizes.total >= USERS


@pytest.mark.usefixtures("many_users")
async def test_checks_and_rebuilds_read_few_problems(mongo_uri: str, stores: StoresFixture) -> None:
    rankings = stores.database.collection("rankings")
    await rankings.update_many({"user_id": {"$lt": "10000040"}}, {"$inc": {"gold": 1}})
    async with measured(mongo_uri) as (database, sizes):
        assert await RankingStore(database).rebuild_all() == 40
    assert sizes.total < 100
    for rows in (rankings, stores.database.collection("users")):
        await rows.update_many({}, {"$inc": {"gold": 1}})
    async with measured(mongo_uri) as (database, sizes):
        problems = await LedgerReconciler(database).problems()
    assert {problem.kind for problem in problems} == {"balance", "rank"}
    assert len(problems) <= 2 * module.MAX_PROBLEMS
    assert sizes.total <= 10 * module.MAX_PROBLEMS
