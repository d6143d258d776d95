"""Operators' endpoints for orders, the ledger, payment notifications, debts and the overview."""

from typing import Any

from ledger.recharge import Refund
from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.payments import (
    both_providers,
    create_order,
    gold_of,
    notification_statuses,
    pay_order,
)


async def test_orders_entries_and_notifications_are_listed_and_found_by_id_or_user(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    order_id = (await pay_order(api, await create_order(anna)))["order"]
    await notification_statuses(server)
    await create_order(bert)
    orders = (await api.ops("GET", "orders")).ok()
    assert [order["state"] for order in orders["items"]] == ["created", "paid"]
    (order,) = (await api.ops("GET", f"orders?user_id={anna.id}&state=paid")).ok()["items"]
    assert (order["id"], order["fen"], order["gold"], order["refunded"]) == (order_id, 600, 60, 0)
    (entry,) = (await api.ops("GET", f"ledger?user_id={anna.id}")).ok()["items"]
    assert entry["lines"][0] == {"account": f"user:{anna.id}", "unit": "gold", "amount": 60}
    (notification,) = (await api.ops("GET", "inbox?outcome=done")).ok()["items"]
    assert (notification["genuine"], notification["times"]) == (True, 1)
    for path, query, id_ in (
        ("orders", order_id, order_id),
        ("ledger", order_id, f"recharge:{order_id}"),
        ("inbox", notification["id"], notification["id"]),
    ):
        found = (await api.ops("GET", f"{path}?q={query}")).ok()["items"]
        assert [row["id"] for row in found] == [id_]
        assert (await api.ops("GET", f"{path}?q={'x' * 401}")).refusal == (400, "bad_parameter")
        no_cursor = await api.ops("GET", f"{path}?after=x")
        assert no_cursor.json["fields"] == {"after": "is not a cursor of ours"}


@both_providers
async def test_refused_notification_succeeds_after_its_order_is_corrected_unless_it_is_forged(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    content = await create_order(anna)
    await pay_order(api, content, "forged")
    await notification_statuses(server)
    (forged,) = (await api.ops("GET", "inbox")).ok()["items"]
    retry = await api.ops("POST", "inbox/again", id=forged["id"])
    assert retry.refusal == (400, "bad_parameter")
    order_id = (await pay_order(api, content, "wrong_amount"))["order"]
    await notification_statuses(server)
    refused = (await api.ops("GET", "inbox?outcome=refused")).ok()["items"]
    [wrong] = [notification for notification in refused if notification["genuine"]]
    retry = await api.ops("POST", "inbox/again", id=wrong["id"])
    assert retry.ok() == {"outcome": "refused", "reason": "amount"}
    assert gold_of(db, anna) == 0
    db.orders.update_one({"_id": order_id}, {"$set": {"fen": 601}})
    retry = await api.ops("POST", "inbox/again", id=wrong["id"])
    assert retry.ok() == {"outcome": "done", "reason": ""}
    assert gold_of(db, anna) == 60
    assert (await api.ops("POST", "inbox/again", id="jsapi:none")).status == 404


async def test_debts_are_listed_and_paid_off_once(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await user_with_debt(api, server)
    (debtor,) = (await api.ops("GET", "users?owing=true")).ok()["items"]
    assert (debtor["id"], debtor["gold"], debtor["owed"]) == (anna.id, 10, 50)
    payment = {"reason": "as agreed", "paid_by": "user", "request_id": "s1", "gold": 10}
    path = f"users/{anna.id}/settle"
    for _ in range(2):
        assert (await api.ops("POST", path, **payment)).ok() == {"gold": 0, "income": 0}
    rest = {**payment, "request_id": "s2", "paid_by": "house", "gold": 40}
    (await api.ops("POST", path, **rest)).ok()
    assert (await api.ops("GET", "users?owing=true")).ok()["items"] == []
    assert await server.context.services.gold.audit.check() == []
    db.users.update_one({"_id": anna.id}, {"$set": {"owed_income": 20, "income": 20}})
    (debtor,) = (await api.ops("GET", "users?owing=true")).ok()["items"]
    assert (debtor["owed"], debtor["owed_income"]) == (0, 20)
    income = {**payment, "request_id": "s3", "unit": "income", "gold": 20}
    assert (await api.ops("POST", path, **income)).ok() == {"gold": 0, "income": 0}
    assert (await api.ops("GET", "users?owing=true")).ok()["items"] == []


async def user_with_debt(api: ApiFixture, server: ServerProcess) -> ApiClient:
    """A user with 10 gold and a debt of 50: the order was refunded after its gold was spent."""
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    order_id = (await pay_order(api, await create_order(anna)))["order"]
    await notification_statuses(server)
    (await give(anna, bert.id, CANDY, 10)).ok()
    order = await server.context.stores.orders.find(order_id)
    assert order
    await server.context.services.payments.payments.refund(
        Refund(order.provider, order_id, "R1", order.fen)
    )
    grant = {"gold": 10, "reason": "test", "request_id": "ten"}
    (await api.ops("POST", f"users/{anna.id}/grant", **grant)).ok()
    return anna


async def test_overview_sums_up_rooms_ledger_and_refused_callbacks(
    api: ApiFixture, server: ServerProcess
) -> None:
    empty = (await api.ops("GET", "overview")).ok()
    assert (empty["rooms"], empty["people"], empty["refused"]) == (0, 0, [])
    assert empty["today"]["sold"] == {"orders": 0, "fen": 0, "gold": 0}
    host = await api.host()
    anna = await user_with_debt(api, server)
    (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    await pay_order(api, await create_order(anna), "forged")
    await notification_statuses(server)
    await server.context.services.gold.audit.check()
    overview = (await api.ops("GET", "overview")).ok()
    assert overview["status"] == "ok"
    assert overview["dependencies"]["mongodb"]["state"] == "ok"
    assert (overview["rooms"], overview["people"], overview["debtors"]) == (1, 2, 1)
    assert overview["today"] == {
        "sold": {"orders": 1, "fen": 600, "gold": 60},
        "given": {"gold": 50, "income": 25},
    }
    ledger = overview["book"]
    assert (ledger["problems"], ledger["gold"], ledger["income"], ledger["owed"]) == (0, 10, 25, 50)
    assert ledger["oldest_unpaid_seconds"] >= 0
    (refused,) = overview["refused"]
    assert (refused["times"], refused["source"]) == (1, "jsapi")
