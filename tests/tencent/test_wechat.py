import json

import pytest
from structlog.testing import capture_logs

from rooms.refusals import BadWechatCode, ServiceAway, TooMany, UnknownApp, WechatBlocked
from tencent import wechat as module
from tencent.simulator.codes import openid_of
from tencent.simulator.wire import SimReply, SimRequest
from tencent.wechat import Login, WeChat

a_login = pytest.mark.gen_test(timeout=20)

APPS = {"wxd678efh567hg6787": "s3cret"}
APP = "wxd678efh567hg6787"
GOOD = {"openid": "o1", "session_key": "tiihtNczf5v6AKRyjwEUhQ=="}


@pytest.fixture(autouse=True)
def short_pause(monkeypatch):
    monkeypatch.setattr(module, "BUSY_PAUSE", 0.001)


@pytest.fixture
def wechat(serve, reach, script):
    def build(*lines):
        service = script(*lines)
        return WeChat(reach("wechat", serve(service)), APPS), service

    return build


@a_login
async def test_a_code_becomes_openid_and_session_key(wechat):
    we, service = wechat(GOOD)
    assert await we.exchange(APP, "c0de") == Login("o1", GOOD["session_key"], None)
    heard = service.heard[0]
    assert (heard.method, heard.path) == ("GET", "/sns/jscode2session")
    assert heard.query == {
        "appid": APP,
        "secret": "s3cret",
        "js_code": "c0de",
        "grant_type": "authorization_code",
    }


EXPECTED = {
    "bad_code": BadWechatCode,
    "bad_request": BadWechatCode,
    "risk_user": WechatBlocked,
    "rate_limited": TooMany,
    "retry": ServiceAway,
    "config_error": ServiceAway,
}


@a_login
async def test_every_documented_answer_has_its_meaning(wechat, vectors):
    for case in vectors("wechat_login")["jscode2session"]["responses"]:
        we, _ = wechat(case["body"])
        if case["expect"] == "ok":
            login = await we.exchange(APP, "c0de")
            assert login.openid == case["body"]["openid"]
            assert login.unionid == case["body"].get("unionid")
        else:
            with pytest.raises(EXPECTED[case["expect"]]):
                await we.exchange(APP, "c0de")


@a_login
async def test_an_app_that_is_not_ours_is_not_asked_about(wechat):
    we, service = wechat(GOOD)
    with pytest.raises(UnknownApp):
        await we.exchange("wx0", "c0de")
    assert service.heard == []


@a_login
async def test_busy_is_tried_once_more(wechat):
    busy = {"errcode": -1, "errmsg": "system error"}
    we, service = wechat(busy, GOOD)
    assert (await we.exchange(APP, "c0de")).openid == "o1"
    we, service = wechat(busy, busy, GOOD)
    with pytest.raises(ServiceAway):
        await we.exchange(APP, "c0de")
    assert len(service.heard) == 2


@a_login
async def test_a_lost_answer_is_not_tried_again_since_it_used_up_the_code(wechat):
    we, service = wechat(SimReply(502, {}, b""))
    with pytest.raises(ServiceAway) as refusal:
        await we.exchange(APP, "c0de")
    assert refusal.value.code == "wechat_away"
    assert len(service.heard) == 1


@a_login
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"\xff", b"{}", b'{"openid":"o1"}', b'{"openid":1,"session_key":"k"}'],
)
async def test_an_answer_that_makes_no_sense_is_away(wechat, body):
    we, _ = wechat(SimReply(200, {}, body))
    with pytest.raises(ServiceAway):
        await we.exchange(APP, "c0de")


@a_login
@pytest.mark.parametrize("errcode", [40013, 41002, 41004, 40125])
async def test_wrong_settings_are_an_error_in_the_log_without_the_secret(wechat, errcode):
    we, _ = wechat({"errcode": errcode, "errmsg": "rid"})
    with capture_logs() as logs, pytest.raises(ServiceAway):
        await we.exchange(APP, "c0de")
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["errcode"] for entry in errors] == [errcode]
    assert "s3cret" not in repr(logs)
    assert "c0de" not in repr(logs)


@a_login
async def test_an_error_number_nobody_knows_is_away(wechat):
    we, _ = wechat({"errcode": 99999, "errmsg": "news"})
    with pytest.raises(ServiceAway):
        await we.exchange(APP, "c0de")


def test_a_printed_login_does_not_show_its_key():
    assert "hush" not in repr(Login("o1", "hush", None))


@a_login
async def test_a_phone_of_the_simulator_logs_in(simulator, sim_url, reach):
    phone = SimRequest("POST", "/phone/login", body=b'{"name": "alice", "gender": 2}')
    code = (await simulator.answer(phone)).body
    we = WeChat(reach("wechat", sim_url), APPS)
    text = json.loads(code)["code"]
    login = await we.exchange(APP, text)
    assert login.openid == openid_of("alice")
    with pytest.raises(BadWechatCode):
        await we.exchange(APP, text)


@a_login
@pytest.mark.parametrize("trouble", [503, 3.0])
async def test_an_outage_at_wechat_is_away(simulator, sim_url, reach, trouble):
    simulator.outage["wechat"] = trouble
    with pytest.raises(ServiceAway):
        await WeChat(reach("wechat", sim_url, timeout=0.1), APPS).exchange(APP, "c0de")
