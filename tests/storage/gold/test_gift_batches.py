"""The context that a gift batch is decided on, and its atomic write, on a real MongoDB."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from pymongo.monitoring import CommandListener, CommandStartedEvent

from core.clock import day_of
from core.errors import QLiveError, WriteConflict
from ledger.gifts import GiftTransfer, StoredEntry, day_scope, live_scope
from ledger.journal import Balance, EventReference
from rooms.members import Person
from storage.database import Database, Session
from storage.gold.ledger import BatchContext, LedgerStore
from storage.gold.rankings import RankingStore
from tests.support.storage import NAME, StoresFixture, rose

gen_test = pytest.mark.gen_test(timeout=60)


class BatchFixture:
    """Reads, decides and writes gift batches step by step."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.store = LedgerStore(stores.database, stores.rankings)

    async def decide(
        self, *transfers: GiftTransfer, event: EventReference | None = None
    ) -> BatchContext:
        """Decide a batch with all of these transfers; `event` is that of the first."""
        context = await self.store.load_context(transfers)
        for number, transfer in enumerate(transfers):
            its_event = event and replace(event, seq=event.seq + number)
            assert not isinstance(context.batch.give(transfer, its_event), QLiveError)
        return context

    async def write(self, context: BatchContext) -> None:
        await self.stores.database.transaction(lambda tx: self.store.write_gifts(tx, context.batch))

    async def give(self, *transfers: GiftTransfer, event: EventReference | None = None) -> None:
        await self.write(await self.decide(*transfers, event=event))

    async def add_to_balance(self, user_id: str, **amounts: int) -> None:
        """Change a balance outside the batch."""
        users = self.stores.database.collection("users")
        await users.update_one({"_id": user_id}, {"$inc": amounts})

    async def documents(self, collection: str) -> list[dict[str, Any]]:
        return await self.stores.database.collection(collection).find().sort("_id", 1).to_list()


# ---- context


@gen_test
async def test_context_has_balances_and_faces_of_existing_users(stores: StoresFixture) -> None:
    anna, bert = await stores.create_users((15, 3), (0, 7))
    await stores.users.update(anna, nickname="Anna", face_url="https://faces/a", gender=2)
    context = await BatchFixture(stores).store.load_context(
        [rose(anna, bert), rose(bert, "unknown")]
    )
    assert context.batch.balances == {anna: Balance(15, 3), bert: Balance(0, 7)}
    assert context.faces == {
        anna: Person(anna, "Anna", "https://faces/a", 2).face(),
        bert: Person(bert).face(),
    }
    assert (context.batch.written, context.batch.entries) == ({}, [])


@gen_test
async def test_context_has_stored_gifts_with_the_same_request_ids(stores: StoresFixture) -> None:
    batches, (anna, bert) = BatchFixture(stores), await stores.create_users((100, 0), (100, 0))
    first, second = rose(anna, bert, "r", num=2), rose(anna, bert, "s")
    await batches.give(first, second, rose(anna, bert))
    others = rose(bert, anna, "r"), rose(anna, bert, "t"), rose(anna, bert)
    context = await batches.store.load_context([first, *others])
    answer = {"status": "success", "gold": 80, "income": 0}
    content = {"to": bert, "gift_id": 1, "num": 2}
    assert context.batch.written == {f"gift:{anna}:r": StoredEntry(content, answer)}


@pytest.mark.parametrize(
    ("request_ids", "queries"), [(["r", "s"], 2), (["r", ""], 2), (["", ""], 1)]
)
@gen_test
async def test_context_needs_no_unnecessary_queries(
    stores: StoresFixture, commands: list[str], request_ids: list[str], queries: int
) -> None:
    anna, bert = await stores.create_users((100, 0), (0, 0))
    commands.clear()
    await BatchFixture(stores).store.load_context(
        [rose(anna, bert, request_id) for request_id in request_ids]
    )
    assert commands == ["find"] * queries


# ---- write


