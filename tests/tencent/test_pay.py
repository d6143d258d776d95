import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from structlog.testing import capture_logs

from rooms.refusals import ServiceAway, TooMany
from tencent.pay import JsapiPay
from tencent.simulator.wire import SimReply

a_payment = pytest.mark.gen_test(timeout=20)

APP, OPENID, ORDER = "wxd678efh567hg6787", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "T20231115061320001"
EXPIRES = datetime(2023, 11, 14, 22, 43, 20, tzinfo=UTC)  # half an hour after the tests' clock


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
    order = {
        "order_no": ORDER,
        "app_id": APP,
        "openid": OPENID,
        "fen": 600,
        "description": "金币 60",
        "expires": EXPIRES,
        **other,
    }
    return pay.prepare(**order)


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
    await prepare(pay_at(sim_url), description="金" * 200)
    assert simulator.pay.orders[ORDER] == {
        "appid": APP,
        "mchid": "1900000109",
        "description": "金" * 127,
        "out_trade_no": ORDER,
        "time_expire": "2023-11-15T06:43:20+08:00",
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
    assert whys[0].startswith(f"HTTP {status}")
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
async def test_an_expiry_in_any_zone_is_told_in_chinas(simulator, sim_url, pay_at):
    zone = timezone(timedelta(hours=-5))
    await prepare(pay_at(sim_url), expires=EXPIRES.astimezone(zone))
    assert simulator.pay.orders[ORDER]["time_expire"] == "2023-11-15T06:43:20+08:00"


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
