import json
from dataclasses import replace

import pytest

from config.sections import PaySettings, WithdrawSettings
from core.errors import RateLimited
from devtools.simulator.merchant import SimulatedMerchantApi
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from ledger.transfers import Transfer, TransferBody, TransferRequest, TransferState
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.transfers import TransferClient
from tests.support.tencent import merchant_client, signed_reply

NUMBER, WECHAT_NUMBER = "W20250615230640001", "1330001900010932506150083551658036"
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
REQUEST = TransferRequest(NUMBER, "wxd678efh567hg6787", OPENID, 15_000, "张三")
BILLS = "/v3/fund-app/mch-transfer/transfer-bills"


@pytest.fixture
def client_at(transfer_vectors, make_service_client, clock):
    clock.now = 1_750_000_005

    def build(url="http://127.0.0.1:9"):
        return TransferClient(
            merchant_client(transfer_vectors, make_service_client("pay", url), clock),
            "https://pay.example.com/wechat/transfer-notify",
            WithdrawSettings(remark="6月直播服务报酬"),
        )

    return build


@pytest.fixture
def replies(transfer_vectors):
    """The answers of the vectors: to a new bill, a query, a cancellation, and two refusals."""
    return [
        SimulatorReply(case["status"], case["headers"], case["body"].encode())
        for case in transfer_vectors["responses"]
    ]


def request_named(vectors, beginning):
    return next(case for case in vectors["requests"] if case["name"].startswith(beginning))


# ---- the body of a bill, and the name in it


def test_body_equals_the_vectors(client_at, transfer_vectors):
    named, unnamed = (case["body"] for case in transfer_vectors["requests"][:2])
    client = client_at()
    content = json.loads(client.body(REQUEST).text)
    content["user_name"] = transfer_vectors["oaep"]["cases"][0]["ciphertext"]
    assert json.dumps(content, ensure_ascii=False, separators=(",", ":")) == named
    second = replace(REQUEST, number="W20250615230640002", fen=2500, real_name="")
    content = json.loads(client.body(second).text)
    assert content.pop("notify_url")
    assert json.dumps(content, ensure_ascii=False, separators=(",", ":")) == unnamed


def test_name_is_left_out_of_small_bills_and_has_at_most_214_bytes(client_at):
    client = client_at()
    for fen, is_named in ((29, False), (30, True)):
        assert ("user_name" in json.loads(client.body(replace(REQUEST, fen=fen)).text)) == is_named
    client.body(replace(REQUEST, real_name="x" * 214))
    with pytest.raises(ValueError, match="too long"):
        client.body(replace(REQUEST, real_name="x" * 215))


def test_simulator_decrypts_the_vectors_and_refuses_others(transfer_vectors):
    cases = transfer_vectors["oaep"]["cases"]
    assert len(cases) == 10
    pay = PaySettings(private_key=transfer_vectors["merchant"]["private_key_pem"])
    request = SimulatorRequest("POST", BILLS, {}, {"Wechatpay-Serial": ""}, b"")
    for case in cases:
        key = transfer_vectors[case["encrypted_for"]]["private_key_pem"]
        api = SimulatedMerchantApi((), pay, key, lambda: 0.0)
        expected = case["plaintext"] if case["expect"] == "ok" else None
        assert api.decrypt(request, case["ciphertext"]) == expected, case["name"]


# ---- calls


async def test_bill_is_sent_as_stored_and_its_package_returned(scripted, replies, transfer_vectors):
    client, service = scripted(replies[0])
    body = client.body(REQUEST)
    package = "ABBQO+oYAAABAAAAAAAk+t8mTEST0PACKAGE0INFO0NOT0REAL=="
    created = Transfer(NUMBER, TransferState.WAIT_USER_CONFIRM, WECHAT_NUMBER, package=package)
    assert await client.create(body) == created
    (request,) = service.requests
    assert (request.method, request.path, request.body.decode()) == ("POST", BILLS, body.text)
    assert request.header("Content-Type") == request.header("Accept") == "application/json"
    assert request.header("Wechatpay-Serial") == transfer_vectors["platform"]["public_key_id"]


