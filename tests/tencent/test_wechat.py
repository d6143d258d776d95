import json

import pytest
from structlog.testing import capture_logs

from core.errors import RateLimited
from devtools.simulator.wechat import openid_of
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from tencent import wechat as module
from tencent.errors import InvalidWechatCode, ServiceUnavailable, UnknownApp, WechatBlocked
from tencent.wechat import WechatClient, WechatLogin

async_test = pytest.mark.gen_test(timeout=20)

APPS = {"wxd678efh567hg6787": "s3cret"}
APP = "wxd678efh567hg6787"
SUCCESS = {"openid": "o1", "session_key": "tiihtNczf5v6AKRyjwEUhQ=="}


@pytest.fixture(autouse=True)
def short_pause(monkeypatch):
    monkeypatch.setattr(module, "BUSY_PAUSE_SECONDS", 0.001)


@pytest.fixture
def wechat(serve, make_service_client, scripted_service):
    def build(*lines):
        service = scripted_service(*lines)
        return WechatClient(make_service_client("wechat", serve(service)), APPS), service

    return build


@async_test
async def test_code_is_exchanged_for_openid_and_session_key(wechat):
    client, service = wechat(SUCCESS)
    assert await client.exchange(APP, "c0de") == WechatLogin("o1", SUCCESS["session_key"])
    request = service.requests[0]
    assert (request.method, request.path) == ("GET", "/sns/jscode2session")
    assert request.query == {
        "appid": APP,
        "secret": "s3cret",
        "js_code": "c0de",
        "grant_type": "authorization_code",
    }


EXPECTED = {
    "bad_code": InvalidWechatCode,
    "bad_request": InvalidWechatCode,
    "risk_user": WechatBlocked,
    "rate_limited": RateLimited,
    "retry": ServiceUnavailable,
    "config_error": ServiceUnavailable,
}


@async_test
async def test_documented_answers_map_to_logins_or_errors(wechat, vectors):
    for case in vectors("wechat_login")["jscode2session"]["responses"]:
        client, _ = wechat(case["body"])
        if case["expect"] == "ok":
            login = await client.exchange(APP, "c0de")
            assert login.openid == case["body"]["openid"]
        else:
            with pytest.raises(EXPECTED[case["expect"]]):
                await client.exchange(APP, "c0de")


@async_test
async def test_unknown_app_is_refused_without_a_request(wechat):
    client, service = wechat(SUCCESS)
    with pytest.raises(UnknownApp):
        await client.exchange("wx0", "c0de")
    assert service.requests == []


@async_test
async def test_busy_answer_is_retried_once(wechat):
    busy = {"errcode": -1, "errmsg": "system error"}
    client, service = wechat(busy, SUCCESS)
    assert (await client.exchange(APP, "c0de")).openid == "o1"
    client, service = wechat(busy, busy, SUCCESS)
    with pytest.raises(ServiceUnavailable):
        await client.exchange(APP, "c0de")
    assert len(service.requests) == 2


@async_test
async def test_gateway_error_is_not_retried_because_the_code_is_used_up(wechat):
    client, service = wechat(SimulatorReply(502, {}, b""))
    with pytest.raises(ServiceUnavailable) as failure:
        await client.exchange(APP, "c0de")
    assert failure.value.code == "wechat_away"
    assert len(service.requests) == 1


@async_test
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"\xff", b"{}", b'{"openid":"o1"}', b'{"openid":1,"session_key":"k"}'],
)
async def test_unreadable_answer_is_unavailable(wechat, body):
    client, _ = wechat(SimulatorReply(200, {}, body))
    with pytest.raises(ServiceUnavailable):
        await client.exchange(APP, "c0de")


@async_test
@pytest.mark.parametrize("errcode", [40013, 41002, 41004, 40125])
async def test_misconfiguration_is_logged_as_an_error_without_the_secret(wechat, errcode):
    client, _ = wechat({"errcode": errcode, "errmsg": "rid"})
    with capture_logs() as logs, pytest.raises(ServiceUnavailable):
        await client.exchange(APP, "c0de")
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["errcode"] for entry in errors] == [errcode]
    assert "s3cret" not in repr(logs)
    assert "c0de" not in repr(logs)


@async_test
async def test_unknown_error_code_is_unavailable(wechat):
    client, _ = wechat({"errcode": 99999, "errmsg": "news"})
    with pytest.raises(ServiceUnavailable):
        await client.exchange(APP, "c0de")


def test_repr_of_a_login_hides_the_session_key():
    assert "hush" not in repr(WechatLogin("o1", "hush"))


@async_test
async def test_simulator_code_works_once(simulator, sim_url, make_service_client):
    request = SimulatorRequest("POST", "/phone/login", body=b'{"name": "alice", "gender": 2}')
    answer = (await simulator.answer(request)).body
    client = WechatClient(make_service_client("wechat", sim_url), APPS)
    code = json.loads(answer)["code"]
    login = await client.exchange(APP, code)
    assert login.openid == openid_of("alice")
    with pytest.raises(InvalidWechatCode):
        await client.exchange(APP, code)


@async_test
@pytest.mark.parametrize("outage", [503, 3.0])
async def test_wechat_outage_is_unavailable(simulator, sim_url, make_service_client, outage):
    simulator.outage["wechat"] = outage
    with pytest.raises(ServiceUnavailable):
        await WechatClient(make_service_client("wechat", sim_url, timeout=0.1), APPS).exchange(
            APP, "c0de"
        )
