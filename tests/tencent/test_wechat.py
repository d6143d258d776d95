"""WeChat's login: the exchange of codes and the encrypted profile; and content security."""

import base64
import json

import pytest
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from structlog.testing import capture_logs

from core.errors import RateLimited
from devtools.simulator.wire import SimulatorReply
from rooms.moderation import Verdict
from tencent import wechat as module
from tencent.errors import (
    InvalidEncryptedData,
    InvalidWechatCode,
    ServiceUnavailable,
    UnknownApp,
    Unreadable,
    WechatBlocked,
)
from tencent.wechat import (
    AccessTokenCache,
    ContentSecurityClient,
    WechatApi,
    WechatClient,
    WechatLogin,
    WechatProfile,
    decrypt_open_data,
    parse_media_event,
    parse_profile,
)

APP = "wxd678efh567hg6787"
APPS = {APP: "s3cret"}
SUCCESS = {"openid": "o1", "session_key": "tiihtNczf5v6AKRyjwEUhQ=="}
EXPECTED = {
    "bad_code": InvalidWechatCode,
    "bad_request": InvalidWechatCode,
    "risk_user": WechatBlocked,
    "rate_limited": RateLimited,
    "retry": ServiceUnavailable,
    "config_error": ServiceUnavailable,
}


# ---- exchange of a code


@pytest.fixture
def client_at(make_service_client, monkeypatch):
    monkeypatch.setattr(module, "BUSY_PAUSE_SECONDS", 0.001)
    return lambda url: WechatClient(make_service_client("wechat", url), APPS)


async def test_code_is_exchanged_for_openid_and_session_key(scripted):
    client, service = scripted(SUCCESS)
    login = await client.exchange(APP, "c0de")
    assert login == WechatLogin("o1", SUCCESS["session_key"])
    assert SUCCESS["session_key"] not in repr(login)
    request = service.requests[0]
    assert (request.method, request.path) == ("GET", "/sns/jscode2session")
    assert request.query == {
        "appid": APP,
        "secret": "s3cret",
        "js_code": "c0de",
        "grant_type": "authorization_code",
    }


async def test_documented_answers_map_to_logins_or_errors(scripted, vectors):
    for case in vectors("wechat_login")["jscode2session"]["responses"]:
        client, _ = scripted(case["body"])
        if case["expect"] == "ok":
            login = await client.exchange(APP, "c0de")
            assert login.openid == case["body"]["openid"]
        else:
            with pytest.raises(EXPECTED[case["expect"]]):
                await client.exchange(APP, "c0de")


async def test_unknown_app_is_refused_without_a_request(scripted):
    client, service = scripted(SUCCESS)
    with pytest.raises(UnknownApp):
        await client.exchange("wx0", "c0de")
    assert service.requests == []


async def test_busy_answer_is_retried_once(scripted):
    busy = {"errcode": -1, "errmsg": "system error"}
    client, service = scripted(busy, SUCCESS)
    assert (await client.exchange(APP, "c0de")).openid == "o1"
    client, service = scripted(busy, busy, SUCCESS)
    with pytest.raises(ServiceUnavailable):
        await client.exchange(APP, "c0de")
    assert len(service.requests) == 2


async def test_unclear_answer_is_not_retried_because_the_code_is_used_up(scripted):
    unreadable = (b"<html>", b"{}", b'{"openid":"o1"}', b'{"openid":1,"session_key":"k"}')
    replies = [SimulatorReply(200, {}, body) for body in unreadable]
    for reply in (SimulatorReply(502, {}, b""), *replies):
        client, service = scripted(reply)
        with pytest.raises(ServiceUnavailable) as failure:
            await client.exchange(APP, "c0de")
        assert (failure.value.code, len(service.requests)) == ("wechat_away", 1)


async def test_misconfiguration_is_logged_as_an_error_without_the_secret(scripted):
    levels = dict.fromkeys((40013, 41002, 41004, 40125), "error")
    for errcode, level in {**levels, 99999: "warning"}.items():
        client, _ = scripted({"errcode": errcode, "errmsg": "rid"})
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
            await client.exchange(APP, "c0de")
        failures = [(entry["log_level"], entry["errcode"]) for entry in logs if "errcode" in entry]
        assert failures == [(level, errcode)]
        assert not any(secret in repr(logs) for secret in ("s3cret", "c0de"))


# ---- encrypted profile

KEY, IV = base64.b64encode(b"k" * 16).decode(), base64.b64encode(b"i" * 16).decode()


def encrypt(plain, *, padded=True):
    data = pad(plain, 16) if padded else plain
    return base64.b64encode(AES.new(b"k" * 16, AES.MODE_CBC, b"i" * 16).encrypt(data)).decode()


def with_watermark(**content):
    return json.dumps({**content, "watermark": {"appid": APP}}).encode()


@pytest.fixture
def cases(vectors):
    return vectors("wechat_login")["decrypt"]


def decrypt_case(case):
    return decrypt_open_data(case["session_key"], case["encryptedData"], case["iv"], case["appid"])


def test_vectors_decrypt_or_are_refused(cases):
    valid = [case for case in cases if case["expect"] == "ok"]
    assert (len(valid), len(cases)) == (3, 8)
    for case in cases:  # among the invalid ones the official sample with the misprinted IV
        if case in valid:
            assert decrypt_case(case) == json.loads(case["plaintext"])
        else:
            with pytest.raises(InvalidEncryptedData):
                decrypt_case(case)


