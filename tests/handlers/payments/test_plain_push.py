"""WeChat message push in plain mode, whose signature does not cover the body."""

import json
import time
from hashlib import sha1
from typing import Any
from urllib.parse import urlencode

import pytest

from runtime.process import ServerProcess
from tencent.message_push import MessagePushReader
from tests.support.api import BASE, ApiClient, ApiFixture, Reply
from tests.support.payments import create_order, gold_of, notification_statuses, pay_order


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"pay": {"provider": "xpay"}}


@pytest.fixture(autouse=True)
def plain_mode(server: ServerProcess) -> None:
    server.context.tencent.message_push = MessagePushReader(server.settings.pay.push_token, "", "")


async def push(
    api: ApiFixture, server: ServerProcess, content: dict[str, Any], **params: str
) -> Reply:
    """Post a notification; the signature of one observed URL is valid for any body."""
    timestamp, token = str(int(time.time())), server.settings.pay.push_token
    signature = sha1("".join(sorted([token, timestamp, "n"])).encode()).hexdigest()
    query = {"timestamp": timestamp, "nonce": "n", "signature": signature, **params}
    path = f"{BASE}qlive_pay/xpay_notify/?{urlencode(query)}"
    return await api.request("POST", path, data=json.dumps(content).encode())


async def delivery_notification(
    client: ApiClient, server: ServerProcess, db: Any
) -> dict[str, Any]:
    """The notification that WeChat would send for a new order, which is not paid."""
    await create_order(client)
    order = db.orders.find_one({"user_id": client.id})
    goods_info = {"ProductId": order["product"], "Quantity": 1, "OrigPrice": order["fen"]}
    return {
        "Event": "xpay_goods_deliver_notify",
        "OpenId": order["openid"],
        "OutTradeNo": order["_id"],
        "Env": int(order["sandbox"]),
        "GoodsInfo": goods_info,
    }


async def test_payment_is_credited_only_after_wechat_confirms_the_order(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    notification = await delivery_notification(anna, server, db)
    order_id = notification["OutTradeNo"]
    malformed = {"Event": "xpay_goods_deliver_notify", "OutTradeNo": order_id}
    assert (await push(api, server, malformed)).status == 403
    reply = await push(api, server, notification)
    assert reply.refusal[0] == 503, "WeChat should retry"
    assert gold_of(db, anna) == 0
    assert (await pay_order(api, await create_order(anna), "never"))["order"] == order_id
    await notification_statuses(server)
    assert (await push(api, server, notification)).ok()["ErrCode"] == 0
    assert gold_of(db, anna) == 60


async def test_retry_by_an_operator_does_not_credit_a_forged_notification(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    for params in ({}, {"encrypt_type": "aes"}, {"encrypted": "yes"}):
        client = await api.user(f"anna {params}", 2)
        notification = await delivery_notification(client, server, db)
        assert (await push(api, server, notification, **params)).status == 503, params
        about_order = {"$regex": notification["OutTradeNo"]}
        (stored,) = db.inbox.find({"source": "xpay", "raw": about_order})
        retry = await api.ops("POST", "inbox/again", id=stored["_id"])
        assert retry.status in (400, 503), params
        assert gold_of(db, client) == 0, params


async def test_refund_notification_and_unknown_order_are_refused(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    notification = await delivery_notification(anna, server, db)
    refund = {"Event": "xpay_refund_notify", "MchOrderId": notification["OutTradeNo"], "RetCode": 0}
    refund |= {"WxRefundId": "R1", "RefundFee": 600}
    assert (await push(api, server, refund)).status == 403
    assert (await push(api, server, {**notification, "OutTradeNo": "Q0"})).status == 403
    reasons = {stored["reason"] for stored in db.inbox.find({"source": "xpay"})}
    assert reasons == {"plain", "order"}
