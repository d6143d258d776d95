"""What operators see of money, and what they may put right."""

from typing import Any

import pytest

from money.recharge import Refund
from server import Server
from tests.handlers.test_gifts import CANDY, give
from tests.handlers.test_payments import gold, ordered, paid, reported
from tests.phones import Phone, Street

a_call = pytest.mark.gen_test(timeout=30)


@pytest.fixture(params=["jsapi", "xpay"])
def changes(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"pay": {"provider": request.param}}


@a_call
async def test_operators_see_orders_the_book_and_what_was_reported(
    street: Street, server: Server
) -> None:
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    number = (await paid(street, await ordered(anna)))["order"]
    await reported(server)
    await ordered(bert)
    orders = (await street.ops("GET", "orders")).ok()
    assert [order["state"] for order in orders["items"]] == ["created", "paid"]
    (hers,) = (await street.ops("GET", f"orders?user_id={anna.id}&state=paid")).ok()["items"]
    assert (hers["id"], hers["fen"], hers["gold"], hers["refunded"]) == (number, 600, 60, 0)
    (entry,) = (await street.ops("GET", f"ledger?user_id={anna.id}")).ok()["items"]
    assert entry["lines"][0] == {"account": f"user:{anna.id}", "unit": "gold", "amount": 60}
    assert (await street.ops("GET", f"ledger?user_id={bert.id}")).ok()["items"] == []
    (report,) = (await street.ops("GET", "inbox?outcome=done")).ok()["items"]
    assert (report["genuine"], report["times"]) == (True, 1)


@a_call
async def test_money_is_found_by_a_number_or_by_whose_it_is(
    street: Street, server: Server, db: Any
) -> None:
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    number = (await paid(street, await ordered(anna)))["order"]
    await reported(server)
    await ordered(bert)
    order, report = db.orders.find_one({"_id": number}), db.inbox.find_one({})

    async def found(path: str, said: str) -> list[str]:
        return [row["id"] for row in (await street.ops("GET", f"{path}q={said}")).ok()["items"]]

    for said in (number, number[:-1], anna.id, order["transaction"]):
        assert await found("orders?", said) == [number], said
        assert await found("orders?state=created&", said) == [], said
    for said in (number, f"recharge:{number}", anna.id):
        assert await found("ledger?", said) == [f"recharge:{number}"], said
    for said in (report["_id"], report["_id"].partition(":")[2]):
        assert await found("inbox?", said) == [report["_id"]], said
    for path in ("orders", "ledger", "inbox"):
        assert await found(f"{path}?", "nothing") == []
        assert (await street.ops("GET", f"{path}?q={'x' * 401}")).refusal == (400, "bad_parameter")


@a_call
async def test_a_page_that_is_full_has_a_next_one(street: Street, db: Any) -> None:
    await street.person("anna", 2)
    for n in range(60):
        user = db.users.find_one()["_id"]
        grant = {"gold": 1, "reason": "a test", "request_id": f"g{n}"}
        (await street.ops("POST", f"users/{user}/grant", **grant)).ok()
    first = (await street.ops("GET", "ledger")).ok()
    second = (await street.ops("GET", f"ledger?after={first['next']}")).ok()
    ids = [entry["id"] for page in (first, second) for entry in page["items"]]
    assert (len(ids), len(set(ids)), second["next"]) == (60, 60, None)
    said = await street.ops("GET", "ledger?after=x")
    assert said.refusal == (400, "bad_parameter")


@a_call
async def test_a_grant_goes_back_once_and_a_recharge_does_not(
    street: Street, server: Server, db: Any
) -> None:
    anna = await street.person("anna", 2, gold=100)
    (grant,) = (await street.ops("GET", f"ledger?user_id={anna.id}")).ok()["items"]
    for _ in range(2):
        said = await street.ops("POST", "ledger/reverse", entry=grant["id"], reason="a slip")
        assert said.ok() == {"reverses": grant["id"]}
    assert gold(db, anna) == 0
    number = (await paid(street, await ordered(anna)))["order"]
    await reported(server)
    said = await street.ops("POST", "ledger/reverse", entry=f"recharge:{number}", reason="a slip")
    assert said.refusal == (409, "not_reversible")
    said = await street.ops("POST", "ledger/reverse", entry="grant:none", reason="a slip")
    assert said.refusal == (404, "no_such_entry")


