import json

import pytest

from devtools.simulator.notifications import SimulatedNotification, post_notification
from devtools.simulator.wire import SimulatorRequest
from tests.support.ports import free_port


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


async def test_a_notification_without_a_receiver_has_status_599():
    nowhere = SimulatedNotification(f"http://127.0.0.1:{free_port()}/", b"{}", {})
    assert await post_notification(nowhere) == (599, b"")


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


async def test_outage_of_seconds_delays_the_answer_and_an_invalid_one_is_400(
    call, simulator, monkeypatch
):
    delays = []

    async def record_delay(seconds):
        delays.append(seconds)

    for outage in ({"service": "tea"}, {"service": "im", "status": 99}):
        assert (await call("POST", "/outage", outage))[0] == 400
        assert simulator.outage == {}
    monkeypatch.setattr("devtools.simulator.simulator.asyncio.sleep", record_delay)
    await call("POST", "/outage", {"service": "wechat", "seconds": 10})
    status, answer = await call("GET", "/sns/jscode2session")
    assert (status, answer["errcode"], delays) == (200, 40013, [10.0])
