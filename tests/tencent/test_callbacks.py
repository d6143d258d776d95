import hashlib
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tencent.callbacks import (
    CSS_MAX_EXPIRY_SECONDS,
    IM_MAX_AGE_SECONDS,
    GroupDestroyed,
    ImPresence,
    ImProfileSet,
    ProposedMessage,
    RecordingFailure,
    StreamEvent,
    StreamVerdict,
    parse_im_callback,
    parse_live_streaming_callback,
)
from tencent.json_reader import ParsedCallback
from tests.support.hypothesis_profiles import example_settings
from tests.support.tencent import VECTORS

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


MODERATION = {
    name: content | {"t": NOW + 600}
    for name, content in json.loads((VECTORS / "css_live.json").read_text())["moderation"].items()
}
"""CSS's reports of suspicious streams: its sample of a picture in the old form, and the other
forms as documented."""
PICTURE, OLD_PICTURE = MODERATION["picture"], MODERATION["old_picture"]
SOUND, RECORDING = MODERATION["sound"], MODERATION["recording"]


def parse_im(content, *, token=TOKEN, now=NOW, **query):
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


def parse_css(content, *, now=NOW, **other):
    """Parses a correctly signed CSS callback; `other` overrides its body fields."""
    signature = hashlib.md5(f"{KEY}{content.get('t')}".encode()).hexdigest()
    body = json.dumps({**content, "sign": signature, **other}).encode()
    return parse_live_streaming_callback(body, KEY, now)


# ---- IM: signature and freshness


def test_vectors_of_im_verify_within_60_seconds_but_for_a_misprinted_token(vectors):
    *genuine, old = vectors("im")["callback_auth"]
    for case in genuine:
        query = {"RequestTime": str(case["request_time"]), "Sign": case["sign"]}
        assert parse_im(STATE, token=case["token"], now=case["request_time"], **query).event
    official, typo, *_ = genuine
    query = {"RequestTime": str(official["request_time"]), "Sign": official["sign"]}
    misprinted = parse_im(STATE, token=typo["token"], now=official["request_time"], **query)
    assert misprinted.refused == "sign"
    query = {"RequestTime": str(old["request_time"]), "Sign": old["sign"]}
    assert parse_im(STATE, now=old["now"], **query).refused == "stale"
    for sign in (1, -1):
        assert not parse_im(STATE, now=NOW + sign * IM_MAX_AGE_SECONDS).refused
        assert parse_im(STATE, now=NOW + sign * (IM_MAX_AGE_SECONDS + 1)).refused == "stale"


def test_invalid_im_callback_is_refused_with_its_reason():
    for query, reason in (
        ({"Sign": ""}, "sign"),
        ({"Sign": "ключ"}, "sign"),
        ({"Sign": hashlib.sha256(f"other{NOW}".encode()).hexdigest()}, "sign"),
        ({"SdkAppid": "1400000001"}, "app"),
        ({"CallbackCommand": "Group.CallbackAfterMemberExit"}, "command"),
        ({"RequestTime": "-1700000000"}, "unreadable"),
        ({"token": ""}, "no_key"),
    ):
        parsed = parse_im(STATE, **query)
        assert (parsed.refused, parsed.event) == (reason, None)
        assert (parsed.kind is None) == (reason in ("sign", "no_key"))
    assert parse_im_callback({}, json.dumps(STATE).encode(), TOKEN, APP, NOW).refused == "sign"


# ---- IM: content


def test_documented_im_callbacks_are_parsed(vectors):
    parsed = []
    for case in vectors("im")["callbacks"]:
        body = json.dumps(case["body"]).encode()
        parsed.append(parse_im_callback(case["query"], body, case["token"], APP, NOW))
    group, users, at = "@TGS#aJRGC4MH6", ("u_10001",), 1670574414123
    assert [callback.event for callback in parsed] == [
        ImPresence(users, False, 1629883332497),
        ImPresence(users, True, at, group),
        ImPresence(users, False, at, group),
        GroupDestroyed(group),
        ImPresence(users, False, at, group),
    ]
    assert not any(callback.ignored or callback.refused for callback in parsed)
    assert len({callback.id for callback in parsed}) == len(parsed)


