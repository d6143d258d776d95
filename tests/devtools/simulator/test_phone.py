import asyncio
import json

import pytest

from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorRequest
from tencent.wechat import WechatProfile, decrypt_profile, parse_profile

APP, OTHER_APP = "wxd678efh567hg6787", "wxanother0000000"


@pytest.fixture
def login(simulator):
    def send(profile: object):
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


def test_modern_wechat_profile_is_anonymous(login, simulator):
    _, answer = login({"name": "alice", "gender": 2, "modern": True})
    data = decrypted(simulator, answer)
    assert (data["nickName"], data["gender"]) == ("微信用户", 0)
    assert "openId" not in data
    assert parse_profile(data) == WechatProfile(None, "", 0, "")


def test_login_with_another_app(login, simulator):
    _, answer = login({"name": "alice", "appId": OTHER_APP})
    assert decrypted(simulator, answer)["watermark"]["appid"] == OTHER_APP


def test_each_login_has_its_own_code_and_iv(login):
    first, second = login({"name": "alice"})[1], login({"name": "alice"})[1]
    assert first["code"] != second["code"]
    assert first["iv"] != second["iv"]


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"no json",
        [],
        {},
        {"name": ""},
        {"name": "  "},
        {"name": 5},
        {"name": "a" * 65},
        {"name": "a", "gender": 3},
        {"name": "a", "gender": "2"},
        {"name": "a", "errcode": "many"},
        {"name": "a", "appId": "wx3"},
    ],
)
def test_invalid_login_is_400_with_detail(login, profile):
    status, answer = login(profile)
    assert status == 400
    assert answer["detail"]
