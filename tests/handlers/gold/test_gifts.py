"""Gifts and rankings; tests/services/gold and tests/storage/gold show balances and sums."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.clock import day_of
from handlers.models import LIST_PAGE_SIZE
from runtime.process import ServerProcess
from tests.support.api import BASE, ApiClient, ApiFixture
from tests.support.gifts import CANDY, CAR, ROSE, give


async def balance(client: ApiClient) -> tuple[int, int]:
    info = (await client.get("qlive_user/get_userinfo/")).ok()
    return info["gold"], info["income"]


# ---- gift list


async def test_gift_pages_link_to_the_previous_and_next_page(api: ApiFixture, db: Any) -> None:
    anna, count = await api.user("anna", 2), 2 * LIST_PAGE_SIZE + 1
    [last] = db.gifts.find().sort("_id", -1).limit(1)
    db.gifts.insert_many({**last, "_id": n} for n in range(last["_id"] + 1, count + 1))
    pages = [(await anna.get("qlive_gift/", page=page)).ok() for page in (1, 2, 3)]
    page_url = f"{api.address}{BASE}qlive_gift/?page="
    assert [page["count"] for page in pages] == [count] * 3
    assert [page["previous"] for page in pages] == [None, f"{page_url}1", f"{page_url}2"]
    assert [page["next"] for page in pages] == [f"{page_url}2", f"{page_url}3", None]
    gifts = [gift for page in pages for gift in page["results"]]
    assert [gift["id"] for gift in gifts] == list(range(1, count + 1))
    assert gifts[0].keys() == {"id", "name", "image", "gold", "effect"}
    next_path = pages[0]["next"].removeprefix(api.address)
    assert (await api.request("GET", next_path, headers=anna.headers)).ok() == pages[1]
    proxied = {"Host": "qlive.example.com", "X-Forwarded-Proto": "https", **anna.headers}
    page = await api.request("GET", f"{BASE}qlive_gift", headers=proxied)
    assert page.ok()["next"] == f"https://qlive.example.com{BASE}qlive_gift?page=2"
    alias = (await anna.get("get_giftlist/", page=2)).ok()
    assert alias == pages[1] | {
        name: f"{api.address}{BASE}get_giftlist/?page={page}"
        for name, page in (("previous", 1), ("next", 3))
    }
    assert (await anna.get("qlive_gift/", page=5)).refusal == (404, "no_such_page")
    assert (await anna.get("qlive_gift/", page=0)).refusal == (400, "bad_parameter")


# ---- statements


async def test_a_statement_has_pages_and_the_giver_of_a_gift(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    gifts = 2 * LIST_PAGE_SIZE - 1
    for _ in range(gifts):
        (await give(anna, bert.id, CANDY)).ok()
    pages = [
        (await anna.get("qlive_user/statement/", unit="gold", page=page)).ok() for page in (1, 2, 3)
    ]
    assert [page["has_more"] for page in pages] == [True, False, False]
    rows = [row for page in pages for row in page["results"]]
    assert [row["what"] for row in rows] == ["gift"] * gifts + ["grant"]
    assert [row["who"] and row["who"]["nickname"] for row in rows] == ["bert"] * gifts + [None]
    assert (rows[0]["balance"], rows[-1]["balance"]) == ((await balance(anna))[0], 100)
    received = (await bert.get("qlive_user/statement/", unit="income")).ok()["results"]
    assert {row["who"]["user_id"] for row in received} == {anna.id}
    for wrong in ({}, {"unit": "fen"}, {"unit": "gold", "page": 501}):
        reply = await anna.get("qlive_user/statement/", **wrong)
        assert reply.refusal == (400, "bad_parameter"), wrong


# ---- push_gift


async def test_gift_moves_gold_and_is_published_in_the_room_of_sender_and_receiver(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    host, bert = await api.host(), await api.user("bert", 1)
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    socket = await host.watch()
    assert (await give(anna, bert.id)).ok()["gold"] == 95, "bert is in no room"
    unusual_id = "订单 \x00 1/2".ljust(64, "x")
    replies = await asyncio.gather(
        *(give(anna, host.id, CANDY, "3", request_id=unusual_id) for _ in range(5))
    )
    assert [reply.ok() for reply in replies] == [{"status": "success", "gold": 80, "income": 0}] * 5
    assert (await give(anna, host.id, ROSE)).ok()["gold"] == 79
    frame = await socket.next("gift")
    gift = frame["data"]
    assert (gift["from"]["user_id"], gift["to"]["user_id"]) == (anna.id, host.id)
    assert (gift["gift"]["id"], gift["num"], gift["gold"]) == (CANDY, 3, 15)
    entry = db.ledger.find_one({"_id": f"gift:{anna.id}:{unusual_id}"})
    assert (entry["live_id"], entry["seq"]) == (host.live_id, frame["seq"])
    assert (await socket.next("gift"))["data"]["gift"]["id"] == ROSE
    assert (await balance(host), await balance(bert)) == ((0, 7), (0, 2))
    assert await server.context.services.gold.audit.check() == []


async def test_gifts_that_are_invalid_or_too_expensive_are_refused(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    failed = (await give(anna, bert.id, CAR)).ok()
    assert (failed["status"], failed["code"]) == ("failed", "insufficient_gold")
    assert failed["detail"]
    for change, field in (
        *(({"num": num}, "num") for num in (0, 10000, -1, "many", 1.5)),
        ({"to": anna.id}, "user_id"),
        ({"to": ""}, "user_id"),
        ({"request_id": "x" * 65}, "request_id"),
    ):
        reply = await give(anna, **{"to": bert.id, **change})
        assert reply.refusal == (400, "bad_parameter"), change
        assert reply.json["fields"].keys() == {field}
    assert await balance(anna) == (100, 0)


# ---- rankings


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


async def test_rankings_order_users_who_agreed_by_amount_without_showing_it(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    bert = await api.guest("bert", 1, host.live_id, gold=100)
    (await give(anna, host.id, CANDY, 2)).ok()
    (await give(bert, host.id, CANDY, 4)).ok()
    (await give(bert, anna.id, ROSE, 6)).ok()
    assert ids(await ranking(anna, host.live_id)) == ids(await ranking(anna, 0)) == ([], [])
    await agree(host, anna, bert)
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
    await agree(bert, answer=False)
    assert ids(await ranking(anna, host.live_id)) == ([anna.id], [host.id, anna.id])
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


# ---- limits of giving; tests/ledger/test_giving.py shows the rules


LIMITS = "qlive_user/giving_limits/"
CAP: dict[str, Any] = {"own": 0, "next": None, "next_at": None, "house": 0}


@pytest.mark.parametrize(
    "changes",
    [
        {
            "giving": {
                "gift_gold": 1000,
                "day_gold": 20,
                "month_gold": 1500,
                "cool_off_gold": 18,
            }
        }
    ],
)
async def test_caps_are_refused_with_their_code_and_confirmed_gifts_pass(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=5000), await api.user("bert", 1)
    assert (await give(anna, bert.id, CAR)).refusal == (403, "over_gift_cap")
    assert (await give(anna, bert.id, CANDY, 5)).refusal == (403, "over_day_cap")
    reminded = (await give(anna, bert.id, CANDY, 2, request_id="r")).ok()
    assert reminded == {"status": "success", "gold": 4990, "income": 0, "reminder": True}
    assert (await give(anna, bert.id, CANDY, request_id="s")).refusal == (
        409,
        "confirmation_needed",
    )
    confirmed = (await give(anna, bert.id, CANDY, request_id="s", confirm="true")).ok()
    assert confirmed == {"status": "success", "gold": 4985, "income": 0}
    assert (await give(anna, bert.id, CANDY, 2, request_id="r")).ok() == reminded
    (await give(anna, bert.id, ROSE, 3, confirm="true")).ok()
    assert (await give(anna, bert.id, ROSE)).refusal == (403, "cooling_off")
    limits = (await anna.get(LIMITS)).ok()
    assert limits["gift"] == CAP | {"house": 1000}
    assert limits["day"] == CAP | {"given": 18, "house": 20}


async def test_own_caps_are_lowered_at_once_and_raised_after_a_day(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    nothing_given = CAP | {"given": 0}
    limits = (await anna.get(LIMITS)).ok()
    assert limits == {"gift": CAP, "day": nothing_given, "month": nothing_given}
    for name in limits:
        lowered = (await anna.post(LIMITS, **{f"{name}_gold": 11})).ok()
        assert lowered[name]["own"] == 11
        raised = (await anna.post(LIMITS, **{f"{name}_gold": 0})).ok()
        assert (raised[name]["own"], raised[name]["next"]) == (11, 0)
        assert raised[name]["next_at"] is not None
        assert (await anna.get(LIMITS)).ok() == raised
    assert (await anna.post(LIMITS, day_gold=-1)).refusal == (400, "bad_parameter")
