from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from core.clock import day_of
from ledger.gifts import day_scope, live_scope
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, ROSE, give

async_test = pytest.mark.gen_test(timeout=30)


async def get_ranking(client: ApiClient, live_id: int) -> dict[str, Any]:
    ranking: dict[str, Any] = (await client.get("qlive_room/rank/", live_id=live_id)).ok()
    return ranking


def ids(ranking: dict[str, Any]) -> tuple[list[str], list[str]]:
    """User ids of both lists, whose sums have to be hidden."""
    assert {row["gold"] for row in ranking["senders"]} <= {0}
    assert {row["income"] for row in ranking["takings"]} <= {0}
    return tuple([row["user_id"] for row in ranking[name]] for name in ("senders", "takings"))  # type: ignore[return-value]


async def agree(*clients: ApiClient, answer: bool = True) -> None:
    for client in clients:
        reply = await client.post("qlive_user/update_userinfo/", show_in_ranking=answer)
        assert reply.ok()["show_in_ranking"] is answer


async def day_sums(server: ServerProcess) -> dict[str, int]:
    """What each user gave today, as stored."""
    return dict(
        await server.context.stores.rankings.top(day_scope(day_of(datetime.now(UTC))), "gold", 50)
    )


@async_test
async def test_live_ranking_orders_senders_and_receivers_by_amount_without_showing_it(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    bert = await api.guest("bert", 1, host.live_id, gold=100)
    await agree(host, anna, bert)
    assert ids(await get_ranking(anna, host.live_id)) == ([], [])
    (await give(anna, host.id, CANDY, 2)).ok()
    (await give(bert, host.id, CANDY, 4)).ok()
    (await give(bert, anna.id, ROSE, 6)).ok()
    ranking = await get_ranking(anna, host.live_id)
    assert ids(ranking) == ([bert.id, anna.id], [host.id, anna.id])
    assert ranking["senders"][0].keys() == {"user_id", "nickname", "face_url", "gold"}
    assert ranking["takings"][0].keys() == {"user_id", "nickname", "face_url", "income"}
    assert ranking["senders"][0]["nickname"] == "bert"


@async_test
async def test_only_users_who_agreed_are_shown_until_they_withdraw(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    bert = await api.guest("bert", 1, host.live_id, gold=100)
    (await give(anna, host.id, CANDY, 4)).ok()
    (await give(bert, host.id, CANDY)).ok()
    for client, shown in ((anna, []), (bert, [bert.id])):
        if shown:
            await agree(client)
        for path, params in (("rank/", {"live_id": host.live_id}), ("day_rank/", {})):
            ranking = (await anna.get(f"qlive_room/{path}", **params)).ok()
            assert ids(ranking) == (shown, [])
    other = (await anna.get("qlive_user/get_userinfo/", user_id=bert.id)).ok()
    assert other["show_in_ranking"] is None, "whether another user agreed is private"
    await agree(bert, answer=False)
    assert ids(await get_ranking(anna, host.live_id)) == ([], [])


@pytest.mark.parametrize("changes", [{"ranking": {"public": "off"}}])
@async_test
async def test_rankings_that_are_not_public_are_empty(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    await agree(host, anna)
    (await give(anna, host.id, CANDY)).ok()
    assert await get_ranking(anna, host.live_id) == {"senders": [], "takings": []}
    assert (await anna.get("qlive_room/day_rank/")).ok() == {"senders": [], "takings": []}


@async_test
async def test_ranking_survives_the_end_of_a_live_and_the_next_live_starts_empty(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    await agree(anna)
    (await give(anna, host.id, CANDY)).ok()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert ids(await get_ranking(anna, host.live_id)) == ([anna.id], [])
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert ids(await get_ranking(anna, host.live_id)) == ([], [])
    (await give(anna, host.id, CANDY)).ok()
    assert ids(await get_ranking(anna, host.live_id)) == ([], []), (
        "anna has not entered the new live"
    )


@async_test
async def test_day_ranking_includes_gifts_inside_and_outside_rooms(
    api: ApiFixture, server: ServerProcess
) -> None:
    host, other = await api.host(), await api.user("bert", 1)
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    await agree(anna)
    (await give(anna, host.id, CANDY)).ok()
    (await give(anna, other.id, CANDY)).ok()
    today = (await anna.get("qlive_room/day_rank/")).ok()
    assert ids(today) == ([anna.id], [])
    assert await day_sums(server) == {anna.id: 10}
    day = day_of(datetime.now(UTC))
    assert (await anna.get("qlive_room/day_rank/", day=day.isoformat())).ok() == today
    before = (day - timedelta(days=1)).isoformat()
    assert ids((await anna.get("qlive_room/day_rank/", day=before)).ok()) == ([], [])


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
    room = await server.context.keeper.load(host.live_id)
    scope, rankings = live_scope(host.live_id, room.epoch), server.context.stores.rankings
    assert await rankings.top(scope, "gold", 50) == [(anna.id, 10)]
    assert await rankings.top(scope, "income", 50) == [(host.id, 5)]
    assert await day_sums(server) == {anna.id: 10}
    assert await server.context.services.ledger_audit.check() == []


@async_test
async def test_rankings_are_rebuilt_from_the_ledger(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id, CANDY)).ok()
    expected = await day_sums(server)
    assert await server.context.stores.rankings.rebuild_all() == 0
    db.rankings.update_many({"user_id": anna.id}, {"$set": {"gold": 77}})
    db.rankings.delete_many({"user_id": host.id})
    problems = await server.context.services.ledger_audit.check()
    assert [problem.partition(":")[0] for problem in problems] == ["rank"] * 4
    assert await server.context.stores.rankings.rebuild_all() == 4
    assert await day_sums(server) == expected == {anna.id: 5}
    assert await server.context.services.ledger_audit.check() == []
