import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tencent.callbacks import (
    CSS_MAX_EXPIRY_SECONDS,
    IM_MAX_AGE_SECONDS,
    GroupDestroyed,
    GroupMembers,
    StateChange,
    StreamEvent,
    parse_css_callback,
    parse_im_callback,
)
from tencent.json_reader import ParsedCallback

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


def parse_im(content: Any, *, token: str = TOKEN, now: float = NOW, **query: str) -> ParsedCallback:
    """Parses a correctly signed IM callback; `query` overrides its query parameters."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    timestamp = query.get("RequestTime", str(NOW))
    signed_query = {
        "SdkAppid": str(APP),
        "CallbackCommand": content["CallbackCommand"] if isinstance(content, dict) else "x",
        "RequestTime": timestamp,
        "Sign": hashlib.sha256(f"{token}{timestamp}".encode()).hexdigest(),
    }
    return parse_im_callback({**signed_query, **query}, body, token, APP, now)


def parse_css(content: dict[str, Any], *, now: float = NOW, **other: Any) -> ParsedCallback:
    """Parses a correctly signed CSS callback; `other` overrides its body fields."""
    signature = hashlib.md5(f"{KEY}{content.get('t')}".encode()).hexdigest()
    return parse_css_callback(
        json.dumps({**content, "sign": signature, **other}).encode(), KEY, now
    )


# ---- IM: signature and freshness


@pytest.mark.parametrize("index", range(3))
def test_im_callback_signatures_of_tencent_verify(vectors: Any, index: int) -> None:
    case = vectors("im")["callback_auth"][index]
    timestamp = case["request_time"]
    query = {"RequestTime": str(timestamp), "Sign": case["sign"]}
    assert parse_im(STATE, token=case["token"], now=timestamp, **query).event


def test_misprinted_token_of_tencents_documents_does_not_verify(
    vectors: Any,
) -> None:
    official, typo, *_ = vectors("im")["callback_auth"]
    timestamp = official["request_time"]
    query = {"RequestTime": str(timestamp), "Sign": official["sign"]}
    assert parse_im(STATE, token=typo["token"], now=timestamp, **query).refused == "sign"


def test_im_callback_61_seconds_old_is_stale(vectors: Any) -> None:
    case = vectors("im")["callback_auth"][3]
    query = {"RequestTime": str(case["request_time"]), "Sign": case["sign"]}
    assert parse_im(STATE, now=case["now"], **query).refused == "stale"


@pytest.mark.parametrize("ahead", [-IM_MAX_AGE_SECONDS, IM_MAX_AGE_SECONDS])
def test_im_callback_is_fresh_for_60_seconds_in_either_direction(ahead: int) -> None:
    assert not parse_im(STATE, now=NOW + ahead).refused
    assert parse_im(STATE, now=NOW + ahead + (1 if ahead > 0 else -1)).refused == "stale"


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
def test_invalid_im_callback_is_refused_with_its_reason(query: dict[str, str], reason: str) -> None:
    parsed = parse_im(STATE, **query)
    assert (parsed.refused, parsed.event) == (reason, None)


def test_im_callback_without_a_query_is_refused() -> None:
    assert parse_im_callback({}, json.dumps(STATE).encode(), TOKEN, APP, NOW).refused == "sign"


def test_im_callback_is_refused_when_no_token_is_configured() -> None:
    assert parse_im(STATE, token="").refused == "no_key"


def test_im_callback_signed_with_another_token_is_refused() -> None:
    signature = hashlib.sha256(f"other{NOW}".encode()).hexdigest()
    assert parse_im(STATE, Sign=signature).refused == "sign"


# ---- IM: content


def test_documented_im_callbacks_are_parsed(vectors: Any) -> None:
    parsed = []
    for case in vectors("im")["callbacks"]:
        body = json.dumps(case["body"]).encode()
        parsed.append(parse_im_callback(case["query"], body, case["token"], APP, NOW))
    group, at = "@TGS#aJRGC4MH6", 1670574414123
    assert [callback.event for callback in parsed] == [
        StateChange("u_10001", False, 1629883332497),
        GroupMembers(group, ("u_10001",), True, at),
        GroupMembers(group, ("u_10001",), False, at),
        GroupDestroyed(group),
        GroupMembers(group, ("u_10001",), False, at),
    ]
    assert not any(callback.ignored or callback.refused for callback in parsed)
    assert len({callback.id for callback in parsed}) == len(parsed)


@pytest.mark.parametrize(
    ("action", "online"), [("Login", True), ("Logout", False), ("Disconnect", False)]
)
def test_im_state_change_is_parsed_as_online_or_offline(action: str, online: bool) -> None:
    event = parse_im(STATE | {"Info": {"Action": action, "To_Account": "u1"}}).event
    assert event == StateChange("u1", online, 1629883332497)


@pytest.mark.parametrize(("event_type", "online"), [("Online", True), ("Offline", False)])
def test_im_member_state_change_is_parsed_as_online_or_offline(
    event_type: str, online: bool
) -> None:
    content = {
        "CallbackCommand": "Group.CallbackOnMemberStateChange",
        "GroupId": "g",
        "EventType": event_type,
        "MemberList": [{"Member_Account": "u1"}],
        "EventTime": 5,
    }
    assert parse_im(content).event == GroupMembers("g", ("u1",), online, 5)


def test_im_event_time_may_be_a_string() -> None:
    assert parse_im(LEFT).event == parse_im(LEFT | {"EventTime": 1670574414123}).event
    assert parse_im(STATE | {"EventTime": "1629883332497"}).event == parse_im(STATE).event


@pytest.mark.parametrize(
    "content",
    [
        {"CallbackCommand": "C2C.CallbackAfterSendMsg"},
        {"CallbackCommand": "Group.CallbackOnMemberStateChange", "EventType": "Asleep"},
        STATE | {"Info": {"Action": "Dozed", "To_Account": "u1"}},
    ],
)
def test_unknown_im_callbacks_are_ignored(content: dict[str, Any]) -> None:
    assert parse_im(content) == ParsedCallback(parse_im(content).id, ignored="unknown_command")


INVALID_TIMES = (None, "", "soon", -5, 1.5, True, 10**15, "1" * 5000, "٣", [5])


@pytest.mark.parametrize(
    "content",
    [
        *({**STATE, "EventTime": time} for time in INVALID_TIMES),
        *({**LEFT, "EventTime": time} for time in INVALID_TIMES),
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
def test_im_callback_with_an_invalid_field_is_unreadable(content: dict[str, Any]) -> None:
    assert parse_im(content).refused == "unreadable"


NOT_OBJECTS = [b"", b"{", b"[]", b"null", b"\xff", b'{"a": "\\ud800"}', b"[" * 50_000]


@pytest.mark.parametrize("body", NOT_OBJECTS)
def test_callback_body_that_is_not_an_object_is_unreadable(body: bytes) -> None:
    assert parse_im(body).refused == "unreadable"
    assert parse_css_callback(body, KEY, NOW).refused == "unreadable"


@pytest.mark.parametrize("body", NOT_OBJECTS)
def test_signature_is_checked_before_the_body_is_parsed(body: bytes) -> None:
    assert parse_im(body, Sign="x").refused == "sign"


def test_resent_im_callback_with_a_new_signature_has_the_same_id() -> None:
    later = parse_im(STATE, RequestTime=str(NOW + 30))
    assert later == parse_im(STATE)
    assert parse_im(STATE | {"EventTime": 1}).id != later.id


# ---- CSS


def test_css_callback_vectors_are_parsed(vectors: Any) -> None:
    outcomes = {}
    callback = vectors("css_live")["callback"]
    for case in callback["cases"]:
        body = json.dumps(case["body"]).encode()
        outcomes[case["name"]] = parse_css_callback(body, callback["key"], case["now"])
    sequence = "6674468118806626493"
    assert outcomes["push start"] == ParsedCallback(
        f"1:room_1:{sequence}", StreamEvent("room_1", True, sequence, 1700000000)
    )
    assert outcomes["push end"] == ParsedCallback(
        f"0:room_1:{sequence}", StreamEvent("room_1", False, sequence, 1700000300)
    )
    assert outcomes["expired t"].refused == "stale"
    assert outcomes["bad sign"].refused == "sign"


def test_css_signature_is_valid_until_t_and_for_at_most_a_day() -> None:
    assert parse_css(PUSH, now=NOW + 600).event
    assert parse_css(PUSH, now=NOW + 600.5).refused == "stale"
    assert parse_css(PUSH | {"t": NOW + CSS_MAX_EXPIRY_SECONDS}).event
    assert parse_css(PUSH | {"t": NOW + CSS_MAX_EXPIRY_SECONDS + 1}).refused == "stale"


@pytest.mark.parametrize("signature", ["", None, 5, "0" * 32, "ключ"])
def test_css_event_with_a_wrong_signature_is_refused(signature: Any) -> None:
    assert parse_css(PUSH, sign=signature).refused == "sign"


def test_css_event_is_refused_when_no_key_is_configured() -> None:
    signature = hashlib.md5(str(PUSH["t"]).encode()).hexdigest()
    assert (
        parse_css_callback(json.dumps({**PUSH, "sign": signature}).encode(), "", NOW).refused
        == "no_key"
    )


@pytest.mark.parametrize("name", ["stream_id", "sequence", "event_time", "t"])
@pytest.mark.parametrize("value", [None, "", [], {"a": 1}, 1.5, True, "x" * 257])
def test_css_event_with_an_invalid_field_is_unreadable(name: str, value: Any) -> None:
    assert parse_css(PUSH | {name: value}).refused == "unreadable"


@pytest.mark.parametrize("kind", [100, 317, 321, "1", None])
def test_other_css_event_types_are_ignored(kind: Any) -> None:
    parsed = parse_css({"event_type": kind, "t": NOW})
    assert (parsed.refused, parsed.event, parsed.ignored) == ("", None, "unknown_event")


def test_css_fields_may_be_numbers_or_strings() -> None:
    with_strings = parse_css(PUSH | {"event_time": str(NOW), "sequence": 6674468118806626493})
    assert with_strings == parse_css(PUSH)


def test_resent_css_event_with_a_new_expiry_has_the_same_id() -> None:
    assert parse_css(PUSH | {"t": NOW + 900}) == parse_css(PUSH)
    assert parse_css(PUSH | {"event_type": 0}).id != parse_css(PUSH).id


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.sampled_from(["EventTime", "Info", "ExitMemberList", "GroupId", "CallbackCommand"]),
)
def test_no_callback_content_raises(value: Any, name: str) -> None:
    for content in (STATE, LEFT):
        body = json.dumps({**content, name: value}).encode()
        parsed = parse_im(body, CallbackCommand=content["CallbackCommand"])
        assert bool(parsed.event) + bool(parsed.refused) + bool(parsed.ignored) == 1
    for part in PUSH:
        parsed = parse_css_callback(json.dumps({**PUSH, part: value}).encode(), KEY, NOW)
        assert parsed.refused or parsed.ignored or parsed.event
