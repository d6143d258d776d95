import json

import pytest

from devtools.simulator.wechat import CODE_SECONDS, SimulatedWechat, openid_of
from devtools.simulator.wire import SimulatorRequest


@pytest.fixture
def call(simulator):
    async def send(method, path, content=None, **query):
        body = b"" if content is None else json.dumps(content).encode()
        reply = await simulator.answer(SimulatorRequest(method, path, query, {}, body))
        assert "json" in reply.headers["Content-Type"] or path == "/sns/jscode2session"
        return reply.status, json.loads(reply.body)

    return send


def exchange_query(code):
    query = {"appid": "wxd678efh567hg6787", "secret": "s3cret", "js_code": code}
    return query | {"grant_type": "authorization_code"}


async def test_log_lists_calls_and_outcomes_without_secrets(call):
    _, answer = await call("POST", "/phone/login", {"name": "alice"})
    _, login = await call("GET", "/sns/jscode2session", **exchange_query(answer["code"]))
    await call("GET", "/sns/jscode2session", **exchange_query(answer["code"]))
    await call("POST", "/v4/profile/portrait_set", {})
    await call("POST", "/v3/pay/transactions/jsapi", {})
    _, log = await call("GET", "/log")
    outcomes = [(entry["service"], entry["path"], entry["outcome"]) for entry in log["items"]]
    assert outcomes == [
        ("wechat", "/sns/jscode2session", "ok"),
        ("wechat", "/sns/jscode2session", "40163"),
        ("im", "/v4/profile/portrait_set", "60006"),
        ("pay", "/v3/pay/transactions/jsapi", "SIGN_ERROR"),
    ]
    for secret in (answer["code"], "s3cret", login["session_key"]):
        assert secret not in json.dumps(log)


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
