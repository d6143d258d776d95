"""Reads the context of a batch of gifts, and writes the decided batch."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from pymongo.read_concern import ReadConcern

from core.batching import SingleFlight
from ledger.gifts import BalanceChange, GiftBatch, GiftTransfer, StoredEntry
from ledger.journal import Balance
from rooms.members import Face, Person
from storage.database import Collection, Database, Document, Session
from storage.ledger import entry_document
from storage.rankings import RankingStore
from storage.write_batch import WriteBatch

T = TypeVar("T")
LINEARIZABLE = ReadConcern("linearizable")
USER_FIELDS = {"gold": 1, "income": 1, "nickname": 1, "face_url": 1, "gender": 1}


class BatchContext(NamedTuple):
    """Data read to decide on a batch; `faces` has the users who exist."""

    batch: GiftBatch
    faces: dict[str, Face]


class GiftBatchStore:
    """Optimistic locking: a batch is decided on data read before its transaction.

    It is written only if every balance is unchanged and every key is free; else WriteConflict, and
    the caller reads and decides again.
    """

    def __init__(self, database: Database, rankings: RankingStore) -> None:
        self._database = database
        self._ledger: Collection = database.collection("ledger")
        self._users: Collection = database.collection("users")
        self._rankings = rankings
        self._confirmation = SingleFlight(self._read_linearizable)

    async def run_transaction(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run `work` in its own transaction, retried on write conflicts; then TryAgain."""
        return await self._database.transaction_with_retry(work)

    async def load_context(self, transfers: Sequence[GiftTransfer]) -> BatchContext:
        """Read the context of a batch in two queries.

        Balances are read first, so that an entry that has changed one of them is found, too.
        """
        user_ids = {user_id for it in transfers for user_id in (it.sender, it.receiver)}
        rows = await self._users.find({"_id": {"$in": [*user_ids]}}, USER_FIELDS).to_list()
        balances = {row["_id"]: Balance(row["gold"], row["income"]) for row in rows}
        faces = {row["_id"]: _face_of(row) for row in rows}
        at = datetime.now(UTC)
        written = await self._written([it.key for it in transfers if it.request_id])
        return BatchContext(GiftBatch(at, balances, written), faces)

    async def _written(self, keys: Sequence[str]) -> dict[str, StoredEntry]:
        if not keys:
            return {}
        rows = self._ledger.find({"_id": {"$in": [*keys]}}, {"content": 1, "answer": 1})
        return {row["_id"]: StoredEntry(row["content"], row["answer"]) async for row in rows}

    async def confirm_primary(self) -> None:
        """Wait until reads show everything that was acknowledged before the call.

        A new primary may answer from an older state, until it has learned which of its data a
        majority has. A read with read concern linearizable has it write to a majority; concurrent
        callers share one. Raises TryAgain or StorageAway if no majority answers.
        """
        await self._confirmation.get()

    async def _read_linearizable(self) -> None:
        await self._users.with_options(read_concern=LINEARIZABLE).find_one({"_id": ""}, {"_id": 1})

    def add_writes(self, writes: WriteBatch, batch: GiftBatch) -> None:
        """Add everything that the batch of gifts has to write, guarded by what it has read."""
        rows = [entry_document(entry, event, batch.at) for entry, event in batch.entries]
        writes.insert("ledger", *rows)
        for change in batch.balance_changes:
            writes.update("users", *_balance_update(change))
        self._rankings.add_writes(batch.ranking_changes, writes)

    async def write(self, session: Session, batch: GiftBatch) -> None:
        """Write the whole batch, or raise WriteConflict."""
        writes = WriteBatch()
        self.add_writes(writes, batch)
        await writes.execute(self._database, session)


def _face_of(row: Document) -> Face:
    return Person(row["_id"], row["nickname"], row["face_url"], row["gender"]).face()


def _balance_update(change: BalanceChange) -> tuple[Document, Document]:
    """Compare-and-swap on the balance, so that it cannot fall below 0."""
    before, after = change.before, change.after
    amounts = {"gold": after.gold - before.gold, "income": after.income - before.income}
    return {"_id": change.user_id, **before._asdict()}, {"$inc": amounts}
