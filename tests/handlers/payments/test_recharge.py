"""Gold blocks and orders over HTTP."""

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from config.settings import Settings
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.payments import create_order, gold_of


async def test_order_is_registered_at_wechat_pay_and_answered_signed(
    api: ApiFixture, settings: tuple[Settings, str], server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    order = (await anna.post("qlive_pay/", block_id="2")).ok()
    assert order["success"] == "success"
    content = json.loads(order["content"])
    assert content.keys() == {"timeStamp", "nonceStr", "package", "signType", "paySign"}
    key = settings[0].pay.content_key.encode()
    text = f"{order['timestamp']}\n{order['content']}".encode()
    assert order["sign"] == hmac.new(key, text, hashlib.sha256).hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", order["timestamp"])
    timestamp = datetime.fromisoformat(order["timestamp"] + "+08:00")
    assert abs(datetime.now(UTC) - timestamp) < timedelta(seconds=60)
    [stored] = db.orders.find()
    assert (stored["user_id"], stored["gold"], stored["fen"]) == (anna.id, 300, 3000)
    assert server.simulator
    [(number, sent)] = server.simulator.pay.orders.items()
    assert number == stored["_id"]
    assert sent["amount"] == {"total": 3000, "currency": "CNY"}
    assert sent["payer"] == {"openid": db.users.find_one({"_id": anna.id})["openid"]}
    assert gold_of(db, anna) == 0


async def test_refused_orders_store_nothing(api: ApiFixture, db: Any) -> None:
    anna = await api.user("anna", 2)
    assert (await anna.post("qlive_pay/", block_id=4711)).refusal == (404, "no_such_block")
    assert db.orders.count_documents({}) == 0
    await api.outage("pay", status=500)
    reply = await anna.post("qlive_pay/", block_id=1)
    assert reply.refusal == (503, "pay_away")
    assert int(reply.headers["Retry-After"]) > 0
    await api.outage("pay")
    (await anna.post("qlive_pay/", block_id=1)).ok()


async def test_a_user_with_too_many_open_orders_is_refused_another_one(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    for gold in (1, 2):
        (await api.ops("POST", "blocks", gold=gold, price="0.05")).ok()
    for block_id in range(1, 6):
        await create_order(anna, block_id)
    reply = await anna.post("qlive_pay/", block_id=6)
    assert reply.refusal == (200, "too_many_orders")
    assert reply.json["success"] == "failed"
    await create_order(anna, 5)  # an open one is still answered
