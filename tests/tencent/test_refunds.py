"""Refunds at either provider, as the clients read WeChat's answers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import RateLimited
from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorReply
from ledger.recharge import Order
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.pay import JsapiClient
from tencent.xpay import XpayClient
from tests.support.tencent import Clock, Serve

async_test = pytest.mark.gen_test(timeout=20)

APP = "wxd678efh567hg6787"
ORDER = Order("Q20231115000000abc", "1", "jsapi", APP, openid_of("alice"), "gold_60", 600, 60)
NUMBER = "R20231115000000abc"
EXPIRES_AT = datetime.fromtimestamp(1_700_007_200, UTC)
MakePay = Callable[..., JsapiClient]
MakeXpay = Callable[..., XpayClient]


# ---- WeChat Pay


@pytest.fixture
def signed(simulator: Any, clock: Clock) -> Callable[..., SimulatorReply]:
    """An answer signed by WeChat Pay."""

    def build(content: dict[str, Any], status: int = 200) -> SimulatorReply:
        body = json.dumps(content).encode()
        return SimulatorReply(status, simulator.merchant_api.signed(body), body)

    return build


@async_test
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("SUCCESS", "done"),
        ("PROCESSING", "pending"),
        ("CLOSED", "failed"),
        ("ABNORMAL", "failed"),
    ],
)
async def test_state_of_a_refund_is_read(
    serve: Serve, scripted_service: Any, pay_at: MakePay, signed: Any, status: str, state: str
) -> None:
    service = scripted_service(signed({"out_refund_no": NUMBER, "status": status}))
    pay = pay_at(serve(service))
    assert await pay.refund(ORDER, NUMBER, 300, "退" * 81) == state
    assert await pay.refund_state(ORDER, NUMBER) == state
    sent, asked = service.requests
    assert sent.path == "/v3/refund/domestic/refunds"
    assert asked.path == f"/v3/refund/domestic/refunds/{NUMBER}"
    assert json.loads(sent.body) == {
        "out_trade_no": ORDER.number,
        "out_refund_no": NUMBER,
        "reason": "退" * 80,
        "notify_url": "https://pay.example.com/wechat/notify",
        "amount": {"refund": 300, "total": 600, "currency": "CNY"},
    }


@async_test
async def test_refund_without_a_reason_sends_none(
    serve: Serve, scripted_service: Any, pay_at: MakePay, signed: Any
) -> None:
    service = scripted_service(signed({"out_refund_no": NUMBER, "status": "PROCESSING"}))
    await pay_at(serve(service)).refund(ORDER, NUMBER, 300, "")
    assert "reason" not in json.loads(service.requests[0].body)


@async_test
async def test_refusal_has_the_code_and_an_unknown_refund_no_state(
    serve: Serve, scripted_service: Any, pay_at: MakePay, signed: Any
) -> None:
    missing = signed({"code": "RESOURCE_NOT_EXISTS"}, 404)
    refused = signed({"code": "NOT_ENOUGH"}, 403)
    pay = pay_at(serve(scripted_service(missing, missing, refused, refused)))
    assert await pay.refund_state(ORDER, NUMBER) is None
    with pytest.raises(MerchantRefused, match="RESOURCE_NOT_EXISTS"):
        await pay.refund(ORDER, NUMBER, 300, "")
    for call in (pay.refund_state(ORDER, NUMBER), pay.refund(ORDER, NUMBER, 300, "")):
        with pytest.raises(MerchantRefused) as refusal:
            await call
        assert refusal.value.code == "NOT_ENOUGH"


@async_test
async def test_refund_that_comes_too_fast_is_rate_limited(
    serve: Serve, scripted_service: Any, pay_at: MakePay
) -> None:
    service = scripted_service(SimulatorReply(429, {}, b'{"code":"FREQUENCY_LIMITED"}'))
    with pytest.raises(RateLimited):
        await pay_at(serve(service)).refund(ORDER, NUMBER, 300, "")


@async_test
@pytest.mark.parametrize(
    "content",
    [
        {"out_refund_no": "another one", "status": "SUCCESS"},
        {"out_refund_no": NUMBER, "status": "PAID"},
        {"out_refund_no": NUMBER},
        {},
    ],
)
async def test_other_answer_is_unclear(
    serve: Serve, scripted_service: Any, pay_at: MakePay, signed: Any, content: dict[str, Any]
) -> None:
    pay = pay_at(serve(scripted_service(signed(content))))
    for call in (pay.refund_state(ORDER, NUMBER), pay.refund(ORDER, NUMBER, 300, "")):
        with pytest.raises(ServiceUnavailable):
            await call


@async_test
@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, {"out_refund_no": NUMBER, "status": "SUCCESS"}),
        (404, {}),
        (500, {"code": "SYSTEM_ERROR"}),
    ],
)
async def test_unsigned_answer_is_unclear(
    serve: Serve, scripted_service: Any, pay_at: MakePay, status: int, content: dict[str, Any]
) -> None:
    unsigned = SimulatorReply(status, {}, json.dumps(content).encode())
    pay = pay_at(serve(scripted_service(unsigned)))
    for call in (pay.refund_state(ORDER, NUMBER), pay.refund(ORDER, NUMBER, 300, "")):
        with pytest.raises(ServiceUnavailable):
            await call


@async_test
async def test_refusal_counts_without_a_signature(
    sim_url: str, simulator: Any, pay_at: MakePay
) -> None:
    simulator.merchant_api.signs_refusals = False
    pay = pay_at(sim_url)
    assert await pay.refund_state(ORDER, NUMBER) is None
    with pytest.raises(MerchantRefused, match="RESOURCE_NOT_EXISTS"):
        await pay.refund(ORDER, NUMBER, 300, "")


# ---- virtual payment

TOKEN = SimulatorReply(200, {}, b'{"access_token": "t", "expires_in": 7200}')
UNKNOWN = {"errcode": 268490002, "errmsg": "order_id"}
PAID = {"errcode": 0, "order": {"order_id": ORDER.number, "status": 4, "left_fee": 600}}


@async_test
async def test_virtual_payment_is_refunded_from_what_is_left(
    serve: Serve, scripted_service: Any, build_xpay: MakeXpay
) -> None:
    service = scripted_service(TOKEN, UNKNOWN, PAID, {"errcode": 0})
    assert await build_xpay(serve(service)).refund(ORDER, NUMBER, 300, "孩子") == "pending"
    sent = service.requests[-1]
    assert sent.path == "/xpay/refund_order"
    assert json.loads(sent.body) == {
        "openid": ORDER.openid,
        "order_id": ORDER.number,
        "refund_order_id": NUMBER,
        "left_fee": 600,
        "refund_fee": 300,
        "biz_meta": "孩子",
        "refund_reason": "5",
        "req_from": "1",
        "env": 1,
    }


@async_test
async def test_refund_known_as_a_duplicate_is_pending(
    serve: Serve, scripted_service: Any, build_xpay: MakeXpay
) -> None:
    service = scripted_service(TOKEN, UNKNOWN, PAID, {"errcode": 268490004})
    assert await build_xpay(serve(service)).refund(ORDER, NUMBER, 300, "") == "pending"


@async_test
@pytest.mark.parametrize(
    ("status", "state"), [(0, "pending"), (1, "pending"), (5, "done"), (8, "done"), (7, "failed")]
)
async def test_known_refund_is_not_requested_again(
    serve: Serve, scripted_service: Any, build_xpay: MakeXpay, status: int, state: str
) -> None:
    refund = {"errcode": 0, "order": {"order_id": NUMBER, "order_type": 1, "status": status}}
    service = scripted_service(TOKEN, refund)
    assert await build_xpay(serve(service)).refund(ORDER, NUMBER, 300, "") == state
    assert [request.path for request in service.requests[1:]] == ["/xpay/query_order"]


@async_test
async def test_refused_virtual_refund_has_the_code(
    serve: Serve, scripted_service: Any, build_xpay: MakeXpay
) -> None:
    for answers in ([UNKNOWN, PAID, {"errcode": 268490006}], [UNKNOWN, {"errcode": 268490006}]):
        service = scripted_service(TOKEN, *answers)
        with pytest.raises(MerchantRefused) as refusal:
            await build_xpay(serve(service)).refund(ORDER, NUMBER, 300, "")
        assert refusal.value.code == "268490006"


@async_test
@pytest.mark.parametrize("code", [-1, 268490003, 268490011, 268490012, 268490015, "x"])
@pytest.mark.parametrize("before", [[], [UNKNOWN], [UNKNOWN, PAID]])
async def test_busy_virtual_payment_is_unclear(
    serve: Serve,
    scripted_service: Any,
    build_xpay: MakeXpay,
    code: int | str,
    before: list[dict[str, Any]],
) -> None:
    service = scripted_service(TOKEN, *before, {"errcode": code})
    with pytest.raises(ServiceUnavailable):
        await build_xpay(serve(service)).refund(ORDER, NUMBER, 300, "")


@async_test
@pytest.mark.parametrize(
    "answers",
    [
        [{"errcode": 0}],
        [{"errcode": 0, "order": {"order_id": "another one", "status": 5}}],
        [UNKNOWN, {"errcode": 0, "order": {"order_id": ORDER.number}}],
        [UNKNOWN, {"errcode": 0}],
    ],
)
async def test_unreadable_answer_of_virtual_payment_is_unclear(
    serve: Serve, scripted_service: Any, build_xpay: MakeXpay, answers: list[dict[str, Any]]
) -> None:
    service = scripted_service(TOKEN, *answers)
    with pytest.raises(ServiceUnavailable):
        await build_xpay(serve(service)).refund(ORDER, NUMBER, 300, "")
