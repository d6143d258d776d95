import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.sections import PaySettings, WithdrawSettings
from core.errors import RateLimited
from devtools.development_secrets import DevSecrets
from devtools.simulator.merchant import SimulatedMerchantApi
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from ledger.transfers import Transfer, TransferBody, TransferRequest, TransferState
from tencent.errors import MerchantRefused, ServiceUnavailable
from tencent.merchant import MerchantClient, read_key, sign
from tencent.service_client import ServiceClient
from tencent.transfers import TransferClient
from tests.support.tencent import Clock, Serve

async_test = pytest.mark.gen_test(timeout=20)

NUMBER, WECHAT_NUMBER = "W20250615230640001", "1330001900010932506150083551658036"
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
REQUEST = TransferRequest(NUMBER, "wxd678efh567hg6787", OPENID, 15_000, "张三")
BILLS = "/v3/fund-app/mch-transfer/transfer-bills"
CREATED = Transfer(
    NUMBER,
    TransferState.WAIT_USER_CONFIRM,
    WECHAT_NUMBER,
    package="ABBQO+oYAAABAAAAAAAk+t8mTEST0PACKAGE0INFO0NOT0REAL==",
)
Vectors = dict[str, Any]
BuildClient = Callable[..., TransferClient]


@pytest.fixture
def transfers_at(
    transfer_vectors: Vectors, make_service_client: Callable[..., ServiceClient], clock: Clock
) -> BuildClient:
    clock.now = 1_750_000_005
    own, platform = transfer_vectors["merchant"], transfer_vectors["platform"]

    def build(url: str = "http://127.0.0.1:9", timeout: float = 5.0) -> TransferClient:
        pay = PaySettings(
            mchid=transfer_vectors["mchid"],
            serial_no=own["serial_no"],
            private_key=own["private_key_pem"],
            public_key_id=platform["public_key_id"],
            public_key=platform["public_key_pem"],
            apiv3_key=transfer_vectors["apiv3_key"],
        )
        service = make_service_client("pay", url, timeout=timeout)
        return TransferClient(
            MerchantClient(service, pay, now=clock),
            "https://pay.example.com/wechat/transfer-notify",
            WithdrawSettings(remark="6月直播服务报酬"),
        )

    return build


def reply_of(case: Vectors, **changes: Any) -> SimulatorReply:
    body = changes.pop("body", case["body"])
    headers = {name: value for name, value in {**case["headers"], **changes}.items() if value}
    return SimulatorReply(case["status"], headers, body.encode())


def case_named(cases: list[Vectors], beginning: str) -> Vectors:
    return next(case for case in cases if case["name"].startswith(beginning))


# ---- request vectors


def test_request_signature_vectors_match(transfer_vectors: Vectors) -> None:
    own = transfer_vectors["merchant"]
    assert len(transfer_vectors["requests"]) == 5
    for case in transfer_vectors["requests"]:
        key, names = read_key(own["private_key_pem"]), ("timestamp", "nonce_str", "body")
        signed = (case["method"], case["url_path_and_query"], *(case[name] for name in names))
        assert f'signature="{sign(key, *signed)}"' in case["authorization"]


def test_body_equals_the_vectors(transfers_at: BuildClient, transfer_vectors: Vectors) -> None:
    named, unnamed = (case["body"] for case in transfer_vectors["requests"][:2])
    client = transfers_at()
    content = json.loads(client.body(REQUEST).text)
    content["user_name"] = transfer_vectors["oaep"]["cases"][0]["ciphertext"]
    assert json.dumps(content, ensure_ascii=False, separators=(",", ":")) == named
    second = replace(REQUEST, number="W20250615230640002", fen=2500, real_name="")
    content = json.loads(client.body(second).text)
    assert content.pop("notify_url")
    assert json.dumps(content, ensure_ascii=False, separators=(",", ":")) == unnamed


def test_name_is_left_out_where_wechat_takes_none(transfers_at: BuildClient) -> None:
    client = transfers_at()
    bodies = [json.loads(client.body(replace(REQUEST, fen=fen)).text) for fen in (29, 30)]
    assert ["user_name" in body for body in bodies] == [False, True]
    assert None not in bodies[0].values()


