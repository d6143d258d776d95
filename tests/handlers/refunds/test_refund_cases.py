"""Refund cases over HTTP: opened, confirmed, carried on and closed."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from ledger.recharge import Refund
from runtime.process import ServerProcess
from tencent.message_push import REFUND_QUESTION
from tests.support.api import ApiClient, ApiFixture
from tests.support.gifts import CANDY, give
from tests.support.operators import operator_as
from tests.support.payments import gold_of, notification_statuses, pay_order

YES = {"reason": "seen the papers"}


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pay": {"provider": "xpay"}, "ops": {"second_person_gold": 50}}


class MinorFixture:
    """A user who has paid 60 gold, of which 50 went to a host in gifts."""

    def __init__(self, api: ApiFixture, server: ServerProcess, user: ApiClient, order: str) -> None:
        self.api = api
        self.server = server
        self.user = user
        self.order = order

    async def open(self, **changes: Any) -> Any:
        """The reply to the request for a case."""
        request = {"user_id": self.user.id, "orders": [self.order], "reason": "a minor"}
        body = {**request, "request_id": "one", **changes}
        return await self.api.ops("POST", "refunds", **body)

    async def answer_to_apple(self) -> Mapping[str, Any]:
        """The answer to Apple's question whether to refund the order."""
        notifications = self.server.context.services.payment_notifications
        content = {"Event": REFUND_QUESTION, "pay_order_id": self.order}
        answer = (await notifications.process_event(content, signed=True)).answer
        assert answer
        return answer

    async def notify(self, **changes: Any) -> str:
        """WeChat's notice of a refund in the console or by Apple; returns its outcome."""
        refund = {"provider": "xpay", "order": self.order, "refund": "wx-1", "fen": 600, **changes}
        notifications = self.server.context.services.payment_notifications
        return (await notifications.book(Refund(**refund), "")).outcome


@pytest.fixture
def minor(io_loop: Any, api: ApiFixture, server: ServerProcess) -> MinorFixture:
    async def create() -> MinorFixture:
        anna, bert = await api.user("anna", 2), await api.user("bert", 1)
        order = await anna.post("qlive_pay/", block_id=1, platform="ios")
        number = (await pay_order(api, order.ok()["content"]))["order"]
        await notification_statuses(server)
        (await give(anna, bert.id, CANDY, 10)).ok()
        return MinorFixture(api, server, anna, number)

    fixture: MinorFixture = io_loop.run_sync(create)
    return fixture


