from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from storage.audit import AuditStore
from tests.support.query_profile import profile_queries
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_request_is_recorded_before_it_is_executed(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    asked = {"banned": True}
    entry = await audit.begin("li", "PATCH", "1", "spam", asked, role="admin", address="10.0.0.1")
    (row,) = await audit.page(None, 10)
    assert row.pop("at").tzinfo is not None
    requested = {
        "id": str(entry["_id"]),
        "seq": 1,
        "who": "li",
        "role": "admin",
        "address": "10.0.0.1",
        "what": "PATCH",
        "on": "1",
        "reason": "spam",
        "asked": {"banned": True},
        "before": {},
        "after": {},
        "done": False,
        "hash": entry["hash"],
    }
    assert row == requested
    await audit.done(entry, {"banned": False, "gold": 5}, {"banned": True, "gold": 5})
    (row,) = await audit.page(None, 10)
    outcome = {"before": {"banned": False}, "after": {"banned": True}, "done": True}
    assert row == {**requested, **outcome, "at": row["at"]}


@gen_test
async def test_outcome_has_the_fields_that_differ_also_in_type_or_existence(
    stores: StoresFixture,
) -> None:
    audit = AuditStore(stores.database)
    for before, after in (
        ({"value": 1, "key": "A"}, {"value": True, "key": "A"}),
        ({}, {"value": {"$gt": 1, "a.b": "\0"}}),
        ({"value": None}, {}),
    ):
        await audit.done(await audit.begin("ops", "x", "", "", {}), before, after)
    rows = [(row["before"], row["after"]) for row in await audit.page(None, 9)]
    assert rows == [
        ({"value": None}, {}),
        ({}, {"value": {"$gt": 1, "a.b": "\0"}}),
        ({"value": 1}, {"value": True}),
    ]
    assert isinstance(rows[-1][0]["value"], int)


@gen_test
async def test_pages_run_from_newest_to_oldest(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    ids = []
    for n in range(5):
        entry = await audit.begin("ops", "x", "y", "z", n)
        await audit.done(entry, {}, {})
        ids.append(str(entry["_id"]))
    newest = await audit.page(None, 2)
    assert [row["id"] for row in newest] == ids[:2:-1]
    assert [row["id"] for row in await audit.page(newest[-1]["id"], 10)] == ids[2::-1]
    assert len(await audit.page("no id", 10)) == 5


@gen_test
async def test_an_entry_is_found_by_the_starts_of_its_words(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    await audit.begin("ops@10.0.0.1", "PATCH OneUser", "10000001", "Spam.", {"banned": True})
    await audit.begin("ops@10.0.0.12", "POST PutOut", "7", "发布广告", {"user_id": "10000002"})

    async def found(text: str) -> list[str]:
        return [row["what"] for row in await audit.page(None, 9, search=text)]

    ban, removal = "PATCH OneUser", "POST PutOut"
    assert await found("spam.") == await found("SPAM") == await found("banned") == [ban]
    assert await found("10000001") == await found("patch oneuser") == [ban]
    assert await found("10000002") == await found("广告") == await found("广") == [removal]
    assert await found("1000000") == await found("ops@10.0.0.1") == [removal, ban]
    assert await found("ops@10.0.0.12 7") == [removal]
    assert [row["on"] for row in await audit.page(None, 9, what=ban)] == ["10000001"]
    assert await audit.page(None, 9, what=ban, search="10000002") == []
    assert await found("spam 7") == await found("pam") == await found("...") == []


@gen_test
async def test_terms_of_a_long_entry_are_limited_and_begin_with_its_ids(
    stores: StoresFixture,
) -> None:
    audit = AuditStore(stores.database)
    asked = {"reason": "字" * 500, "user_id": "10000002"}
    await audit.begin("ops@10.0.0.1", "POST PutOut", "7", "字" * 500, asked)
    await audit.begin("ops@10.0.0.1", "POST Gifts", "", "", {"n": " ".join(map(str, range(999)))})
    rows = await stores.database.collection("audit").find().to_list()
    assert [len(row["terms"]) <= 100 for row in rows] == [True, True]
    assert len(await audit.page(None, 9, search="10000002")) == 1


@gen_test
async def test_reads_of_earlier_versions_are_left_out_of_changes(stores: StoresFixture) -> None:
    audit = AuditStore(stores.database)
    await audit.begin("ops", "POST x", "", "", {})
    await stores.database.collection("audit").insert_one({**OLD_ENTRY, "read": True})
    assert [row["what"] for row in await audit.page(None, 9)] == ["PATCH OneUser", "POST x"]
    assert [row["what"] for row in await audit.page(None, 9, changes=True)] == ["POST x"]


OLD_ENTRY: dict[str, Any] = {
    "at": datetime(2026, 1, 1, tzinfo=UTC),
    "who": "ops@10.0.0.1",
    "what": "PATCH OneUser",
    "on": "10000001",
    "reason": "spam",
    "asked": '{"banned": true}',
    "done": True,
}
"""An entry without terms."""


@gen_test
async def test_entries_of_earlier_versions_are_found_once_their_terms_are_added(
    stores: StoresFixture,
) -> None:
    audit, rows = AuditStore(stores.database), stores.database.collection("audit")
    await rows.insert_many([{**OLD_ENTRY, "_id": ObjectId()} for _ in range(5)])
    await audit.begin("ops", "PATCH OneUser", "10000001", "", {})
    assert len(await audit.page(None, 9, search="10000001")) == 1
    assert [await audit.add_missing_terms(3) for _ in range(3)] == [3, 2, 0]
    assert len(await audit.page(None, 9, search="10000001")) == 6


@gen_test
async def test_a_search_examines_few_entries_of_many(stores: StoresFixture) -> None:
    audit, rows = AuditStore(stores.database), stores.database.collection("audit")
    await audit.make_indexes()
    many = [{**OLD_ENTRY, "on": str(10_000_000 + n), "_id": ObjectId()} for n in range(3_000)]
    await rows.insert_many(many)
    await audit.add_missing_terms(3_000)
    async with profile_queries(stores.database, "audit") as examined:
        for text in ("10002999", "1000299", "ops@10.0.0.1", "patch oneuser 10000007", "no match"):
            await audit.page(None, 50, search=text)
    assert len(examined) == 9  # five searches, four of which read the outcomes of what they found
    assert max(examined) <= 150
