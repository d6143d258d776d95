import asyncio
import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorReply
from ledger.recharge import Order, Payment, Refund
from tencent.errors import MerchantRefused, ServiceUnavailable, Unreadable
from tencent.wechat import AccessTokenCache
from tencent.xpay import CLIENT_CALL, parse_event, pay_sig, user_signature

APP = "wxd678efh567hg6787"
ORDER = Order("Q20231115000000abc", "12345678", "xpay", APP, openid_of("alice"), "gold_60", 600, 60)
REFUND = "R20231115000000abc"
TOKEN = {"access_token": "t", "expires_in": 7200}
UNKNOWN = {"errcode": 268490002, "errmsg": "order_id"}
PAID = {"errcode": 0, "order": {"order_id": ORDER.number, "status": 4, "left_fee": 600}}


@pytest.fixture
def xpay(sim_url, build_xpay):
    return build_xpay(sim_url)


@pytest.fixture
def client_at(build_xpay):
    return build_xpay


def buy(simulator, xpay):
    """Pays the order with the session key of a new login; as the simulator shows it."""
    key = simulator.wechat.issue(APP, "alice").session_key
    return simulator.xpay.buy(xpay.payment_call(ORDER, "", key))


def test_signature_vectors_match(vectors):
    cases = vectors("xpay")["server_signatures"]
    for case in cases:
        assert pay_sig(case["app_key"], case["uri"], case["body"]) == case["pay_sig"]
        if "signature" in case:
            assert user_signature(case["session_key"], case["body"]) == case["signature"]
    assert any(case["origin"] == "official" for case in cases)
    for case in vectors("xpay")["client_signatures"]:
        assert pay_sig(case["app_key"], CLIENT_CALL, case["signData"]) == case["paySig"]
        assert user_signature(case["session_key"], case["signData"]) == case["signature"]


# ---- orders


async def test_order_is_paid_queried_and_delivered(simulator, xpay):
    call = xpay.payment_call(ORDER, "", "key")
    assert call.keys() == {"signData", "mode", "paySig", "signature"}
    assert call["mode"] == "short_series_goods"
    order = buy(simulator, xpay)
    assert (order["order_id"], order["order_fee"]) == (ORDER.number, 600)
    paid = Payment("xpay", ORDER.number, order["wxpay_order_id"], 600, sandbox=True)
    assert await xpay.query(ORDER) == paid
    for _ in range(2):
        await xpay.deliver(ORDER)
    assert order["status"] == 4
    for status in (4, 5, 8):  # delivered; refunded, which the refund event reports
        order["status"] = status
        assert await xpay.query(ORDER) == paid
    for status in (0, 1, 6, 7):
        order["status"] = status
        assert await xpay.query(ORDER) is None
    paths = [entry["path"] for entry in simulator.log]
    assert paths.count("/cgi-bin/stable_token") == 1


async def test_a_rejected_request_is_unavailable_and_counted_and_a_wrong_key_logged_as_an_error(
    simulator, sim_url, build_xpay
):
    counted = []
    xpay = build_xpay(sim_url, on_rejection=lambda *rejection: counted.append(rejection))
    for call in (xpay.query(ORDER), xpay.deliver(ORDER)):
        with pytest.raises(ServiceUnavailable):
            await call
    assert counted == [("query_order", "268490002"), ("notify_provide_goods", "268490002")]
    buy(simulator, xpay)
    for wrong, errcode in (({"app_key": "other"}, 268490003), ({"secret": "other"}, 40125)):
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
            await build_xpay(sim_url, **wrong).query(ORDER)
        errors = [entry["errcode"] for entry in logs if entry["log_level"] == "error"]
        assert errors == [errcode]


async def test_an_expired_access_token_is_renewed_once_for_all_calls(simulator, xpay):
    buy(simulator, xpay)
    await xpay.query(ORDER)
    simulator.wechat.tokens.clear()
    assert None not in await asyncio.gather(*(xpay.query(ORDER) for _ in range(3)))
    outcomes = sorted((entry["path"], entry["outcome"]) for entry in list(simulator.log)[2:])
    assert outcomes == [
        ("/cgi-bin/stable_token", "ok"),
        *[("/xpay/query_order", "40001")] * 3,
        *[("/xpay/query_order", "ok")] * 3,
    ]


# ---- access tokens


async def test_concurrent_callers_share_one_access_token_until_it_fails_or_ends(
    simulator, sim_url, make_service_client, clock
):
    tokens = AccessTokenCache(make_service_client("wechat", sim_url), {APP: "s3cret"})
    received = await asyncio.gather(*(tokens.get(APP) for _ in range(20)))
    assert len(set(received)) == 1
    clock.now += 7200 - 301
    assert await tokens.get(APP) == received[0]
    assert len(simulator.log) == 1
    clock.now += 1
    assert await tokens.get(APP) != received[0]
    assert len(simulator.log) == 2


