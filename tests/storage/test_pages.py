from datetime import UTC, datetime, timedelta

import pytest

from storage.database import Database
from storage.pages import NoCursor, page

gen_test = pytest.mark.gen_test(timeout=60)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@gen_test
async def test_pages_show_everything_once_though_many_are_of_one_instant(
    database: Database,
) -> None:
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
@gen_test
async def test_what_is_no_cursor_is_said_to_be_none(database: Database, after: str) -> None:
    with pytest.raises(NoCursor):
        await page(database.collection("pages"), {}, "at", after, 4)
