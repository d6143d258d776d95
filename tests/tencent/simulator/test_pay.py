import json

import pytest

from tencent.paysign import read_key, sign_request, verify
from tencent.simulator.wire import SimRequest

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
def ask(simulator, merchant, clock):
    own = merchant["merchant"]
    key = read_key(own["private_key_pem"])
    theirs = {
        merchant["platform"]["public_key_id"]: read_key(merchant["platform"]["public_key_pem"])
    }

    def call(content=ORDER, *, method="POST", signed=None, at=None, **headers):
        body = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        authorization = sign_request(
            key,
            merchant["mchid"],
            own["serial_no"],
            method,
            PATH,
            body if signed is None else signed,
            now=int(clock.now if at is None else at),
            nonce="593BEC0C930BF1AFEB40B4A08C8FB242",
        )
        given = {"Authorization": authorization, **headers}
        reply = simulator.pay.jsapi(SimRequest(method, PATH, {}, given, body.encode()))
        verify(reply.headers, reply.body, theirs, clock.now)
        return reply.status, json.loads(reply.body)

    return call


def test_an_order_gets_a_prepay_id_and_keeps_it(ask):
    status, answer = ask()
    assert status == 200
    assert answer["prepay_id"].startswith("wx")
    assert ask() == (200, answer)
    assert ask({**ORDER, "out_trade_no": "T20231115061320002"})[1] != answer


def test_an_order_number_is_not_reused_for_other_content(ask):
    ask()
    status, answer = ask({**ORDER, "amount": {"total": 101, "currency": "CNY"}})
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
def test_a_request_that_is_not_signed_well_is_401(ask, simulator, change):
    status, answer = ask(**change)
    assert (status, answer["code"]) == (401, "SIGN_ERROR")
    assert simulator.pay.orders == {}


def test_a_known_signature_is_taken_and_an_altered_one_not(simulator, merchant):
    case = merchant["requests"][0]
    good = case["authorization"]
    for header, status in (
        (good, 200),
        (good.replace("1900000109", "1900000108"), 401),
        (good.replace('serial_no="4', 'serial_no="5'), 401),
        (good.replace('signature="fR', 'signature="Rf'), 401),
        (good.replace('signature="f', 'signature="!'), 401),
    ):
        request = SimRequest("POST", PATH, {}, {"authorization": header}, case["body"].encode())
        assert simulator.pay.jsapi(request).status == status


@pytest.mark.parametrize(
    "change",
    [
        {"description": ""},
        {"description": "金" * 128},
        {"out_trade_no": "short"},
        {"out_trade_no": "with space"},
        {"out_trade_no": "a" * 33},
        {"notify_url": "ftp://x"},
        {"notify_url": "https://pay.example.com/notify?x=1"},
        {"amount": {"total": 0}},
        {"amount": {"total": "100"}},
        {"amount": {"total": 1.5}},
        {"amount": 100},
        {"payer": {}},
        {"payer": "o1"},
        {"time_expire": "soon"},
        {"time_expire": "2023-11-15T06:43:20"},
        {"time_expire": "2023-11-15T06:14:19+08:00"},
        {"time_expire": "2024-11-15T06:13:20+08:00"},
    ],
)
def test_a_bad_parameter_is_400_and_named(ask, change):
    status, answer = ask({**ORDER, **change})
    assert (status, answer["code"]) == (400, "PARAM_ERROR")
    assert answer["message"] == next(iter(change))


@pytest.mark.parametrize("body", ["", "no json", "[]"])
def test_a_body_that_is_no_object_is_400(ask, body):
    assert ask(body)[0] == 400


def test_a_good_expiry_is_taken(ask):
    assert ask({**ORDER, "time_expire": "2023-11-15T06:14:20+08:00"})[0] == 200


@pytest.mark.parametrize("change", [{"mchid": "1"}, {"appid": "wx0"}])
def test_an_app_and_a_merchant_that_do_not_belong_together_are_refused(ask, change):
    status, answer = ask({**ORDER, **change})
    assert (status, answer["code"]) == (400, "APPID_MCHID_NOT_MATCH")


def test_answers_signed_with_an_unknown_key_cannot_be_asked_for(ask, merchant):
    known = merchant["platform"]["public_key_id"]
    assert ask(**{"Wechatpay-Serial": known})[0] == 200
    assert ask(**{"Wechatpay-Serial": "PUB_KEY_ID_0"})[0] == 400


def test_only_a_post_makes_an_order(ask):
    assert ask(method="GET")[0] == 405
