import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from money.recharge import Order, Payment, Refund
from rooms.refusals import ServiceAway
from tencent.access import AccessTokens
from tencent.simulator.codes import openid_of
from tencent.simulator.wire import SimReply
from tencent.xpay import Unreadable, XPay, news_of

a_payment = pytest.mark.gen_test(timeout=20)

APP = "wxd678efh567hg6787"
ORDER = Order("Q20231115000000abc", "12345678", "xpay", APP, openid_of("alice"), "gold_60", 600, 60)
APPS = {APP: "s3cret"}
Build = Callable[..., XPay]


@pytest.fixture
def xpay_at(reach: Any, clock: Any) -> Build:
    def build(url: str, *, app_key: str = "app-key-of-the-tests", secret: str = "s3cret") -> XPay:
        wechat = reach("wechat", url)
        tokens = AccessTokens(wechat, {APP: secret}, clock)
        return XPay(wechat, tokens, "1450000001", app_key, sandbox=True)

    return build


def session_key(simulator: Any) -> str:
    """Of a phone that has just logged in."""
    return str(simulator.xpay._codes.issue(APP, "alice", 0).session_key)


# ---- the phone


@a_payment
async def test_the_phone_can_pay_with_what_it_gets(
    simulator: Any, sim_url: str, xpay_at: Build
) -> None:
    call = await xpay_at(sim_url).prepare(ORDER, session_key(simulator))
    assert call.keys() == {"signData", "mode", "paySig", "signature"}
    assert call["mode"] == "short_series_goods"
    bought = simulator.xpay.buy(call)
    assert (bought["order_id"], bought["order_fee"]) == (ORDER.number, 600)


@a_payment
async def test_what_was_changed_on_the_way_cannot_be_paid(
    simulator: Any, sim_url: str, xpay_at: Build
) -> None:
    xpay, key = xpay_at(sim_url), session_key(simulator)
    call = await xpay.prepare(ORDER, key)
    cheaper = call["signData"].replace("600", "1")
    assert simulator.xpay.buy({**call, "signData": cheaper}) == "paySig"
    assert simulator.xpay.buy({**call, "signature": "0" * 64}) == "signature"
    session_key(simulator)  # a later login: the key of the former holds no more
    assert simulator.xpay.buy(call) == "signature"
    assert simulator.xpay.orders == {}


# ---- asking


@a_payment
async def test_an_order_is_asked_about_and_delivered(
    simulator: Any, sim_url: str, xpay_at: Build
) -> None:
    xpay = xpay_at(sim_url)
    simulator.xpay.buy(await xpay.prepare(ORDER, session_key(simulator)))
    order = simulator.xpay.orders[ORDER.number]
    paid = Payment("xpay", ORDER.number, order["wxpay_order_id"], 600, sandbox=True)
    assert await xpay.query(ORDER) == paid
    for _ in range(2):
        await xpay.deliver(ORDER)
    assert order["status"] == 4
    assert await xpay.query(ORDER) == paid
    for status in (5, 8):  # given back since, of which the refund's own report tells
        order["status"] = status
        assert await xpay.query(ORDER) == paid
    for status in (0, 1, 6, 7):
        order["status"] = status
        assert await xpay.query(ORDER) is None
    asked = [entry["path"] for entry in simulator.log]
    assert asked.count("/cgi-bin/stable_token") == 1


@a_payment
async def test_an_order_that_never_got_there_is_not_known(
    simulator: Any, sim_url: str, xpay_at: Build
) -> None:
    with capture_logs() as logs, pytest.raises(ServiceAway):
        await xpay_at(sim_url).query(ORDER)
    assert [entry["errcode"] for entry in logs if entry["event"] == "xpay_refused"] == [268490002]
    with pytest.raises(ServiceAway):
        await xpay_at(sim_url).deliver(ORDER)


@a_payment
async def test_a_token_that_has_ended_is_renewed_once(
    simulator: Any, sim_url: str, xpay_at: Build
) -> None:
    xpay = xpay_at(sim_url)
    simulator.xpay.buy(await xpay.prepare(ORDER, session_key(simulator)))
    await xpay.query(ORDER)
    simulator.access.expire()
    assert await xpay.query(ORDER) is not None
    outcomes = [(entry["path"], entry["outcome"]) for entry in simulator.log]
    assert outcomes[2:] == [
        ("/xpay/query_order", "40001"),
        ("/cgi-bin/stable_token", "ok"),
        ("/xpay/query_order", "ok"),
    ]


