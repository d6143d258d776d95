"""Writes that are committed together, one bulk command for each collection."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from core.errors import WriteConflict
from storage.database import Database, Document, Session

Operation = InsertOne[Document] | ReplaceOne[Document] | UpdateOne | DeleteOne
DUPLICATE_KEY = 11000
WRITE_CONFLICT = 112


@dataclass(slots=True)
class WriteBatch:
    """Inserts, guarded writes and free updates, by collection.

    A guarded write must match a document, and an inserted key must be new; otherwise `execute`
    raises WriteConflict. The order of writes to different documents is not kept.
    """

    guarded: dict[str, list[Operation]] = field(default_factory=dict)
    free: dict[str, list[UpdateOne]] = field(default_factory=dict)

    def __len__(self) -> int:
        guarded = sum(len(operations) for operations in self.guarded.values())
        return guarded + sum(len(updates) for updates in self.free.values())

    def insert(self, collection: str, *documents: Document) -> None:
        self.guarded.setdefault(collection, []).extend(InsertOne(it) for it in documents)

    def replace(self, collection: str, where: Document, document: Document) -> None:
        self.guarded.setdefault(collection, []).append(ReplaceOne(where, document))

    def update(self, collection: str, where: Document, change: Document) -> None:
        self.guarded.setdefault(collection, []).append(UpdateOne(where, change))

    def delete(self, collection: str, where: Document) -> None:
        self.guarded.setdefault(collection, []).append(DeleteOne(where))

    def update_if_present(self, collection: str, where: Document, change: Document) -> None:
        self.free.setdefault(collection, []).append(UpdateOne(where, change))

    def upsert(self, collection: str, where: Document, change: Document) -> None:
        self.free.setdefault(collection, []).append(UpdateOne(where, change, upsert=True))

    @classmethod
    def joined(cls, batches: Iterable[Self]) -> Self:
        """All writes of several batches, as one."""
        whole = cls()
        for batch in batches:
            for collection, operations in batch.guarded.items():
                whole.guarded.setdefault(collection, []).extend(operations)
            for collection, updates in batch.free.items():
                whole.free.setdefault(collection, []).extend(updates)
        return whole

    async def execute(self, database: Database, session: Session | None) -> None:
        """Send the writes; atomic only in a transaction, or if it is one write."""
        for collection, operations in self.guarded.items():
            await _write(database, collection, operations, session, guarded=True)
        for collection, updates in self.free.items():
            await _write(database, collection, updates, session, guarded=False)


async def _write(
    database: Database,
    name: str,
    operations: Iterable[Operation],
    session: Session | None,
    *,
    guarded: bool,
) -> None:
    wanted = list[Any](operations)
    try:
        result = await database.collection(name).bulk_write(wanted, ordered=False, session=session)
    except BulkWriteError as error:
        codes = {it["code"] for it in error.details["writeErrors"]}
        if codes & {DUPLICATE_KEY, WRITE_CONFLICT}:
            raise WriteConflict from None
        raise
    written = result.inserted_count + result.matched_count + result.deleted_count
    if guarded and written != len(wanted):
        raise WriteConflict
