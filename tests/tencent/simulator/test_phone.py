import json

import pytest

from tencent.simulator.codes import Codes, openid_of
from tencent.simulator.phone import Phone
from tencent.simulator.wire import SimRequest
from tencent.userdata import Profile, decrypt, profile

APPS = {"wx1": "s1", "wx2": "s2"}


@pytest.fixture
def codes(clock):
    return Codes(clock)


@pytest.fixture
def login(codes, clock):
    phone = Phone(APPS, codes, clock)

    def call(wish: object):
        body = wish if isinstance(wish, bytes) else json.dumps(wish).encode()
        reply = phone.login(SimRequest("POST", "/phone/login", body=body))
        return reply.status, json.loads(reply.body)

    return call


def opened(codes, answer):
    key = codes.find(answer["code"], answer["appId"]).session_key
    return decrypt(key, answer["encryptedData"], answer["iv"], answer["appId"])


def test_a_phone_hands_over_what_wechat_gives_it(login, codes):
    wish = {"name": " 小红 ", "gender": 2, "face_url": "https://a/b.png"}
    status, answer = login(wish)
    assert status == 200
    assert answer.keys() == {"appId", "code", "encryptedData", "iv"}
    assert answer["appId"] == "wx1"
    data = opened(codes, answer)
    assert profile(data) == Profile(openid_of("小红"), "小红", 2, "https://a/b.png")
    assert data["watermark"] == {"timestamp": 1_700_000_000, "appid": "wx1"}


def test_a_modern_phone_tells_nothing_about_its_owner(login, codes):
    _, answer = login({"name": "alice", "gender": 2, "modern": True})
    data = opened(codes, answer)
    assert (data["nickName"], data["gender"]) == ("微信用户", 0)
    assert "openId" not in data
    assert profile(data) == Profile(None, "", 0, "")


def test_another_of_our_apps_can_be_asked_for(login, codes):
    _, answer = login({"name": "alice", "appId": "wx2"})
    assert opened(codes, answer)["watermark"]["appid"] == "wx2"


def test_two_logins_share_neither_code_nor_iv(login):
    first, second = login({"name": "alice"})[1], login({"name": "alice"})[1]
    assert first["code"] != second["code"]
    assert first["iv"] != second["iv"]


@pytest.mark.parametrize(
    "wish",
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
        {"name": "a", "face_url": "ftp://x"},
        {"name": "a", "face_url": 1},
        {"name": "a", "errcode": "40029"},
        {"name": "a", "appId": "wx3"},
    ],
)
def test_a_wish_that_makes_no_sense_is_400_and_says_why(login, wish):
    status, answer = login(wish)
    assert status == 400
    assert answer["detail"]