def test_line_breaks_and_spaces_in_base64_are_repaired(cases):
    case = dict(cases[0])
    data = case["encryptedData"]
    assert "+" in data
    wrapped = "\r\n  ".join(data[at : at + 76] for at in range(0, len(data), 76)) + "\n"
    for text in (wrapped, data.replace("+", " "), f" {data} ", f"\t{data}"):
        assert decrypt_case({**case, "encryptedData": text}) == decrypt_case(case)
    assert decrypt_case({**case, "iv": case["iv"] + "\n"}) == decrypt_case(case)
    encrypted = ((n, encrypt(with_watermark(n=n))) for n in range(1000))
    number, data = next((n, data) for n, data in encrypted if data.startswith("+"))
    assert decrypt_open_data(KEY, " " + data[1:], IV, APP)["n"] == number


def test_invalid_ciphertext_content_or_key_is_refused():
    valid = encrypt(with_watermark())
    assert decrypt_open_data(KEY, valid, IV, APP)
    invalid = (
        *("", "not base64!", "é"),
        *map(encrypt, (b"no json", b"[1]", b"{}", b'{"watermark": 1}', b"[" * 100_000)),
        encrypt(b'{"watermark": {"appid": "wx2"}}'),
        encrypt(with_watermark() + b"\xff"),
        encrypt(with_watermark().ljust(79) + b"\x00", padded=False),
        encrypt(with_watermark().ljust(78) + b"\x01\x02", padded=False),
    )
    cases = [(KEY, data, IV) for data in invalid]
    for wrong in ("", "AAAA", base64.b64encode(b"x" * 32).decode()):
        cases += [(wrong, valid, IV), (KEY, valid, wrong)]
    for key, data, iv in cases:
        with pytest.raises(InvalidEncryptedData):
            decrypt_open_data(key, data, iv, APP)


def test_a_profile_is_parsed_and_placeholders_and_invalid_values_are_unset(cases):
    data = {"openId": "o1", "nickName": " 小红 ", "gender": 2, "avatarUrl": "https://a/b"}
    assert parse_profile(data) == WechatProfile("o1", "小红", 2, "https://a/b")
    modern = next(case for case in cases if "anonymised" in case["name"])
    assert parse_profile(decrypt_case(modern)) == WechatProfile(None, "", 0, "")
    for gender in (3, -1, "1", None, True, 1.0, [1]):
        assert parse_profile({"gender": gender}).gender == 0
    for avatar_url in ("", "javascript:x", None, 5, "https://" + "a" * 512):
        profile = parse_profile({"nickName": "a", "avatarUrl": avatar_url})
        assert profile == WechatProfile(None, "a", 0, "")


# ---- content security

ALICE = (APP, "oAlice")
TOKEN = {"access_token": "t", "expires_in": 7200}
PASS = {"errcode": 0, "trace_id": "t1", "result": {"suggest": "pass", "label": 100}}
URL = "https://pictures.example.com/a.jpg"


@pytest.fixture
def scripted_checks(scripted, make_service_client):
    def checks_at(url):
        client = make_service_client("wechat", url)
        return ContentSecurityClient(WechatApi(client, AccessTokenCache(client, APPS)))

    return lambda *replies: scripted(*replies, at=checks_at)


async def test_a_text_is_sent_as_it_is_in_the_name_of_its_author(scripted_checks):
    client, service = scripted_checks(TOKEN, PASS)
    assert await client.check_text(*ALICE, "你好") == Verdict("pass", "100", "t1")
    request = service.requests[1]
    assert (request.path, request.query) == ("/wxa/msg_sec_check", {"access_token": "t"})
    assert "你好".encode() in request.body
    assert request.json_object() == {
        "content": "你好",
        "version": 2,
        "scene": 1,
        "openid": "oAlice",
    }


async def test_busy_is_asked_again_and_a_rejected_token_renewed(scripted_checks):
    client, service = scripted_checks(TOKEN, {"errcode": -1}, {"errcode": 40001}, TOKEN, PASS)
    assert (await client.check_text(*ALICE, "hi")).suggestion == "pass"
    assert len(service.requests) == 5


@pytest.mark.parametrize(
    "answer",
    [
        {"errcode": -1},
        {"errcode": 61010},
        {"errcode": 45009},
        {"errcode": 0},
        {"errcode": 0, "result": {"suggest": "new word"}},
        [],
        SimulatorReply(500, {}, b""),
    ],
)
async def test_an_answer_without_a_result_is_not_a_pass(scripted_checks, answer):
    client, _ = scripted_checks(TOKEN, answer)
    with pytest.raises(ServiceUnavailable):
        await client.check_text(*ALICE, "hi")
    with pytest.raises(ServiceUnavailable):
        await client.send_picture(*ALICE, URL)


def test_events_are_read_in_every_form():
    event = {"trace_id": "t1", "result": {"suggest": "risky", "label": "20002"}, "detail": []}
    assert parse_media_event(event) == ("t1", Verdict("risky", "20002", "t1"))
    unread = ("t1", None)
    assert parse_media_event({**event, "detail": [{"errcode": -1008}]}) == unread
    assert parse_media_event({**event, "status_code": 4294966288}) == unread  # the old form
    assert parse_media_event({"trace_id": "t1"}) == unread
    with pytest.raises(Unreadable):
        parse_media_event({"result": {}})
