import json

import pytest

from devtools.simulator.wire import SimulatorRequest
from tencent.merchant import SCHEME, read_key, sign, verify

PATH = "/v3/pay/transactions/jsapi"
ORDER = {
    "appid": "wxd678efh567hg6787",
    "mchid": "1900000109",
    "description": "金币",
    "out_trade_no": "T20231115061320001",
    "notify_url": "https://pay.example.com/wechat/notify",
    "amount": {"total": 100, "currency": "CNY"},
    "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
}


@pytest.fixture
def call(simulator, merchant, clock):
    own = merchant["merchant"]
    key = read_key(own["private_key_pem"])
    platform_keys = {
        merchant["platform"]["public_key_id"]: read_key(merchant["platform"]["public_key_pem"])
    }

    def send(content=ORDER, *, method="POST", signed=None, at=None, **headers):
        body = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        stamp, nonce = str(int(clock.now if at is None else at)), "593BEC0C930BF1AFEB40B4A08C8FB242"
        signature = sign(key, method, PATH, stamp, nonce, body if signed is None else signed)
        authorization = (
            f'{SCHEME} mchid="{merchant["mchid"]}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{stamp}",serial_no="{own["serial_no"]}"'
        )
        all_headers = {"Authorization": authorization, **headers}
        reply = simulator.pay.jsapi(SimulatorRequest(method, PATH, {}, all_headers, body.encode()))
        verify(reply.headers, reply.body, platform_keys, clock.now)
        return reply.status, json.loads(reply.body)

    return send


def test_order_keeps_its_prepay_id(call):
    status, answer = call()
    assert status == 200
    assert answer["prepay_id"].startswith("wx")
    assert call() == (200, answer)
    assert call({**ORDER, "out_trade_no": "T20231115061320002"})[1] != answer


def test_order_number_cannot_be_reused_for_other_content(call):
    call()
    status, answer = call({**ORDER, "amount": {"total": 101, "currency": "CNY"}})
    assert (status, answer["code"]) == (403, "OUT_TRADE_NO_USED")


@pytest.mark.parametrize(
    "change",
    [
        {"signed": "another body"},
        {"at": 1_699_999_699},
        {"at": 1_700_000_301},
        {"Authorization": ""},
        {"Authorization": "Bearer x"},
        {"Authorization": 'WECHATPAY2-SHA256-RSA2048 mchid="1900000109"'},
    ],
)
def test_request_with_invalid_signature_is_401(call, simulator, change):
    status, answer = call(**change)
    assert (status, answer["code"]) == (401, "SIGN_ERROR")
    assert simulator.pay.orders == {}


def test_known_signature_is_accepted_and_an_altered_one_is_not(simulator, merchant):
    case = merchant["requests"][0]
    valid = case["authorization"]
    for header, status in (
        (valid, 200),
        (valid.replace("1900000109", "1900000108"), 401),
        (valid.replace('serial_no="4', 'serial_no="5'), 401),
        (valid.replace('signature="fR', 'signature="Rf'), 401),
        (valid.replace('signature="f', 'signature="!'), 401),
    ):
        request = SimulatorRequest(
            "POST", PATH, {}, {"authorization": header}, case["body"].encode()
        )
        assert simulator.pay.jsapi(request).status == status


@pytest.mark.parametrize("body", ["", "no json", "[]"])
def test_body_that_is_no_json_object_is_400(call, body):
    assert call(body)[0] == 400


@pytest.mark.parametrize("change", [{"mchid": "1"}, {"appid": "wx0"}])
def test_app_and_merchant_must_match(call, change):
    status, answer = call({**ORDER, **change})
    assert (status, answer["code"]) == (400, "APPID_MCHID_NOT_MATCH")


def test_unknown_platform_key_in_the_serial_header_is_400(call, merchant):
    known = merchant["platform"]["public_key_id"]
    assert call(**{"Wechatpay-Serial": known})[0] == 200
    assert call(**{"Wechatpay-Serial": "PUB_KEY_ID_0"})[0] == 400
