import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.phones import BASE, Phone, Reply, Street

ROSE, CANDY = 1, 2  # the demo's: 1 gold and 5 gold
CAR = 6  # 1314 gold


async def give(phone: Phone, to: str, gift_id: int = CANDY, num: object = 1, **more: Any) -> Reply:
    return await phone.get("qlive_gift/push_gift/", user_id=to, gift_id=gift_id, num=num, **more)


async def purse(phone: Phone) -> tuple[int, int]:
    info = (await phone.get("qlive_user/get_userinfo/")).ok()
    return info["gold"], info["income"]


def assert_books_are_right(db: Any) -> None:
    """Every entry sums to zero per unit, and every balance is the sum of its lines."""
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


# ---- the list


@pytest.mark.parametrize("changes", [{"pages": {"size": 3}}])
@pytest.mark.gen_test(timeout=20)
async def test_pages_of_gifts_know_their_neighbours(street: Street) -> None:
    anna = await street.person("anna", 2)
    pages = [(await anna.get("qlive_gift/", page=page)).ok() for page in (1, 2, 3)]
    here = f"{street.address}{BASE}qlive_gift/?page="
    assert [page["count"] for page in pages] == [9] * 3
    assert [page["previous"] for page in pages] == [None, f"{here}1", f"{here}2"]
    assert [page["next"] for page in pages] == [f"{here}2", f"{here}3", None]
    gifts = [gift for page in pages for gift in page["results"]]
    assert [gift["id"] for gift in gifts] == list(range(1, 10))
    assert gifts[0].keys() == {"id", "name", "image", "gold", "effect"}
    followed = await street.ask(
        "GET",
        pages[0]["next"].removeprefix(street.address),
        headers={"Authorization": f"QLiveToken {anna.token}"},
    )
    assert followed.ok() == pages[1]


@pytest.mark.parametrize("changes", [{"pages": {"size": 3}}])
@pytest.mark.gen_test(timeout=20)
async def test_the_neighbours_have_the_callers_own_host_and_scheme(street: Street) -> None:
    anna = await street.person("anna", 2)
    headers = {
        "Authorization": f"QLiveToken {anna.token}",
        "Host": "qlive.example.com",
        "X-Forwarded-Proto": "https",
    }
    page = await street.ask("GET", f"{BASE}qlive_gift", headers=headers)
    assert page.ok()["next"] == f"https://qlive.example.com{BASE}qlive_gift?page=2"


@pytest.mark.gen_test(timeout=20)
async def test_a_page_past_the_end_is_404(street: Street) -> None:
    anna = await street.person("anna", 2)
    assert (await anna.get("qlive_gift/", page=2)).ok()["next"] is None
    assert (await anna.get("qlive_gift/", page=3)).refusal == (404, "no_such_page")
    assert (await anna.get("qlive_gift/", page=0)).refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_no_gifts_at_all_are_an_empty_first_page(street: Street) -> None:
    for gift in (await street.ops("GET", "gifts")).ok()["items"]:
        (await street.ops("DELETE", f"gifts/{gift['id']}")).ok()
    anna = await street.person("anna", 2)
    page = (await anna.get("qlive_gift/")).ok()
    assert page == {"count": 0, "next": None, "previous": None, "results": []}


# ---- giving


@pytest.mark.gen_test(timeout=20)
async def test_a_gift_costs_gold_and_earns_half_of_it(street: Street, db: Any) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    given = await give(anna, bert.id, CANDY, "3")
    assert given.ok() == {"status": "success", "gold": 85, "income": 0}
    assert await purse(bert) == (0, 7)
    assert_books_are_right(db)