async def test_unreadable_access_token_or_order_is_unavailable(scripted):
    order = {"order_id": ORDER.number, "order_fee": 600, "status": 2}
    for answers in (
        *([token] for token in ([], {}, TOKEN | {"access_token": ""}, {"access_token": "t"})),
        [TOKEN, SimulatorReply(200, {}, b"")],
        [TOKEN, {"errcode": 0}],
        [TOKEN, {"errcode": 0, "order": order | {"order_id": "other"}}],
        [TOKEN, {"errcode": 0, "order": order | {"order_fee": None}}],
    ):
        xpay, _ = scripted(*answers)
        with pytest.raises(ServiceUnavailable):
            await xpay.query(ORDER)


# ---- refunds


async def test_a_refund_is_taken_from_what_is_left_and_a_duplicate_is_pending(scripted):
    xpay, service = scripted(TOKEN, UNKNOWN, PAID, {"errcode": 0})
    assert await xpay.refund(ORDER, REFUND, 300, "孩子") == "pending"
    sent = service.requests[-1]
    assert sent.path == "/xpay/refund_order"
    assert json.loads(sent.body) == {
        "openid": ORDER.openid,
        "order_id": ORDER.number,
        "refund_order_id": REFUND,
        "left_fee": 600,
        "refund_fee": 300,
        "biz_meta": "孩子",
        "refund_reason": "5",
        "req_from": "1",
        "env": 1,
    }
    xpay, service = scripted(TOKEN, UNKNOWN, PAID, {"errcode": 268490004})
    assert await xpay.refund(ORDER, REFUND, 700, "") == "pending"
    assert json.loads(service.requests[-1].body)["refund_fee"] == 600, "no more than is left"


async def test_known_refund_is_not_requested_again_and_a_refused_one_has_the_code(scripted):
    for status, state in {0: "pending", 1: "pending", 5: "done", 8: "done", 7: "failed"}.items():
        order = {"order_id": REFUND, "order_type": 1, "status": status}
        xpay, service = scripted(TOKEN, {"errcode": 0, "order": order})
        assert await xpay.refund(ORDER, REFUND, 300, "") == state
        assert [request.path for request in service.requests[1:]] == ["/xpay/query_order"]
    for before in ([UNKNOWN], [UNKNOWN, PAID]):
        xpay, _ = scripted(TOKEN, *before, {"errcode": 268490006})
        with pytest.raises(MerchantRefused, match="268490006"):
            await xpay.refund(ORDER, REFUND, 300, "")


UNCLEAR = [
    *([{"errcode": code}] for code in (-1, 268490003, 268490011, 268490012, 268490015, "x")),
    [UNKNOWN, {"errcode": -1}],
    [UNKNOWN, PAID, {"errcode": -1}],
    [{"errcode": 0}],
    [{"errcode": 0, "order": {"order_id": "another one", "status": 5}}],
    [UNKNOWN, {"errcode": 0, "order": {"order_id": ORDER.number}}],
    [UNKNOWN, {"errcode": 0}],
]


async def test_busy_or_unreadable_answer_to_a_refund_is_unclear(scripted):
    for answers in UNCLEAR:
        xpay, _ = scripted(TOKEN, *answers)
        with pytest.raises(ServiceUnavailable):
            await xpay.refund(ORDER, REFUND, 300, "")


# ---- pushed events


def test_payment_and_refund_events_are_parsed(vectors):
    events = vectors("xpay")["events"]
    payment = Payment(
        "xpay",
        "order12345",
        "4200000001202404260000000001",
        100,
        openid="oUser1",
        product="gold_100",
        paid_fen=100,
    )
    assert parse_event(events["goods"]) == payment
    goods = {**events["goods"]["GoodsInfo"], "Quantity": 2, "OrigPrice": 50}
    other = replace(payment, fen=50, quantity=2, paid_fen=None)
    del goods["ActualPrice"]
    assert parse_event({**events["goods"], "GoodsInfo": goods}) == other
    by_apple = {name: value for name, value in events["goods"].items() if name != "WeChatPayInfo"}
    assert parse_event(by_apple) == replace(payment, transaction="")
    refund = Refund("xpay", "XG_20231115_000001", "W1", 1000, openid="oUser1", own="RF0001")
    assert parse_event(events["refund"]) == refund
    assert parse_event({**events["refund"], "OpenId": None}) == replace(refund, openid=None)
    assert parse_event({**events["refund"], "MchRefundId": None}) == replace(refund, own="")
    failed = ({**events["refund"], "RetCode": code} for code in (1, -1, None))
    for other in (*failed, events["coin"], {"Event": "debug_demo"}):  # coins are not sold here
        assert parse_event(other) is None


def test_delivery_event_without_a_field_is_unreadable(vectors):
    event = vectors("xpay")["events"]["goods"]
    goods = event["GoodsInfo"]
    for change in (
        *({name: None} for name in ("OutTradeNo", "OpenId", "Env", "GoodsInfo")),
        *({"GoodsInfo": {**goods, n: None}} for n in ("ProductId", "Quantity", "OrigPrice")),
    ):
        with pytest.raises(Unreadable):
            parse_event({**event, **change})
