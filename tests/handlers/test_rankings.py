from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from ledger.ranking import day_of
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, ROSE, give

async_test = pytest.mark.gen_test(timeout=30)


async def get_ranking(client: ApiClient, live_id: int) -> dict[str, Any]:
    ranking: dict[str, Any] = (await client.get("qlive_room/rank/", live_id=live_id)).ok()
    return ranking


def amounts(ranking: dict[str, Any]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    senders = [(row["user_id"], row["gold"]) for row in ranking["senders"]]
    return senders, [(row["user_id"], row["income"]) for row in ranking["takings"]]


@async_test
async def test_live_ranking_orders_senders_and_receivers_by_amount(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    bert = await api.guest("bert", 1, host.live_id, gold=100)
    assert amounts(await get_ranking(anna, host.live_id)) == ([], [])
    (await give(anna, host.id, CANDY, 2)).ok()
    (await give(bert, host.id, CANDY, 4)).ok()
    (await give(bert, anna.id, ROSE, 6)).ok()
    ranking = await get_ranking(anna, host.live_id)
    assert amounts(ranking) == ([(bert.id, 26), (anna.id, 10)], [(host.id, 15), (anna.id, 3)])
    assert ranking["senders"][0].keys() == {"user_id", "nickname", "face_url", "gold"}
    assert ranking["takings"][0].keys() == {"user_id", "nickname", "face_url", "income"}
    assert ranking["senders"][0]["nickname"] == "bert"


@async_test
async def test_ranking_survives_the_end_of_a_live_and_the_next_live_starts_empty(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id, CANDY)).ok()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert amounts(await get_ranking(anna, host.live_id))[0] == [(anna.id, 5)]
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert amounts(await get_ranking(anna, host.live_id)) == ([], [])
    (await give(anna, host.id, CANDY)).ok()
    assert amounts(await get_ranking(anna, host.live_id)) == ([], []), (
        "anna has not entered the new live"
    )


@async_test
async def test_day_ranking_includes_gifts_inside_and_outside_rooms(api: ApiFixture) -> None:
    host, other = await api.host(), await api.user("bert", 1)
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id, CANDY)).ok()
    (await give(anna, other.id, CANDY)).ok()
    today = (await anna.get("qlive_room/day_rank/")).ok()
    assert amounts(today)[0] == [(anna.id, 10)]
    day = day_of(datetime.now(UTC))
    assert (await anna.get("qlive_room/day_rank/", day=day.isoformat())).ok() == today
    before = (day - timedelta(days=1)).isoformat()
    assert amounts((await anna.get("qlive_room/day_rank/", day=before)).ok()) == ([], [])


@async_test
async def test_ranking_rejects_unknown_rooms_and_invalid_days(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    assert (await anna.get("qlive_room/rank/", live_id=4711)).refusal == (404, "no_such_room")
    assert (await anna.get("qlive_room/rank/")).refusal == (400, "bad_parameter")
    for day in ("yesterday", "2026-02-30", "20261125", "1732500000"):
        reply = await anna.get("qlive_room/day_rank/", day=day)
        assert reply.refusal == (400, "bad_parameter"), day


@async_test
async def test_reversed_gift_is_removed_from_all_rankings(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    for request_id in ("kept", "reversed"):
        (await give(anna, host.id, CANDY, 2, request_id=request_id)).ok()
    reversed_gift = f"gift:{anna.id}:reversed"
    (await api.ops("POST", "ledger/reverse", entry=reversed_gift, reason="mistake")).ok()
    assert amounts(await get_ranking(anna, host.live_id)) == ([(anna.id, 10)], [(host.id, 5)])
    assert amounts((await anna.get("qlive_room/day_rank/")).ok())[0] == [(anna.id, 10)]
    assert await server.context.services.ledger_audit.check() == []


@async_test
async def test_rankings_are_rebuilt_from_the_ledger(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id, CANDY)).ok()
    expected = await get_ranking(anna, host.live_id)
    assert await server.context.stores.ranking_reconciler.rebuild_all() == 0
    db.ranks.update_many({"user_id": anna.id}, {"$set": {"gold": 77}})
    db.ranks.delete_many({"user_id": host.id})
    problems = await server.context.services.ledger_audit.check()
    assert [problem.partition(":")[0] for problem in problems] == ["rank"] * 4
    assert await server.context.stores.ranking_reconciler.rebuild_all() == 4
    assert await get_ranking(anna, host.live_id) == expected
    assert await server.context.services.ledger_audit.check() == []
