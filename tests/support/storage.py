"""Stores on an empty database with all indexes, and gift services on top of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from tornado.ioloop import IOLoop

from config.settings import Settings
from core.limits import NamedLocks
from ledger.gifts import GiftTransfer
from ledger.giving import NO_RULES
from ledger.journal import Balance, JournalEntry, JsonObject, postings_for
from realtime.bus import Bus
from services.accounts.age_verification import AgeVerificationService
from services.gold.catalogue import CatalogueService
from services.gold.gifts import GiftService
from services.gold.ledger import LedgerService
from services.moderation.user_safety import UserSafetyService
from services.room_changes import BatchData, RoomChanges
from services.rooms.consequences import consequences
from storage.database import CommandLatency, Database, Document, Session
from storage.field_cipher import FieldCipher
from storage.gold.ledger import BatchContext, LedgerStore
from storage.gold.ledger_reconciler import LedgerReconciler
from storage.gold.rankings import RankingStore
from storage.stores import Stores
from tests.support.database import clear_database
from tests.support.room_builders import GRACE
from tests.support.room_changes import RecordingListener

NAME = "qlive_test_storage"
START = "the start of the test"
"""`by` of the entries that fill the balances."""
SETTINGS = Settings.model_validate({"auth": {"encryption_key": "key of the tests"}})
CIPHER = FieldCipher(SETTINGS.auth.encryption_key)


class StoresFixture(Stores):
    """All stores on one database."""

    def __init__(self, database: Database) -> None:
        self.changed: list[tuple[str, str]] = []
        """Users, and the part of their channels that a commit has changed."""
        super().__init__(database, SETTINGS, GRACE, lambda *change: self.changed.append(change))
        self.database = database
        self.rows = database.collection

    # ---- users and balances

    async def create_users(self, *balances: tuple[int, int]) -> list[str]:
        """Ids of new users with these balances (gold, income), which are in the journal, too."""
        return [await self._create_user(gold, income) for gold, income in balances]

    async def balance(self, user_id: str) -> Balance:
        user = await self.users.get(user_id)
        return Balance(user.gold, user.income)

    async def entries(self, **where: Any) -> list[Document]:
        """Journal entries of the test in order of insertion, without those of `create_users`."""
        rows = self.rows("ledger").find({"by": {"$ne": START}, **where})
        return await rows.sort("$natural", 1).to_list()

    async def told(self, user_id: str) -> list[tuple[str, dict[str, Any]]]:
        """(type, data) of the events in the user channel."""
        return await events_told(self, user_id)

    async def check_ledger(self) -> None:
        """Assert that journal, balances, withdrawals, events and rankings agree."""
        problems = await LedgerReconciler(self.database).problems()
        assert not [str(problem) for problem in problems]

    async def _create_user(self, gold: int, income: int) -> str:
        user, _ = await self.users.create("app", uuid4().hex)
        postings = postings_for(user.user_id, gold, income)
        entry = JournalEntry(f"start:{user.user_id}", "grant", START, postings, {})

        async def fill(session: Session) -> None:
            await self.ledger.move(session, postings)
            await self.ledger.write(session, entry)

        await self.ledger.run_transaction(fill)
        return user.user_id


async def events_told(stores: Stores, user_id: str) -> list[tuple[str, dict[str, Any]]]:
    """(type, data) of the events in a user channel."""
    epoch = (await stores.user_channels.read(user_id)).epoch
    events = await stores.user_channels.log_since(user_id, epoch, 0)
    return [(event.type, dict(event.data)) for event in events or ()]


# ---- gifts


ROSE = {"id": 1, "name": "rose", "image": "https://gifts/rose", "effect": "petals"}


def rose(sender: str, receiver: str, request_id: str = "", **more: Any) -> GiftTransfer:
    """A gift that costs 10 and earns 5, unless `more` overrides it."""
    terms = {"gift_id": 1, "gold": 10, "num": 1, "rate": Decimal("0.5"), "shown": ROSE, **more}
    return GiftTransfer(sender, receiver, request_id=request_id, **terms)


class RecordingLedgerStore(LedgerStore):
    """Records the keys of each written batch.

    `before_write`: actions of which one runs between each load and its write.
    """

    def __init__(self, database: Database, rankings: RankingStore) -> None:
        days = SETTINGS.withdraw.ios_maturity_days
        super().__init__(database, rankings, days, lambda *_: None)
        self.before_write: list[Callable[[], Awaitable[object]]] = []
        self.loaded: list[str] = []
        self.stale: BatchContext | None = None
        """Answer of a new primary after a failover, instead of the present state."""

    async def load_context(self, transfers: Sequence[GiftTransfer]) -> BatchContext:
        self.loaded.append("as committed")
        context = self.stale or await super().load_context(transfers)
        if self.before_write:
            await self.before_write.pop(0)()
        return context

    async def confirm_primary(self) -> None:
        self.loaded.append("confirmed")
        await super().confirm_primary()
        self.stale = None


class RecordingRoomChanges(RoomChanges):
    """Sets `requested` when a change is requested."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.requested = asyncio.Event()

    async def change_with(self, *args: Any) -> Any:
        self.requested.set()
        return await super().change_with(*args)


