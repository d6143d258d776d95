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
    own, platform = merchant["merchant"], merchant["platform"]
    key = read_key(own["private_key_pem"])
    platform_keys = {platform["public_key_id"]: read_key(platform["public_key_pem"])}

    def send(content=ORDER, *, signed=None, at=None, **headers):
        body = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        stamp, nonce = str(int(clock.now if at is None else at)), "593BEC0C930BF1AFEB40B4A08C8FB242"
        signature = sign(key, "POST", PATH, stamp, nonce, body if signed is None else signed)
        authorization = (
            f'{SCHEME} mchid="{merchant["mchid"]}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{stamp}",serial_no="{own["serial_no"]}"'
        )
        all_headers = {"Authorization": authorization, **headers}
        reply = simulator.pay.jsapi(SimulatorRequest("POST", PATH, {}, all_headers, body.encode()))
        verify(reply.headers, reply.body, platform_keys, clock.now)
        answer = json.loads(reply.body)
        return reply.status, answer.get("code") or answer["prepay_id"]

    return send


def test_order_keeps_its_prepay_id_and_its_number_is_not_used_again(call):
    status, prepay_id = call()
    assert (status, prepay_id[:2]) == (200, "wx")
    assert call() == (200, prepay_id)
    assert call({**ORDER, "out_trade_no": "T20231115061320002"})[1] != prepay_id
    changed = {**ORDER, "amount": {"total": 101, "currency": "CNY"}}
    assert call(changed) == (403, "OUT_TRADE_NO_USED")


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
    assert call(**change) == (401, "SIGN_ERROR")
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
        headers = {"authorization": header}
        request = SimulatorRequest("POST", PATH, {}, headers, case["body"].encode())
        assert simulator.pay.jsapi(request).status == status


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        ("no json", {}),
        ("[]", {}),
        ({**ORDER, "mchid": "1"}, {}),
        ({**ORDER, "appid": "wx0"}, {}),
        (ORDER, {"Wechatpay-Serial": "PUB_KEY_ID_0"}),
    ],
)
def test_invalid_request_is_400(call, simulator, content, headers):
    assert call(content, **headers)[0] == 400
    assert simulator.pay.orders == {}
