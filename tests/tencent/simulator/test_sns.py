import json

import pytest

from tencent.simulator.codes import CODE_SECONDS, Codes, openid_of
from tencent.simulator.sns import Sns
from tencent.simulator.wire import SimRequest

APPS = {"wx1": "s1", "wx2": "s2"}


@pytest.fixture
def codes(clock):
    return Codes(clock)


@pytest.fixture
def ask(codes):
    sns = Sns(APPS, codes)

    def call(code: str, method: str = "GET", **other):
        query = {
            "appid": "wx1",
            "secret": "s1",
            "js_code": code,
            "grant_type": "authorization_code",
            **other,
        }
        reply = sns.jscode2session(SimRequest(method, "/sns/jscode2session", query))
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain")
        return json.loads(reply.body)

    return call


def test_a_code_is_redeemed_once(ask, codes):
    code = codes.issue("wx1", "alice", 0)
    assert ask(code.text) == {"openid": openid_of("alice"), "session_key": code.session_key}
    assert ask(code.text)["errcode"] == 40163


def test_a_code_too_old_unknown_or_another_apps_is_invalid(ask, codes, clock):
    code = codes.issue("wx1", "alice", 0)
    assert ask("guessed")["errcode"] == 40029
    assert ask(code.text, appid="wx2", secret="s2")["errcode"] == 40029
    clock.now += CODE_SECONDS
    assert ask(code.text)["errcode"] == 40029


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
def test_a_request_that_the_real_one_refuses_is_refused_and_costs_no_code(
    ask, codes, change, errcode
):
    code = codes.issue("wx1", "alice", 0)
    if "js_code" in change:
        assert ask("")["errcode"] == errcode
    else:
        assert ask(code.text, **change)["errcode"] == errcode
    assert ask(code.text)["openid"] == openid_of("alice")


@pytest.mark.parametrize("errcode", [-1, 40226, 45011, 12345])
def test_a_code_can_carry_a_bad_day(ask, codes, errcode):
    code = codes.issue("wx1", "alice", errcode)
    answer = ask(code.text)
    assert answer["errcode"] == errcode
    assert "rid: " in answer["errmsg"]
