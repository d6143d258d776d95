"""Writes that are committed together, one command for each collection and kind of write."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from core.errors import WriteConflict
from storage.database import Database, Document, Session

Operation = InsertOne[Document] | ReplaceOne[Document] | UpdateOne | DeleteOne
Kind = Literal["insert", "update", "delete"]
Target = tuple[str, Kind]
"""Collection, and kind of the writes to it."""
PARTS: dict[Kind, str] = {"insert": "documents", "update": "updates", "delete": "deletes"}
"""Field of the command of each kind."""
DUPLICATE_KEY = 11000
WRITE_CONFLICT = 112


@dataclass(slots=True)
class WriteBatch:
    """Inserts, guarded writes and free updates, by collection.

    A guarded write must match a document, and an inserted key must be new; otherwise `execute`
    raises WriteConflict. The order of writes to different documents is not kept.
    """

    guarded: dict[Target, list[Document]] = field(default_factory=dict)
    free: dict[Target, list[Document]] = field(default_factory=dict)
    fields: int = 0
    """Fields that the guarded updates change."""

    def __len__(self) -> int:
        return sum(map(len, self.guarded.values())) + sum(map(len, self.free.values()))

    def insert(self, collection: str, *documents: Document) -> None:
        self.guarded.setdefault((collection, "insert"), []).extend(documents)

    def replace(self, collection: str, where: Document, document: Document) -> None:
        self.guarded.setdefault((collection, "update"), []).append({"q": where, "u": document})

    def update(self, collection: str, where: Document, change: Document) -> None:
        self.guarded.setdefault((collection, "update"), []).append({"q": where, "u": change})
        self.fields += sum(map(len, change.values()))

    def delete(self, collection: str, where: Document) -> None:
        self.guarded.setdefault((collection, "delete"), []).append({"q": where, "limit": 1})

    def update_if_present(self, collection: str, where: Document, change: Document) -> None:
        self.free.setdefault((collection, "update"), []).append({"q": where, "u": change})

    def upsert(self, collection: str, where: Document, change: Document) -> None:
        write = {"q": where, "u": change, "upsert": True}
        self.free.setdefault((collection, "update"), []).append(write)

    @classmethod
    def joined(cls, batches: Iterable[Self]) -> Self:
        """All writes of several batches, as one."""
        whole = cls()
        for batch in batches:
            for target, writes in batch.guarded.items():
                whole.guarded.setdefault(target, []).extend(writes)
            for target, writes in batch.free.items():
                whole.free.setdefault(target, []).extend(writes)
            whole.fields += batch.fields
        return whole

    async def execute(self, database: Database, session: Session) -> None:
        """Send the writes in a transaction."""
        for target, writes in self.guarded.items():
            if await _write(database, target, writes, session) != len(writes):
                raise WriteConflict
        for target, writes in self.free.items():
            await _write(database, target, writes, session)

    async def execute_alone(self, database: Database) -> None:
        """Send the only write, which is atomic without a transaction."""
        [(target, [write])] = [*self.guarded.items(), *self.free.items()]
        collection = database.collection(target[0])
        try:
            result = await collection.bulk_write([_operation(target[1], write)])
        except BulkWriteError as error:
            raise _error_of(error.details) or error from None
        written = result.inserted_count + result.matched_count + result.deleted_count
        if self.guarded and written != 1:
            raise WriteConflict


async def _write(
    database: Database, target: Target, writes: Sequence[Document], session: Session
) -> int:
    """Number of written documents.

    A command takes PyMongo 15 % less time than `bulk_write` with the same writes. It is not
    split at 48 MB, nor retried: a transaction has few writes, and is repeated as a whole.
    """
    collection, kind = target
    command = {kind: collection, "ordered": False, PARTS[kind]: writes}
    reply = await database.command(command, session)
    if errors := reply.get("writeErrors"):
        raise _error_of(reply) or BulkWriteError({"writeErrors": errors})
    written: int = reply["n"]
    return written


def _operation(kind: Kind, write: Document) -> Operation:
    if kind == "insert":
        return InsertOne(write)
    if kind == "delete":
        return DeleteOne(write["q"])
    if not next(iter(write["u"])).startswith("$"):
        return ReplaceOne(write["q"], write["u"])
    return UpdateOne(write["q"], write["u"], upsert=write.get("upsert", False))


def _error_of(reply: Any) -> WriteConflict | None:
    """The conflict that a reply reports, if it does."""
    codes = {error["code"] for error in reply["writeErrors"]}
    return WriteConflict() if codes & {DUPLICATE_KEY, WRITE_CONFLICT} else None
