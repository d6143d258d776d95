import base64
import json

import pytest

from devtools.simulator.wechat import CODE_SECONDS, SimulatedWechat, openid_of
from devtools.simulator.wire import SimulatorRequest

APPS = {"wx1": "s1", "wx2": "s2"}


@pytest.fixture
def wechat(clock):
    return SimulatedWechat(APPS, clock)


@pytest.fixture
def exchange(wechat):
    def send(code: str, method: str = "GET", **other):
        query = {
            "appid": "wx1",
            "secret": "s1",
            "js_code": code,
            "grant_type": "authorization_code",
            **other,
        }
        reply = wechat.jscode2session(SimulatorRequest(method, "/sns/jscode2session", query))
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
    if "js_code" in change:
        assert exchange("")["errcode"] == errcode
    else:
        assert exchange(code.text, **change)["errcode"] == errcode
    assert exchange(code.text)["openid"] == openid_of("alice")


@pytest.mark.parametrize("errcode", [-1, 40226, 45011, 12345])
def test_code_can_carry_an_error(exchange, wechat, errcode):
    code = wechat.issue("wx1", "alice", errcode)
    answer = exchange(code.text)
    assert answer["errcode"] == errcode
    assert "rid: " in answer["errmsg"]


def test_openid_depends_on_the_name_only():
    assert openid_of("alice") == "o5k46YwBMpoi56a1HiLqbJMPzxyB"
    assert len({openid_of(name) for name in ("alice", "Alice", "bob", "小红")}) == 4
    assert all(len(openid_of(name)) == 28 for name in ("alice", "小红"))


def test_each_code_has_its_own_session_key(clock):
    wechat = SimulatedWechat(APPS, clock)
    first, second = wechat.issue("wx1", "alice"), wechat.issue("wx1", "alice")
    assert first.text != second.text
    assert first.session_key != second.session_key
    assert len(base64.b64decode(first.session_key)) == 16