@pytest.mark.gen_test(timeout=20)
async def test_gold_goes_first_and_income_after_it(street: Street, db: Any) -> None:
    anna, bert = await street.person("anna", 2, gold=20), await street.person("bert", 1, gold=3)
    (await give(anna, bert.id, CANDY, 4)).ok()
    assert await purse(bert) == (3, 10)
    given = (await give(bert, anna.id, CANDY, 1)).ok()
    assert given == {"status": "success", "gold": 0, "income": 8}
    given = (await give(bert, anna.id, CANDY, 1)).ok()
    assert given == {"status": "success", "gold": 0, "income": 3}
    assert_books_are_right(db)


@pytest.mark.gen_test(timeout=20)
async def test_the_receivers_share_is_the_operators_to_set(street: Street, db: Any) -> None:
    configs = (await street.ops("GET", "configs")).ok()["items"]
    rate = next(row["id"] for row in configs if row["key"] == "EXCHANGE_RATE")
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    for value, income in ((0.29, 29), (1, 129), (0, 129)):
        (await street.ops("PATCH", f"configs/{rate}", value=value)).ok()
        granted = {"gold": 100, "reason": "test", "request_id": f"again {value}"}
        (await street.ops("POST", f"users/{anna.id}/grant", **granted)).ok()
        (await give(anna, bert.id, ROSE, 100)).ok()
        assert (await purse(bert))[1] == income
    assert_books_are_right(db)


@pytest.mark.gen_test(timeout=20)
async def test_too_poor_is_answered_in_the_contracts_words(street: Street, db: Any) -> None:
    anna, bert = await street.person("anna", 2, gold=4), await street.person("bert", 1)
    answer = (await give(anna, bert.id)).ok()
    assert (answer["status"], answer["code"]) == ("failed", "insufficient_gold")
    assert answer["detail"]
    assert (await purse(anna), await purse(bert)) == ((4, 0), (0, 0))
    assert_books_are_right(db)


@pytest.mark.gen_test(timeout=20)
async def test_what_cannot_be_given(street: Street) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    for num in (0, 10000, -1, "many", 1.5):
        answer = await give(anna, bert.id, num=num)
        assert answer.refusal == (400, "bad_parameter"), num
        assert answer.json["fields"].keys() == {"num"}
    oneself = await give(anna, anna.id)
    assert oneself.refusal == (400, "bad_parameter")
    assert oneself.json["fields"].keys() == {"user_id"}
    assert (await give(anna, bert.id, 4711)).refusal == (404, "no_such_gift")
    assert (await give(anna, "10000000")).refusal == (404, "no_such_user")
    assert (await give(anna, bert.id, request_id="x" * 65)).refusal == (400, "bad_parameter")
    assert (await give(anna, "")).refusal == (400, "bad_parameter")
    assert await purse(anna) == (100, 0)


@pytest.mark.gen_test(timeout=20)
async def test_the_most_that_can_be_given_at_once(street: Street) -> None:
    anna, bert = await street.person("anna", 2, gold=10_000), await street.person("bert", 1)
    assert (await give(anna, bert.id, ROSE, 9999)).ok()["gold"] == 1


# ---- once and only once


@pytest.mark.gen_test(timeout=20)
async def test_a_request_id_is_carried_out_once_and_answered_the_same(
    street: Street, db: Any
) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    odd = "订单 \x00 1/2".ljust(64, "x")
    first = (await give(anna, bert.id, request_id=odd)).ok()
    (await give(anna, bert.id, request_id="another")).ok()
    assert (await give(anna, bert.id, request_id=odd)).ok() == first
    at_once = await asyncio.gather(*(give(anna, bert.id, request_id="burst") for _ in range(20)))
    assert {answer.text for answer in at_once} == {at_once[0].text}
    assert await purse(anna) == (85, 0)
    assert_books_are_right(db)


@pytest.mark.gen_test(timeout=20)
async def test_a_request_id_with_other_content_is_refused(street: Street) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    carl = await street.person("carl", 1)
    (await give(anna, bert.id, request_id="one")).ok()
    for other in (
        {"to": bert.id, "num": 2},
        {"to": bert.id, "gift_id": ROSE},
        {"to": carl.id},
    ):
        answer = await give(anna, request_id="one", **other)
        assert answer.refusal == (409, "request_id_reused"), other
    assert await purse(anna) == (95, 0)


