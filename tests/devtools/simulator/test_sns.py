import json

import pytest

from devtools.simulator.codes import CODE_SECONDS, LoginCodes, openid_of
from devtools.simulator.sns import SimulatedSns
from devtools.simulator.wire import SimulatorRequest

APPS = {"wx1": "s1", "wx2": "s2"}


@pytest.fixture
def codes(clock):
    return LoginCodes(clock)


@pytest.fixture
def exchange(codes):
    sns = SimulatedSns(APPS, codes)

    def send(code: str, method: str = "GET", **other):
        query = {
            "appid": "wx1",
            "secret": "s1",
            "js_code": code,
            "grant_type": "authorization_code",
            **other,
        }
        reply = sns.jscode2session(SimulatorRequest(method, "/sns/jscode2session", query))
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain")
        return json.loads(reply.body)

    return send


def test_code_is_exchanged_once(exchange, codes):
    code = codes.issue("wx1", "alice", 0)
    assert exchange(code.text) == {"openid": openid_of("alice"), "session_key": code.session_key}
    assert exchange(code.text)["errcode"] == 40163


def test_expired_unknown_or_foreign_code_is_invalid(exchange, codes, clock):
    code = codes.issue("wx1", "alice", 0)
    assert exchange("guessed")["errcode"] == 40029
    assert exchange(code.text, appid="wx2", secret="s2")["errcode"] == 40029
    clock.now += CODE_SECONDS
    assert exchange(code.text)["errcode"] == 40029


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"method": "POST"}, 41002),
        ({"appid": ""}, 41002),
        ({"appid": "wx3"}, 40013),
        ({"secret": ""}, 41004),
        ({"secret": "s2"}, 40125),
        ({"grant_type": ""}, 40002),
        ({"js_code": ""}, 41008),
    ],
)
def test_refused_request_does_not_use_up_the_code(exchange, codes, change, errcode):
    code = codes.issue("wx1", "alice", 0)
    if "js_code" in change:
        assert exchange("")["errcode"] == errcode
    else:
        assert exchange(code.text, **change)["errcode"] == errcode
    assert exchange(code.text)["openid"] == openid_of("alice")


@pytest.mark.parametrize("errcode", [-1, 40226, 45011, 12345])
def test_code_can_carry_an_error(exchange, codes, errcode):
    code = codes.issue("wx1", "alice", errcode)
    answer = exchange(code.text)
    assert answer["errcode"] == errcode
    assert "rid: " in answer["errmsg"]
