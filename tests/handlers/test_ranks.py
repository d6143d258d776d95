from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from money.rank import day_of
from server import Server
from tests.handlers.test_gifts import CANDY, ROSE, give
from tests.phones import Phone, Street

a_rank = pytest.mark.gen_test(timeout=30)


async def rank(phone: Phone, live_id: int) -> dict[str, Any]:
    ranking: dict[str, Any] = (await phone.get("qlive_room/rank/", live_id=live_id)).ok()
    return ranking


def amounts(ranking: dict[str, Any]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    senders = [(row["user_id"], row["gold"]) for row in ranking["senders"]]
    return senders, [(row["user_id"], row["income"]) for row in ranking["takings"]]


@a_rank
async def test_whoever_gave_and_took_the_most_in_this_live_stands_first(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=100)
    bert = await street.guest("bert", 1, host.live_id, gold=100)
    assert amounts(await rank(anna, host.live_id)) == ([], [])
    (await give(anna, host.id, CANDY, 2)).ok()
    (await give(bert, host.id, CANDY, 4)).ok()
    (await give(bert, anna.id, ROSE, 6)).ok()
    ranking = await rank(anna, host.live_id)
    assert amounts(ranking) == ([(bert.id, 26), (anna.id, 10)], [(host.id, 15), (anna.id, 3)])
    assert ranking["senders"][0].keys() == {"user_id", "nickname", "face_url", "gold"}
    assert ranking["takings"][0].keys() == {"user_id", "nickname", "face_url", "income"}
    assert ranking["senders"][0]["nickname"] == "bert"


@a_rank
async def test_a_ranking_stays_when_the_live_is_over_and_the_next_live_has_its_own(
    street: Street,
) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id, CANDY)).ok()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert amounts(await rank(anna, host.live_id))[0] == [(anna.id, 5)]
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert amounts(await rank(anna, host.live_id)) == ([], [])
    (await give(anna, host.id, CANDY)).ok()
    assert amounts(await rank(anna, host.live_id)) == ([], []), "she has not come in again"


@a_rank
async def test_a_day_has_the_gifts_of_all_rooms_and_of_none(street: Street) -> None:
    host, other = await street.host(), await street.person("bert", 1)
    anna = await street.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id, CANDY)).ok()
    (await give(anna, other.id, CANDY)).ok()
    today = (await anna.get("qlive_room/day_rank/")).ok()
    assert amounts(today)[0] == [(anna.id, 10)]
    day = day_of(datetime.now(UTC))
    assert (await anna.get("qlive_room/day_rank/", day=day.isoformat())).ok() == today
    before = (day - timedelta(days=1)).isoformat()
    assert amounts((await anna.get("qlive_room/day_rank/", day=before)).ok()) == ([], [])


@a_rank
async def test_what_cannot_be_ranked(street: Street) -> None:
    anna = await street.person("anna", 2)
    assert (await anna.get("qlive_room/rank/", live_id=4711)).refusal == (404, "no_such_room")
    assert (await anna.get("qlive_room/rank/")).refusal == (400, "bad_parameter")
    for day in ("yesterday", "2026-02-30", "20261125", "1732500000"):
        said = await anna.get("qlive_room/day_rank/", day=day)
        assert said.refusal == (400, "bad_parameter"), day


@a_rank
async def test_a_reversed_gift_is_out_of_every_ranking(
    street: Street, server: Server, db: Database[dict[str, Any]]
) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=100)
    for request_id in ("meant", "slip"):
        (await give(anna, host.id, CANDY, 2, request_id=request_id)).ok()
    slip = f"gift:{anna.id}:slip"
    (await street.ops("POST", "ledger/reverse", entry=slip, reason="a slip")).ok()
    assert amounts(await rank(anna, host.live_id)) == ([(anna.id, 10)], [(host.id, 5)])
    assert amounts((await anna.get("qlive_room/day_rank/")).ok())[0] == [(anna.id, 10)]
    assert await server.parts.books.check() == []


@a_rank
async def test_rankings_are_made_anew_from_the_book(
    street: Street, server: Server, db: Database[dict[str, Any]]
) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=100)
    (await give(anna, host.id, CANDY)).ok()
    right = await rank(anna, host.live_id)
    assert await server.parts.rankings.rebuild_all() == 0
    db.ranks.update_many({"user_id": anna.id}, {"$set": {"gold": 77}})
    db.ranks.delete_many({"user_id": host.id})
    found = await server.parts.books.check()
    assert [problem.partition(":")[0] for problem in found] == ["rank"] * 4
    assert await server.parts.rankings.rebuild_all() == 4
    assert await rank(anna, host.live_id) == right
    assert await server.parts.books.check() == []