class GiftProcess:
    """Gift and ledger services with stores, locks and queues of their own, like one process."""

    def __init__(self, stores: StoresFixture) -> None:
        own = StoresFixture(stores.database)
        self.listener = RecordingListener()
        self.locks = NamedLocks()
        self.room_changes = RecordingRoomChanges(own, consequences(own), self.listener)
        self.gift_batches = own.ledger = RecordingLedgerStore(stores.database, own.rankings)
        no_client: Any = None
        self.gift_service = GiftService(
            own,
            self.room_changes,
            CatalogueService(own.gifts, own.configs, Bus()),
            AgeVerificationService(own.users, no_client, SETTINGS.age_verification),
            UserSafetyService(own, no_client, SETTINGS.moderation),
            lock=self.locks.lock,
            rules=NO_RULES,
        )
        self.ledger_service = LedgerService(own.ledger, self.locks.lock)

    async def give(self, transfer: GiftTransfer) -> JsonObject:
        return await self.gift_service.give(transfer)

    async def give_while_busy(
        self, live_id: int, *transfers: GiftTransfer
    ) -> list[JsonObject | BaseException]:
        """Queues gifts while the room is being changed, and returns their results after that."""
        async with self.hold_room(live_id):
            tasks = await self.queue_gifts(*transfers)
        return await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def hold_room(self, live_id: int) -> AsyncIterator[None]:
        """A change of the room is under way, so that gifts wait."""
        started, over = asyncio.Event(), asyncio.Event()

        async def wait(_requests: Sequence[None]) -> None:
            started.set()
            await over.wait()

        change = self.room_changes.change_with(
            live_id, BatchData(wait), None, lambda _room, _context: None
        )
        changing = asyncio.ensure_future(change)
        await started.wait()
        try:
            yield
        finally:
            over.set()
            await changing

    async def queue_gifts(self, *transfers: GiftTransfer) -> list[asyncio.Task[JsonObject]]:
        """Gives in a room that is being changed: they queue, in this order."""
        tasks = []
        for transfer in transfers:
            self.room_changes.requested.clear()
            tasks.append(asyncio.ensure_future(self.give(transfer)))
            await self.room_changes.requested.wait()
        return tasks


# ---- fixtures


@pytest.fixture
def commands() -> list[str]:
    """Names of all MongoDB commands that `database` has completed."""
    return []


@pytest.fixture
def database(
    io_loop: IOLoop, mongo_uri: str, mongo: MongoClient[Any], commands: list[str]
) -> Iterator[Database]:
    clear_database(mongo, NAME)
    database = Database(mongo_uri, NAME, [CommandLatency(lambda name, *_: commands.append(name))])
    yield database
    io_loop.run_sync(database.close)


@pytest.fixture
def stores(io_loop: IOLoop, database: Database, indexed_databases: set[str]) -> StoresFixture:
    fixture = StoresFixture(database)
    if NAME not in indexed_databases:
        io_loop.run_sync(fixture.make_indexes)
        indexed_databases.add(NAME)
    return fixture


@asynccontextmanager
async def profile_queries(
    database: Database, name: str, operation: str = "query"
) -> AsyncIterator[list[int]]:
    """The number of index keys or documents, the larger, examined by each query of a collection.

    The list is filled when the block ends.
    """
    db = database.client[NAME]
    examined: list[int] = []
    await db.command("profile", 2, filter={"ns": f"{NAME}.{name}", "op": operation})
    try:
        yield examined
    finally:
        await db.command("profile", 0, filter="unset")
        found = db["system.profile"].find({"ns": f"{NAME}.{name}"}).sort("$natural", 1)
        rows = await found.to_list()
        await db.drop_collection("system.profile")
        examined += [max(row["keysExamined"], row["docsExamined"]) for row in rows]
