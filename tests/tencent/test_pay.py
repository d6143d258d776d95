"""Orders and refunds at WeChat Pay, against the simulator and against scripted answers."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from config.sections import PaySettings
from core.errors import RateLimited
from devtools.simulator.wire import SimulatorReply
from ledger.recharge import Order, Payment
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.merchant import MerchantClient
from tencent.pay import JsapiClient
from tests.support.tencent import ScriptedService, signed_reply

APP, OPENID = "wxd678efh567hg6787", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
NOTIFY_URL = "https://pay.example.com/wechat/notify"
ORDER_NUMBER, REFUND = "T20231115061320001", "R20231115000000abc"
EXPIRES_AT = datetime.fromtimestamp(1_700_007_200, UTC)
ORDER = Order(ORDER_NUMBER, "12345678", "jsapi", APP, OPENID, "", fen=600, gold=60)


def signed(merchant, content, status=200):
    return signed_reply(merchant, content, 1_700_000_000, status)


async def prepare(pay: JsapiClient, **changes):
    order = replace(ORDER, **changes)
    return pay.payment_call(order, await pay.register(order, EXPIRES_AT))


@pytest.fixture
def client_at(pay_at):
    return pay_at


@pytest.fixture
def pay(sim_url, pay_at):
    return pay_at(sim_url)


@pytest.fixture
def prepared(merchant):
    """WeChat Pay's answer to an order, from the vectors."""
    case = merchant["responses"][0]
    return SimulatorReply(case["status"], case["headers"], case["body"].encode())


# ---- orders