def test_every_change_of_presence_is_parsed_and_unknown_ones_are_ignored():
    member = LEFT | {
        "CallbackCommand": "Group.CallbackOnMemberStateChange",
        "MemberList": LEFT["ExitMemberList"],
    }
    for action, at, online in (("Login", "5", True), ("Logout", 5, False)):
        content = STATE | {"Info": {"Action": action, "To_Account": "u1"}, "EventTime": at}
        assert parse_im(content).event == ImPresence(("u1",), online, 5)
    left = ImPresence(("u1", "u2"), False, 1670574414123, "g")
    assert parse_im(LEFT).event == parse_im(member | {"EventType": "Offline"}).event == left
    assert parse_im(member | {"EventType": "Online"}).event == replace(left, online=True)
    for content in (
        {"CallbackCommand": "Group.CallbackAfterSendMsg"},
        member | {"EventType": "Asleep"},
        STATE | {"Info": {"Action": "Dozed", "To_Account": "u1"}},
    ):
        parsed, command = parse_im(content), content["CallbackCommand"]
        assert parsed == ParsedCallback(parsed.id, ignored="unknown_command", kind=command)


def test_only_a_profile_that_a_client_has_set_is_news():
    content = {
        "CallbackCommand": "Profile.CallbackPortraitSet",
        "Operator_Account": "u1",
        "From_Account": "u1",
        "EventTime": 1656921052497,
        "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "half \ud800 of a pair"}],
    }
    assert parse_im(content, OptPlatform="iOS").event == ImProfileSet("u1")
    for query in ({"OptPlatform": "RESTAPI"}, {}):
        assert parse_im(content, **query).ignored == "unknown_command", "a command of our own"
    assert parse_im({**content, "From_Account": 1}, OptPlatform="iOS").refused == "unreadable"


