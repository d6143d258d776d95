"""Orders and refunds at WeChat Pay, against the simulator and against scripted answers."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from structlog.testing import capture_logs

from config.sections import PaySettings
from core.errors import RateLimited
from devtools.simulator.wire import SimulatorReply
from ledger.recharge import Order, Payment
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.merchant import MerchantClient
from tencent.pay import JsapiClient

APP, OPENID = "wxd678efh567hg6787", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
NOTIFY_URL = "https://pay.example.com/wechat/notify"
ORDER_NUMBER, REFUND = "T20231115061320001", "R20231115000000abc"
EXPIRES_AT = datetime.fromtimestamp(1_700_007_200, UTC)
ORDER = Order(ORDER_NUMBER, "12345678", "jsapi", APP, OPENID, "", fen=600, gold=60)


async def prepare(pay: JsapiClient, **changes):
    order = replace(ORDER, **changes)
    return pay.payment_call(order, await pay.register(order, EXPIRES_AT))


@pytest.fixture
def pay(sim_url, pay_at):
    return pay_at(sim_url)


@pytest.fixture
def scripted(serve, scripted_service, pay_at):
    def build(*replies):
        service = scripted_service(*replies)
        return pay_at(serve(service)), service

    return build


@pytest.fixture
def signed(simulator):
    """An answer signed by WeChat Pay."""

    def build(content, status=200):
        body = json.dumps(content).encode()
        return SimulatorReply(status, simulator.merchant_api.signed(body), body)

    return build


@pytest.fixture
def prepared(merchant):
    """WeChat Pay's answer to an order, from the vectors."""
    case = merchant["responses"][0]
    return SimulatorReply(case["status"], case["headers"], case["body"].encode())


# ---- orders


async def test_an_order_is_sent_as_documented_and_its_parameters_are_signed(
    simulator, pay, merchant
):
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
    key = RSA.import_key(merchant["merchant"]["public_key_pem"])
    pkcs1_15.new(key).verify(SHA256.new(signed_text.encode()), base64.b64decode(call["paySign"]))


async def test_prepay_vector_is_accepted(scripted, prepared, merchant):
    pay, service = scripted(prepared)
    call = await prepare(pay)
    assert call["package"] == "prepay_id=wx15061320000000a1b2c3d4e5f60718"
    request = service.requests[0]
    assert request.path == "/v3/pay/transactions/jsapi"
    assert request.header("Accept") == request.header("Content-Type") == "application/json"
    assert request.header("Wechatpay-Serial") == merchant["platform"]["public_key_id"]
    assert request.header("Authorization").startswith("WECHATPAY2-SHA256-RSA2048 mchid=")


async def test_serial_of_a_certificate_is_not_sent_as_that_of_a_public_key(
    serve, scripted_service, prepared, merchant, make_service_client
):
    serial = merchant["platform"]["certificate_serial"]
    headers = {**prepared.headers, "Wechatpay-Serial": serial}
    service = scripted_service(SimulatorReply(200, headers, prepared.body))
    settings = PaySettings(
        private_key=merchant["merchant"]["private_key_pem"],
        platform_keys={serial: merchant["platform"]["certificate_pem"]},
    )
    api = make_service_client("pay", serve(service))
    pay = JsapiClient(MerchantClient(api, settings, now=lambda: 1700000006), NOTIFY_URL)
    assert (await prepare(pay))["package"] == "prepay_id=wx15061320000000a1b2c3d4e5f60718"
    assert service.requests[0].header("Wechatpay-Serial") == ""


@pytest.mark.parametrize("content", [{}, [], {"prepay_id": 1}, {"prepay_id": ""}])
async def test_a_signed_answer_without_prepay_id_is_unavailable(scripted, signed, content):
    pay, _ = scripted(signed(content))
    with pytest.raises(ServiceUnavailable):
        await prepare(pay)


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


async def test_an_order_that_comes_too_fast_is_rate_limited(scripted):
    pay, _ = scripted(SimulatorReply(429, {}, b'{"code":"FREQUENCY_LIMITED"}'))
    with pytest.raises(RateLimited):
        await prepare(pay)


async def test_an_order_is_sent_again_with_the_same_body_after_an_error_of_the_server(
    scripted, prepared
):
    pay, service = scripted(SimulatorReply(500, {}, b""), prepared)
    await prepare(pay)
    first, second = service.requests
    assert first.body == second.body


async def test_same_order_gets_the_same_prepay_id_and_changed_content_none(simulator, pay):
    first, second = await prepare(pay), await prepare(pay)
    assert first["package"] == second["package"]
    assert first["nonceStr"] != second["nonceStr"]
    with pytest.raises(ServiceUnavailable):
        await prepare(pay, fen=601)
    assert simulator.log[-1]["outcome"] == "OUT_TRADE_NO_USED"


