import base64
import json
from dataclasses import replace

import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from structlog.testing import capture_logs

from money.recharge import Order, Payment
from rooms.refusals import ServiceAway, TooMany
from tencent.pay import JsapiPay
from tencent.simulator.wire import SimReply

a_payment = pytest.mark.gen_test(timeout=20)

APP, OPENID, ORDER = "wxd678efh567hg6787", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "T20231115061320001"
THE_ORDER = Order(ORDER, "12345678", "jsapi", APP, OPENID, "", fen=600, gold=60)


@pytest.fixture
def pay_at(merchant, reach, clock):
    def build(url, **other):
        return JsapiPay(
            reach("pay", url, timeout=other.pop("timeout", 5.0)),
            merchant["mchid"],
            other.pop("serial", merchant["merchant"]["serial_no"]),
            other.pop("private_key", merchant["merchant"]["private_key_pem"]),
            {merchant["platform"]["public_key_id"]: merchant["platform"]["public_key_pem"]},
            merchant["apiv3_key"],
            "https://pay.example.com/wechat/notify",
            now=clock,
        )

    return build


def prepare(pay: JsapiPay, **other):
    return pay.prepare(replace(THE_ORDER, **other))


def reply_of(case, **headers) -> SimReply:
    given = {name: value for name, value in {**case["headers"], **headers}.items() if value}
    return SimReply(case["status"], given, case["body"].encode())


