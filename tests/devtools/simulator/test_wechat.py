"""The simulated WeChat: codes of wx.login, and the phone that gets them."""

import asyncio
import json

import pytest

from devtools.simulator.wechat import CODE_SECONDS, SimulatedWechat, openid_of
from devtools.simulator.wire import SimulatorRequest
from tencent.wechat import WechatProfile, decrypt_profile, parse_profile

APP, OTHER_APP = "wxd678efh567hg6787", "wxanother0000000"


@pytest.fixture
def wechat(clock):
    return SimulatedWechat({"wx1": "s1", "wx2": "s2"}, clock)


def test_a_code_is_exchanged_once_by_its_app_within_five_minutes(wechat, clock):
    def exchange(text, app_id="wx1", secret="s1"):
        query = {"appid": app_id, "secret": secret, "js_code": text}
        reply = wechat.jscode2session(SimulatorRequest("GET", "/sns/jscode2session", query))
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain")
        answer = json.loads(reply.body)
        return answer.get("errcode") or (answer["openid"], answer["session_key"])

    code, late = wechat.issue("wx1", "alice"), wechat.issue("wx1", "alice")
    assert exchange("guessed") == exchange(code.text, "wx2", "s2") == 40029
    assert exchange(code.text, "wx3") == 40013
    assert exchange(code.text, "wx1", "s2") == 40125
    assert exchange("") == 41008
    assert exchange(code.text) == (openid_of("alice"), code.session_key)
    assert exchange(code.text) == 40163
    assert exchange(wechat.issue("wx1", "alice", 45011).text) == 45011
    clock.now += CODE_SECONDS
    assert exchange(late.text) == 40029


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


def test_invalid_login_is_400_with_detail(login):
    for profile in (b"no json", {"name": "  "}, {"name": "a", "appId": "wx3"}):
        status, answer = login(profile)
        assert status == 400
        assert answer["detail"]
