"""Deletes rows in bounded batches."""

from collections.abc import Mapping
from typing import Any

from storage.database import Collection


async def delete_some(rows: Collection, where: Mapping[str, Any], limit: int) -> int:
    """Delete at most `limit` rows that match; the number deleted.

    One delete command over all of them could exceed the operation timeout. The rows must still
    match when they are deleted: a change between the two commands saves a row.
    """
    found = await rows.find(where, {"_id": 1}).limit(limit).to_list()
    if not found:
        return 0
    chosen = {"_id": {"$in": [row["_id"] for row in found]}}
    result = await rows.delete_many({"$and": [chosen, where]})
    return result.deleted_count
