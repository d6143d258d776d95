import json

import pytest
from tornado.httpclient import AsyncHTTPClient

from tencent.simulator.wire import SimRequest

an_answer = pytest.mark.gen_test(timeout=20)


@pytest.fixture
def ask(simulator):
    async def call(method: str, path: str, content: object = None, **query: str):
        body = b"" if content is None else json.dumps(content).encode()
        reply = await simulator.answer(SimRequest(method, path, query, {}, body))
        assert "json" in reply.headers["Content-Type"] or path == "/sns/jscode2session"
        return reply.status, json.loads(reply.body)

    return call


def redeeming(code: str) -> dict[str, str]:
    return {
        "appid": "wxd678efh567hg6787",
        "secret": "s3cret",
        "js_code": code,
        "grant_type": "authorization_code",
    }


@an_answer
async def test_a_phones_code_is_redeemed_over_http(ask, sim_url):
    _, answer = await ask("POST", "/phone/login", {"name": "alice"})
    query = "&".join(f"{name}={value}" for name, value in redeeming(answer["code"]).items())
    client = AsyncHTTPClient(force_instance=True)
    reply = await client.fetch(f"{sim_url}/sns/jscode2session?{query}")
    client.close()
    assert json.loads(reply.body).keys() == {"openid", "session_key"}


@an_answer
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/phone/login"), ("POST", "/log"), ("POST", "/v3/pay/unheard")],
)
async def test_what_is_not_played_is_404_json(ask, method, path):
    status, answer = await ask(method, path, {})
    assert status == 404
    assert answer["detail"]


@an_answer
async def test_the_log_tells_what_was_asked_and_what_came_of_it(ask):
    _, answer = await ask("POST", "/phone/login", {"name": "alice"})
    await ask("GET", "/sns/jscode2session", **redeeming(answer["code"]))
    await ask("GET", "/sns/jscode2session", **redeeming(answer["code"]))
    await ask("POST", "/v4/profile/portrait_set", {})
    await ask("POST", "/v3/pay/transactions/jsapi", {})
    _, log = await ask("GET", "/log")
    told = [(entry["service"], entry["path"], entry["outcome"]) for entry in log["items"]]
    assert told == [
        ("wechat", "/sns/jscode2session", "ok"),
        ("wechat", "/sns/jscode2session", "40163"),
        ("im", "/v4/profile/portrait_set", "60009"),
        ("pay", "/v3/pay/transactions/jsapi", "SIGN_ERROR"),
    ]


@an_answer
async def test_the_log_holds_no_secrets(ask, simulator):
    _, answer = await ask("POST", "/phone/login", {"name": "alice"})
    _, login = await ask("GET", "/sns/jscode2session", **redeeming(answer["code"]))
    _, log = await ask("GET", "/log")
    assert len(log["items"]) == 1
    for secret in (answer["code"], "s3cret", login["session_key"]):
        assert secret not in json.dumps(log)


@an_answer
async def test_the_log_keeps_the_last_200(ask):
    for number in range(201):
        await ask("POST", f"/v4/{number}", {})
    _, log = await ask("GET", "/log")
    paths = [entry["path"] for entry in log["items"]]
    assert (len(paths), paths[0], paths[-1]) == (200, "/v4/1", "/v4/200")


@an_answer
async def test_an_outage_answers_its_status_until_it_is_lifted(ask):
    assert await ask("POST", "/outage", {"service": "im", "status": 503}) == (
        200,
        {"outage": {"im": 503}},
    )
    assert (await ask("POST", "/v4/x", {}))[0] == 503
    assert (await ask("GET", "/sns/jscode2session"))[0] == 200
    assert await ask("POST", "/outage", {"service": "im"}) == (200, {"outage": {}})
    assert (await ask("POST", "/v4/x", {}))[0] == 200
    _, log = await ask("GET", "/log")
    assert [entry["outcome"] for entry in log["items"]] == ["HTTP 503", "41002", "60009"]


@an_answer
async def test_an_outage_of_seconds_delays_the_answer(ask, monkeypatch):
    waits = []

    async def no_wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("tencent.simulator.simulator.asyncio.sleep", no_wait)
    await ask("POST", "/outage", {"service": "wechat", "seconds": 10})
    status, answer = await ask("GET", "/sns/jscode2session")
    assert (status, answer["errcode"], waits) == (200, 41002, [10.0])


@an_answer
@pytest.mark.parametrize(
    "wish",
    [
        None,
        {},
        {"service": "tea"},
        {"service": ["im"]},
        {"service": "im", "status": "503"},
        {"service": "im", "status": True},
        {"service": "im", "status": 99},
        {"service": "im", "seconds": -1},
        {"service": "im", "seconds": "10"},
        {"service": "im", "seconds": 1e9},
    ],
)
async def test_an_outage_that_makes_no_sense_is_400(ask, simulator, wish):
    assert (await ask("POST", "/outage", wish))[0] == 400
    assert simulator.outage == {}
