import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.support.api import BASE, ApiClient, ApiFixture
from tests.support.gifts import CANDY, CAR, ROSE, give


async def balance(client: ApiClient) -> tuple[int, int]:
    info = (await client.get("qlive_user/get_userinfo/")).ok()
    return info["gold"], info["income"]


def assert_ledger_balances(db: Any) -> None:
    """Check that each entry sums to zero per unit and each balance is the sum of its lines."""
    balances: Counter[tuple[str, str]] = Counter()
    for entry in db.ledger.find():
        sums: Counter[str] = Counter()
        for line in entry["lines"]:
            sums[line["unit"]] += line["amount"]
            balances[line["account"], line["unit"]] += line["amount"]
        assert not any(sums.values()), entry
    for user in db.users.find():
        for unit in ("gold", "income"):
            assert user[unit] == balances[f"user:{user['_id']}", unit] >= 0


# ---- gift list


@pytest.mark.parametrize("changes", [{"pages": {"size": 3}}])
@pytest.mark.gen_test(timeout=20)
async def test_gift_pages_link_to_the_previous_and_next_page(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    pages = [(await anna.get("qlive_gift/", page=page)).ok() for page in (1, 2, 3)]
    page_url = f"{api.address}{BASE}qlive_gift/?page="
    assert [page["count"] for page in pages] == [9] * 3
    assert [page["previous"] for page in pages] == [None, f"{page_url}1", f"{page_url}2"]
    assert [page["next"] for page in pages] == [f"{page_url}2", f"{page_url}3", None]
    gifts = [gift for page in pages for gift in page["results"]]
    assert [gift["id"] for gift in gifts] == list(range(1, 10))
    assert gifts[0].keys() == {"id", "name", "image", "gold", "effect"}
    next_page = await api.request(
        "GET",
        pages[0]["next"].removeprefix(api.address),
        headers={"Authorization": f"QLiveToken {anna.token}"},
    )
    assert next_page.ok() == pages[1]


@pytest.mark.parametrize("changes", [{"pages": {"size": 3}}])
@pytest.mark.gen_test(timeout=20)
async def test_page_links_use_the_host_and_scheme_of_the_request(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    headers = {
        "Authorization": f"QLiveToken {anna.token}",
        "Host": "qlive.example.com",
        "X-Forwarded-Proto": "https",
    }
    page = await api.request("GET", f"{BASE}qlive_gift", headers=headers)
    assert page.ok()["next"] == f"https://qlive.example.com{BASE}qlive_gift?page=2"


@pytest.mark.gen_test(timeout=20)
async def test_page_past_the_end_is_404(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    assert (await anna.get("qlive_gift/", page=2)).ok()["next"] is None
    assert (await anna.get("qlive_gift/", page=3)).refusal == (404, "no_such_page")
    assert (await anna.get("qlive_gift/", page=0)).refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_empty_gift_list_is_an_empty_first_page(api: ApiFixture) -> None:
    for gift in (await api.ops("GET", "gifts")).ok()["items"]:
        (await api.ops("DELETE", f"gifts/{gift['id']}")).ok()
    anna = await api.user("anna", 2)
    page = (await anna.get("qlive_gift/")).ok()
    assert page == {"count": 0, "next": None, "previous": None, "results": []}


# ---- push_gift


@pytest.mark.gen_test(timeout=20)
async def test_gift_costs_gold_and_earns_the_receiver_half_of_it(api: ApiFixture, db: Any) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    reply = await give(anna, bert.id, CANDY, "3")
    assert reply.ok() == {"status": "success", "gold": 85, "income": 0}
    assert await balance(bert) == (0, 7)
    assert_ledger_balances(db)


@pytest.mark.gen_test(timeout=20)
async def test_gold_is_spent_before_income(api: ApiFixture, db: Any) -> None:
    anna, bert = await api.user("anna", 2, gold=20), await api.user("bert", 1, gold=3)
    (await give(anna, bert.id, CANDY, 4)).ok()
    assert await balance(bert) == (3, 10)
    reply = (await give(bert, anna.id, CANDY, 1)).ok()
    assert reply == {"status": "success", "gold": 0, "income": 8}
    reply = (await give(bert, anna.id, CANDY, 1)).ok()
    assert reply == {"status": "success", "gold": 0, "income": 3}
    assert_ledger_balances(db)


@pytest.mark.gen_test(timeout=20)
async def test_exchange_rate_config_sets_the_share_of_the_receiver(
    api: ApiFixture, db: Any
) -> None:
    configs = (await api.ops("GET", "configs")).ok()["items"]
    rate = next(row["id"] for row in configs if row["key"] == "EXCHANGE_RATE")
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    for value, income in ((0.29, 29), (1, 129)):
        (await api.ops("PATCH", f"configs/{rate}", value=value)).ok()
        grant = {"gold": 100, "reason": "test", "request_id": f"rate {value}"}
        (await api.ops("POST", f"users/{anna.id}/grant", **grant)).ok()
        (await give(anna, bert.id, ROSE, 100)).ok()
        assert (await balance(bert))[1] == income
    assert_ledger_balances(db)


@pytest.mark.gen_test(timeout=20)
async def test_insufficient_gold_returns_the_failed_status_of_the_contract(
    api: ApiFixture, db: Any
) -> None:
    anna, bert = await api.user("anna", 2, gold=4), await api.user("bert", 1)
    reply = (await give(anna, bert.id)).ok()
    assert (reply["status"], reply["code"]) == ("failed", "insufficient_gold")
    assert reply["detail"]
    assert (await balance(anna), await balance(bert)) == ((4, 0), (0, 0))
    assert_ledger_balances(db)


@pytest.mark.gen_test(timeout=20)
async def test_invalid_gifts_are_rejected(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    for num in (0, 10000, -1, "many", 1.5):
        reply = await give(anna, bert.id, num=num)
        assert reply.refusal == (400, "bad_parameter"), num
        assert reply.json["fields"].keys() == {"num"}
    to_self = await give(anna, anna.id)
    assert to_self.refusal == (400, "bad_parameter")
    assert to_self.json["fields"].keys() == {"user_id"}
    assert (await give(anna, bert.id, 4711)).refusal == (404, "no_such_gift")
    assert (await give(anna, "10000000")).refusal == (404, "no_such_user")
    assert (await give(anna, bert.id, request_id="x" * 65)).refusal == (400, "bad_parameter")
    assert (await give(anna, "")).refusal == (400, "bad_parameter")
    assert await balance(anna) == (100, 0)


@pytest.mark.gen_test(timeout=20)
async def test_largest_gift_count_is_accepted(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=10_000), await api.user("bert", 1)
    assert (await give(anna, bert.id, ROSE, 9999)).ok()["gold"] == 1


# ---- idempotency and concurrency


@pytest.mark.gen_test(timeout=20)
async def test_request_id_is_processed_once_with_the_same_response(
    api: ApiFixture, db: Any
) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    unusual_id = "订单 \x00 1/2".ljust(64, "x")
    first = (await give(anna, bert.id, request_id=unusual_id)).ok()
    (await give(anna, bert.id, request_id="another")).ok()
    assert (await give(anna, bert.id, request_id=unusual_id)).ok() == first
    replies = await asyncio.gather(*(give(anna, bert.id, request_id="burst") for _ in range(20)))
    assert {reply.text for reply in replies} == {replies[0].text}
    assert await balance(anna) == (85, 0)
    assert_ledger_balances(db)


@pytest.mark.gen_test(timeout=20)
async def test_request_id_with_different_content_is_refused(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    carl = await api.user("carl", 1)
    (await give(anna, bert.id, request_id="one")).ok()
    for changed in (
        {"to": bert.id, "num": 2},
        {"to": bert.id, "gift_id": ROSE},
        {"to": carl.id},
    ):
        reply = await give(anna, request_id="one", **changed)
        assert reply.refusal == (409, "request_id_reused"), changed
    assert await balance(anna) == (95, 0)


@pytest.mark.gen_test(timeout=20)
async def test_request_id_is_scoped_to_the_sender(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=9), await api.user("bert", 1, gold=9)
    (await give(anna, bert.id, request_id="one")).ok()
    assert (await give(bert, anna.id, request_id="one")).ok()["gold"] == 4


@pytest.mark.gen_test(timeout=20)
async def test_refused_request_id_can_be_retried(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    assert (await give(anna, bert.id, request_id="one")).ok()["status"] == "failed"
    grant = {"gold": 5, "reason": "test", "request_id": "grant"}
    (await api.ops("POST", f"users/{anna.id}/grant", **grant)).ok()
    assert (await give(anna, bert.id, request_id="one")).ok()["status"] == "success"


@pytest.mark.gen_test(timeout=20)
async def test_same_gift_twice_without_a_request_id_is_two_gifts(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=100), await api.user("bert", 1)
    golds = [(await give(anna, bert.id)).ok()["gold"] for _ in range(2)]
    assert golds == [95, 90]


@pytest.mark.gen_test(timeout=20)
async def test_sixty_concurrent_gifts_from_a_balance_for_thirty(api: ApiFixture, db: Any) -> None:
    anna, bert = await api.user("anna", 2, gold=150), await api.user("bert", 1)
    replies = await asyncio.gather(*(give(anna, bert.id) for _ in range(60)))
    statuses = Counter(reply.ok()["status"] for reply in replies)
    assert statuses == {"success": 30, "failed": 30}
    assert await balance(anna) == (0, 0)
    assert await balance(bert) == (0, 60)
    assert db.ledger.count_documents({"kind": "gift"}) == 30
    assert_ledger_balances(db)


@pytest.mark.gen_test(timeout=60)
async def test_concurrent_gifts_in_both_directions_keep_the_balances(
    api: ApiFixture, db: Any
) -> None:
    host = await api.host()
    clients = [await api.guest(name, 1, host.live_id, gold=200) for name in ("a", "b", "c")]
    pairs = [
        (sender, receiver) for sender in clients for receiver in clients if sender is not receiver
    ]
    replies = await asyncio.gather(*(give(sender, receiver.id) for sender, receiver in pairs * 10))
    assert [reply.ok()["status"] for reply in replies] == ["success"] * 60
    assert [await balance(client) for client in clients] == [(100, 40)] * 3
    assert_ledger_balances(db)


# ---- events


@pytest.mark.gen_test(timeout=20)
async def test_gift_within_a_room_is_published_to_it(api: ApiFixture, db: Any) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    socket = await host.connect()
    await socket.next("snapshot")
    (await give(anna, host.id, CANDY, 2, request_id="one")).ok()
    (await give(anna, host.id, CANDY, 2, request_id="one")).ok()
    frame = await socket.next("gift")
    gift = frame["data"]
    assert (gift["from"]["user_id"], gift["to"]["user_id"]) == (anna.id, host.id)
    assert (gift["gift"]["id"], gift["num"], gift["gold"]) == (CANDY, 2, 10)
    entry = db.ledger.find_one({"kind": "gift"})
    assert (entry["live_id"], entry["seq"]) == (host.live_id, frame["seq"])
    (await give(anna, host.id, ROSE)).ok()
    assert (await socket.next("gift"))["data"]["gift"]["id"] == ROSE


@pytest.mark.gen_test(timeout=20)
async def test_gift_to_a_user_outside_the_room_publishes_no_event(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id, gold=100)
    bert = await api.user("bert", 1)
    socket = await host.connect()
    await socket.next("snapshot")
    assert (await give(anna, bert.id)).ok()["gold"] == 95
    assert (await give(anna, host.id, CAR)).ok()["status"] == "failed"
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")
