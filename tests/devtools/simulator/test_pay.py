"""Requests that the simulated WeChat Pay refuses; tests of the server's client show its orders."""

import json

import pytest

from devtools.simulator.wire import SimulatorRequest
from tencent.merchant import SCHEME, read_key, sign, verify


@pytest.fixture
def call(simulator, merchant, clock):
    own, platform = merchant["merchant"], merchant["platform"]
    key = read_key(own["private_key_pem"])
    platform_keys = {platform["public_key_id"]: read_key(platform["public_key_pem"])}

    def send(body, authorization=None, *, at=None, **headers):
        path, stamp = "/v3/pay/transactions/jsapi", str(int(clock.now if at is None else at))
        signature = sign(key, "POST", path, stamp, "nonce", body)
        signed = (
            f'{SCHEME} mchid="{merchant["mchid"]}",nonce_str="nonce",signature="{signature}",'
            f'timestamp="{stamp}",serial_no="{own["serial_no"]}"'
        )
        headers["Authorization"] = signed if authorization is None else authorization
        order = simulator.merchant_api.verified(simulator.pay.jsapi)
        reply = order(SimulatorRequest("POST", path, {}, headers, body.encode()))
        verify(reply.headers, reply.body, platform_keys, clock.now)
        return reply.status

    return send


def test_known_signature_is_accepted_and_a_stale_or_altered_one_is_not(call, simulator, merchant):
    case = merchant["requests"][0]
    body, valid = case["body"], case["authorization"]
    for authorization in (
        "",
        "Bearer x",
        valid.replace("1900000109", "1900000108"),
        valid.replace('serial_no="4', 'serial_no="5'),
        valid.replace('signature="fR', 'signature="Rf'),
        valid.replace('signature="f', 'signature="!'),
    ):
        assert call(body, authorization) == 401
    assert call(body + " ", valid) == 401
    for at in (1_699_999_699, 1_700_000_301):
        assert call(body, at=at) == 401
    assert simulator.pay.orders == {}
    assert call(body, valid) == 200


def test_invalid_request_is_400(call, simulator, merchant):
    order = json.loads(merchant["requests"][0]["body"])
    for body in ("no json", "[]", *(json.dumps({**order, n: "1"}) for n in ("mchid", "appid"))):
        assert call(body) == 400
    assert call(json.dumps(order), **{"Wechatpay-Serial": "PUB_KEY_ID_0"}) == 400
    assert simulator.pay.orders == {}