@gen_test
async def test_batch_moves_balances_and_writes_entries_and_rankings(stores: StoresFixture) -> None:
    batches, (anna, bert, carl) = (
        BatchFixture(stores),
        await stores.create_users((15, 3), (0, 5), (10, 0)),
    )
    await batches.give(
        rose(anna, carl, "r"), rose(carl, anna, "s"), event=EventReference(7, "e", 4)
    )
    await batches.give(rose(bert, carl, "t", gold=4))
    assert await stores.balance(anna) == (5, 8)
    assert await stores.balance(bert) == (0, 1)
    assert await stores.balance(carl) == (0, 7)
    entries = await stores.entries()
    assert [entry["_id"] for entry in entries] == [
        f"gift:{anna}:r",
        f"gift:{carl}:s",
        f"gift:{bert}:t",
    ]
    assert [(row.get("live_id"), row.get("epoch"), row.get("seq")) for row in entries] == [
        (7, "e", 4),
        (7, "e", 5),
        (None, None, None),
    ]
    assert await stores.rankings.top(live_scope(7, "e"), "gold", 50) == sorted(
        [(anna, 10), (carl, 10)]
    )
    today = day_scope(day_of(entries[0]["at"]))
    assert await stores.rankings.top(today, "income", 50) == [(carl, 7), (anna, 5)]


@gen_test
async def test_free_gift_is_written_without_postings(stores: StoresFixture) -> None:
    batches, (anna, bert) = BatchFixture(stores), await stores.create_users((0, 0), (0, 0))
    await batches.give(rose(anna, bert, "r", gold=0))
    (entry,) = await stores.entries()
    assert (entry["lines"], entry["answer"]["gold"]) == ([], 0)
    assert await batches.documents("rankings") == []


# ---- conflicts


class ConflictWithoutWrites:
    """Asserts that the block raises WriteConflict and writes nothing."""

    def __init__(self, batches: BatchFixture) -> None:
        self._batches = batches
        self._before: list[Any] = []

    async def __aenter__(self) -> None:
        self._before = await self._all()

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> bool:
        assert error is WriteConflict
        assert await self._all() == self._before
        return True

    async def _all(self) -> list[Any]:
        return [await self._batches.documents(name) for name in ("users", "ledger", "rankings")]


@pytest.mark.parametrize(
    ("user_index", "amounts"),
    [(0, {"gold": 50}), (0, {"gold": -1}), (1, {"income": 1}), (2, {"gold": 1}), (3, {"gold": 1})],
)
@gen_test
async def test_batch_conflicts_when_a_balance_has_changed(
    stores: StoresFixture, user_index: int, amounts: dict[str, int]
) -> None:
    """Covers the first and the last sender and receiver."""
    batches, users = BatchFixture(stores), await stores.create_users(*[(15, 5)] * 4)
    anna, bert, carl, dora = users
    context = await batches.decide(rose(anna, bert, "r"), rose(carl, dora, "s"))
    await batches.add_to_balance(users[user_index], **amounts)
    async with ConflictWithoutWrites(batches):
        await batches.write(context)


@gen_test
async def test_batch_conflicts_when_a_key_is_taken(stores: StoresFixture) -> None:
    batches, (anna, bert, carl) = (
        BatchFixture(stores),
        await stores.create_users((100, 0), (0, 0), (100, 0)),
    )
    context = await batches.decide(rose(carl, bert, "s"), rose(anna, bert, "r", gold=0))
    await batches.give(rose(anna, carl, "r", gold=0))  # free: no balance changes
    async with ConflictWithoutWrites(batches):
        await batches.write(context)


@pytest.mark.parametrize("gold", [0, 10])
@gen_test
async def test_two_concurrent_batches_with_the_same_key_write_one(
    stores: StoresFixture, gold: int
) -> None:
    batches, (anna, bert) = BatchFixture(stores), await stores.create_users((100, 0), (0, 0))
    transfer = rose(anna, bert, "r", gold=gold)
    contexts = [await batches.decide(transfer) for _ in range(2)]
    results = await asyncio.gather(*map(batches.write, contexts), return_exceptions=True)
    assert sorted(map(repr, results)) == sorted([repr(None), repr(WriteConflict())])
    assert len(await stores.entries()) == 1
    assert await stores.balance(anna) == (100 - gold, 0)


