"""Indexes of all stores: unique keys, expiry by MongoDB, and the plans of frequent queries."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError
from tornado.ioloop import IOLoop

from ledger.journal import DEBTS
from storage.accounts.tokens import EVICTION_TTL_SECONDS, OVERLAP
from storage.database import Database
from storage.fleet import STATUS_TTL_SECONDS
from storage.jobs.due import BEFORE_ANY
from storage.rooms.presence import LEASE_TTL_SECONDS
from tests.support.storage import NAME, StoresFixture

AT = datetime(2026, 1, 1, tzinfo=UTC)
SINCE: Mapping[str, Any] = {"$gte": AT}
OF_USER = {"lines.account": {"$in": ["user:1", "owed:1"]}, "kind": {"$in": ["gift", "reversal"]}}
DUE: Mapping[str, Any] = {"$gt": BEFORE_ANY, "$lt": AT}
BOTH: Mapping[str, Any] = {"$in": [*DEBTS]}
NEWEST_ENTRY = {"at": -1, "_id": -1}
NEWEST_ORDER = {"created_at": -1, "_id": -1}
NEWEST_RECEIVED = {"received_at": -1, "_id": -1}
NEWEST_REQUESTED = {"requested_at": -1, "_id": -1}
NEWEST_STARTED = {"started_at": -1, "_id": -1}
NEWEST_OPENED = {"opened_at": -1, "_id": -1}
QUERIES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("tokens", {"user_id": "1"}, {}),
    ("users", {"nickname": {"$gte": "a", "$lt": "b"}}, {}),
    ("users", {"owed_income": {"$gt": 0}}, {}),
    ("rooms", {"status": {"$in": ["live", "paused"]}}, {"started_at": -1}),
    ("rooms", {"due_at": {"$lte": 1}}, {}),
    (
        "members",
        {"live_id": 1, "epoch": "e", "gender": 1, "role": "viewer"},
        {"entered_at": 1},
    ),
    ("members", {"due_at": {"$gt": 0, "$lte": 1}}, {"due_at": 1}),
    ("members", {"process": "p"}, {}),
    ("members", {"process": None, "away_at": None, "seen_at": {"$lte": 1}}, {}),
    ("relay_cursors", {"due_at": {"$lte": AT}}, {"due_at": 1}),
    ("relay_cursors", {"over": False}, {}),
    ("outbox", {"state": "due", "due_at": {"$lte": AT}}, {"due_at": 1}),
    ("inbox", {"event": "asked"}, NEWEST_RECEIVED),
    ("inbox", {"event": {"$gt": ""}, "received_at": SINCE}, {}),
    ("inbox", {"outcome": "done"}, NEWEST_RECEIVED),
    ("ledger", {"lines": {"$elemMatch": {"account": "user:1", "unit": "gold"}}}, NEWEST_ENTRY),
    ("ledger", {"lines": {"$elemMatch": {"account": "user:1", "unit": BOTH}}}, NEWEST_ENTRY),
    ("ledger", {"$or": [{**OF_USER, "at": SINCE}, {**OF_USER, "ios": True, "at": SINCE}]}, {}),
    ("ledger", {"by": "1", "kind": "gift", "at": SINCE}, {"at": 1}),
    ("rankings", {"scope": "s", "gold": {"$gt": 0}}, {"gold": -1, "user_id": 1}),
    ("orders", {"user_id": "1"}, NEWEST_ORDER),
    ("orders", {"state": "paid"}, NEWEST_ORDER),
    ("orders", {"provider": "xpay", "due_at": DUE}, {"created_at": 1}),
    ("orders", {"paid_at": SINCE}, {}),
    ("withdrawals", {"due_at": DUE}, {"due_at": 1}),
    ("withdrawals", {"user_id": "1"}, NEWEST_REQUESTED),
    ("withdrawals", {"state": "requested"}, NEWEST_REQUESTED),
    ("withdrawals", {"finished_at": SINCE}, {}),
    ("refund_cases", {"due_at": DUE}, {"due_at": 1}),
    ("refund_cases", {"orders.number": "Q1"}, {}),
    ("moderation_items", {"kind": "report", "evidence.reporter": "1"}, {}),
    ("moderation_items", {"state": "review"}, NEWEST_ORDER),
    ("moderation_items", {"state": {"$in": ["unchecked", "review"]}}, {}),
    ("moderation_items", {"trace_id": "t"}, {}),
    ("users", {"delete_at": DUE}, {"delete_at": 1}),
    ("refund_cases", {"state": "opened"}, NEWEST_OPENED),
    ("process_statuses", {"process": "p"}, {"at": -1}),
    ("lives", {"host_id": "1"}, NEWEST_STARTED),
    ("lives", {"live_id": 1}, NEWEST_STARTED),
    ("lives", {}, NEWEST_STARTED),
    ("lives", {"$or": [{"dates.male": "1"}, {"dates.female": "1"}]}, {}),
    ("visits", {"_id": {"$gt": "e:", "$lt": "e;"}}, {}),
    ("follows", {"epoch": {"$gt": "", "$in": ["e1", "e2"]}}, {}),
    ("follows", {"by": "1"}, {"at": -1}),
    ("rooms", {"host_id": {"$in": ["1", "2"]}, "visibility": {"$ne": "private"}}, {}),
    ("matches", {"users": "1", "matched_at": 0}, {}),
]
"""Collection, filter and order."""


@pytest.fixture
def indexed(io_loop: IOLoop, stores: StoresFixture) -> Database:
    io_loop.run_sync(stores.make_indexes)  # every start does, though they exist
    return stores.database


def plan_stages(explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages of the winning plan."""

    def stages(plan: dict[str, Any]) -> list[dict[str, Any]]:
        inner = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
        return [plan, *(stage for inner_plan in inner for stage in stages(inner_plan))]

    return stages(explained["queryPlanner"]["winningPlan"])


