"""Searches of operators on a real MongoDB: what they find, and how little they read."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from bson import ObjectId

from storage.database import Document
from tests.support.storage import StoresFixture, profile_queries

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = "Q20260101000000aaaa"
PUSHES = (f"xpay:xpay_goods_deliver_notify:{ORDER}:0a0b", "jsapi:EV-1", "im:0a0b0c")


class Searched(NamedTuple):
    """A collection with 1,000 rows, and texts by which they are searched."""

    collection: str
    row: Callable[[int, datetime], Document]
    """The row of a number and a time."""
    search: Callable[[StoresFixture, str], Awaitable[tuple[list[Document], str | None]]]
    found: Mapping[str, int]
    """Texts, each with the number of a row that it finds."""
    not_found: Sequence[str]
    most: int
    """Rows that a search may examine."""


def entry(n: int, at: datetime) -> Document:
    lines = [{"account": f"user:{20_000_000 + n}", "unit": "gold", "amount": 1}]
    key = f"recharge:Q{n:05}" if n % 2 else f"gift:{20_000_000 + n}:r-{n}"
    return {"_id": key, "kind": "gift", "at": at, "by": "test", "lines": lines}


def order(n: int, at: datetime) -> Document:
    numbers = {"_id": f"Q{at:%Y%m%d%H%M%S}f{n:05}", "transaction": f"42{n:07}0000"}
    return {**numbers, "user_id": str(42_000_000 + n), "state": "paid", "created_at": at}


def message(n: int, at: datetime) -> Document:
    return {"_id": PUSHES[n] if n < len(PUSHES) else f"jsapi:EW-{n:04}", "received_at": at}


def audit_entry(n: int, _at: datetime) -> Document:
    terms = [str(10_000_000 + n), "patch", "oneuser", "ops", "10.0.0.1"]
    return {"_id": ObjectId(f"{n:024}"), "what": "PATCH OneUser", "terms": terms}


SEARCHES = [
    Searched(
        "ledger",
        entry,
        lambda stores, text: stores.statements.entries("", "", "", 10, search=text),
        {
            **dict.fromkeys(("gift:20000500:r-500", "gift:20000500", "20000500"), 500),
            **dict.fromkeys(("recharge:Q00501", "Q00501", "20000501"), 501),
            "": 999,
        },
        ("gift.", "r-50", "2000050", "q00501"),
        60,
    ),
    Searched(
        "orders",
        order,
        lambda stores, text: stores.orders.rows("", "paid", "", 10, search=text),
        {
            **dict.fromkeys(("Q20260101000203f00123", "Q20260101000203", "42000123"), 123),
            **dict.fromkeys(("4200001230000", "420000123"), 123),
            "42000012": 12,  # eight digits are a user
            "": 999,
        },
        ("Q2026.", "20260101000203f00123", "4200012", "42000000x"),
        30,
    ),
    Searched(
        "inbox",
        message,
        lambda stores, text: stores.inbox.page("", "", "", 10, search=text),
        {
            **dict.fromkeys((ORDER, ORDER[:6], PUSHES[0]), 0),
            "EV-": 1,
            "0a0b": 2,
            "im:": 2,
            "EW-0500": 500,
            "": 999,
        },
        ("EV.", "V-1", ".*"),
        30,
    ),
    Searched(
        "audit",
        audit_entry,
        lambda stores, text: stores.audit.page("", 50, search=text),
        {"10000999": 999, "1000099": 995, "ops@10.0.0.1": 999, "patch oneuser 10000007": 7},
        ("no match",),
        150,
    ),
]


@pytest.mark.parametrize("searched", SEARCHES, ids=lambda searched: searched.collection)
async def test_a_search_finds_rows_by_the_starts_of_their_numbers_and_reads_few(
    stores: StoresFixture, searched: Searched
) -> None:
    rows = [searched.row(n, START + timedelta(seconds=n)) for n in range(1000)]
    await stores.rows(searched.collection).insert_many(rows)

    async def keys(text: str) -> list[Any]:
        found, _ = await searched.search(stores, text)
        return [str(row.get("_id", row.get("id"))) for row in found]

    async with profile_queries(stores.database, searched.collection) as examined:
        for text, n in searched.found.items():
            assert str(rows[n]["_id"]) in await keys(text), text
        for text in searched.not_found:
            assert await keys(text) == [], text
    assert len(examined) == len(searched.found) + len(searched.not_found)
    assert max(examined) <= searched.most
