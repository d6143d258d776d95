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
from tencent.errors import ServiceUnavailable
from tencent.merchant import MerchantClient
from tencent.pay import JsapiClient

async_test = pytest.mark.gen_test(timeout=20)

APP, OPENID = "wxd678efh567hg6787", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
NOTIFY_URL = "https://pay.example.com/wechat/notify"
ORDER_NUMBER = "T20231115061320001"
EXPIRES_AT = datetime.fromtimestamp(1_700_007_200, UTC)
ORDER = Order(ORDER_NUMBER, "12345678", "jsapi", APP, OPENID, "", fen=600, gold=60)


async def prepare(pay: JsapiClient, **changes):
    order = replace(ORDER, **changes)
    return pay.payment_call(order, await pay.register(order, EXPIRES_AT))


def reply_of(case, **headers) -> SimulatorReply:
    sent_headers = {name: value for name, value in {**case["headers"], **headers}.items() if value}
    return SimulatorReply(case["status"], sent_headers, case["body"].encode())


@async_test
async def test_prepare_returns_signed_payment_parameters(simulator, sim_url, pay_at, merchant):
    call = await prepare(pay_at(sim_url))
    assert call.keys() == {"timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert call["package"] == f"prepay_id={simulator.pay.prepaid[ORDER_NUMBER]}"
    assert (call["timeStamp"], call["signType"]) == ("1700000000", "RSA")
    signed_text = f"{APP}\n{call['timeStamp']}\n{call['nonceStr']}\n{call['package']}\n"
    key = RSA.import_key(merchant["merchant"]["public_key_pem"])
    pkcs1_15.new(key).verify(SHA256.new(signed_text.encode()), base64.b64decode(call["paySign"]))


@async_test
async def test_order_request_is_as_documented(simulator, sim_url, pay_at):
    await prepare(pay_at(sim_url))
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


@async_test
async def test_prepay_vector_is_accepted(serve, scripted_service, pay_at, merchant):
    service = scripted_service(reply_of(merchant["responses"][0]))
    call = await prepare(pay_at(serve(service)))
    assert call["package"] == "prepay_id=wx15061320000000a1b2c3d4e5f60718"
    request = service.requests[0]
    assert request.path == "/v3/pay/transactions/jsapi"
    assert request.header("Accept") == request.header("Content-Type") == "application/json"
    assert request.header("Wechatpay-Serial") == merchant["platform"]["public_key_id"]
    assert request.header("Authorization").startswith("WECHATPAY2-SHA256-RSA2048 mchid=")


@async_test
async def test_certificate_serial_is_not_sent_as_public_key_id(
    serve, scripted_service, merchant, make_service_client
):
    case, platform = merchant["responses"][0], merchant["platform"]
    serial = platform["certificate_serial"]
    service = scripted_service(reply_of(case, **{"Wechatpay-Serial": serial}))
    settings = PaySettings(
        private_key=merchant["merchant"]["private_key_pem"],
        platform_keys={serial: platform["certificate_pem"]},
    )
    client = MerchantClient(
        make_service_client("pay", serve(service)), settings, now=lambda: 1700000006
    )
    pay = JsapiClient(client, NOTIFY_URL)
    assert (await prepare(pay))["package"] == "prepay_id=wx15061320000000a1b2c3d4e5f60718"
    assert service.requests[0].header("Wechatpay-Serial") == ""


@async_test
@pytest.mark.parametrize(
    "headers",
    [
        {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/AAECAwQ="},
        {"Wechatpay-Signature": "AAAA"},
        {"Wechatpay-Signature": None},
        {"Wechatpay-Serial": "7777777777777777777777777777777777777777"},
        {"Wechatpay-Timestamp": "1699999000"},
    ],
)
async def test_unverified_answer_is_unavailable(serve, scripted_service, pay_at, merchant, headers):
    service = scripted_service(reply_of(merchant["responses"][0], **headers))
    with capture_logs() as logs, pytest.raises(ServiceUnavailable) as failure:
        await prepare(pay_at(serve(service)))
    assert failure.value.code == "pay_away"
    assert len([entry for entry in logs if entry["event"] == "merchant_answer_unclear"]) == 1


@async_test
async def test_answer_older_than_five_minutes_is_unavailable(
    serve, scripted_service, pay_at, merchant, clock
):
    service = scripted_service(reply_of(merchant["responses"][0]))
    clock.now += 302
    with pytest.raises(ServiceUnavailable):
        await prepare(pay_at(serve(service)))


@async_test
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"code":"PARAM_ERROR"}'),
        (401, b'{"code":"SIGN_ERROR"}'),
        (403, b'{"code":"OUT_TRADE_NO_USED"}'),
        (404, b"<html>"),
        (204, b""),
        (201, b'{"prepay_id":"wx1"}'),
        (200, b"{}"),
        (200, b"[]"),
        (200, b'{"prepay_id":1}'),
        (200, b'{"prepay_id":""}'),
    ],
)
async def test_answer_without_prepay_id_is_unavailable_and_logged(
    serve, scripted_service, pay_at, status, body
):
    service = scripted_service(SimulatorReply(status, {}, body))
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await prepare(pay_at(serve(service)))
    reasons = [entry["why"] for entry in logs if entry["event"] == "merchant_answer_unclear"]
    assert len(reasons) == 1
    assert reasons[0] == "unreadable" if status == 200 else reasons[0].startswith(f"HTTP {status}")
    assert len(service.requests) == 1