async def test_an_event_has_one_entry(indexed: Database) -> None:
    rows, event = indexed.collection("ledger"), {"live_id": 1, "epoch": "e", "seq": 1}
    await rows.insert_one({"_id": 1, **event})
    with pytest.raises(DuplicateKeyError):
        await rows.insert_one({"_id": 2, **event})


async def test_mongodb_deletes_what_has_expired(indexed: Database) -> None:
    expiries = {
        **{(name, "expires_at"): 0 for name in ("tokens", "audit", "orders", "outbox", "inbox")},
        ("operator_sessions", "expires_at"): 0,
        ("approvals", "delete_at"): 0,
        ("evictions", "at"): EVICTION_TTL_SECONDS,
        ("processes", "expires_at"): LEASE_TTL_SECONDS,
        ("process_statuses", "at"): STATUS_TTL_SECONDS,
        ("visits", "at"): 7 * 24 * 3600,
    }
    found = {
        (name, index["key"][0][0]): index["expireAfterSeconds"]
        for name in {name for name, _ in expiries}
        for index in (await indexed.collection(name).index_information()).values()
        if "expireAfterSeconds" in index
    }
    assert found == expiries
    assert timedelta(seconds=EVICTION_TTL_SECONDS) > 10 * OVERLAP


async def test_frequent_queries_are_answered_by_indexes(indexed: Database) -> None:
    for collection, query, order in QUERIES:
        find = {"find": collection, "filter": query, "sort": order}
        plan = plan_stages(await indexed.client[NAME].command({"explain": find}))
        stages = {stage["stage"] for stage in plan}
        assert "IXSCAN" in stages, find
        assert not {"COLLSCAN", "SORT"} & stages, find


async def test_recent_income_reads_all_gifts_of_a_week_and_those_on_ios_of_a_month(
    indexed: Database,
) -> None:
    ledger = indexed.collection("ledger")
    for days in range(60):
        row = {"_id": f"g{days}", "kind": "gift", "lines": [{"account": "user:1"}]}
        mark = {"ios": True} if days % 10 == 0 else {}
        await ledger.insert_one({**row, **mark, "at": AT - timedelta(days=days, hours=1)})
    week, month = AT - timedelta(days=7), AT - timedelta(days=45)
    recent = [{"at": {"$gte": week}}, {"ios": True, "at": {"$gte": month, "$lt": week}}]
    find = {"find": "ledger", "filter": {"$or": [{**OF_USER, **part} for part in recent]}}
    explained = await indexed.client[NAME].command({"explain": find, "verbosity": "executionStats"})
    stats = explained["executionStats"]
    assert (stats["nReturned"], stats["totalDocsExamined"]) == (7 + 4, 7 + 4)