@gen_test
async def test_two_concurrent_batches_on_the_same_balance_write_one(stores: StoresFixture) -> None:
    batches, (anna, bert, carl) = (
        BatchFixture(stores),
        await stores.create_users((15, 0), (0, 0), (0, 0)),
    )
    contexts = [await batches.decide(rose(anna, receiver)) for receiver in (bert, carl)]
    results = await asyncio.gather(*map(batches.write, contexts), return_exceptions=True)
    assert sorted(map(repr, results)) == sorted([repr(None), repr(WriteConflict())])
    assert len(await stores.entries()) == 1
    assert await stores.balance(anna) == (5, 0)


@gen_test
async def test_conflicting_batch_succeeds_when_decided_on_fresh_data(stores: StoresFixture) -> None:
    batches, (anna, bert) = BatchFixture(stores), await stores.create_users((15, 0), (0, 0))
    context = await batches.decide(rose(anna, bert, "r"))
    await batches.add_to_balance(anna, gold=10)
    with pytest.raises(WriteConflict):
        await batches.write(context)
    await batches.give(rose(anna, bert, "r"))
    assert await stores.balance(anna) == (15, 0)


class ReadConcernSpy(CommandListener):
    """Keeps the read concern of each find."""

    def __init__(self) -> None:
        self.levels: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.levels.append(event.command["readConcern"]["level"])

    def succeeded(self, event: object) -> None:
        pass

    def failed(self, event: object) -> None:
        pass


@gen_test
async def test_a_primary_is_confirmed_once_for_all_who_ask_at_a_time(mongo_uri: str) -> None:
    spy = ReadConcernSpy()
    database = Database(mongo_uri, NAME, [spy])
    store = LedgerStore(database, RankingStore(database))
    await asyncio.gather(*(store.confirm_primary() for _ in range(5)))
    await database.close()
    assert spy.levels == ["linearizable"]


@gen_test
async def test_conflict_undoes_other_writes_of_the_transaction(stores: StoresFixture) -> None:
    batches, (anna, bert) = BatchFixture(stores), await stores.create_users((15, 0), (0, 0))
    context = await batches.decide(rose(anna, bert, "r"))
    rows = stores.database.collection("things")

    async def work(tx: Session) -> None:
        await rows.insert_one({"_id": 1}, session=tx)
        await batches.store.write_gifts(tx, context.batch)

    await batches.add_to_balance(anna, gold=1)
    async with ConflictWithoutWrites(batches):
        await stores.database.transaction(work)
    assert await rows.count_documents({}) == 0


@gen_test
async def test_balance_with_zero_net_change_is_guarded(stores: StoresFixture) -> None:
    batches, (anna, bert, carl) = (
        BatchFixture(stores),
        await stores.create_users((100, 0), (0, 5), (0, 0)),
    )
    context = await batches.decide(rose(bert, carl, gold=5), rose(anna, bert))  # bert: -5 and +5
    await batches.add_to_balance(bert, income=-5)
    with pytest.raises(WriteConflict):
        await batches.write(context)


@gen_test
async def test_run_transaction_retries_until_it_commits(stores: StoresFixture) -> None:
    batches, (anna, bert) = BatchFixture(stores), await stores.create_users((15, 0), (0, 0))
    attempts: list[int] = []

    async def work(tx: Session) -> str:
        context = await batches.decide(rose(anna, bert, "r"))
        attempts.append(len(attempts))
        if len(attempts) < 3:
            await batches.add_to_balance(bert, gold=1)
        await batches.store.write_gifts(tx, context.batch)
        return "given"

    assert await batches.store.run_transaction(work) == "given"
    assert len(attempts) == 3
    assert (await stores.balance(anna), await stores.balance(bert)) == ((5, 0), (2, 5))
