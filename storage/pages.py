"""Long lists a page at a time, the newest first; the cursor tells two of one instant apart."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.database import Collection, Document

LAST = "\U0010ffff"
"""No text has a sign after it."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class NoCursor(ValueError):
    """A text that is no cursor of ours."""


async def page(
    rows: Collection, where: Mapping[str, Any], by: str, after: str, limit: int
) -> tuple[list[Document], str | None]:
    """The rows by the time in `by`, after a cursor ("" from the newest on), and the next cursor.

    NoCursor. An index that ends in `by` and `_id`, both downwards, spares it the sorting.
    """
    wanted: Document = {"$and": [where]}
    if after:
        moment, name = _read(after)
        older = [{by: {"$lt": moment}}, {by: moment, "_id": {"$lt": name}}]
        wanted["$and"].append({"$or": older})
    found = await rows.find(wanted).sort([(by, -1), ("_id", -1)]).limit(limit + 1).to_list()
    more = found[limit - 1] if len(found) > limit else None
    return found[:limit], _cursor(more, by) if more else None


def starts(text: str) -> Document:
    """What a field is to be when it begins with `text`: a stretch of its index, no scan."""
    return {"$gte": text, "$lt": text + LAST}


def _cursor(row: Document, by: str) -> str:
    return f"{(row[by] - EPOCH) // MILLISECOND}.{row['_id']}"


def _read(after: str) -> tuple[datetime, str]:
    number, _, name = after.partition(".")
    if not (number.isascii() and number.isdigit() and len(number) <= 14):
        raise NoCursor
    return EPOCH + int(number) * MILLISECOND, name
