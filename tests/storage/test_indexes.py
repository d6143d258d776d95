"""Unique and TTL indexes, and the indexes of frequent queries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from storage.accounts.tokens import EVICTION_TTL_SECONDS, OVERLAP
from tests.support.room_builders import BERT, NOW
from tests.support.storage import StoresFixture
from tests.support.stored_members import PROCESS
from tests.support.stored_rooms import open_room

gen_test = pytest.mark.gen_test(timeout=60)


async def index(stores: StoresFixture, collection: str, *keys: str) -> dict[str, Any]:
    found = await stores.database.collection(collection).index_information()
    return next(it for it in found.values() if [key for key, _ in it["key"]] == list(keys))


async def all_indexes(stores: StoresFixture) -> dict[str, Any]:
    names = await stores.database._db.list_collection_names()
    return {name: await stores.database.collection(name).index_information() for name in names}


@pytest.mark.parametrize(
    ("collection", "keys"),
    [("users", ("app_id", "openid")), ("likes", ("by", "of")), ("rooms", ("host_id",))],
)
@gen_test
async def test_unique_index_rejects_a_duplicate(
    stores: StoresFixture, collection: str, keys: tuple[str, ...]
) -> None:
    assert (await index(stores, collection, *keys))["unique"] is True
    rows = stores.database.collection(collection)
    duplicate = dict.fromkeys(keys, "same")
    await rows.insert_one({"_id": 1, **duplicate})
    with pytest.raises(DuplicateKeyError):
        await rows.insert_one({"_id": 2, **duplicate})


@gen_test
async def test_tokens_expire_at_their_own_time(stores: StoresFixture) -> None:
    assert (await index(stores, "tokens", "expires_at"))["expireAfterSeconds"] == 0


@gen_test
async def test_evictions_are_kept_much_longer_than_the_poll_overlap(stores: StoresFixture) -> None:
    lifetime = timedelta(seconds=(await index(stores, "evictions", "at"))["expireAfterSeconds"])
    assert lifetime.total_seconds() == EVICTION_TTL_SECONDS
    assert lifetime > 10 * OVERLAP


@gen_test
async def test_due_index_holds_only_due_members(stores: StoresFixture) -> None:
    filter_expression = (await index(stores, "members", "due_at"))["partialFilterExpression"]
    assert filter_expression == {"due_at": {"$gt": 0}}


@pytest.mark.parametrize(
    ("collection", "keys"),
    [
        ("tokens", ("user_id",)),
        ("users", ("nickname",)),
        ("rooms", ("status", "started_at")),
        ("rooms", ("due_at",)),
        ("rooms", ("group_id",)),
        ("members", ("live_id", "epoch", "gender", "role", "entered_at")),
        ("members", ("due_at",)),
        ("members", ("process", "seen_at")),
        ("outbox", ("state", "due_at")),
        ("ledger", ("lines.account", "at", "_id")),
        ("ledger", ("by", "kind", "at")),
        ("orders", ("user_id", "created_at", "_id")),
        ("orders", ("state", "created_at", "_id")),
        ("blocks", ("fen", "_id")),
    ],
)
@gen_test
async def test_frequent_query_has_an_index(
    stores: StoresFixture, collection: str, keys: tuple[str, ...]
) -> None:
    assert await index(stores, collection, *keys)


@gen_test
async def test_make_indexes_is_idempotent(stores: StoresFixture) -> None:
    before = await all_indexes(stores)
    await stores.make_indexes()
    assert await all_indexes(stores) == before


def plan_stages(plan: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    return [plan, *(stage for it in inner for stage in plan_stages(it))]


@gen_test
async def test_gifts_since_a_recharge_are_found_by_an_index(stores: StoresFixture) -> None:
    query = {"by": "10000001", "kind": "gift", "at": {"$gte": datetime(2026, 1, 1, tzinfo=UTC)}}
    explained = await stores.database._db.command(
        {"explain": {"find": "ledger", "filter": query, "sort": {"at": 1}}}
    )
    stages = plan_stages(explained["queryPlanner"]["winningPlan"])
    assert not {"COLLSCAN", "SORT"} & {stage["stage"] for stage in stages}
    found = next(it["keyPattern"] for it in stages if it["stage"] == "IXSCAN")
    assert list(found) == ["by", "kind", "at"]


@pytest.mark.parametrize(
    ("query", "order", "index"),
    [
        ({"due_at": {"$gt": 0, "$lte": NOW}}, {"due_at": 1}, "due_at"),
        ({"process": PROCESS}, {}, "process"),
        ({"process": None, "away_at": None, "seen_at": {"$lte": NOW}}, {}, "process"),
    ],
    ids=["claim", "mark_members_away", "mark_silent_away"],
)
@gen_test
async def test_periodic_query_uses_an_index(
    stores: StoresFixture, query: dict[str, Any], order: dict[str, int], index: str
) -> None:
    await open_room(stores, BERT)
    explained = await stores.database._db.command(
        {"explain": {"find": "members", "filter": query, "sort": order}}
    )
    stages = plan_stages(explained["queryPlanner"]["winningPlan"])
    names = [stage["stage"] for stage in stages]
    assert "IXSCAN" in names
    assert not {"COLLSCAN", "SORT"} & set(names)
    assert next(it["keyPattern"] for it in stages if it["stage"] == "IXSCAN").get(index) == 1
