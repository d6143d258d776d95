"""Keyset pagination, newest first; the cursor includes `_id` to break ties."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.database import Collection, Document

MAX_CHARACTER = "\U0010ffff"
"""The highest Unicode code point: the upper bound of a prefix range."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


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
    """A page of rows by the time in `by`, and the next cursor, None on the last page.

    `after` is a cursor, "" for the first page; raises InvalidCursor. An index that ends in `by` and
    `_id`, both descending, avoids a sort in memory. `fields`: a projection.
    """
    query: Document = {"$and": [where]}
    if after:
        moment, row_id = _parse(after)
        older = [{by: {"$lt": moment}}, {by: moment, "_id": {"$lt": row_id}}]
        query["$and"].append({"$or": older})
    found = await rows.find(query, fields).sort([(by, -1), ("_id", -1)]).limit(limit + 1).to_list()
    last = found[limit - 1] if len(found) > limit else None
    return found[:limit], _cursor(last, by) if last else None


def starts_with(text: str) -> Document:
    """Condition for a field with this prefix; a range, so it can use an index."""
    return {"$gte": text, "$lt": text + MAX_CHARACTER}


def _cursor(row: Document, by: str) -> str:
    return f"{(row[by] - EPOCH) // MILLISECOND}.{row['_id']}"


def _parse(after: str) -> tuple[datetime, str]:
    number, _, row_id = after.partition(".")
    if not (number.isascii() and number.isdigit() and len(number) <= 14):
        raise InvalidCursor
    return EPOCH + int(number) * MILLISECOND, row_id
