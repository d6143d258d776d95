"""The simulated WeChat: codes of wx.login, and the phone that gets them."""

import asyncio
import base64
import json

import pytest

from devtools.simulator.wechat import CODE_SECONDS, SimulatedWechat, openid_of
from devtools.simulator.wire import SimulatorRequest
from tencent.wechat import WechatProfile, decrypt_profile, parse_profile

APP, OTHER_APP = "wxd678efh567hg6787", "wxanother0000000"


@pytest.fixture
def wechat(clock):
    return SimulatedWechat({"wx1": "s1", "wx2": "s2"}, clock)


@pytest.fixture
def exchange(wechat):
    def send(code, **other):
        query = {"appid": "wx1", "secret": "s1", "js_code": code, **other}
        query["grant_type"] = "authorization_code"
        reply = wechat.jscode2session(SimulatorRequest("GET", "/sns/jscode2session", query))
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain")
        return json.loads(reply.body)

    return send


def test_code_is_exchanged_once(exchange, wechat):
    code = wechat.issue("wx1", "alice")
    assert exchange(code.text) == {"openid": openid_of("alice"), "session_key": code.session_key}
    assert exchange(code.text)["errcode"] == 40163


def test_expired_unknown_or_foreign_code_is_invalid(exchange, wechat, clock):
    code = wechat.issue("wx1", "alice")
    assert exchange("guessed")["errcode"] == 40029
    assert exchange(code.text, appid="wx2", secret="s2")["errcode"] == 40029
    clock.now += CODE_SECONDS
    assert exchange(code.text)["errcode"] == 40029


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"appid": ""}, 40013),
        ({"appid": "wx3"}, 40013),
        ({"secret": ""}, 40125),
        ({"secret": "s2"}, 40125),
        ({"js_code": ""}, 41008),
    ],
)
def test_refused_request_does_not_use_up_the_code(exchange, wechat, change, errcode):
    code = wechat.issue("wx1", "alice")
    assert exchange(code.text, **change)["errcode"] == errcode
    assert exchange(code.text)["openid"] == openid_of("alice")


def test_code_can_carry_an_error(exchange, wechat):
    answer = exchange(wechat.issue("wx1", "alice", 45011).text)
    assert answer["errcode"] == 45011
    assert "rid: " in answer["errmsg"]


def test_openid_depends_on_the_name_only():
    assert openid_of("alice") == "o5k46YwBMpoi56a1HiLqbJMPzxyB"
    openids = {openid_of(name) for name in ("alice", "Alice", "bob", "小红")}
    assert {len(openid) for openid in openids} == {28}
    assert len(openids) == 4


def test_each_code_has_its_own_session_key(wechat):
    first, second = wechat.issue("wx1", "alice"), wechat.issue("wx1", "alice")
    assert first.text != second.text
    assert first.session_key != second.session_key
    assert len(base64.b64decode(first.session_key)) == 16


# ---- phone


@pytest.fixture
def login(simulator):
    def send(profile):
        body = profile if isinstance(profile, bytes) else json.dumps(profile).encode()
        request = SimulatorRequest("POST", "/phone/login", body=body)
        reply = asyncio.run(simulator.answer(request))
        return reply.status, json.loads(reply.body)

    return send


def decrypted(simulator, answer):
    key = simulator.wechat._codes[answer["code"]].session_key
    return decrypt_profile(key, answer["encryptedData"], answer["iv"], answer["appId"])


def test_login_returns_code_and_encrypted_profile(login, simulator):
    profile = {"name": " 小红 ", "gender": 2, "face_url": "https://a/b.png"}
    status, answer = login(profile)
    assert status == 200
    assert answer.keys() == {"appId", "code", "encryptedData", "iv"}
    assert answer["appId"] == APP
    data = decrypted(simulator, answer)
    assert parse_profile(data) == WechatProfile(openid_of("小红"), "小红", 2, "https://a/b.png")
    assert data["watermark"] == {"timestamp": 1_700_000_000, "appid": APP}
    again = login(profile)[1]
    assert {again["code"], again["iv"]}.isdisjoint({answer["code"], answer["iv"]})


def test_modern_wechat_profile_is_anonymous_and_of_another_app_on_demand(login, simulator):
    _, answer = login({"name": "alice", "gender": 2, "modern": True, "appId": OTHER_APP})
    data = decrypted(simulator, answer)
    assert (data["nickName"], data["gender"]) == ("微信用户", 0)
    assert "openId" not in data
    assert parse_profile(data) == WechatProfile(None, "", 0, "")
    assert data["watermark"]["appid"] == OTHER_APP


@pytest.mark.parametrize(
    "profile",
    [
        b"no json",
        [],
        {},
        {"name": "  "},
        {"name": "a" * 65},
        {"name": "a", "gender": 3},
        {"name": "a", "errcode": "many"},
        {"name": "a", "appId": "wx3"},
    ],
)
def test_invalid_login_is_400_with_detail(login, profile):
    status, answer = login(profile)
    assert status == 400
    assert answer["detail"]
