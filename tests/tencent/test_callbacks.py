import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tencent.callbacks import (
    IM_SECONDS,
    LIVE_SECONDS,
    GroupMembers,
    Heard,
    StateChange,
    StreamEvent,
    from_im,
    from_live,
)

TOKEN, KEY, APP = "im-callback-token-1", "callbackkey123", 1400000000
NOW = 1700000000
STATE = {
    "CallbackCommand": "State.StateChange",
    "EventTime": 1629883332497,
    "Info": {"Action": "Disconnect", "To_Account": "u_10001", "Reason": "LinkClose"},
}
LEFT = {
    "CallbackCommand": "Group.CallbackAfterMemberExit",
    "GroupId": "g",
    "ExitMemberList": [{"Member_Account": "u1"}, {"Member_Account": "u2"}],
    "EventTime": "1670574414123",
}
PUSH = {
    "event_type": 1,
    "stream_id": "room_1",
    "sequence": "6674468118806626493",
    "event_time": NOW,
    "t": NOW + 600,
}


def im(content: Any, *, token: str = TOKEN, now: float = NOW, **query: str) -> Heard:
    """A callback of IM that is signed as it should be, but for what `query` says otherwise."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    stamp = query.get("RequestTime", str(NOW))
    asked = {
        "SdkAppid": str(APP),
        "CallbackCommand": content["CallbackCommand"] if isinstance(content, dict) else "x",
        "RequestTime": stamp,
        "Sign": hashlib.sha256(f"{token}{stamp}".encode()).hexdigest(),
    }
    return from_im({**asked, **query}, body, token, APP, now)


def live(content: dict[str, Any], *, now: float = NOW, **other: Any) -> Heard:
    """A callback of CSS that is signed as it should be, but for what `other` says otherwise."""
    sign = hashlib.md5(f"{KEY}{content.get('t')}".encode()).hexdigest()
    return from_live(json.dumps({**content, "sign": sign, **other}).encode(), KEY, now)


# ---- IM: who says it


@pytest.mark.parametrize("number", range(3))
def test_tencents_own_signatures_of_im_fit(vectors: Any, number: int) -> None:
    case = vectors("im")["callback_auth"][number]
    stamp = case["request_time"]
    query = {"RequestTime": str(stamp), "Sign": case["sign"]}
    assert im(STATE, token=case["token"], now=stamp, **query).event


def test_the_misprinted_token_of_the_documents_does_not_fit_the_printed_signature(
    vectors: Any,
) -> None:
    official, typo, *_ = vectors("im")["callback_auth"]
    stamp = official["request_time"]
    query = {"RequestTime": str(stamp), "Sign": official["sign"]}
    assert im(STATE, token=typo["token"], now=stamp, **query).refused == "sign"


def test_a_request_of_61_seconds_ago_is_stale(vectors: Any) -> None:
    case = vectors("im")["callback_auth"][3]
    query = {"RequestTime": str(case["request_time"]), "Sign": case["sign"]}
    assert im(STATE, now=case["now"], **query).refused == "stale"


@pytest.mark.parametrize("ahead", [-IM_SECONDS, IM_SECONDS])
def test_a_minute_either_way_is_fresh_and_a_second_more_is_not(ahead: int) -> None:
    assert not im(STATE, now=NOW + ahead).refused
    assert im(STATE, now=NOW + ahead + (1 if ahead > 0 else -1)).refused == "stale"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"Sign": ""}, "sign"),
        ({"Sign": "0" * 64}, "sign"),
        ({"Sign": "ключ"}, "sign"),
        ({"SdkAppid": "1400000001"}, "app"),
        ({"SdkAppid": ""}, "app"),
        ({"CallbackCommand": "Group.CallbackAfterMemberExit"}, "command"),
        ({"CallbackCommand": ""}, "command"),
        ({"RequestTime": ""}, "unreadable"),
        ({"RequestTime": "soon"}, "unreadable"),
        ({"RequestTime": "-1700000000"}, "unreadable"),
        ({"RequestTime": "1" * 5000}, "unreadable"),
    ],
)
def test_each_thing_that_is_wrong_about_a_call_of_im_has_its_reason(
    query: dict[str, str], reason: str
) -> None:
    heard = im(STATE, **query)
    assert (heard.refused, heard.event) == (reason, None)


def test_a_call_of_im_without_any_query_is_refused() -> None:
    assert from_im({}, json.dumps(STATE).encode(), TOKEN, APP, NOW).refused == "sign"


def test_without_a_token_of_ours_nobody_can_sign() -> None:
    assert im(STATE, token="").refused == "no_key"


def test_another_token_does_not_fit() -> None:
    sign = hashlib.sha256(f"other{NOW}".encode()).hexdigest()
    assert im(STATE, Sign=sign).refused == "sign"


# ---- IM: what is said


def test_the_documented_callbacks_of_im_are_understood(vectors: Any) -> None:
    heard = []
    for case in vectors("im")["callbacks"]:
        body = json.dumps(case["body"]).encode()
        heard.append(from_im(case["query"], body, case["token"], APP, NOW))
    group, at = "@TGS#aJRGC4MH6", 1670574414123
    assert [one.event for one in heard] == [
        StateChange("u_10001", False, 1629883332497, "LinkClose"),
        GroupMembers(group, ("u_10001",), True, at),
        GroupMembers(group, ("u_10001",), False, at),
        None,
        GroupMembers(group, ("u_10001",), False, at),
    ]
    assert [one.ignored for one in heard] == ["", "", "", "unknown_command", ""]
    assert not any(one.refused for one in heard)
    assert len({one.id for one in heard}) == len(heard)


@pytest.mark.parametrize(
    ("action", "online"), [("Login", True), ("Logout", False), ("Disconnect", False)]
)
def test_an_account_comes_and_goes(action: str, online: bool) -> None:
    event = im(STATE | {"Info": {"Action": action, "To_Account": "u1"}}).event
    assert event == StateChange("u1", online, 1629883332497, "")


@pytest.mark.parametrize(("word", "online"), [("Online", True), ("Offline", False)])
def test_a_member_comes_and_goes(word: str, online: bool) -> None:
    content = {
        "CallbackCommand": "Group.CallbackOnMemberStateChange",
        "GroupId": "g",
        "EventType": word,
        "MemberList": [{"Member_Account": "u1"}],
        "EventTime": 5,
    }
    assert im(content).event == GroupMembers("g", ("u1",), online, 5)


def test_the_time_of_an_event_may_be_text() -> None:
    assert im(LEFT).event == im(LEFT | {"EventTime": 1670574414123}).event
    assert im(STATE | {"EventTime": "1629883332497"}).event == im(STATE).event


@pytest.mark.parametrize(
    "content",
    [
        {"CallbackCommand": "C2C.CallbackAfterSendMsg"},
        {"CallbackCommand": "Group.CallbackOnMemberStateChange", "EventType": "Asleep"},
        STATE | {"Info": {"Action": "Dozed", "To_Account": "u1"}},
    ],
)
def test_what_im_may_say_one_day_is_ignored(content: dict[str, Any]) -> None:
    assert im(content) == Heard(im(content).id, ignored="unknown_command")


NO_TIME = (None, "", "soon", -5, 1.5, True, 10**15, "1" * 5000, "٣", [5])


@pytest.mark.parametrize(
    "content",
    [
        *({**STATE, "EventTime": time} for time in NO_TIME),
        *({**LEFT, "EventTime": time} for time in NO_TIME),
        STATE | {"Info": None},
        STATE | {"Info": {"Action": "Login"}},
        STATE | {"Info": {"Action": "Login", "To_Account": 5}},
        STATE | {"Info": {"Action": "Login", "To_Account": ""}},
        STATE | {"Info": {"Action": "Login", "To_Account": "u" * 257}},
        LEFT | {"ExitMemberList": None},
        LEFT | {"ExitMemberList": ["u1"]},
        LEFT | {"ExitMemberList": [{}]},
        LEFT | {"GroupId": None},
    ],
)
def test_a_callback_of_im_that_lacks_its_parts_is_unreadable(content: dict[str, Any]) -> None:
    assert im(content).refused == "unreadable"


NO_OBJECT = [b"", b"{", b"[]", b"null", b"\xff", b'{"a": "\\ud800"}', b"[" * 50_000]


@pytest.mark.parametrize("body", NO_OBJECT)
def test_a_body_that_is_no_object_is_unreadable(body: bytes) -> None:
    assert im(body).refused == "unreadable"
    assert from_live(body, KEY, NOW).refused == "unreadable"


@pytest.mark.parametrize("body", NO_OBJECT)
def test_a_stranger_hears_nothing_about_the_body(body: bytes) -> None:
    assert im(body, Sign="x").refused == "sign"


def test_a_repetition_with_another_signature_is_the_same_callback() -> None:
    later = im(STATE, RequestTime=str(NOW + 30))
    assert later == im(STATE)
    assert im(STATE | {"EventTime": 1}).id != later.id


# ---- CSS


def test_the_vectors_of_css(vectors: Any) -> None:
    outcomes = {}
    callback = vectors("css_live")["callback"]
    for case in callback["cases"]:
        body = json.dumps(case["body"]).encode()
        outcomes[case["name"]] = from_live(body, callback["key"], case["now"])
    sequence = "6674468118806626493"
    assert outcomes["push start"] == Heard(
        f"1:room_1:{sequence}", StreamEvent("room_1", True, sequence, 1700000000)
    )
    assert outcomes["push end"] == Heard(
        f"0:room_1:{sequence}", StreamEvent("room_1", False, sequence, 1700000300)
    )
    assert outcomes["expired t"].refused == "stale"
    assert outcomes["bad sign"].refused == "sign"


def test_a_signature_of_css_is_good_until_t_but_never_for_more_than_a_day() -> None:
    assert live(PUSH, now=NOW + 600).event
    assert live(PUSH, now=NOW + 600.5).refused == "stale"
    assert live(PUSH | {"t": NOW + LIVE_SECONDS}).event
    assert live(PUSH | {"t": NOW + LIVE_SECONDS + 1}).refused == "stale"


@pytest.mark.parametrize("sign", ["", None, 5, "0" * 32, "ключ"])
def test_a_wrong_signature_of_css_is_refused(sign: Any) -> None:
    assert live(PUSH, sign=sign).refused == "sign"


def test_an_event_of_css_without_a_key_of_ours_is_refused() -> None:
    sign = hashlib.md5(str(PUSH["t"]).encode()).hexdigest()
    assert from_live(json.dumps({**PUSH, "sign": sign}).encode(), "", NOW).refused == "no_key"


@pytest.mark.parametrize("name", ["stream_id", "sequence", "event_time", "t"])
@pytest.mark.parametrize("value", [None, "", [], {"a": 1}, 1.5, True, "x" * 257])
def test_an_event_of_css_with_a_bad_part_is_unreadable(name: str, value: Any) -> None:
    assert live(PUSH | {name: value}).refused == "unreadable"


@pytest.mark.parametrize("kind", [100, 317, 321, "1", None])
def test_other_events_of_css_are_ignored(kind: Any) -> None:
    heard = live({"event_type": kind, "t": NOW})
    assert (heard.refused, heard.event, heard.ignored) == ("", None, "unknown_event")


def test_numbers_of_css_may_be_text_and_the_other_way_round() -> None:
    written = live(PUSH | {"event_time": str(NOW), "sequence": 6674468118806626493})
    assert written == live(PUSH)


def test_an_event_that_is_sent_again_with_a_new_expiry_is_the_same() -> None:
    assert live(PUSH | {"t": NOW + 900}) == live(PUSH)
    assert live(PUSH | {"event_type": 0}).id != live(PUSH).id


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.sampled_from(["EventTime", "Info", "ExitMemberList", "GroupId", "CallbackCommand"]),
)
def test_nothing_inside_a_callback_raises(value: Any, name: str) -> None:
    for content in (STATE, LEFT):
        body = json.dumps({**content, name: value}).encode()
        heard = im(body, CallbackCommand=content["CallbackCommand"])
        assert bool(heard.event) + bool(heard.refused) + bool(heard.ignored) == 1
    for part in PUSH:
        heard = from_live(json.dumps({**PUSH, part: value}).encode(), KEY, NOW)
        assert heard.refused or heard.ignored or heard.event