@async_test
async def test_authorization_of_a_request_equals_the_vector(
    serve: Serve,
    scripted_service: Any,
    transfers_at: BuildClient,
    transfer_vectors: Vectors,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = scripted_service(reply_of(transfer_vectors["responses"][1]))
    client = transfers_at(serve(service))
    case = case_named(transfer_vectors["requests"], "query by out_bill_no")
    clock.now = int(case["timestamp"])
    monkeypatch.setattr("tencent.merchant.secrets.token_hex", lambda _: case["nonce_str"])
    assert await client.query(NUMBER)
    assert service.requests[0].header("Authorization") == case["authorization"]


# ---- encryption of the name


def test_simulator_decrypts_the_vectors_and_refuses_others(transfer_vectors: Vectors) -> None:
    cases = transfer_vectors["oaep"]["cases"]
    assert len(cases) == 10
    pay = PaySettings(private_key=transfer_vectors["merchant"]["private_key_pem"])
    request = SimulatorRequest("POST", BILLS, {}, {"Wechatpay-Serial": ""}, b"")
    for case in cases:
        dev = DevSecrets(transfer_vectors[case["encrypted_for"]]["private_key_pem"])
        api = SimulatedMerchantApi((), pay, dev, lambda: 0.0)
        expected = case["plaintext"] if case["expect"] == "ok" else None
        assert api.decrypt(request, case["ciphertext"]) == expected, case["name"]


def test_more_than_214_bytes_cannot_be_encrypted(transfers_at: BuildClient) -> None:
    client = transfers_at()
    name = json.loads(client.body(replace(REQUEST, real_name="x" * 214)).text)["user_name"]
    assert len(base64.b64decode(name)) == 256
    with pytest.raises(ValueError, match="too long"):
        client.body(replace(REQUEST, real_name="x" * 215))


def test_openssl_decrypts_the_name(
    transfers_at: BuildClient, transfer_vectors: Vectors, tmp_path: Path
) -> None:
    openssl = shutil.which("openssl")
    assert openssl
    key = tmp_path / "key.pem"
    key.write_text(transfer_vectors["platform"]["private_key_pem"])
    padding = ("rsa_padding_mode:oaep", "rsa_oaep_md:sha1", "rsa_mgf1_md:sha1")
    options = [word for option in padding for word in ("-pkeyopt", option)]
    names = [json.loads(transfers_at().body(REQUEST).text)["user_name"] for _ in range(2)]
    assert names[0] != names[1]
    opened = subprocess.run(
        [openssl, "pkeyutl", "-decrypt", "-inkey", str(key), *options],
        input=base64.b64decode(names[0]),
        capture_output=True,
        check=True,
    )
    assert opened.stdout.decode() == "张三"


# ---- calls


@async_test
async def test_bill_is_sent_as_stored_and_its_package_returned(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, transfer_vectors: Vectors
) -> None:
    service = scripted_service(reply_of(transfer_vectors["responses"][0]))
    client = transfers_at(serve(service))
    body = client.body(REQUEST)
    assert await client.create(body) == CREATED
    (request,) = service.requests
    assert (request.method, request.path, request.body.decode()) == ("POST", BILLS, body.text)
    assert request.header("Content-Type") == request.header("Accept") == "application/json"
    assert request.header("Wechatpay-Serial") == transfer_vectors["platform"]["public_key_id"]


@async_test
async def test_bill_is_sent_with_the_serial_of_the_key_that_encrypted_its_name(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, transfer_vectors: Vectors
) -> None:
    service = scripted_service(*[reply_of(transfer_vectors["responses"][0])] * 3)
    client, current = transfers_at(serve(service)), transfer_vectors["platform"]["public_key_id"]
    named, unnamed = client.body(REQUEST), client.body(replace(REQUEST, real_name=""))
    assert (named.serial, unnamed.serial) == (current, "")
    before = TransferBody(named.text, "PUB_KEY_ID_0")  # stored before the key was replaced
    for body in (before, unnamed, TransferBody(named.text)):
        await client.create(body)
    sent = [request.header("Wechatpay-Serial") for request in service.requests]
    assert sent == ["PUB_KEY_ID_0", current, current]


@async_test
async def test_query_reads_amount_user_and_state(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, transfer_vectors: Vectors
) -> None:
    service = scripted_service(reply_of(transfer_vectors["responses"][1]))
    transfer = await transfers_at(serve(service)).query(NUMBER)
    assert transfer == Transfer(NUMBER, TransferState.SUCCESS, WECHAT_NUMBER, 15_000, OPENID)
    (request,) = service.requests
    path = case_named(transfer_vectors["requests"], "query by out_bill_no")["url_path_and_query"]
    assert (request.method, request.path, request.body) == ("GET", path, b"")


@async_test
async def test_cancel_has_no_body(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, transfer_vectors: Vectors
) -> None:
    service = scripted_service(reply_of(transfer_vectors["responses"][2]))
    transfer = await transfers_at(serve(service)).cancel("W20250615230640002")
    assert transfer.state == TransferState.CANCELING
    assert transfer.fen is None
    (request,) = service.requests
    case = case_named(transfer_vectors["requests"], "cancel")
    assert (request.path, request.body) == (case["url_path_and_query"], b"")


@async_test
async def test_error_vectors_are_refused_with_their_code(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, transfer_vectors: Vectors
) -> None:
    too_low, too_fast = (reply_of(case) for case in transfer_vectors["responses"][3:])
    client = transfers_at(serve(scripted_service(too_low, too_low, too_low, too_fast)))
    for call in (client.create(client.body(REQUEST)), client.query(NUMBER), client.cancel(NUMBER)):
        with pytest.raises(MerchantRefused) as refusal:
            await call
        assert refusal.value.code == "NOT_ENOUGH"
    for call in (client.create(client.body(REQUEST)), client.query(NUMBER), client.cancel(NUMBER)):
        with pytest.raises(RateLimited):
            await call


@async_test
@pytest.mark.parametrize(
    "changes",
    [
        {"Wechatpay-Signature": "AAAA"},
        {"Wechatpay-Serial": "7777777777777777777777777777777777777777"},
        {"Wechatpay-Timestamp": "1749999000"},
        {"body": '{"code":"NOT_FOUND"}'},
    ],
)
@pytest.mark.parametrize("index", [0, 3])
async def test_wrongly_signed_answer_is_unclear_also_if_it_refuses(
    serve: Serve,
    scripted_service: Any,
    transfers_at: BuildClient,
    transfer_vectors: Vectors,
    changes: dict[str, str | None],
    index: int,
) -> None:
    service = scripted_service(reply_of(transfer_vectors["responses"][index], **changes))
    client = transfers_at(serve(service))
    for call in (client.create(client.body(REQUEST)), client.query(NUMBER), client.cancel(NUMBER)):
        with pytest.raises(ServiceUnavailable) as failure:
            await call
        assert failure.value.code == "pay_away"


@async_test
async def test_success_without_a_signature_is_unclear(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, transfer_vectors: Vectors
) -> None:
    for index in (0, 1):
        answer = reply_of(transfer_vectors["responses"][index], **{"Wechatpay-Signature": None})
        client = transfers_at(serve(scripted_service(answer)))
        for call in (client.create(client.body(REQUEST)), client.query(NUMBER)):
            with pytest.raises(ServiceUnavailable):
                await call


@async_test
async def test_refusal_counts_without_a_signature(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient
) -> None:
    missing = SimulatorReply(404, {}, b'{"code":"NOT_FOUND"}')
    refused = SimulatorReply(403, {}, b'{"code":"NOT_ENOUGH"}')
    client = transfers_at(serve(scripted_service(missing, refused)))
    assert await client.query(NUMBER) is None
    with pytest.raises(MerchantRefused) as refusal:
        await client.create(client.body(REQUEST))
    assert refusal.value.code == "NOT_ENOUGH"


@async_test
@pytest.mark.parametrize("status", [204, 302, 404, 500, 503])
async def test_answer_without_a_code_is_unclear(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, status: int
) -> None:
    client = transfers_at(serve(scripted_service(SimulatorReply(status, {}, b"<html>"))))
    for call in (client.create(client.body(REQUEST)), client.query(NUMBER), client.cancel(NUMBER)):
        with pytest.raises(ServiceUnavailable):
            await call


@async_test
async def test_bill_is_sent_once_however_unclear_the_answer_is(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient
) -> None:
    service = scripted_service(SimulatorReply(500, {}, b'{"code":"SYSTEM_ERROR"}'))
    client = transfers_at(serve(service))
    with pytest.raises(ServiceUnavailable):
        await client.create(client.body(REQUEST))
    assert len(service.requests) == 1


@async_test
async def test_code_of_an_unverified_refusal_is_logged(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient
) -> None:
    wrong = {"Wechatpay-Signature": "AAAA"}
    service = scripted_service(SimulatorReply(401, wrong, b'{"code":"SIGN_ERROR"}'))
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await transfers_at(serve(service)).query(NUMBER)
    (entry,) = [entry for entry in logs if entry["event"] == "merchant_answer_unclear"]
    assert entry["number"] == NUMBER
    assert entry["why"].startswith("HTTP 401 SIGN_ERROR, ")


# ---- signed answers that are not in the vectors


def signed_reply(vectors: Vectors, content: Vectors, status: int = 200) -> SimulatorReply:
    """An answer signed with the platform's key, a second ago."""
    body = json.dumps(content)
    key = read_key(vectors["platform"]["private_key_pem"])
    headers = {
        "Wechatpay-Timestamp": "1750000004",
        "Wechatpay-Nonce": "nonce",
        "Wechatpay-Serial": vectors["platform"]["public_key_id"],
        "Wechatpay-Signature": sign(key, "1750000004", "nonce", body),
    }
    return SimulatorReply(status, headers, body.encode())


ANSWER = {
    "mchid": "1900000109",
    "out_bill_no": NUMBER,
    "transfer_bill_no": WECHAT_NUMBER,
    "state": "FAIL",
    "transfer_amount": 15_000,
    "fail_reason": "OVERDUE_CLOSE",
}


@async_test
async def test_unknown_bill_is_none_and_only_for_a_query(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, transfer_vectors: Vectors
) -> None:
    missing = signed_reply(transfer_vectors, {"code": "NOT_FOUND", "message": ""}, 404)
    client = transfers_at(serve(scripted_service(missing)))
    assert await client.query(NUMBER) is None
    with pytest.raises(MerchantRefused, match="NOT_FOUND"):
        await client.cancel(NUMBER)


@async_test
async def test_reason_of_a_failed_bill_is_read_under_either_name_of_the_merchant(
    serve: Serve, scripted_service: Any, transfers_at: BuildClient, transfer_vectors: Vectors
) -> None:
    reply = signed_reply(transfer_vectors, ANSWER)
    transfer = await transfers_at(serve(scripted_service(reply))).query(NUMBER)
    assert transfer
    assert (transfer.state, transfer.fail_reason) == (TransferState.FAIL, "OVERDUE_CLOSE")


@async_test
@pytest.mark.parametrize(
    "change",
    [
        {"mchid": "1900000999"},
        {"mchid": None},
        {"out_bill_no": "W2"},
        {"state": "PAID"},
        {"state": None},
        {"transfer_amount": "15000"},
        {"transfer_amount": -1},
        {"fail_reason": 5},
    ],
)
async def test_answer_about_another_bill_or_in_another_form_is_unclear(
    serve: Serve,
    scripted_service: Any,
    transfers_at: BuildClient,
    transfer_vectors: Vectors,
    change: Vectors,
) -> None:
    reply = signed_reply(transfer_vectors, {**ANSWER, **change})
    with pytest.raises(ServiceUnavailable):
        await transfers_at(serve(scripted_service(reply))).query(NUMBER)
