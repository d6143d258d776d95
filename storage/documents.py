"""What the stores share: reads in batches, streams, sums and pages, changes, and indexes."""

import hashlib
import secrets
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pymongo import ReturnDocument

from core.batching import BatchLoader, parsed
from storage.database import Collection, Document, Session

T = TypeVar("T")
BATCH_ROWS = 500
"""Rows of one batch. A batch is decoded in one go: these take about 2 ms of the event loop, but
MongoDB's default of 16 MB takes a third of a second."""
MAX_CHARACTER = "\U0010ffff"
"""The highest Unicode code point: the upper bound of a prefix range."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def token_id(token: str) -> str:
    """Return the id under which a token is stored.

    It is a hash, so that a database dump grants no access.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def dated_id(letter: str) -> str:
    """Return 29 of [0-9A-Za-z], as WeChat Pay and xpay take them; not guessable (56 bits)."""
    return f"{letter}{datetime.now(UTC):%Y%m%d%H%M%S}{secrets.token_hex(7)}"


def documents_by_id(
    collection: Collection, parse: Callable[[Document], T], *exclude: str, key: str = "_id"
) -> BatchLoader[T]:
    """Load documents by their id, or another unique `key`, and parse each.

    The fields `exclude` are not read. A document that cannot be parsed fails only the callers
    that asked for it.
    """
    projection = dict.fromkeys(exclude, 0) or None

    async def load(ids: Sequence[Hashable]) -> dict[Hashable, T | Exception]:
        found = await collection.find({key: {"$in": [*ids]}}, projection).to_list()
        return {document[key]: parsed(document, parse) for document in found}

    return BatchLoader(load)


def fields_of(value: Any) -> Document:
    """Return the fields of a dataclass with slots, not copied: `asdict` takes ten times as long."""
    return {name: getattr(value, name) for name in value.__slots__}


def document_of(value: Any, id_name: str) -> Document:
    """Return the document of a dataclass with slots, whose field `id_name` is stored as `_id`."""
    document = fields_of(value)
    document["_id"] = document.pop(id_name)
    return document


def known_fields(kind: type[Any], document: Document) -> Document:
    """Return fields for a dataclass with slots, without those that a later release has stored."""
    return {name: document[name] for name in kind.__slots__ if name in document}


async def is_over(rows: Collection, where: Document, most: int) -> bool:
    """Return whether more than `most` rows match, asked after one of them was inserted.

    The caller takes that one back: so a bound holds also for inserts at the same moment, of which
    for the last place each may be refused.
    """
    return await rows.count_documents(where, limit=most + 1) > most


async def change_one(
    rows: Collection,
    where: Document,
    change: Document | Sequence[Document],
    session: Session | None = None,
    *,
    upsert: bool = False,
    fields: Document | None = None,
    order: str = "",
) -> Document | None:
    """Change a document, and return it as it is afterwards; None if there is none.

    Of several, the first in the order of a field. `fields`: a projection of the returned document.
    """
    row: Document | None = await rows.find_one_and_update(
        where,
        change,
        projection=fields,
        sort=[(order, 1)] if order else None,
        upsert=upsert,
        return_document=ReturnDocument.AFTER,
        session=session,
    )
    return row


async def stream(
    rows: Collection, steps: Sequence[Document], session: Session | None = None
) -> AsyncGenerator[Document]:
    """Yield the results of an aggregation, which may use the server's disk."""
    found = await rows.aggregate(steps, session=session, allowDiskUse=True, batchSize=BATCH_ROWS)
    async with found:
        async for row in found:
            yield row


async def sums_of(
    rows: Collection, where: Document, sums: Mapping[str, Any], session: Session | None = None
) -> dict[str, int]:
    """Return the sums of these expressions over all documents that match; 0 without one."""
    group = {"_id": None, **{name: {"$sum": amount} for name, amount in sums.items()}}
    found = [row async for row in stream(rows, [{"$match": where}, {"$group": group}], session)]
    return {name: int(found[0][name]) if found else 0 for name in sums}


async def make_partial_index(rows: Collection, field: str, above: Any) -> None:
    """Index a field in the documents that have one above this value, which queries have to name."""
    await rows.create_index(field, partialFilterExpression={field: {"$gt": above}})


async def make_page_indexes(rows: Collection, by: str, *filters: str) -> None:
    """Make the index of `page` by a time, and one for each field by which it is filtered."""
    newest = [(by, -1), ("_id", -1)]
    await rows.create_index(newest)
    for field in filters:
        await rows.create_index([(field, 1), *newest])


def given(**filters: Any) -> Document:
    """Return a filter by these fields, a list for several values, without the empty ones."""
    return {
        name: {"$in": value} if isinstance(value, list) else value
        for name, value in filters.items()
        if value
    }


class InvalidCursor(ValueError):
    """The text is not a cursor of this module."""


async def page(
    rows: Collection,
    where: Mapping[str, Any],
    by: str,
    after: str,
    limit: int,
    *,
    fields: Mapping[str, int] | None = None,
) -> tuple[list[Document], str | None]:
    """Return a page of rows by the time in `by`, and the next cursor, None on the last page.

    `after` is a cursor, "" for the first page. `make_page_indexes` avoids a sort in memory.
    `fields`: a projection. Raises InvalidCursor.
    """
    query: Document = {"$and": [where]}
    if after:
        number, _, row_id = after.partition(".")
        if not (number.isascii() and number.isdigit() and len(number) <= 14):
            raise InvalidCursor
        moment = EPOCH + int(number) * MILLISECOND
        older = [{by: {"$lt": moment}}, {by: moment, "_id": {"$lt": row_id}}]
        query["$and"].append({"$or": older})
    found = await rows.find(query, fields).sort([(by, -1), ("_id", -1)]).limit(limit + 1).to_list()
    last = found[limit - 1] if len(found) > limit else None
    if not last:
        return found, None
    return found[:limit], f"{(last[by] - EPOCH) // MILLISECOND}.{last['_id']}"


def day_in_china(field: str) -> Document:
    """Return an expression for the day in China of a time, as YYYY-MM-DD."""
    return {"$dateToString": {"date": f"${field}", "format": "%Y-%m-%d", "timezone": "+08"}}


def starts_with(text: str) -> Document:
    """Return a condition for a field with this prefix; a range, so it can use an index."""
    return {"$gte": text, "$lt": text + MAX_CHARACTER}
