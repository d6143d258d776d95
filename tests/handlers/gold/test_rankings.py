"""Rankings over HTTP; tests/storage/gold shows their sums."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.clock import day_of
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, ROSE, give


async def ranking(client: ApiClient, live_id: int) -> Any:
    """The ranking of a live session, or for 0 that of today."""
    if live_id:
        return (await client.get("qlive_room/rank/", live_id=live_id)).ok()
    return (await client.get("qlive_room/day_rank/")).ok()


def ids(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """User ids of both lists, whose sums have to be hidden."""
    assert {row["gold"] for row in found["senders"]} <= {0}
    assert {row["income"] for row in found["takings"]} <= {0}
    return tuple([row["user_id"] for row in found[name]] for name in ("senders", "takings"))  # type: ignore[return-value]


async def agree(*clients: ApiClient, answer: bool = True) -> None:
    for client in clients:
        reply = await client.post("qlive_user/update_userinfo/", show_in_ranking=answer)
        assert reply.ok()["show_in_ranking"] is answer


async def test_rankings_order_senders_and_receivers_by_amount_without_showing_it(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    bert = await api.guest("bert", 1, host.live_id, gold=100)
    await agree(host, anna, bert)
    assert ids(await ranking(anna, host.live_id)) == ([], [])
    (await give(anna, host.id, CANDY, 2)).ok()
    (await give(bert, host.id, CANDY, 4)).ok()
    (await give(bert, anna.id, ROSE, 6)).ok()
    for live_id in (host.live_id, 0):
        found = await ranking(anna, live_id)
        assert ids(found) == ([bert.id, anna.id], [host.id, anna.id])
    assert found["senders"][0].keys() == {"user_id", "nickname", "face_url", "gold"}
    assert found["takings"][0].keys() == {"user_id", "nickname", "face_url", "income"}
    assert found["senders"][0]["nickname"] == "bert"
    today = day_of(datetime.now(UTC))
    for day, expected in ((today, found), (today - timedelta(days=1), {})):
        reply = await anna.get("qlive_room/day_rank/", day=day.isoformat())
        assert reply.ok() == {"senders": [], "takings": [], **expected}


async def test_only_users_who_agreed_are_shown_until_they_withdraw(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    bert = await api.guest("bert", 1, host.live_id, gold=100)
    (await give(anna, host.id, CANDY, 4)).ok()
    (await give(bert, host.id, CANDY)).ok()
    for answer, shown in ((None, []), (True, [bert.id]), (False, [])):
        if answer is not None:
            await agree(bert, answer=answer)
        for live_id in (host.live_id, 0):
            assert ids(await ranking(anna, live_id)) == (shown, []), answer
    other = (await anna.get("qlive_user/get_userinfo/", user_id=bert.id)).ok()
    assert other["show_in_ranking"] is None, "whether another user agreed is private"


@pytest.mark.parametrize("changes", [{"ranking": {"public": "off"}}])
async def test_rankings_that_are_not_public_are_empty(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    await agree(host, anna)
    (await give(anna, host.id, CANDY)).ok()
    for live_id in (host.live_id, 0):
        assert await ranking(anna, live_id) == {"senders": [], "takings": []}


async def test_ranking_survives_the_end_of_a_live_and_the_next_live_starts_empty(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    await agree(anna)
    (await give(anna, host.id, CANDY)).ok()
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert ids(await ranking(anna, host.live_id)) == ([anna.id], [])
    (await host.post("qlive_room/matchmaker_enter/")).ok()
    assert ids(await ranking(anna, host.live_id)) == ([], [])


async def test_rankings_of_unknown_rooms_and_invalid_days_are_refused(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    assert (await anna.get("qlive_room/rank/", live_id=4711)).refusal == (404, "no_such_room")
    assert (await anna.get("qlive_room/rank/")).refusal == (400, "bad_parameter")
    for day in ("yesterday", "2026-02-30", "20261125", "1732500000"):
        reply = await anna.get("qlive_room/day_rank/", day=day)
        assert reply.refusal == (400, "bad_parameter"), day
