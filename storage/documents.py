"""Reads documents by `_id` in batches, streams long results, and deletes in bounded batches."""

from collections.abc import AsyncGenerator, Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from core.batching import BatchLoader
from storage.database import Collection, Document, Session
from storage.errors import StorageUnavailable

T = TypeVar("T")
BATCH_ROWS = 500
"""Rows of one batch. A batch is decoded in one go: these take about 2 ms of the event loop, but
MongoDB's default of 16 MB takes a third of a second."""


def documents_by_id(
    collection: Collection, parse: Callable[[Document], T], exclude: str = ""
) -> BatchLoader[T]:
    """Loads documents and parses each; `exclude` is a field that is not read.

    A document that cannot be parsed fails only the callers that asked for it.
    """
    projection = {exclude: 0} if exclude else None

    async def load(ids: Sequence[Hashable]) -> dict[Hashable, T | Exception]:
        found = await collection.find({"_id": {"$in": [*ids]}}, projection).to_list()
        return {document["_id"]: parsed(document, parse) for document in found}

    return BatchLoader(load, StorageUnavailable)


def parsed(document: Document, parse: Callable[[Document], T]) -> T | Exception:
    """What `parse` returns or raises: an error concerns the callers of this document only."""
    try:
        return parse(document)
    except Exception as error:  # noqa: BLE001 - raised to the callers of this document
        return error


def fields_of(value: Any) -> Document:
    """The fields of a dataclass with slots, not copied: `asdict` takes ten times as long."""
    return {name: getattr(value, name) for name in value.__slots__}


async def stream(
    rows: Collection, steps: Sequence[Document], session: Session | None = None
) -> AsyncGenerator[Document]:
    """The results of an aggregation, which may use the server's disk."""
    found = await rows.aggregate(steps, session=session, allowDiskUse=True, batchSize=BATCH_ROWS)
    async with found:
        async for row in found:
            yield row


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
