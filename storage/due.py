"""Documents that are due at a time of their own, `due_at`, and leased one by one.

"Due" is by the database's clock, which all processes share. The partial index of `due_at` leaves
out documents without one.
"""

from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument

from storage.database import Collection, Document

BEFORE_ANY = datetime(2000, 1, 1, tzinfo=UTC)
"""Earlier than any document: lower bound in the partial index, which leaves out unset times."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""By at most this, the clock of a process and that of the database."""


async def make_due_index(collection: Collection) -> None:
    """The index that answers `claim_due`."""
    await collection.create_index("due_at", partialFilterExpression={"due_at": {"$gt": BEFORE_ANY}})


async def claim_due(collection: Collection, lease: timedelta) -> Document | None:
    """Lease the document that is due for the longest time: it is due again when that lapses."""
    until = {"$add": ["$$NOW", int(lease.total_seconds() * 1000)]}
    row: Document | None = await collection.find_one_and_update(
        due_now(),
        [{"$set": {"due_at": until}}],
        sort=[("due_at", 1)],
        return_document=ReturnDocument.AFTER,
    )
    return row


def due_now() -> Document:
    """Condition on documents that are due.

    $$NOW is no bound in an index: the others are bounded by the clock of this process.
    """
    bounds = {"$gt": BEFORE_ANY, "$lt": datetime.now(UTC) + CLOCKS_DIFFER}
    return {"due_at": bounds, "$expr": {"$lte": ["$due_at", "$$NOW"]}}