@a_payment
async def test_a_key_that_is_wrong_is_away_and_an_error_in_the_log(
    simulator: Any, sim_url: str, xpay_at: Build
) -> None:
    simulator.xpay.buy(await xpay_at(sim_url).prepare(ORDER, session_key(simulator)))
    for xpay in (xpay_at(sim_url, app_key="other"), xpay_at(sim_url, secret="other")):
        with capture_logs() as logs, pytest.raises(ServiceAway):
            await xpay.query(ORDER)
        errors = [entry for entry in logs if entry["log_level"] == "error"]
        assert [entry["errcode"] for entry in errors] in ([268490003], [40125])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"errcode": 0}',
        b'{"errcode": 0, "order": {"order_id": "other", "order_fee": 600, "status": 2}}',
        json.dumps({"errcode": 0, "order": {"order_id": ORDER.number, "status": 2}}).encode(),
    ],
)
@a_payment
async def test_an_answer_that_makes_no_sense_is_away(
    serve: Any, script: Any, xpay_at: Build, body: bytes
) -> None:
    token = SimReply(200, {}, b'{"access_token": "t", "expires_in": 7200}')
    service = script(token, SimReply(200, {}, body))
    with pytest.raises(ServiceAway):
        await xpay_at(serve(service)).query(ORDER)


# ---- the token


@a_payment
async def test_many_who_need_a_token_ask_for_one(
    simulator: Any, sim_url: str, reach: Any, clock: Any
) -> None:
    tokens = AccessTokens(reach("wechat", sim_url), APPS, clock)
    given = await asyncio.gather(*(tokens.get(APP) for _ in range(20)))
    assert len(set(given)) == 1
    assert len(simulator.log) == 1
    clock.now += 7200 - 301
    assert await tokens.get(APP) == given[0]
    clock.now += 1
    assert await tokens.get(APP) != given[0]
    assert len(simulator.log) == 2


@a_payment
async def test_only_the_token_that_failed_is_dropped(
    simulator: Any, sim_url: str, reach: Any, clock: Any
) -> None:
    tokens = AccessTokens(reach("wechat", sim_url), APPS, clock)
    token = await tokens.get(APP)
    tokens.drop(APP, "an older one")
    tokens.drop("wxother", token)
    assert await tokens.get(APP) == token
    assert len(simulator.log) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"access_token": "", "expires_in": 5}', b'{"access_token": "t"}']
)
@a_payment
async def test_what_is_no_token_is_away(
    serve: Any, script: Any, reach: Any, clock: Any, body: bytes
) -> None:
    service = script(SimReply(200, {}, body))
    with pytest.raises(ServiceAway):
        await AccessTokens(reach("wechat", serve(service)), APPS, clock).get(APP)


# ---- what is pushed


def test_events_of_money_are_read(vectors: Any) -> None:
    events = vectors("xpay")["events"]
    assert news_of(events["goods"]) == Payment(
        "xpay",
        "order12345",
        "4200000001202404260000000001",
        100,
        openid="oUser1",
        product="gold_100",
    )
    assert news_of(events["refund"]) == Refund("xpay", "XG_20231115_000001", "W1", 1000)
    for code in (1, -1, None):
        assert news_of({**events["refund"], "RetCode": code}) is None
    assert news_of(events["coin"]) is None, "coins are not what we sell"
    assert news_of({"Event": "debug_demo"}) is None


def test_a_delivery_without_the_payment_of_wechat_is_read(vectors: Any) -> None:
    """Apple's have none."""
    goods = dict(vectors("xpay")["events"]["goods"])
    del goods["WeChatPayInfo"]
    payment = news_of(goods)
    assert isinstance(payment, Payment)
    assert payment.transaction == ""


@pytest.mark.parametrize(
    "change",
    [
        {"OutTradeNo": None},
        {"OpenId": ""},
        {"Env": "0"},
        {"GoodsInfo": None},
        {"GoodsInfo": {"ProductId": "p", "Quantity": 1}},
        {"GoodsInfo": {"ProductId": "p", "Quantity": True, "OrigPrice": 100}},
        {"GoodsInfo": {"ProductId": 5, "Quantity": 1, "OrigPrice": 100}},
        {"GoodsInfo": {"ProductId": "p", "Quantity": -1, "OrigPrice": 100}},
    ],
)
def test_a_delivery_that_lacks_what_it_is_about_is_unreadable(
    vectors: Any, change: dict[str, Any]
) -> None:
    with pytest.raises(Unreadable):
        news_of({**vectors("xpay")["events"]["goods"], **change})
