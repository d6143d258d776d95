"""The context that a gift batch is decided on, and its atomic write, on a real MongoDB."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from pymongo.monitoring import CommandStartedEvent

from core.errors import QLiveError, WriteConflict
from ledger.gifts import GiftTransfer
from ledger.journal import EventReference
from storage.database import CommandLatency, Database
from storage.gold.ledger import BatchContext, LedgerStore
from storage.gold.rankings import RankingStore
from tests.support.storage import NAME, StoresFixture, rose


class BatchFixture:
    """Reads, decides and writes gift batches step by step."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores = stores
        self.store = stores.ledger

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

    async def documents(self) -> list[Any]:
        collections = [
            self.stores.database.collection(name) for name in ("users", "ledger", "rankings")
        ]
        return [await rows.find().sort("_id", 1).to_list() for rows in collections]


# ---- conflicts


async def assert_conflict(batches: BatchFixture, context: BatchContext) -> None:
    """The batch is refused as a whole."""
    before = await batches.documents()
    with pytest.raises(WriteConflict):
        await batches.write(context)
    assert await batches.documents() == before


async def test_batch_is_written_only_if_no_balance_has_changed(stores: StoresFixture) -> None:
    batches, users = BatchFixture(stores), await stores.create_users(*[(15, 5)] * 4)
    anna, bert, carl, dora = users
    gifts = rose(anna, bert, "r"), rose(carl, dora, "s")
    for user_id, unit in ((anna, "gold"), (bert, "income"), (carl, "gold"), (dora, "gold")):
        context = await batches.decide(*gifts)
        await batches.add_to_balance(user_id, **{unit: 50})
        await assert_conflict(batches, context)
    await batches.give(*gifts)
    balances = [await stores.balance(user_id) for user_id in users]
    assert balances == [(55, 5), (15, 60), (55, 5), (65, 10)]


async def test_batch_conflicts_when_a_key_is_taken(stores: StoresFixture) -> None:
    batches = BatchFixture(stores)
    anna, bert, carl = await stores.create_users((100, 0), (0, 0), (100, 0))
    context = await batches.decide(rose(carl, bert, "s"), rose(anna, bert, "r", gold=0))
    await batches.give(rose(anna, carl, "r", gold=0))  # free: no balance changes
    await assert_conflict(batches, context)


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
    store = LedgerStore(database, RankingStore(database))
    await asyncio.gather(*(store.confirm_primary() for _ in range(5)))
    await database.close()
    assert spy.levels == ["linearizable"]