async def test_query_returns_the_payment_once_the_order_is_paid(simulator, pay):
    assert await pay.query(ORDER) is None
    await prepare(pay)
    assert await pay.query(ORDER) is None
    paid = simulator.pay.take(ORDER_NUMBER)
    assert await pay.query(ORDER) == Payment(
        "jsapi", ORDER_NUMBER, paid["transaction_id"], 600, openid=OPENID, app_id=APP
    )
    paths = [entry["path"] for entry in simulator.log if entry["service"] == "pay"]
    assert paths[0] == f"/v3/pay/transactions/out-trade-no/{ORDER_NUMBER}"


async def test_only_an_unpaid_order_is_closed_and_then_cannot_be_paid(simulator, pay):
    await pay.close(ORDER)  # no such order yet
    await prepare(pay)
    for _ in range(2):
        await pay.close(ORDER)
    assert simulator.pay.take(ORDER_NUMBER) is None
    paid = replace(ORDER, number="T20231115061320002")
    await pay.register(paid, EXPIRES_AT)
    simulator.pay.take(paid.number)
    await pay.close(paid)
    assert simulator.pay.closed == {ORDER_NUMBER}
    assert (await pay.query(paid)).order == paid.number
    assert await pay.query(ORDER) is None


@pytest.mark.parametrize("outage", [401, 404, 429, 503])
async def test_query_and_close_are_unavailable_during_an_outage(simulator, pay, outage):
    simulator.outage["pay"] = outage
    for call in (pay.query(ORDER), pay.close(ORDER)):
        with pytest.raises(ServiceUnavailable):
            await call


@pytest.mark.parametrize(
    "changes", [{"mchid": "1"}, {"out_trade_no": "Q2"}, {"trade_state": "SUCCESS", "amount": 5}]
)
async def test_query_answer_about_another_order_is_unavailable(simulator, pay, changes):
    await prepare(pay)
    simulator.pay.take(ORDER_NUMBER).update(changes)
    with pytest.raises(ServiceUnavailable):
        await pay.query(ORDER)


# ---- refunds


@pytest.mark.parametrize(
    ("status", "state"),
    [("SUCCESS", "done"), ("PROCESSING", "pending"), ("CLOSED", "failed"), ("ABNORMAL", "failed")],
)
async def test_a_refund_is_sent_as_documented_and_its_state_read(scripted, signed, status, state):
    pay, service = scripted(signed({"out_refund_no": REFUND, "status": status}))
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


async def test_a_refusal_has_the_code_and_an_unknown_refund_no_state(scripted, signed):
    missing, refused = signed({"code": "RESOURCE_NOT_EXISTS"}, 404), signed({"code": "NO"}, 403)
    too_fast = SimulatorReply(429, {}, b'{"code":"FREQUENCY_LIMITED"}')
    pay, _ = scripted(missing, missing, refused, refused, too_fast)
    assert await pay.refund_state(ORDER, REFUND) is None
    with pytest.raises(MerchantRefused, match="RESOURCE_NOT_EXISTS"):
        await pay.refund(ORDER, REFUND, 300, "")
    for call in (pay.refund_state(ORDER, REFUND), pay.refund(ORDER, REFUND, 300, "")):
        with pytest.raises(MerchantRefused, match="NO"):
            await call
    with pytest.raises(RateLimited):
        await pay.refund(ORDER, REFUND, 300, "")


@pytest.mark.parametrize(
    "content",
    [
        {"out_refund_no": "another one", "status": "SUCCESS"},
        {"out_refund_no": REFUND, "status": "PAID"},
        {"out_refund_no": REFUND},
    ],
)
async def test_an_answer_about_another_refund_is_unclear(scripted, signed, content):
    pay, _ = scripted(signed(content))
    for call in (pay.refund_state(ORDER, REFUND), pay.refund(ORDER, REFUND, 300, "")):
        with pytest.raises(ServiceUnavailable):
            await call


async def test_an_unsigned_answer_shows_no_payment_and_no_refund(scripted):
    content = {"trade_state": "NOTPAY", "out_refund_no": REFUND, "status": "SUCCESS"}
    pay, _ = scripted(SimulatorReply(200, {}, json.dumps(content).encode()))
    calls = (
        pay.query(ORDER),
        pay.refund_state(ORDER, REFUND),
        pay.refund(ORDER, REFUND, 300, ""),
    )
    for call in calls:
        with pytest.raises(ServiceUnavailable):
            await call