@async_test
async def test_status_429_raises_rate_limited(serve, scripted_service, pay_at):
    service = scripted_service(SimulatorReply(429, {}, b'{"code":"FREQUENCY_LIMITED"}'))
    with pytest.raises(RateLimited):
        await prepare(pay_at(serve(service)))


@async_test
async def test_system_error_is_retried_with_the_same_body(
    serve, scripted_service, pay_at, merchant
):
    service = scripted_service(SimulatorReply(500, {}, b""), reply_of(merchant["responses"][0]))
    await prepare(pay_at(serve(service)))
    assert len(service.requests) == 2
    assert service.requests[0].body == service.requests[1].body


@async_test
@pytest.mark.parametrize("outage", [503, 3.0])
async def test_pay_outage_is_unavailable(simulator, sim_url, pay_at, outage):
    simulator.outage["pay"] = outage
    with pytest.raises(ServiceUnavailable):
        await prepare(pay_at(sim_url, timeout=0.1))


@async_test
async def test_same_order_gets_the_same_prepay_id_and_changed_content_none(
    simulator, sim_url, pay_at
):
    pay = pay_at(sim_url)
    first, second = await prepare(pay), await prepare(pay)
    assert first["package"] == second["package"]
    assert first["nonceStr"] != second["nonceStr"]
    with pytest.raises(ServiceUnavailable):
        await prepare(pay, fen=601)
    assert simulator.log[-1]["outcome"] == "OUT_TRADE_NO_USED"


@async_test
async def test_wrong_private_key_is_unavailable(sim_url, simulator, pay_at, merchant):
    other_key = merchant["platform"]["private_key_pem"]
    with pytest.raises(ServiceUnavailable):
        await prepare(pay_at(sim_url, private_key=other_key))
    assert simulator.log[-1]["outcome"] == "SIGN_ERROR"


@async_test
async def test_no_secret_is_logged(serve, scripted_service, pay_at, merchant):
    service = scripted_service(SimulatorReply(401, {}, json.dumps({"code": "SIGN_ERROR"}).encode()))
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await prepare(pay_at(serve(service)))
    authorization = service.requests[0].header("Authorization")
    assert logs
    for secret in (authorization.split('signature="')[1][:40], merchant["apiv3_key"], OPENID):
        assert secret not in repr(logs)


# ---- query and close


@async_test
async def test_query_returns_the_payment_once_the_order_is_paid(simulator, sim_url, pay_at):
    pay = pay_at(sim_url)
    assert await pay.query(ORDER) is None
    await prepare(pay)
    assert await pay.query(ORDER) is None
    paid = simulator.pay.take(ORDER_NUMBER)
    assert await pay.query(ORDER) == Payment(
        "jsapi", ORDER_NUMBER, paid["transaction_id"], 600, openid=OPENID, app_id=APP
    )
    paths = [entry["path"] for entry in simulator.log if entry["service"] == "pay"]
    assert paths[0] == f"/v3/pay/transactions/out-trade-no/{ORDER_NUMBER}"


@async_test
async def test_closed_order_cannot_be_paid_and_close_is_idempotent(simulator, sim_url, pay_at):
    pay = pay_at(sim_url)
    await pay.close(ORDER)  # no such order yet
    await prepare(pay)
    for _ in range(2):
        await pay.close(ORDER)
    assert simulator.pay.take(ORDER_NUMBER) is None
    assert await pay.query(ORDER) is None
    assert [entry["outcome"] for entry in simulator.log][-1] == "ok"


@async_test
async def test_paid_order_is_not_closed(simulator, sim_url, pay_at):
    pay = pay_at(sim_url)
    await prepare(pay)
    simulator.pay.take(ORDER_NUMBER)
    await pay.close(ORDER)
    assert simulator.pay.closed == set()
    assert (await pay.query(ORDER)).order == ORDER_NUMBER


@async_test
@pytest.mark.parametrize("outage", [401, 404, 429, 503])
async def test_query_and_close_are_unavailable_during_an_outage(simulator, sim_url, pay_at, outage):
    pay = pay_at(sim_url)
    await prepare(pay)
    simulator.pay.take(ORDER_NUMBER)
    simulator.outage["pay"] = outage
    with pytest.raises(ServiceUnavailable):
        await pay.query(ORDER)
    with pytest.raises(ServiceUnavailable):
        await pay.close(ORDER)
    simulator.outage.clear()
    assert await pay.query(ORDER) is not None


@async_test
@pytest.mark.parametrize(
    "changes", [{"mchid": "1"}, {"out_trade_no": "Q2"}, {"trade_state": "SUCCESS", "amount": 5}]
)
async def test_query_answer_about_another_order_is_unavailable(simulator, sim_url, pay_at, changes):
    pay = pay_at(sim_url)
    await prepare(pay)
    simulator.pay.take(ORDER_NUMBER).update(changes)
    with pytest.raises(ServiceUnavailable):
        await pay.query(ORDER)


@async_test
async def test_unsigned_query_answer_is_unavailable(serve, scripted_service, pay_at):
    unsigned = SimulatorReply(200, {}, json.dumps({"trade_state": "NOTPAY"}).encode())
    with pytest.raises(ServiceUnavailable):
        await pay_at(serve(scripted_service(unsigned))).query(ORDER)
