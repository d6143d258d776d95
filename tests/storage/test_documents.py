"""Documents read by key and in pages, on a real MongoDB."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from storage.database import Collection, Database, Document
from storage.documents import InvalidCursor, dated_id, documents_by_id, page, starts_with

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def rows(database: Database) -> Collection:
    return database.collection("things")


def test_numbers_are_unique_and_fit_wechat_pay_also_with_the_two_digits_of_a_refund() -> None:
    numbers = {dated_id("Q") for _ in range(1000)}
    assert len(numbers) == 1000
    assert all(re.fullmatch("[0-9A-Za-z]{8,30}", number) for number in numbers)


# ---- by key


async def test_documents_requested_at_once_are_one_query_without_the_excluded_field(
    rows: Collection, commands: list[str]
) -> None:
    await rows.insert_many([{"_id": n, "name": f"n{n}", "log": [n]} for n in (1, 2)])
    commands.clear()
    loader = documents_by_id(rows, dict, "log")
    one, two = {"_id": 1, "name": "n1"}, {"_id": 2, "name": "n2"}
    found = await asyncio.gather(loader.get(2), loader.get(3), loader.get_many([3, 1]))
    assert found == [two, None, [None, one]]
    assert commands == ["find"]


async def test_a_document_that_cannot_be_parsed_fails_its_requests_only(rows: Collection) -> None:
    await rows.insert_many([{"_id": 1, "name": "one"}, {"_id": 2}])

    def name_of(row: Document) -> str:
        return str(row["name"])

    loader = documents_by_id(rows, name_of)
    requests = [loader.get(1), loader.get(2), loader.get_many([1, 2]), loader.get_many([1, 3])]
    one, two, both, another = await asyncio.gather(*requests, return_exceptions=True)
    assert (one, another) == ("one", ["one", None])
    assert isinstance(two, KeyError)
    assert isinstance(both, KeyError)


# ---- in pages


async def test_pages_show_rows_with_equal_times_once(rows: Collection) -> None:
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
async def test_malformed_cursor_is_rejected(rows: Collection, after: str) -> None:
    with pytest.raises(InvalidCursor):
        await page(rows, {}, "at", after, 4)


async def test_a_filter_of_alternatives_is_paginated(rows: Collection) -> None:
    await rows.insert_many(
        [{"_id": f"{'ab'[n % 2]}{n:02}", "at": NOW, "who": n % 3} for n in range(12)]
    )
    either = {"$or": [{"_id": starts_with("a")}, {"who": 0}]}
    first, more = await page(rows, either, "at", "", 4)
    second, end = await page(rows, either, "at", more or "", 4)
    names = [row["_id"] for row in first + second]
    assert names == ["b09", "b03", "a10", "a08", "a06", "a04", "a02", "a00"]
    assert end is None


async def test_starts_with_matches_the_prefix_literally(rows: Collection) -> None:
    names = ["a", "a.b", "a.b\U0001f600", "a.b\uffff", "a.c", "axb", "b"]
    await rows.insert_many([{"_id": name, "at": NOW} for name in names])
    found, _ = await page(rows, {"_id": starts_with("a.b")}, "at", "", 10)
    assert {row["_id"] for row in found} == {"a.b", "a.b\U0001f600", "a.b\uffff"}
