"""Claims of documents that are due at a time of their own, `due_at`.

"Due" is by the database's clock, which all processes share. The partial index of `due_at` leaves
out documents without one.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument, UpdateOne

from storage.database import Collection, Document

BEFORE_ANY = datetime(2000, 1, 1, tzinfo=UTC)
"""Earlier than any document: lower bound in the partial index, which leaves out unset times."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""By at most this, the clock of a process and that of the database."""


async def make_due_index(collection: Collection) -> None:
    """The index that answers `claim_due`."""
    await collection.create_index("due_at", partialFilterExpression={"due_at": {"$gt": BEFORE_ANY}})


async def claim_due(
    collection: Collection,
    lease: timedelta,
    where: Document | None = None,
    changes: Document | None = None,
    *,
    order: str = "due_at",
) -> Document | None:
    """Lease the first document that is due, in the order of a field: it is due again when the
    lease lapses. `where` are more conditions, `changes` more fields to set."""
    until = {"$add": ["$$NOW", int(lease.total_seconds() * 1000)]}
    row: Document | None = await collection.find_one_and_update(
        {**(where or {}), **due_now()},
        [{"$set": {**(changes or {}), "due_at": until}}],
        sort=[(order, 1)],
        return_document=ReturnDocument.AFTER,
    )
    return row


async def claim_unchanged(
    collection: Collection, claims: Sequence[tuple[Document, Document]]
) -> set[object]:
    """Apply updates to documents as they were read, given by filter and update, in one command;
    the ids of those that no other process has claimed meanwhile."""
    token = secrets.token_bytes(8)
    updates = [
        UpdateOne(where, {**update, "$set": {**update["$set"], "claim": token}})
        for where, update in claims
    ]
    ids = [where["_id"] for where, _ in claims]
    result = await collection.bulk_write(updates, ordered=False)
    if result.matched_count == len(ids):
        return set(ids)
    mine = {"_id": {"$in": ids}, "claim": token}
    return {row["_id"] async for row in collection.find(mine, {"_id": 1})}


def due_now() -> Document:
    """Condition on documents that are due.

    $$NOW is no bound in an index: the others are bounded by the clock of this process.
    """
    bounds = {"$gt": BEFORE_ANY, "$lt": datetime.now(UTC) + CLOCKS_DIFFER}
    return {"due_at": bounds, "$expr": {"$lte": ["$due_at", "$$NOW"]}}
