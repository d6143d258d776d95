import asyncio
import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

from config.settings import Settings
from devtools.development_secrets import DevSecrets
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.payments import create_order, gold_of, notification_statuses, pay_order


@pytest.mark.gen_test(timeout=20)
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


@pytest.mark.gen_test(timeout=20)
async def test_order_contains_the_parameters_of_the_wechat_payment_call(
    api: ApiFixture, settings: tuple[Settings, DevSecrets]
) -> None:
    anna = await api.user("anna", 2)
    order = (await anna.post("qlive_pay/", block_id="1")).ok()
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


@pytest.mark.gen_test(timeout=20)
async def test_order_content_is_signed_with_the_content_key(
    api: ApiFixture, settings: tuple[Settings, DevSecrets]
) -> None:
    anna = await api.user("anna", 2)
    order = (await anna.post("qlive_pay/", block_id=1)).ok()
    key = settings[0].pay.content_key.encode()
    text = f"{order['timestamp']}\n{order['content']}".encode()
    assert order["sign"] == hmac.new(key, text, hashlib.sha256).hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", order["timestamp"])
    timestamp = datetime.fromisoformat(order["timestamp"] + "+08:00")
    assert abs(datetime.now(UTC) - timestamp) < timedelta(seconds=20)


@pytest.mark.gen_test(timeout=20)
async def test_order_stores_buyer_gold_and_price(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    (await anna.post("qlive_pay/", block_id=2)).ok()
    orders = list(db.orders.find())
    assert [(row["user_id"], row["gold"], row["fen"]) for row in orders] == [(anna.id, 300, 3000)]
    assert server.simulator
    sent = server.simulator.pay.orders
    assert sent.keys() == {row["_id"] for row in orders}
    openid = db.users.find_one({"_id": anna.id})["openid"]
    for order in sent.values():
        assert order["amount"] == {"total": 3000, "currency": "CNY"}
        assert order["payer"] == {"openid": openid}


@pytest.mark.gen_test(timeout=20)
async def test_unpaid_order_credits_no_gold(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    (await anna.post("qlive_pay/", block_id=1)).ok()
    assert (await anna.get("qlive_user/get_userinfo/")).ok()["gold"] == 0


@pytest.mark.gen_test(timeout=20)
async def test_invalid_orders_are_rejected(api: ApiFixture, db: Any) -> None:
    anna = await api.user("anna", 2)
    assert (await anna.post("qlive_pay/", block_id=4711)).refusal == (404, "no_such_block")
    for invalid in ({}, {"block_id": ""}, {"block_id": "x"}, {"block_id": 0}, {"block_id": None}):
        reply = await anna.post("qlive_pay/", **invalid)
        assert reply.refusal == (400, "bad_parameter"), invalid
        assert reply.json["fields"].keys() == {"block_id"}
    assert db.orders.count_documents({}) == 0


@pytest.mark.gen_test(timeout=20)
async def test_order_returns_503_while_the_payment_service_is_down(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    await api.outage("pay", status=500)
    reply = await anna.post("qlive_pay/", block_id=1)
    assert reply.refusal == (503, "pay_away")
    assert int(reply.headers["Retry-After"]) > 0
    await api.outage("pay")
    assert (await anna.post("qlive_pay/", block_id=1)).ok()["success"] == "success"


@pytest.mark.gen_test(timeout=20)
async def test_order_keeps_the_platform_that_the_client_named_last(
    api: ApiFixture, db: Any
) -> None:
    anna, stored = await api.user("anna", 2), list[str]()
    for params in ({}, {"platform": "iOS"}, {}, {"platform": "ohos"}):
        (await anna.post("qlive_pay/", block_id=1, **params)).ok()
        stored.append(db.orders.find_one()["platform"])
    assert stored == ["", "ios", "ios", "ohos"]
    (order,) = (await api.ops("GET", "orders")).ok()["items"]
    assert order["platform"] == "ohos"
    reply = await anna.post("qlive_pay/", block_id=1, platform="<ios>")
    assert reply.refusal == (400, "bad_parameter")


# ---- repeated orders


async def prepay_calls(server: ServerProcess) -> int:
    assert server.simulator
    log = server.simulator.log
    return sum(entry["path"] == "/v3/pay/transactions/jsapi" for entry in log)


@pytest.mark.gen_test(timeout=20)
async def test_repeated_order_answers_the_open_one_signed_again_without_calling_wechat_pay(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    first, second = [(await anna.post("qlive_pay/", block_id=1)).ok() for _ in range(2)]
    old, new = json.loads(first["content"]), json.loads(second["content"])
    assert old["package"] == new["package"]
    assert old["nonceStr"] != new["nonceStr"]
    assert db.orders.count_documents({}) == 1
    assert await prepay_calls(server) == 1
    number = await pay_order(api, second["content"])
    assert number["order"] == db.orders.find_one()["_id"]
    assert set(await notification_statuses(server)) == {204}
    assert gold_of(db, anna) == 60


@pytest.mark.gen_test(timeout=20)
async def test_a_flood_of_orders_is_one_order_and_one_call_to_wechat_pay(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    replies = await asyncio.gather(*(anna.post("qlive_pay/", block_id=1) for _ in range(50)))
    assert {reply.status for reply in replies} == {200}
    assert db.orders.count_documents({}) == 1
    assert await prepay_calls(server) == 1


@pytest.mark.gen_test(timeout=20)
async def test_an_order_after_the_first_was_credited_is_another_order(
    api: ApiFixture, server: ServerProcess, db: Any
) -> None:
    anna = await api.user("anna", 2)
    for times in (1, 2):
        await pay_order(api, await create_order(anna))
        await notification_statuses(server)
        assert gold_of(db, anna) == 60 * times
    assert db.orders.count_documents({"state": "paid"}) == 2


@pytest.mark.gen_test(timeout=20)
async def test_order_of_a_block_that_was_edited_meanwhile_has_the_new_price(
    api: ApiFixture, db: Any
) -> None:
    anna = await api.user("anna", 2)
    await create_order(anna)
    (await api.ops("PATCH", "blocks/1", price="5.00")).ok()
    for _ in range(2):
        await create_order(anna)
    assert sorted(row["fen"] for row in db.orders.find()) == [500, 600]


@pytest.mark.gen_test(timeout=20)
async def test_a_user_with_too_many_open_orders_is_refused_until_one_is_closed(
    api: ApiFixture, db: Any
) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    for gold in (1, 2):
        (await api.ops("POST", "blocks", gold=gold, price="0.05")).ok()
    for block_id in range(1, 6):
        await create_order(anna, block_id)
    reply = await anna.post("qlive_pay/", block_id=6)
    assert reply.refusal == (200, "too_many_orders")
    assert reply.json["success"] == "failed"
    await create_order(anna, 5)  # an open one is still answered
    await create_order(bert, 6)
    db.orders.update_one(
        {"user_id": anna.id, "block_id": 2},
        {"$set": {"state": "closed", "due_at": None}, "$unset": {"open_keys": ""}},
    )
    await create_order(anna, 6)
