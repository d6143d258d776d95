from datetime import UTC, datetime, timedelta

import pytest

from storage.database import Database
from storage.documents import InvalidCursor, page, starts_with

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_pages_show_rows_with_equal_times_once(database: Database) -> None:
    rows = database.collection("pages")
    await rows.delete_many({})
    times = [NOW + timedelta(milliseconds=n // 5) for n in range(23)]
    await rows.insert_many([{"_id": f"{n:02}", "at": at} for n, at in enumerate(times)])
    seen, after, pages = [], "", 0
    while True:
        found, more = await page(rows, {}, "at", after, 4)
        seen += [row["_id"] for row in found]
        pages += 1
        if more is None:
            break
        after = more
    assert seen == [f"{n:02}" for n in range(22, -1, -1)]
    assert pages == 6


@pytest.mark.parametrize("after", ["x", "-5.a", "1" * 15, ".a", "٣.a"])
async def test_malformed_cursor_is_rejected(database: Database, after: str) -> None:
    with pytest.raises(InvalidCursor):
        await page(database.collection("pages"), {}, "at", after, 4)


async def test_or_filter_is_paginated(database: Database) -> None:
    rows = database.collection("pages")
    await rows.delete_many({})
    await rows.insert_many(
        [{"_id": f"{'ab'[n % 2]}{n:02}", "at": NOW, "who": n % 3} for n in range(12)]
    )
    either = {"$or": [{"_id": starts_with("a")}, {"who": 0}]}
    first, more = await page(rows, either, "at", "", 4)
    second, end = await page(rows, either, "at", more or "", 4)
    names = [row["_id"] for row in first + second]
    assert names == ["b09", "b03", "a10", "a08", "a06", "a04", "a02", "a00"]
    assert end is None


async def test_starts_with_matches_the_prefix_literally(database: Database) -> None:
    rows = database.collection("pages")
    await rows.delete_many({})
    names = ["a", "a.b", "a.b\U0001f600", "a.b\uffff", "a.c", "axb", "b"]
    await rows.insert_many([{"_id": name, "at": NOW} for name in names])
    found, _ = await page(rows, {"_id": starts_with("a.b")}, "at", "", 10)
    assert {row["_id"] for row in found} == {"a.b", "a.b\U0001f600", "a.b\uffff"}
