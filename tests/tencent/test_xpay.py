import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorReply
from ledger.recharge import Order, Payment, Refund
from tencent.errors import ServiceUnavailable, Unreadable
from tencent.xpay import AccessTokenCache, XpayClient, parse_event

async_test = pytest.mark.gen_test(timeout=20)

APP = "wxd678efh567hg6787"
ORDER = Order("Q20231115000000abc", "12345678", "xpay", APP, openid_of("alice"), "gold_60", 600, 60)
APPS = {APP: "s3cret"}
BuildClient = Callable[..., XpayClient]


def session_key(simulator: Any) -> str:
    """The session key of a new login."""
    return str(simulator.wechat.issue(APP, "alice").session_key)


# ---- payment call


@async_test
async def test_payment_call_pays_the_order(
    simulator: Any, sim_url: str, build_xpay: BuildClient
) -> None:
    call = build_xpay(sim_url).payment_call(ORDER, "", session_key(simulator))
    assert call.keys() == {"signData", "mode", "paySig", "signature"}
    assert call["mode"] == "short_series_goods"
    bought = simulator.xpay.buy(call)
    assert (bought["order_id"], bought["order_fee"]) == (ORDER.number, 600)


@async_test
async def test_tampered_payment_parameters_are_refused(
    simulator: Any, sim_url: str, build_xpay: BuildClient
) -> None:
    xpay, key = build_xpay(sim_url), session_key(simulator)
    call = xpay.payment_call(ORDER, "", key)
    cheaper = call["signData"].replace("600", "1")
    assert simulator.xpay.buy({**call, "signData": cheaper}) == "paySig"
    assert simulator.xpay.buy({**call, "signature": "0" * 64}) == "signature"
    session_key(simulator)  # a later login invalidates the session key
    assert simulator.xpay.buy(call) == "signature"
    assert simulator.xpay.orders == {}


# ---- query and deliver


@async_test
async def test_order_is_queried_and_delivered(
    simulator: Any, sim_url: str, build_xpay: BuildClient
) -> None:
    xpay = build_xpay(sim_url)
    simulator.xpay.buy(xpay.payment_call(ORDER, "", session_key(simulator)))
    order = simulator.xpay.orders[ORDER.number]
    paid = Payment("xpay", ORDER.number, order["wxpay_order_id"], 600, sandbox=True)
    assert await xpay.query(ORDER) == paid
    for _ in range(2):
        await xpay.deliver(ORDER)
    assert order["status"] == 4
    assert await xpay.query(ORDER) == paid
    for status in (5, 8):  # refunded; the refund event reports that
        order["status"] = status
        assert await xpay.query(ORDER) == paid
    for status in (0, 1, 6, 7):
        order["status"] = status
        assert await xpay.query(ORDER) is None
    paths = [entry["path"] for entry in simulator.log]
    assert paths.count("/cgi-bin/stable_token") == 1


@async_test
async def test_unknown_order_is_unavailable(
    simulator: Any, sim_url: str, build_xpay: BuildClient
) -> None:
    counted: list[tuple[str, str]] = []
    xpay = build_xpay(sim_url, on_rejection=lambda *rejection: counted.append(rejection))
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await xpay.query(ORDER)
    assert [entry["errcode"] for entry in logs if entry["event"] == "xpay_request_rejected"] == [
        268490002
    ]
    with pytest.raises(ServiceUnavailable):
        await xpay.deliver(ORDER)
    assert counted == [("query_order", "268490002"), ("notify_provide_goods", "268490002")]


@async_test
async def test_expired_access_token_is_renewed_once(
    simulator: Any, sim_url: str, build_xpay: BuildClient
) -> None:
    xpay = build_xpay(sim_url)
    simulator.xpay.buy(xpay.payment_call(ORDER, "", session_key(simulator)))
    await xpay.query(ORDER)
    simulator.wechat._tokens.clear()
    assert await xpay.query(ORDER) is not None
    outcomes = [(entry["path"], entry["outcome"]) for entry in simulator.log]
    assert outcomes[2:] == [
        ("/xpay/query_order", "40001"),
        ("/cgi-bin/stable_token", "ok"),
        ("/xpay/query_order", "ok"),
    ]


