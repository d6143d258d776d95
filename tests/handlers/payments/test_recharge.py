"""Gold blocks and orders over HTTP."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

from config.settings import Settings
from devtools.development_secrets import DevSecrets
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.payments import create_order, gold_of, notification_statuses, pay_order


def prepay_calls(server: ServerProcess) -> int:
    assert server.simulator
    log = server.simulator.log
    return sum(entry["path"] == "/v3/pay/transactions/jsapi" for entry in log)


async def test_blocks_are_listed_by_price_in_yuan(api: ApiFixture) -> None:
    (await api.ops("POST", "blocks", gold=1, price="0.05")).ok()
    anna = await api.user("anna", 2)
    blocks = (await anna.get("qlive_pay/")).ok()
    assert [(block["gold"], block["price"]) for block in blocks] == [
        (1, "0.05"),
        (60, "6.00"),
        (300, "30.00"),
        (980, "98.00"),
        (2980, "298.00"),
    ]
    assert [block["id"] for block in blocks] == [5, 1, 2, 3, 4]


async def test_order_is_registered_at_wechat_pay_and_answered_signed_with_both_keys(
    api: ApiFixture, settings: tuple[Settings, DevSecrets], server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    order = (await anna.post("qlive_pay/", block_id="2")).ok()
    assert order["success"] == "success"
    content = json.loads(order["content"])
    assert content.keys() == {"timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert content["signType"] == "RSA"
    assert content["package"].startswith("prepay_id=")
    app_id = next(iter(settings[0].wechat.apps))
    lines = (app_id, content["timeStamp"], content["nonceStr"], content["package"])
    digest = SHA256.new("".join(f"{line}\n" for line in lines).encode())
    merchant = RSA.import_key(settings[0].pay.private_key).public_key()
    pkcs1_15.new(merchant).verify(digest, base64.b64decode(content["paySign"]))
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
    for field, invalid in (
        ("block_id", {}),
        ("block_id", {"block_id": "x"}),
        ("block_id", {"block_id": 0}),
        ("platform", {"block_id": 1, "platform": "<ios>"}),
    ):
        reply = await anna.post("qlive_pay/", **invalid)
        assert reply.refusal == (400, "bad_parameter"), invalid
        assert reply.json["fields"].keys() == {field}
    assert db.orders.count_documents({}) == 0
    await api.outage("pay", status=500)
    reply = await anna.post("qlive_pay/", block_id=1)
    assert reply.refusal == (503, "pay_away")
    assert int(reply.headers["Retry-After"]) > 0
    await api.outage("pay")
    (await anna.post("qlive_pay/", block_id=1)).ok()


async def test_repeated_orders_answer_the_open_one_signed_again_with_the_latest_platform(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna, stored = await api.user("anna", 2), list[str]()
    for params in ({}, {"platform": "iOS"}, {}, {"platform": "ohos"}):
        (await anna.post("qlive_pay/", block_id=1, **params)).ok()
        stored.append(db.orders.find_one()["platform"])
    assert stored == ["", "ios", "ios", "ohos"]
    replies = await asyncio.gather(*(anna.post("qlive_pay/", block_id=1) for _ in range(10)))
    contents = [json.loads(reply.ok()["content"]) for reply in replies]
    assert len({content["package"] for content in contents}) == 1
    assert len({content["nonceStr"] for content in contents}) == 10
    assert db.orders.count_documents({}) == 1
    assert prepay_calls(server) == 1
    (shown,) = (await api.ops("GET", "orders")).ok()["items"]
    assert shown["platform"] == "ohos"
    await pay_order(api, replies[-1].json["content"])
    assert set(await notification_statuses(server)) == {204}
    assert gold_of(db, anna) == 60
    await create_order(anna)
    assert db.orders.count_documents({}) == 2, "the first one is paid"


async def test_order_of_a_block_that_was_edited_meanwhile_has_the_new_price(
    api: ApiFixture, db: Any
) -> None:
    anna = await api.user("anna", 2)
    await create_order(anna)
    (await api.ops("PATCH", "blocks/1", price="5.00")).ok()
    for _ in range(2):
        await create_order(anna)
    assert sorted(row["fen"] for row in db.orders.find()) == [500, 600]


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
