"""Reconciliation of the ledger on a real MongoDB: finds every kind of damage and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.monitoring import CommandSucceededEvent
from tornado.ioloop import IOLoop

from core.clock import day_of
from core.limits import NamedLocks
from ledger.gifts import day_scope
from ledger.journal import JournalEntry, postings_for
from ledger.recharge import Order, Payment, Refund
from rooms.members import Person
from services.payments.payments import PaymentService
from storage.database import CommandLatency, Database
from storage.documents import BATCH_ROWS, dated_id
from storage.gold import ledger_reconciler as module
from storage.gold.ledger import entry_document
from storage.gold.ledger_reconciler import LedgerReconciler
from storage.gold.rankings import RankingStore
from tests.support.storage import NAME, GiftProcess, StoresFixture, rose
from tests.support.stored_rooms import open_room

HOUR = timedelta(hours=1)
USERS = 1_200
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=30)


class LedgerFixture:
    """Two users with a partly refunded order and gifts in a live room."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.reconciler = LedgerReconciler(stores.database)
        self.process = GiftProcess(stores)
        self.users: list[str] = []

    async def populate(self) -> None:
        self.users = anna, bert = await self.stores.create_users((0, 0), (0, 0))
        await self.process.ledger_service.grant(anna, 100, "a test", "g1", "ops")
        await self._recharge(bert)
        await self.give_in_new_room(anna, bert, 3)

    async def _recharge(self, user_id: str) -> None:
        payments = PaymentService(
            self.stores.ledger,
            self.stores.orders,
            self.stores.user_channels,
            self.stores.webhooks,
            NamedLocks().lock,
        )
        number = dated_id("Q")
        order = Order(number, user_id, "xpay", "wx1", "o1", "", fen=600, gold=60)
        await self.stores.orders.open(order, 1, 0)
        await payments.credit(Payment("xpay", number, "42", 600))
        await payments.refund(Refund("xpay", number, "R1", 300))

    async def give_in_new_room(self, giver: str, host: str, count: int) -> None:
        live_id = await open_room(self.stores, Person(giver), host=Person(host))
        transfers = [rose(giver, host, f"{number}") for number in range(count)]
        await self.process.give_while_busy(live_id, *transfers)

    async def kinds(self, ago: timedelta | None = None) -> list[str]:
        """Kinds of the problems found by a full check, or by one of what is newer."""
        since = datetime.now(UTC) - ago if ago else None
        return sorted(problem.kind for problem in await self.reconciler.problems(since))

    async def damage(self, kind: str) -> None:
        collection, where, update = DAMAGES[kind]
        rows = self.stores.rows(collection)
        if kind == "unbooked_order":
            await rows.insert_one({"_id": "Q0", "state": "paid", "paid_at": datetime.now(UTC)})
        else:
            result = await rows.update_many(where, update)
            assert result.modified_count


@pytest.fixture
def ledger(io_loop: IOLoop, stores: StoresFixture) -> LedgerFixture:
    ledger = LedgerFixture(stores)
    io_loop.run_sync(ledger.populate)
    return ledger


FIRST_GIFT = {"_id": {"$regex": "^gift:.*:0$"}}
DAMAGES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # kind of problem: collection, filter, update
    "balance": ("users", {}, {"$inc": {"gold": 1}}),
    "unbalanced": ("ledger", {"kind": "gift"}, {"$inc": {"lines.1.amount": 1}}),
    "unbooked_order": ("orders", {}, {}),  # inserted, see `damage`
    "unpaid_entry": ("orders", {}, {"$set": {"state": "created"}}),
    "missing_event": ("ledger", {"seq": {"$gt": 0}}, {"$inc": {"seq": 100}}),
    "unbooked_event": ("ledger", FIRST_GIFT, {"$unset": {"seq": 1}}),
    "rank": ("rankings", {}, {"$inc": {"gold": 1}}),
}


async def test_consistent_ledger_has_no_problems(ledger: LedgerFixture) -> None:
    (first,) = await ledger.stores.entries(**FIRST_GIFT)
    assert await ledger.kinds() == await ledger.kinds(HOUR) == []
    await ledger.process.ledger_service.reverse(first["_id"], "by mistake", "ops")
    assert await ledger.kinds() == await ledger.kinds(HOUR) == []
    totals = await ledger.reconciler.totals()
    users = {"gold": 100 + 60 - 30 - 20, "income": 10, "owed": 0, "owed_income": 0}
    assert totals == {**users, "fen": 300, "held": 0, "withdrawn_fen": 0}


@pytest.mark.parametrize("kind", DAMAGES)
async def test_damage_is_found_if_it_is_of_the_interval(ledger: LedgerFixture, kind: str) -> None:
    await ledger.damage(kind)
    assert kind in await ledger.kinds()
    assert kind in await ledger.kinds(HOUR)
    assert await ledger.kinds(-HOUR) == []


async def test_a_row_of_no_ranking_is_reported_and_does_not_stop_the_check_or_a_repair(
    ledger: LedgerFixture,
) -> None:
    row = {"scope": "hand-made", "user_id": "1", "gold": 1, "income": 0}
    await ledger.stores.rows("rankings").insert_one(row)
    assert await ledger.kinds() == ["rank"]
    assert await ledger.stores.rankings.rebuild_all() == 0