@a_call
async def test_a_report_that_was_refused_is_carried_out_once_its_order_is_right(
    street: Street, server: Server, db: Any
) -> None:
    anna = await street.person("anna", 2)
    number = (await paid(street, await ordered(anna), "wrong_amount"))["order"]
    await reported(server)
    (report,) = (await street.ops("GET", "inbox?outcome=refused")).ok()["items"]
    again = await street.ops("POST", "inbox/again", id=report["id"])
    assert again.ok() == {"outcome": "refused", "reason": "amount"}
    db.orders.update_one({"_id": number}, {"$set": {"fen": 601}})
    again = await street.ops("POST", "inbox/again", id=report["id"])
    assert again.ok() == {"outcome": "done", "reason": ""}
    assert gold(db, anna) == 60
    assert (await street.ops("POST", "inbox/again", id="jsapi:none")).status == 404


@a_call
async def test_a_forgery_is_not_carried_out_by_operators_either(
    street: Street, server: Server, db: Any
) -> None:
    anna = await street.person("anna", 2)
    await paid(street, await ordered(anna), "forged")
    await reported(server)
    (report,) = (await street.ops("GET", "inbox")).ok()["items"]
    again = await street.ops("POST", "inbox/again", id=report["id"])
    assert again.refusal == (400, "bad_parameter")
    assert gold(db, anna) == 0


async def owing(street: Street, server: Server) -> Phone:
    """Somebody who has 10 gold and owes 50: they gave away what was then refunded."""
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    number = (await paid(street, await ordered(anna)))["order"]
    await reported(server)
    (await give(anna, bert.id, CANDY, 10)).ok()
    order = await server.parts.orders.find(number)
    assert order
    await server.parts.cashier.refund(Refund(order.provider, number, "R1", order.fen))
    granted = {"gold": 10, "reason": "a test", "request_id": "ten"}
    (await street.ops("POST", f"users/{anna.id}/grant", **granted)).ok()
    return anna


@a_call
async def test_what_somebody_owes_is_seen_and_settled_once(
    street: Street, server: Server, db: Any
) -> None:
    anna = await owing(street, server)
    (seen,) = (await street.ops("GET", "users?owing=true")).ok()["items"]
    assert (seen["id"], seen["gold"], seen["owed"]) == (anna.id, 10, 50)
    settle = {"reason": "as agreed", "paid_by": "user", "request_id": "s1", "gold": 10}
    for _ in range(2):
        said = await street.ops("POST", f"users/{anna.id}/settle", **settle)
        assert said.ok() == {"gold": 0, "income": 0}
    more = {**settle, "request_id": "s2", "gold": 1}
    said = await street.ops("POST", f"users/{anna.id}/settle", **more)
    assert said.refusal == (409, "insufficient_gold")
    more = {**more, "paid_by": "house", "gold": 41}
    said = await street.ops("POST", f"users/{anna.id}/settle", **more)
    assert said.refusal == (409, "not_owed")
    more = {**more, "gold": 40}
    (await street.ops("POST", f"users/{anna.id}/settle", **more)).ok()
    assert (await street.ops("GET", "users?owing=true")).ok()["items"] == []
    assert db.users.find_one({"_id": anna.id})["owed"] == 0
    assert await server.parts.books.check() == []


@a_call
async def test_the_overview_has_the_night_at_a_glance(street: Street, server: Server) -> None:
    host = await street.host()
    anna = await owing(street, server)
    (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    await paid(street, await ordered(anna), "forged")
    await reported(server)
    await server.parts.books.check()
    seen = (await street.ops("GET", "overview")).ok()
    assert seen["status"] == "ok"
    assert seen["dependencies"]["mongodb"]["state"] == "ok"
    assert [process["id"] for process in seen["processes"]] == [server.parts.process]
    assert (seen["rooms"], seen["people"], seen["debtors"]) == (1, 2, 1)
    assert seen["today"] == {
        "sold": {"orders": 1, "fen": 600, "gold": 60},
        "given": {"gold": 50, "income": 25},
    }
    book = seen["book"]
    assert (book["problems"], book["gold"], book["income"], book["owed"]) == (0, 10, 25, 50)
    assert book["oldest_unpaid_seconds"] >= 0
    (refused,) = seen["refused"]
    assert (refused["times"], refused["source"]) == (1, server.settings.pay.provider)


@a_call
async def test_the_overview_of_an_empty_house_is_all_zero(street: Street) -> None:
    seen = (await street.ops("GET", "overview")).ok()
    assert (seen["rooms"], seen["people"], seen["refused"]) == (0, 0, [])
    assert seen["today"]["sold"] == {"orders": 0, "fen": 0, "gold": 0}
