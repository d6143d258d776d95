"""Message push in plain mode: a signature proves nothing of what is said."""

import json
import time
from hashlib import sha1
from typing import Any
from urllib.parse import urlencode

import pytest

from server import Server
from tencent.pushes import Pushes
from tests.handlers.test_payments import gold, ordered, paid, reported
from tests.phones import BASE, Phone, Reply, Street

a_push = pytest.mark.gen_test(timeout=30)


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pay": {"provider": "xpay"}}


@pytest.fixture(autouse=True)
def plain(server: Server) -> None:
    server.parts.pushes = Pushes(server.settings.pay.push_token, "", "")


async def pushed(street: Street, server: Server, content: dict[str, Any], **more: str) -> Reply:
    """By somebody who has seen an address of WeChat's: its signature fits any body."""
    stamp, token = str(int(time.time())), server.settings.pay.push_token
    signature = sha1("".join(sorted([token, stamp, "n"])).encode()).hexdigest()
    asked = {"timestamp": stamp, "nonce": "n", "signature": signature, **more}
    path = f"{BASE}qlive_pay/xpay_notify/?{urlencode(asked)}"
    return await street.ask("POST", path, data=json.dumps(content).encode())


async def delivery(phone: Phone, server: Server, db: Any) -> dict[str, Any]:
    """What WeChat would say of an order that was not paid."""
    await ordered(phone)
    order = db.orders.find_one({"user_id": phone.id})
    goods = {"ProductId": order["product"], "Quantity": 1, "OrigPrice": order["fen"]}
    return {
        "Event": "xpay_goods_deliver_notify",
        "OpenId": order["openid"],
        "OutTradeNo": order["_id"],
        "Env": int(order["sandbox"]),
        "GoodsInfo": goods,
    }


@a_push
async def test_a_payment_is_believed_once_wechat_says_so_when_asked(
    street: Street, server: Server, db: Any
) -> None:
    anna = await street.person("anna", 2)
    claim = await delivery(anna, server, db)
    said = await pushed(street, server, claim)
    assert said.refusal[0] == 503, "WeChat is to say it again"
    assert gold(db, anna) == 0
    await paid(street, await ordered(anna), "never")
    await reported(server)
    number = next(iter(server.parts.simulator.xpay.orders))  # type: ignore[union-attr]
    assert (await pushed(street, server, {**claim, "OutTradeNo": number})).ok()["ErrCode"] == 0
    assert gold(db, anna) == 60


@pytest.mark.parametrize("more", [{}, {"encrypt_type": "aes"}, {"sealed": "yes"}])
@a_push
async def test_a_forgery_is_not_believed_when_operators_run_it_again(
    street: Street, server: Server, db: Any, more: dict[str, str]
) -> None:
    anna = await street.person("anna", 2)
    assert (await pushed(street, server, await delivery(anna, server, db), **more)).status == 503
    (note,) = db.inbox.find({"source": "xpay"})
    again = await street.ops("POST", "inbox/again", id=note["_id"])
    assert again.status in (400, 503)
    assert gold(db, anna) == 0


@a_push
async def test_a_refund_is_not_believed_and_an_unknown_order_is_refused(
    street: Street, server: Server, db: Any
) -> None:
    anna = await street.person("anna", 2)
    claim = await delivery(anna, server, db)
    refund = {"Event": "xpay_refund_notify", "MchOrderId": claim["OutTradeNo"], "RetCode": 0}
    refund |= {"WxRefundId": "R1", "RefundFee": 600}
    assert (await pushed(street, server, refund)).status == 403
    assert (await pushed(street, server, {**claim, "OutTradeNo": "Q0"})).status == 403
    reasons = {note["reason"] for note in db.inbox.find({"source": "xpay"})}
    assert reasons == {"plain", "order"}


@a_push
async def test_nonsense_about_an_order_does_not_stand_in_the_way_of_its_payment(
    street: Street, server: Server, db: Any
) -> None:
    anna = await street.person("anna", 2)
    content = await ordered(anna)
    number = db.orders.find_one({"user_id": anna.id})["_id"]
    nonsense = {"Event": "xpay_goods_deliver_notify", "OutTradeNo": number}
    assert (await pushed(street, server, nonsense)).status == 403
    assert (await paid(street, content, "never"))["order"] == number
    simulator = server.parts.simulator
    report = simulator.xpay.delivery(simulator.xpay.orders[number])  # type: ignore[union-attr]
    assert (await pushed(street, server, report)).ok()["ErrCode"] == 0
    assert gold(db, anna) == 60