async def test_users_and_rooms_are_checked_in_chunks(
    ledger: LedgerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OWNERS_PER_QUERY", 1)
    monkeypatch.setattr(module, "ROOMS_PER_QUERY", 1)
    for _ in range(2):
        giver, host = await ledger.stores.create_users((10, 0), (0, 0))
        await ledger.give_in_new_room(giver, host, 1)
    await ledger.damage("missing_event")
    for ago in (None, HOUR):
        assert await ledger.kinds(ago) == ["missing_event"] * 5 + ["unbooked_event"] * 5
    await ledger.damage("balance")
    for ago in (None, HOUR):
        assert (await ledger.kinds(ago)).count("balance") == 6


async def test_every_wrong_account_is_reported(ledger: LedgerFixture) -> None:
    anna, bert = ledger.users
    users = ledger.stores.rows("users")
    journal = ledger.stores.rows("ledger")
    await users.update_one({"_id": anna}, {"$inc": {"gold": 5}, "$set": {"owed": 2}})
    await users.update_one({"_id": bert}, {"$inc": {"income": 1}, "$set": {"owed_income": -3}})
    lines = [{"account": "user:gone", "unit": "gold", "amount": 4}]
    lines += [{"account": f"user:{anna}", "unit": "silver", "amount": 7}]
    lines += [{"account": "house", "unit": "gold", "amount": -4}]
    await journal.insert_one({"_id": "x", "kind": "grant", "at": datetime.now(UTC), "lines": lines})
    for since in (None, datetime.now(UTC) - HOUR):
        problems = await ledger.reconciler.problems(since)
        assert {str(problem) for problem in problems} == {
            "unbalanced: x (sums [0, 0])",
            f"balance: owed:{anna} (gold: stored -2, journal 0)",
            f"balance: owed:{bert} (income: stored 3, journal 0)",
            f"balance: user:{anna} (gold: stored 75, journal 70)",
            f"balance: user:{bert} (income: stored 16, journal 15)",
            f"negative: user:{bert}",
            "unknown_account: user:gone (gold: stored 0, journal 4)",
        }


async def test_incremental_check_covers_rankings_of_reversed_gifts(ledger: LedgerFixture) -> None:
    anna = ledger.users[0]
    collection = ledger.stores.rows("ledger")
    gift = await collection.find_one({"kind": "gift"})
    assert gift
    await ledger.process.ledger_service.reverse(gift["_id"], "x", "ops")
    long_ago = datetime.now(UTC) - 2 * HOUR
    await collection.update_many({"kind": "gift"}, {"$set": {"at": long_ago}})
    live = {"scope": f"live:{gift['live_id']}:{gift['epoch']}", "user_id": anna}
    await ledger.stores.rows("rankings").update_one(live, {"$inc": {"gold": 1}})
    found = await ledger.reconciler.problems(datetime.now(UTC) - HOUR)
    assert [problem.kind for problem in found if problem.what.startswith("live:")] == ["rank"]


# ---- a ledger of many users


class BatchSizes(CommandLatency):
    """Rows of the largest batch that MongoDB has sent, and of all batches together."""

    def __init__(self) -> None:
        super().__init__(lambda *_: None)
        self.largest = self.total = 0

    def succeeded(self, event: CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor", {})
        rows = len(cursor.get("firstBatch", cursor.get("nextBatch", ())))
        self.largest, self.total = max(self.largest, rows), self.total + rows


async def insert_users(database: Database) -> None:
    """Users with 7 gold and 3 income, each of whom has given a gift to themselves today."""
    amounts, scope = {"gold": 3, "income": 3}, day_scope(day_of(NOW))
    rows: dict[str, list[Any]] = {"users": [], "ledger": [], "rankings": []}
    for id_ in (f"{10_000_000 + n}" for n in range(USERS)):
        grant = JournalEntry(f"g:{id_}", "grant", "ops", postings_for(id_, 10), {})
        gift = JournalEntry(f"gift:{id_}:1", "gift", id_, postings_for(id_, -3, 3), {})
        rows["ledger"].append(entry_document(grant, None, LONG_AGO))
        rows["ledger"].append(entry_document(gift, None, NOW))
        rows["users"].append({"_id": id_, "openid": id_, "gold": 7, "income": 3})
        row = {"_id": f"{scope}:{id_}", "scope": scope, "user_id": id_, **amounts}
        rows["rankings"].append(row)
    for name, documents in rows.items():
        await database.collection(name).insert_many(documents)


async def test_a_check_reads_little_of_a_large_ledger(
    stores: StoresFixture, mongo_uri: str
) -> None:
    """MongoDB compares, so that neither memory nor pauses of the event loop grow with it."""
    await insert_users(stores.database)
    sizes = BatchSizes()
    database = Database(mongo_uri, NAME, [sizes])
    reconciler = LedgerReconciler(database)
    assert await reconciler.problems() == []
    assert sizes.total <= 10
    assert await reconciler.problems(NOW - HOUR) == []
    assert sizes.total >= USERS
    rankings, sizes.total = stores.rows("rankings"), 0
    await rankings.update_many({"user_id": {"$lt": "10000040"}}, {"$inc": {"gold": 1}})
    assert await RankingStore(database).rebuild_all() == 40
    assert sizes.total < 100
    for rows in (rankings, stores.rows("users")):
        await rows.update_many({}, {"$inc": {"gold": 1}})
    sizes.total = 0
    problems = await reconciler.problems()
    await database.close()
    assert {problem.kind for problem in problems} == {"balance", "rank"}
    assert len(problems) <= 2 * module.MAX_PROBLEMS
    assert sizes.total <= 10 * module.MAX_PROBLEMS
    assert sizes.largest <= BATCH_ROWS