TEXT = {"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}
GIFT = {"MsgType": "TIMCustomElem", "MsgContent": {"Data": "d", "Desc": "e", "Ext": "", "Size": 1}}
BEFORE_GROUP = {
    "CallbackCommand": "Group.CallbackBeforeSendMsg",
    "GroupId": "@TGS#aAB",
    "Type": "AVChatRoom",
    "From_Account": "u1",
    "Operator_Account": "u1",
    "Random": 123456,
    "MsgId": "144115",
    "OnlineOnlyFlag": 0,
    "MsgBody": [TEXT, GIFT],
    "CloudCustomData": "",
    "EventTime": 1670574414123,
}
BEFORE_USER = {
    "CallbackCommand": "C2C.CallbackBeforeSendMsg",
    "From_Account": "u1",
    "To_Account": "u2",
    "MsgBody": [TEXT],
}


def test_messages_that_im_asks_about_are_parsed():
    elements = {"texts": ("hi",), "customs": ("d", "e", "")}
    assert parse_im(BEFORE_GROUP).event == ProposedMessage("u1", group_id="@TGS#aAB", **elements)
    to_user = ProposedMessage("u1", receiver="u2", texts=("hi",))
    assert parse_im(BEFORE_USER).event == to_user
    face = {"MsgType": "TIMFaceElem", "MsgContent": {"Index": 1, "Data": "smile"}}
    message = parse_im(BEFORE_USER | {"MsgBody": [face, GIFT]}).event
    assert (message.texts, message.has_other_elements) == (("smile",), False)
    picture = {"MsgType": "TIMImageElem", "MsgContent": {"UUID": "x"}}
    message = parse_im(BEFORE_GROUP | {"MsgBody": [TEXT, picture]}).event
    assert (message.texts, message.has_other_elements) == (("hi",), True)
    half = {"MsgType": "TIMTextElem", "MsgContent": {"Text": "half \ud800 of a pair"}}
    assert parse_im(BEFORE_USER | {"MsgBody": [half]}).event.text == "half ? of a pair"


def test_callback_with_an_invalid_field_or_that_cannot_be_stored_is_unreadable():
    for content in (
        BEFORE_GROUP | {"GroupId": None},
        BEFORE_GROUP | {"MsgBody": [{"MsgType": "TIMTextElem"}]},
        BEFORE_USER | {"To_Account": ""},
        STATE | {"EventTime": 10**15},
        STATE | {"Info": None},
        LEFT | {"ExitMemberList": [{}]},
    ):
        assert parse_im(content).refused == "unreadable"
    for name in ("stream_id", "sequence", "event_time", "t"):
        for value in (None, "", True, "x" * 257):
            assert parse_css(PUSH | {name: value}).refused == "unreadable"
    for body in (b"", b'{"a": "\\ud800"}'):
        assert parse_im(body).refused == "unreadable"
        assert parse_live_streaming_callback(body, KEY, NOW).refused == "unreadable"
        assert parse_im(body, Sign="x").refused == "sign"


def test_resent_im_callback_with_a_new_signature_has_the_same_id():
    assert parse_im(STATE, RequestTime=str(NOW + 30)) == parse_im(STATE)
    assert parse_im(STATE | {"EventTime": 1}).id != parse_im(STATE).id


# ---- CSS


def test_css_callback_vectors_are_parsed(vectors):
    callback = vectors("css_live")["callback"]
    outcomes = {}
    for case in callback["cases"]:
        body = json.dumps(case["body"]).encode()
        outcomes[case["name"]] = parse_live_streaming_callback(body, callback["key"], case["now"])
    sequence = "6674468118806626493"
    for name, kind, at in (("push start", 1, 1700000000), ("push end", 0, 1700000300)):
        event = StreamEvent("room_1", bool(kind), sequence, at)
        parsed = ParsedCallback(f"{kind}:room_1:{sequence}", event, kind=str(kind))
        assert outcomes[name] == parsed
    for name, refused, kind in (("expired t", "stale", "1"), ("bad sign", "sign", None)):
        assert (outcomes[name].refused, outcomes[name].kind) == (refused, kind)


def test_css_signature_is_valid_until_t_and_for_at_most_a_day():
    assert parse_css(PUSH, now=NOW + 600).event
    assert parse_css(PUSH, now=NOW + 600.5).refused == "stale"
    assert parse_css(PUSH | {"t": NOW + CSS_MAX_EXPIRY_SECONDS}).event
    assert parse_css(PUSH | {"t": NOW + CSS_MAX_EXPIRY_SECONDS + 1}).refused == "stale"


def test_css_event_with_a_wrong_signature_or_without_a_configured_key_is_refused():
    for signature in ("", None, "0" * 32, "ключ"):
        assert parse_css(PUSH, sign=signature).refused == "sign"
    signature = hashlib.md5(str(PUSH["t"]).encode()).hexdigest()
    body = json.dumps({**PUSH, "sign": signature}).encode()
    for unsigned in (body, b'{"event_type": 1}'):
        assert parse_live_streaming_callback(unsigned, "", NOW).refused == "no_key"


def test_what_css_finds_suspicious_in_a_stream_is_parsed_in_every_form():
    for content, verdict in (
        (OLD_PICTURE, ("picture", 97, "", "", "http://example.com/1.jpg", "")),
        (PICTURE, ("picture", 88, "Block", "Porn", "https://example.com/2.jpg", "加微信")),
        (SOUND, ("sound", 75, "", "Abuse", "https://example.com/1.mp3", "…")),
        (
            PICTURE | {"suggestion": "?", "score": "high", "img": "javascript:1", "label": None},
            ("picture", 0, "", "x", "", "加微信"),
        ),
        (SOUND | {"Score": 1e9, "type": 3}, ("sound", 100, "", "Abuse", SOUND["cdn_url"], "…")),
        (SOUND | {"Score": ["7", "9" * 400]}, ("sound", 100, "", "Abuse", SOUND["cdn_url"], "…")),
    ):
        parsed = parse_css(content)
        assert parsed.event == StreamVerdict("teststream", *verdict)
        assert parse_css(content | {"x": 1}).id != parsed.id
    for content in (
        PICTURE | {"suggestion": "pass"},
        OLD_PICTURE | {"type": [0]},
        OLD_PICTURE | {"type": 0},
        SOUND | {"HitFlag": 0},
    ):
        assert parse_css(content).ignored == "not_suspicious"
    assert parse_css(PICTURE | {"streamId": ""}).refused == "unreadable"


def test_a_failed_recording_is_parsed_and_other_states_and_other_types_are_ignored():
    for name in ("record_start_failed", "record_error"):
        event = RecordingFailure(name)
        assert parse_css(RECORDING | {"record_event": name}).event == event
    for name in ("record_start_succeeded", "record_ended", 1, ["record_error"]):
        assert parse_css(RECORDING | {"record_event": name}).ignored == "unknown_event"
    for kind in (100, "1", None):
        assert parse_css({"event_type": kind, "t": NOW}).ignored == "unknown_event"


def test_equal_css_events_have_the_same_id_also_with_another_expiry_or_numbers_as_texts():
    for change in ({"t": NOW + 900}, {"event_time": str(NOW), "sequence": int(PUSH["sequence"])}):
        assert parse_css(PUSH | change) == parse_css(PUSH)
    assert parse_css(PUSH | {"event_type": 0}).id != parse_css(PUSH).id


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.sampled_from(["EventTime", "Info", "ExitMemberList", "GroupId", "CallbackCommand"]),
)
@example_settings(100)
def test_no_callback_content_raises(value, name):
    for content in (STATE, LEFT):
        body = json.dumps({**content, name: value}).encode()
        parsed = parse_im(body, CallbackCommand=content["CallbackCommand"])
        assert bool(parsed.event) + bool(parsed.refused) + bool(parsed.ignored) == 1
    for content in (PUSH, PICTURE, OLD_PICTURE, SOUND, RECORDING):
        for part in content.keys() - {"t"}:
            parsed = parse_css({**content, part: value})
            assert parsed.refused or parsed.ignored or parsed.event
