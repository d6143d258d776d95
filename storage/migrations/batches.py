"""Updates of a whole collection in commands of bounded length."""

from storage.database import Collection, Document

BATCH = 1_000
"""Documents looked at by one command: a few milliseconds, within its timeout."""


async def update_in_batches(
    collection: Collection,
    where: Document,
    change: Document | list[Document],
    batch: int = BATCH,
) -> int:
    """Apply `change` to all documents that match `where`, in order of _id; their number.

    Needs no index for `where`. Documents inserted meanwhile may be left out.
    """
    changed, after = 0, Document()
    while ids := await _next_ids(collection, after, batch):
        span = {"_id": {"$gte": ids[0], "$lte": ids[-1]}}
        changed += (await collection.update_many({"$and": [span, where]}, change)).modified_count
        after = {"_id": {"$gt": ids[-1]}}
    return changed


async def _next_ids(collection: Collection, after: Document, batch: int) -> list[object]:
    rows = collection.find(after, {"_id": 1}).sort("_id", 1).limit(batch)
    return [row["_id"] async for row in rows]
