import json

import pytest

from devtools.simulator.wechat import CODE_SECONDS, SimulatedWechat, openid_of
from devtools.simulator.wire import SimulatorRequest


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
    clock.now += CODE_SECONDS
    assert exchange(late.text) == 40029


async def test_login_of_a_phone_without_a_name_or_with_an_unknown_app_is_400(simulator):
    for body in (b"no json", b'{"name": "  "}', b'{"name": "a", "appId": "wx3"}'):
        reply = await simulator.answer(SimulatorRequest("POST", "/phone/login", body=body))
        assert reply.status == 400
        assert json.loads(reply.body)["detail"]