async def test_a_case_is_confirmed_by_a_second_operator_and_closed_by_apples_notice(
    minor: MinorFixture, api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    case = (await minor.open()).ok()
    assert (case["state"], case["gold"]) == ("opened", 60)
    assert (case["unspent"], case["uncovered"]) == (10, 0)
    [order], [gift], [host] = case["orders"], case["gifts"], case["hosts"]
    assert (order["by_apple"], order["state"], order["fen"]) == (True, "waiting", 600)
    assert (gift["gold"], gift["income"], host["free"]) == (50, 25, 25)
    assert (await minor.open()).ok() == case
    path = f"refunds/{case['id']}"
    assert (await api.ops("POST", f"{path}/confirm", **YES)).refusal == (403, "second_person")
    pavel = await operator_as(server, "pavel", "finance")
    confirmed = await api.request("POST", f"/ops/api/{path}/confirm", headers=pavel, json=YES)
    assert (confirmed.ok()["state"], confirmed.json["decided_by"]) == ("confirmed", "pavel")
    assert gold_of(db, minor.user) == 0
    await server.context.services.refund_sweep.sweep()
    [row] = (await api.ops("GET", f"refunds?state=refunding&user_id={minor.user.id}")).ok()["items"]
    assert (row["id"], [order["state"] for order in row["orders"]]) == (case["id"], ["taken"])
    assert [await minor.notify() for _ in range(2)] == ["done", "done"]
    closed = (await api.ops("GET", path)).ok()
    assert (closed["state"], closed["orders"][0]["state"]) == ("closed", "refunded")
    answer = await minor.answer_to_apple()
    assert (answer["result_code"], answer["result_info"]) == (0, "已交付，已收回")
    for role, is_shown in (("moderator", False), ("finance", True)):
        headers = await operator_as(server, role, role)
        ledger = (await api.request("GET", "/ops/api/ledger", headers=headers)).ok()["items"]
        assert ("reversal" in {entry["kind"] for entry in ledger}) is is_shown
    assert await server.context.services.ledger_audit.check() == []
    audited = [
        (row["who"], row["what"], row["before"], row["after"])
        for row in (await api.ops("GET", f"audit?q={minor.user.id}")).ok()["items"]
        if "Refund" in row["what"] and row["done"]
    ]
    assert audited == [
        ("pavel", "POST ConfirmRefund", {"state": "opened"}, {"state": "confirmed"}),
        *([("demo", "POST Refunds", {}, {"refund": case["id"], "state": "opened"})] * 2),
    ]


async def test_an_order_that_apple_does_not_refund_is_settled(
    minor: MinorFixture, api: ApiFixture, server: ServerProcess
) -> None:
    path = f"refunds/{(await minor.open()).ok()['id']}"
    settle = {"order": minor.order, "reason": "Apple has declined"}
    assert (await api.ops("POST", f"{path}/settle", **settle)).refusal == (409, "not_settleable")
    pavel = await operator_as(server, "pavel", "finance")
    (await api.request("POST", f"/ops/api/{path}/confirm", headers=pavel, json=YES)).ok()
    await server.context.services.refund_sweep.sweep()
    assert (await api.ops("POST", f"{path}/settle", **settle)).refusal == (403, "second_person")
    reply = await api.request("POST", f"/ops/api/{path}/settle", headers=pavel, json=settle)
    [order] = reply.ok()["orders"]
    assert (reply.json["state"], order["state"], order["settled_by"]) == (
        *("closed", "settled", "pavel"),
    )
    answer = await minor.answer_to_apple()
    assert (answer["result_code"], answer["result_info"]) == (0, "已交付，已收回")
    assert re.search(r"到账60金币，金币此后已收回。$", answer["evidence"])
    assert await minor.notify() == "done"
    row = (await api.ops("GET", f"audit?q={minor.order}")).ok()["items"][0]
    assert (row["what"], row["before"], row["after"]) == (
        *("POST SettleRefund", {"state": "refunding"}, {"state": "closed"}),
    )


async def test_refused_requests_say_why(
    minor: MinorFixture, api: ApiFixture, server: ServerProcess
) -> None:
    for change, refusal in (
        ({"user_id": "12345678"}, (404, "no_such_user")),
        ({"orders": ["Q0"]}, (404, "no_such_order")),
        ({"orders": []}, (400, "bad_parameter")),
        ({"orders": ["Q 0"]}, (400, "bad_parameter")),
    ):
        assert (await minor.open(**change)).refusal == refusal
    case = (await minor.open()).ok()
    assert (await minor.open(request_id="two")).refusal == (409, "order_in_refund")
    assert (await minor.open(orders=["Q0"])).refusal == (409, "request_id_reused")
    path = f"refunds/{case['id']}"
    (await give(minor.user, case["hosts"][0]["user_id"], CANDY, 1)).ok()
    pavel = await operator_as(server, "pavel", "admin")
    changed = await api.request("POST", f"/ops/api/{path}/confirm", headers=pavel, json=YES)
    assert changed.refusal == (409, "refund_changed")
    assert len((await api.ops("GET", path)).ok()["gifts"]) == 2
    for _ in range(2):
        assert (await api.ops("POST", f"{path}/drop", **YES)).ok()["state"] == "dropped"
    assert (await api.ops("POST", f"{path}/confirm", **YES)).refusal == (409, "decided")
    assert await minor.notify() == "done"
    assert (await minor.open(request_id="two")).refusal == (409, "not_refundable")
    for method, missing in (("GET", ""), ("POST", "/confirm"), ("POST", "/drop")):
        reply = await api.ops(method, f"refunds/R0{missing}", **YES)
        assert reply.refusal == (404, "no_such_refund")