@async_test
async def test_wrong_key_or_secret_is_unavailable_and_logged_as_an_error(
    simulator: Any, sim_url: str, build_xpay: BuildClient
) -> None:
    simulator.xpay.buy(build_xpay(sim_url).payment_call(ORDER, "", session_key(simulator)))
    for xpay in (build_xpay(sim_url, app_key="other"), build_xpay(sim_url, secret="other")):
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
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
@async_test
async def test_unreadable_answer_is_unavailable(
    serve: Any, scripted_service: Any, build_xpay: BuildClient, body: bytes
) -> None:
    token = SimulatorReply(200, {}, b'{"access_token": "t", "expires_in": 7200}')
    service = scripted_service(token, SimulatorReply(200, {}, body))
    with pytest.raises(ServiceUnavailable):
        await build_xpay(serve(service)).query(ORDER)


# ---- access tokens


@async_test
async def test_concurrent_callers_share_one_access_token(
    simulator: Any, sim_url: str, make_service_client: Any, clock: Any
) -> None:
    tokens = AccessTokenCache(make_service_client("wechat", sim_url), APPS, clock)
    tokens_received = await asyncio.gather(*(tokens.get(APP) for _ in range(20)))
    assert len(set(tokens_received)) == 1
    assert len(simulator.log) == 1
    clock.now += 7200 - 301
    assert await tokens.get(APP) == tokens_received[0]
    clock.now += 1
    assert await tokens.get(APP) != tokens_received[0]
    assert len(simulator.log) == 2


@async_test
async def test_only_the_failed_token_is_dropped_from_the_cache(
    simulator: Any, sim_url: str, make_service_client: Any, clock: Any
) -> None:
    tokens = AccessTokenCache(make_service_client("wechat", sim_url), APPS, clock)
    token = await tokens.get(APP)
    tokens.drop(APP, "an older one")
    tokens.drop("wxother", token)
    assert await tokens.get(APP) == token
    assert len(simulator.log) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"access_token": "", "expires_in": 5}', b'{"access_token": "t"}']
)
@async_test
async def test_answer_without_an_access_token_is_unavailable(
    serve: Any, scripted_service: Any, make_service_client: Any, clock: Any, body: bytes
) -> None:
    service = scripted_service(SimulatorReply(200, {}, body))
    with pytest.raises(ServiceUnavailable):
        await AccessTokenCache(make_service_client("wechat", serve(service)), APPS, clock).get(APP)


# ---- pushed events


def test_payment_and_refund_events_are_parsed(vectors: Any) -> None:
    events = vectors("xpay")["events"]
    assert parse_event(events["goods"]) == Payment(
        "xpay",
        "order12345",
        "4200000001202404260000000001",
        100,
        openid="oUser1",
        product="gold_100",
    )
    refund = Refund("xpay", "XG_20231115_000001", "W1", 1000, own="RF0001")
    assert parse_event(events["refund"]) == refund
    assert parse_event({**events["refund"], "MchRefundId": None}) == replace(refund, own="")
    for code in (1, -1, None):
        assert parse_event({**events["refund"], "RetCode": code}) is None
    assert parse_event(events["coin"]) is None  # coins are not sold here
    assert parse_event({"Event": "debug_demo"}) is None


def test_delivery_event_without_wechat_payment_is_parsed(vectors: Any) -> None:
    # Apple payments have none.
    goods = dict(vectors("xpay")["events"]["goods"])
    del goods["WeChatPayInfo"]
    payment = parse_event(goods)
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
def test_delivery_event_with_an_invalid_field_is_unreadable(
    vectors: Any, change: dict[str, Any]
) -> None:
    with pytest.raises(Unreadable):
        parse_event({**vectors("xpay")["events"]["goods"], **change})