@pytest.mark.gen_test(timeout=20)
async def test_a_request_id_is_the_senders_own(street: Street) -> None:
    anna, bert = await street.person("anna", 2, gold=9), await street.person("bert", 1, gold=9)
    (await give(anna, bert.id, request_id="one")).ok()
    assert (await give(bert, anna.id, request_id="one")).ok()["gold"] == 4


@pytest.mark.gen_test(timeout=20)
async def test_a_refusal_is_not_remembered(street: Street) -> None:
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    assert (await give(anna, bert.id, request_id="one")).ok()["status"] == "failed"
    granted = {"gold": 5, "reason": "test", "request_id": "rich now"}
    (await street.ops("POST", f"users/{anna.id}/grant", **granted)).ok()
    assert (await give(anna, bert.id, request_id="one")).ok()["status"] == "success"


@pytest.mark.gen_test(timeout=20)
async def test_without_a_window_the_same_gift_twice_is_two_gifts(street: Street) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    golds = [(await give(anna, bert.id)).ok()["gold"] for _ in range(2)]
    assert golds == [95, 90]


@pytest.mark.parametrize("changes", [{"gifts": {"repeat_window_ms": 60_000}}])
@pytest.mark.gen_test(timeout=20)
async def test_within_the_window_the_same_gift_is_a_retry(street: Street, db: Any) -> None:
    anna, bert = await street.person("anna", 2, gold=100), await street.person("bert", 1)
    first = (await give(anna, bert.id)).ok()
    at_once = await asyncio.gather(*(give(anna, bert.id) for _ in range(10)))
    assert [answer.ok() for answer in at_once] == [first] * 10
    assert (await give(anna, bert.id, num=2)).ok()["gold"] == 85
    assert (await give(anna, bert.id, ROSE)).ok()["gold"] == 84
    assert (await give(anna, bert.id, request_id="meant")).ok()["gold"] == 79
    assert_books_are_right(db)


@pytest.mark.gen_test(timeout=60)
async def test_two_hundred_gifts_at_once_from_a_purse_for_one_hundred(
    street: Street, db: Any
) -> None:
    anna, bert = await street.person("anna", 2, gold=500), await street.person("bert", 1)
    answers = await asyncio.gather(*(give(anna, bert.id) for _ in range(200)))
    said = Counter(answer.ok()["status"] for answer in answers)
    assert said == {"success": 100, "failed": 100}
    assert await purse(anna) == (0, 0)
    assert await purse(bert) == (0, 200)
    assert db.ledger.count_documents({"kind": "gift"}) == 100
    assert_books_are_right(db)


@pytest.mark.gen_test(timeout=60)
async def test_gifts_that_cross_in_a_room_lose_nothing(street: Street, db: Any) -> None:
    host = await street.host()
    people = [await street.guest(name, 1, host.live_id, gold=200) for name in ("a", "b", "c")]
    pairs = [(one, two) for one in people for two in people if one is not two]
    answers = await asyncio.gather(*(give(one, two.id) for one, two in pairs * 10))
    assert [answer.ok()["status"] for answer in answers] == ["success"] * 60
    assert [await purse(phone) for phone in people] == [(100, 40)] * 3
    assert_books_are_right(db)


# ---- who hears of it


@pytest.mark.gen_test(timeout=20)
async def test_the_room_that_both_are_in_hears_of_a_gift(street: Street, db: Any) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=100)
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
async def test_a_gift_to_somebody_elsewhere_is_given_without_an_event(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id, gold=100)
    bert = await street.person("bert", 1)
    socket = await host.connect()
    await socket.next("snapshot")
    assert (await give(anna, bert.id)).ok()["gold"] == 95
    assert (await give(anna, host.id, CAR)).ok()["status"] == "failed"
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")