@a_payment
async def test_the_phone_gets_what_the_payment_call_takes(simulator, sim_url, pay_at, merchant):
    call = await prepare(pay_at(sim_url))
    assert call.keys() == {"timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert call["package"] == f"prepay_id={simulator.pay.prepaid[ORDER]}"
    assert (call["timeStamp"], call["signType"]) == ("1700000000", "RSA")
    text = f"{APP}\n{call['timeStamp']}\n{call['nonceStr']}\n{call['package']}\n"
    key = RSA.import_key(merchant["merchant"]["public_key_pem"])
    pkcs1_15.new(key).verify(SHA256.new(text.encode()), base64.b64decode(call["paySign"]))


@a_payment
async def test_the_order_is_told_as_documented(simulator, sim_url, pay_at):
    await prepare(pay_at(sim_url))
    assert simulator.pay.orders[ORDER] == {
        "appid": APP,
        "mchid": "1900000109",
        "description": "60 gold",
        "out_trade_no": ORDER,
        "time_expire": "2023-11-15T08:13:20+08:00",
        "notify_url": "https://pay.example.com/wechat/notify",
        "amount": {"total": 600, "currency": "CNY"},
        "payer": {"openid": OPENID},
    }


@a_payment
async def test_the_known_answer_is_taken(serve, script, pay_at, merchant):
    service = script(reply_of(merchant["responses"][0]))
    call = await prepare(pay_at(serve(service)))
    assert call["package"] == "prepay_id=wx15061320000000a1b2c3d4e5f60718"
    heard = service.heard[0]
    assert heard.path == "/v3/pay/transactions/jsapi"
    assert heard.header("Accept") == heard.header("Content-Type") == "application/json"
    assert heard.header("Wechatpay-Serial") == merchant["platform"]["public_key_id"]
    assert heard.header("Authorization").startswith("WECHATPAY2-SHA256-RSA2048 mchid=")


@a_payment
async def test_with_certificates_only_no_public_key_is_asked_for(serve, script, merchant, reach):
    case, platform = merchant["responses"][0], merchant["platform"]
    serial = platform["certificate_serial"]
    service = script(reply_of(case, **{"Wechatpay-Serial": serial}))
    pay = JsapiPay(
        reach("pay", serve(service)),
        merchant["mchid"],
        merchant["merchant"]["serial_no"],
        merchant["merchant"]["private_key_pem"],
        {serial: platform["certificate_pem"]},
        merchant["apiv3_key"],
        "https://pay.example.com/wechat/notify",
        now=lambda: 1700000006,
    )
    assert (await prepare(pay))["package"] == "prepay_id=wx15061320000000a1b2c3d4e5f60718"
    assert service.heard[0].header("Wechatpay-Serial") == ""


@a_payment
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
async def test_an_answer_that_is_not_proven_is_away(serve, script, pay_at, merchant, headers):
    service = script(reply_of(merchant["responses"][0], **headers))
    with capture_logs() as logs, pytest.raises(ServiceAway) as refusal:
        await prepare(pay_at(serve(service)))
    assert refusal.value.code == "pay_away"
    assert len([entry for entry in logs if "not verified" in entry.get("why", "")]) == 1


@a_payment
async def test_an_answer_read_too_late_is_away(serve, script, pay_at, merchant, clock):
    service = script(reply_of(merchant["responses"][0]))
    clock.now += 302
    with pytest.raises(ServiceAway):
        await prepare(pay_at(serve(service)))


@a_payment
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
async def test_whatever_is_no_prepay_id_is_away_with_its_reason(
    serve, script, pay_at, status, body
):
    service = script(SimReply(status, {}, body))
    with capture_logs() as logs, pytest.raises(ServiceAway):
        await prepare(pay_at(serve(service)))
    whys = [entry["why"] for entry in logs if entry["event"] == "no prepay_id"]
    assert len(whys) == 1
    assert whys[0].startswith(("HTTP ", "not verified: ") if status == 200 else f"HTTP {status}")
    assert len(service.heard) == 1


@a_payment
async def test_too_often_is_too_many(serve, script, pay_at):
    service = script(SimReply(429, {}, b'{"code":"FREQUENCY_LIMITED"}'))
    with pytest.raises(TooMany):
        await prepare(pay_at(serve(service)))


@a_payment
async def test_a_system_error_is_asked_again_with_the_same_request(serve, script, pay_at, merchant):
    service = script(SimReply(500, {}, b""), reply_of(merchant["responses"][0]))
    await prepare(pay_at(serve(service)))
    assert len(service.heard) == 2
    assert service.heard[0].body == service.heard[1].body


@a_payment
@pytest.mark.parametrize("trouble", [503, 3.0])
async def test_an_outage_is_away(simulator, sim_url, pay_at, trouble):
    simulator.outage["pay"] = trouble
    with pytest.raises(ServiceAway):
        await prepare(pay_at(sim_url, timeout=0.1))


@a_payment
async def test_the_same_order_gets_the_same_prepay_id_and_another_content_none(
    simulator, sim_url, pay_at
):
    pay = pay_at(sim_url)
    first, second = await prepare(pay), await prepare(pay)
    assert first["package"] == second["package"]
    assert first["nonceStr"] != second["nonceStr"]
    with pytest.raises(ServiceAway):
        await prepare(pay, fen=601)
    assert simulator.log[-1]["outcome"] == "OUT_TRADE_NO_USED"


@a_payment
async def test_a_wrong_private_key_is_found_out(sim_url, simulator, pay_at, merchant):
    other = merchant["platform"]["private_key_pem"]
    with pytest.raises(ServiceAway):
        await prepare(pay_at(sim_url, private_key=other))
    assert simulator.log[-1]["outcome"] == "SIGN_ERROR"


@a_payment
async def test_nothing_secret_is_logged(serve, script, pay_at, merchant):
    service = script(SimReply(401, {}, json.dumps({"code": "SIGN_ERROR"}).encode()))
    with capture_logs() as logs, pytest.raises(ServiceAway):
        await prepare(pay_at(serve(service)))
    heard = service.heard[0].header("Authorization")
    assert logs
    for secret in (heard.split('signature="')[1][:40], merchant["apiv3_key"], OPENID):
        assert secret not in repr(logs)


def test_an_unreadable_key_stops_the_start(merchant, reach, io_loop):
    with pytest.raises(ValueError, match="RSA key"):
        JsapiPay(reach("pay", "http://x"), "1", "2", "no key", {}, "3", "https://n")


# ---- asking and closing


@a_payment
async def test_an_order_is_asked_about_until_it_is_paid(simulator, sim_url, pay_at):
    pay = pay_at(sim_url)
    assert await pay.query(THE_ORDER) is None, "it has never got there"
    await prepare(pay)
    assert await pay.query(THE_ORDER) is None
    taken = simulator.pay.take(ORDER)
    assert await pay.query(THE_ORDER) == Payment(
        "jsapi", ORDER, taken["transaction_id"], 600, openid=OPENID, app_id=APP
    )
    paths = [entry["path"] for entry in simulator.log if entry["service"] == "pay"]
    assert paths[0] == f"/v3/pay/transactions/out-trade-no/{ORDER}"


@a_payment
async def test_a_closed_order_cannot_be_paid_and_closing_is_safe_to_repeat(
    simulator, sim_url, pay_at
):
    pay = pay_at(sim_url)
    await pay.close(THE_ORDER)  # nothing there to close
    await prepare(pay)
    for _ in range(2):
        await pay.close(THE_ORDER)
    assert simulator.pay.take(ORDER) is None
    assert await pay.query(THE_ORDER) is None
    assert [entry["outcome"] for entry in simulator.log][-1] == "ok"


@a_payment
async def test_an_order_that_was_paid_a_moment_before_is_not_closed(simulator, sim_url, pay_at):
    pay = pay_at(sim_url)
    await prepare(pay)
    simulator.pay.take(ORDER)
    await pay.close(THE_ORDER)
    assert simulator.pay.closed == set()
    assert (await pay.query(THE_ORDER)).order == ORDER


@a_payment
@pytest.mark.parametrize("trouble", [401, 404, 429, 503])
async def test_an_answer_to_a_query_that_proves_nothing_is_away(
    simulator, sim_url, pay_at, trouble
):
    pay = pay_at(sim_url)
    await prepare(pay)
    simulator.pay.take(ORDER)
    simulator.outage["pay"] = trouble
    with pytest.raises(ServiceAway):
        await pay.query(THE_ORDER)
    with pytest.raises(ServiceAway):
        await pay.close(THE_ORDER)
    simulator.outage.clear()
    assert await pay.query(THE_ORDER) is not None


@a_payment
@pytest.mark.parametrize(
    "other", [{"mchid": "1"}, {"out_trade_no": "Q2"}, {"trade_state": "SUCCESS", "amount": 5}]
)
async def test_an_answer_about_something_else_is_away(simulator, sim_url, pay_at, other):
    pay = pay_at(sim_url)
    await prepare(pay)
    simulator.pay.take(ORDER).update(other)
    with pytest.raises(ServiceAway):
        await pay.query(THE_ORDER)


@a_payment
async def test_an_unsigned_answer_to_a_query_is_away(serve, script, pay_at):
    unsigned = SimReply(200, {}, json.dumps({"trade_state": "NOTPAY"}).encode())
    with pytest.raises(ServiceAway):
        await pay_at(serve(script(unsigned))).query(THE_ORDER)