async def test_bill_is_sent_with_the_serial_of_the_key_that_encrypted_its_name(
    scripted, replies, transfer_vectors
):
    client, service = scripted(replies[0])
    current = transfer_vectors["platform"]["public_key_id"]
    named, unnamed = client.body(REQUEST), client.body(replace(REQUEST, real_name=""))
    assert (named.serial, unnamed.serial) == (current, "")
    before = TransferBody(named.text, "PUB_KEY_ID_0")  # stored before the key was replaced
    for body in (before, unnamed, TransferBody(named.text)):
        await client.create(body)
    sent = [request.header("Wechatpay-Serial") for request in service.requests]
    assert sent == ["PUB_KEY_ID_0", current, current]


async def test_query_reads_amount_user_and_state_and_cancel_has_no_body(
    scripted, replies, transfer_vectors, clock, monkeypatch
):
    client, service = scripted(*replies[1:3])
    case = request_named(transfer_vectors, "query by out_bill_no")
    clock.now = int(case["timestamp"])
    monkeypatch.setattr("tencent.merchant.secrets.token_hex", lambda _: case["nonce_str"])
    paid = Transfer(NUMBER, TransferState.SUCCESS, WECHAT_NUMBER, 15_000, OPENID)
    paid = replace(paid, app_id=transfer_vectors["appid"])
    assert await client.query(NUMBER) == paid
    transfer = await client.cancel("W20250615230640002")
    assert (transfer.state, transfer.fen) == (TransferState.CANCELING, None)
    query, cancel = service.requests
    assert (query.method, query.path, query.body) == ("GET", case["url_path_and_query"], b"")
    assert query.header("Authorization") == case["authorization"]
    case = request_named(transfer_vectors, "cancel")
    assert (cancel.path, cancel.body) == (case["url_path_and_query"], b"")


async def test_refusal_vectors_have_their_code_and_one_of_too_many_requests_is_rate_limited(
    scripted, replies
):
    client, _ = scripted(*replies[3:])
    with pytest.raises(MerchantRefused, match="NOT_ENOUGH"):
        await client.create(client.body(REQUEST))
    with pytest.raises(RateLimited):
        await client.cancel(NUMBER)


async def test_bill_is_sent_once_also_if_the_answer_is_unclear(scripted):
    client, service = scripted(SimulatorReply(500, {}, b'{"code":"SYSTEM_ERROR"}'))
    with pytest.raises(ServiceUnavailable):
        await client.create(client.body(REQUEST))
    assert len(service.requests) == 1


async def test_unknown_bill_is_none_and_only_for_a_query(scripted):
    client, _ = scripted(SimulatorReply(404, {}, b'{"code": "NOT_FOUND"}'))
    assert await client.query(NUMBER) is None
    with pytest.raises(MerchantRefused, match="NOT_FOUND"):
        await client.cancel(NUMBER)


ANSWER = {
    "mchid": "1900000109",
    "out_bill_no": NUMBER,
    "transfer_bill_no": WECHAT_NUMBER,
    "state": "FAIL",
    "transfer_amount": 15_000,
    "fail_reason": "OVERDUE_CLOSE",
}


async def test_answer_about_another_bill_or_in_another_form_is_unclear(scripted, transfer_vectors):
    answers = [
        signed_reply(transfer_vectors, {**ANSWER, **change}, 1_750_000_004)
        for change in ({}, {"mchid": "1900000999"}, {"out_bill_no": "W2"}, {"state": "PAID"})
    ]
    client, _ = scripted(*answers)
    assert (await client.query(NUMBER)).fail_reason == "OVERDUE_CLOSE"
    for _ in answers[1:]:
        with pytest.raises(ServiceUnavailable):
            await client.query(NUMBER)