async def test_an_order_is_sent_as_documented_and_its_parameters_are_signed(simulator, pay):
    call = await prepare(pay)
    assert simulator.pay.orders[ORDER_NUMBER] == {
        "appid": APP,
        "mchid": "1900000109",
        "description": "60 gold",
        "out_trade_no": ORDER_NUMBER,
        "time_expire": "2023-11-15T08:13:20+08:00",
        "notify_url": NOTIFY_URL,
        "amount": {"total": 600, "currency": "CNY"},
        "payer": {"openid": OPENID},
    }
    assert call.keys() == {"timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert call["package"] == f"prepay_id={simulator.pay.prepaid[ORDER_NUMBER]}"
    assert (call["timeStamp"], call["signType"]) == ("1700000000", "RSA")
    signed_text = f"{APP}\n{call['timeStamp']}\n{call['nonceStr']}\n{call['package']}\n"
    assert simulator.merchant_api.verify(signed_text.encode(), call["paySign"])


async def test_prepay_vector_is_accepted_also_after_an_error_of_the_server(
    scripted, prepared, merchant
):
    pay, service = scripted(SimulatorReply(500, {}, b""), prepared)
    call = await prepare(pay)
    assert call["package"] == "prepay_id=wx15061320000000a1b2c3d4e5f60718"
    request, again = service.requests
    assert request.body == again.body
    assert request.path == "/v3/pay/transactions/jsapi"
    assert request.header("Accept") == request.header("Content-Type") == "application/json"
    assert request.header("Wechatpay-Serial") == merchant["platform"]["public_key_id"]


async def test_serial_of_a_certificate_is_not_sent_as_that_of_a_public_key(
    serve, prepared, merchant, make_service_client
):
    serial = merchant["platform"]["certificate_serial"]
    headers = {**prepared.headers, "Wechatpay-Serial": serial}
    service = ScriptedService(SimulatorReply(200, headers, prepared.body))
    settings = PaySettings(
        private_key=merchant["merchant"]["private_key_pem"],
        platform_keys={serial: merchant["platform"]["certificate_pem"]},
    )
    api = make_service_client("pay", serve(service))
    pay = JsapiClient(MerchantClient(api, settings, now=lambda: 1700000006), NOTIFY_URL)
    assert (await prepare(pay))["package"] == "prepay_id=wx15061320000000a1b2c3d4e5f60718"
    assert service.requests[0].header("Wechatpay-Serial") == ""


async def test_an_unverified_answer_is_unavailable_and_logged_without_secrets(scripted, merchant):
    pay, service = scripted(SimulatorReply(401, {}, b'{"code":"SIGN_ERROR"}'))
    with capture_logs() as logs, pytest.raises(ServiceUnavailable) as failure:
        await prepare(pay)
    assert failure.value.code == "pay_away"
    (entry,) = [entry for entry in logs if entry["event"] == "merchant_answer_unclear"]
    assert (entry["number"], entry["why"]) == (ORDER_NUMBER, "HTTP 401 SIGN_ERROR")
    authorization = service.requests[0].header("Authorization")
    for secret in (authorization.split('signature="')[1][:40], merchant["apiv3_key"], OPENID):
        assert secret not in repr(logs)


def calls(pay):
    return (
        prepare(pay),
        pay.query(ORDER),
        pay.close(ORDER),
        pay.refund(ORDER, REFUND, 300, ""),
        pay.refund_state(ORDER, REFUND),
    )


async def test_an_unsigned_or_unreadable_answer_or_one_about_something_else_is_unclear(
    scripted, merchant
):
    about = {"mchid": "1900000109", "out_trade_no": ORDER_NUMBER, "out_refund_no": REFUND}
    valid = {**about, "prepay_id": "1", "trade_state": "NOTPAY", "status": "SUCCESS"}
    contents = (
        {},
        [],
        {"prepay_id": 1, "out_refund_no": REFUND, "status": "PAID"},
        {"prepay_id": "", "out_refund_no": "another one", "status": "SUCCESS"},
        {"mchid": "1", "out_trade_no": ORDER_NUMBER, "trade_state": "NOTPAY"},
        {"mchid": "1900000109", "out_trade_no": "Q2", "trade_state": "NOTPAY"},
        {"mchid": "1900000109", "out_trade_no": ORDER_NUMBER, "trade_state": "SUCCESS"},
    )
    replies = [signed(merchant, content) for content in contents]
    for reply in (SimulatorReply(200, {}, json.dumps(valid).encode()), *replies):
        pay, _ = scripted(reply)
        for call in calls(pay):
            with pytest.raises(ServiceUnavailable):
                await call


async def test_only_an_unpaid_order_is_closed_and_then_cannot_be_paid(simulator, pay):
    assert await pay.query(ORDER) is None
    await pay.close(ORDER)  # no such order yet
    await prepare(pay)
    assert await pay.query(ORDER) is None
    for _ in range(2):
        await pay.close(ORDER)
    assert simulator.pay.take(ORDER_NUMBER) is None
    paid = replace(ORDER, number="T20231115061320002")
    await pay.register(paid, EXPIRES_AT)
    transaction = simulator.pay.take(paid.number)["transaction_id"]
    await pay.close(paid)
    assert simulator.pay.closed == {ORDER_NUMBER}
    payment = Payment("jsapi", paid.number, transaction, 600, openid=OPENID, app_id=APP)
    assert await pay.query(paid) == payment
    assert await pay.query(ORDER) is None
    paths = [entry["path"] for entry in simulator.log if entry["service"] == "pay"]
    assert paths[0] == f"/v3/pay/transactions/out-trade-no/{ORDER_NUMBER}"


# ---- refunds


async def test_a_refund_is_sent_as_documented_and_its_state_read(scripted, merchant):
    for status, state in {
        "SUCCESS": "done",
        "PROCESSING": "pending",
        "CLOSED": "failed",
        "ABNORMAL": "failed",
    }.items():
        pay, service = scripted(signed(merchant, {"out_refund_no": REFUND, "status": status}))
        assert await pay.refund(ORDER, REFUND, 300, "退" * 81) == state
        assert await pay.refund_state(ORDER, REFUND) == state
    sent, queried = service.requests
    assert sent.path == "/v3/refund/domestic/refunds"
    assert queried.path == f"/v3/refund/domestic/refunds/{REFUND}"
    assert json.loads(sent.body) == {
        "out_trade_no": ORDER.number,
        "out_refund_no": REFUND,
        "reason": "退" * 80,
        "notify_url": NOTIFY_URL,
        "amount": {"refund": 300, "total": 600, "currency": "CNY"},
    }
    await pay.refund(ORDER, REFUND, 300, "")
    assert "reason" not in json.loads(service.requests[-1].body)


async def test_a_refusal_has_the_code_and_a_new_order_may_be_too_fast(scripted, merchant):
    missing = signed(merchant, {"code": "RESOURCE_NOT_EXISTS"}, 404)
    too_fast = SimulatorReply(429, {}, b'{"code":"FREQUENCY_LIMITED"}')
    pay, _ = scripted(missing, missing, signed(merchant, {"code": "NO"}, 403), too_fast)
    assert await pay.refund_state(ORDER, REFUND) is None
    with pytest.raises(MerchantRefused, match="RESOURCE_NOT_EXISTS"):
        await pay.refund(ORDER, REFUND, 300, "")
    with pytest.raises(MerchantRefused, match="NO"):
        await pay.refund_state(ORDER, REFUND)
    with pytest.raises(RateLimited):
        await prepare(pay)
