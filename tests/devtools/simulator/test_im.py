"""The simulated Tencent IM: UserSigs, accounts, groups, messages and sanctions."""

import base64
import json
import zlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from TLSSigAPIv2 import TLSSigAPIv2

from config.sections import ImSettings
from devtools.simulator.im import SimulatedIm
from devtools.simulator.im_access import usersig_error
from devtools.simulator.im_messages import PER_SECOND, SimulatedMessages
from devtools.simulator.wire import SimulatorRequest

KEY, APP = "key", 1400000000
IMPORT, PORTRAIT = "/im_open_login_svc/account_import", "/profile/portrait_set"
CREATE, DESTROY = "/group_open_http_svc/create_group", "/group_open_http_svc/destroy_group"
KICK, MUTE = "/im_open_login_svc/kick", "/group_open_http_svc/forbid_send_msg"
GROUP_MSG, MSG = "/group_open_http_svc/send_group_msg", "/openim/sendmsg"


@pytest.fixture
def im(clock, monkeypatch):
    """The signing package is on its clock, too."""
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    return SimulatedIm(ImSettings(sdk_app_id=APP, secret_key=KEY), clock)


def usersig(user_id, key=KEY, app=APP):
    return TLSSigAPIv2(app, key).gen_sig(user_id, 3600)


@pytest.fixture
def call(im):
    def send(command, content, method="POST", **other):
        query = {
            "sdkappid": str(APP),
            "identifier": "administrator",
            "usersig": usersig("administrator"),
            "random": "4294967295",
            "contenttype": "json",
            **other,
        }
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        reply = im.answer(SimulatorRequest(method, f"/v4{command}", query, {}, body))
        assert reply.status == 200
        answer = json.loads(reply.body)
        assert answer["ActionStatus"] == ("FAIL" if answer["ErrorCode"] else "OK")
        return answer

    return send


# ---- UserSigs


def test_usersig_vectors_verify_or_get_the_error_code_of_tencent(vectors):
    known = vectors("usersig")
    signatures = [
        (case["identifier"], case[library])
        for case in known["cases"]
        for library in ("usersig_python_1_1", "usersig_npm_1_0_2")
        if case[library]
    ]
    assert (len(signatures), len(known["negative"])) == (7, 7)
    for identifier, signature in signatures:
        for now in (known["time"], known["time"] + known["expire"]):
            assert usersig_error(signature, known["key"], identifier, known["sdkappid"], now) == 0
    for case in known["negative"]:
        identifier = case.get("as_identifier", "xiaojun")
        app = case.get("as_sdkappid", known["sdkappid"])
        code = usersig_error(case["usersig"], known["key"], identifier, app, case["now"])
        assert code == case["im_error"], case["name"]


def test_usersig_ends_after_its_time_and_is_one_key_s(im, clock):
    signature = usersig("12345678")
    assert usersig_error(signature, KEY, "12345678", APP, clock.now + 3600) == 0
    assert usersig_error(signature, KEY, "12345678", APP, clock.now + 3601) == 70001
    assert usersig_error(signature, "kez", "12345678", APP, clock.now) == 70009


@pytest.mark.parametrize("ticket", [[], "text", {}])
def test_ticket_of_another_shape_is_malformed(ticket):
    packed = base64.b64encode(zlib.compress(json.dumps(ticket).encode())).decode()
    assert usersig_error(packed.translate(str.maketrans("+/=", "*-_")), KEY, "a", 1, 1) == 70003


@given(st.text(min_size=1))
def test_arbitrary_text_raises_no_exception(text):
    assert usersig_error(text, KEY, "a", 1, 1) in (70003, 70009)


# ---- commands


def test_documented_calls_get_documented_answers(call, vectors):
    for user_id in ("u_10001", "u_10002", "u_10003"):
        call(IMPORT, {"UserID": user_id})
    commands = (IMPORT, KICK, PORTRAIT, CREATE, DESTROY, MUTE, GROUP_MSG, MSG)
    cases = [case for case in vectors("im")["rest"]["calls"] if case["path"] in commands]
    assert len(cases) == 13
    for case in cases:
        answer = call(case["path"], case["request"])
        assert answer["ErrorCode"] == case["response"]["ErrorCode"], case
        assert answer.keys() >= case["response"].keys(), case
        group_id = case["response"].get("GroupId", "")
        if group_id.startswith("@TGS#"):
            assert answer["GroupId"].startswith("@TGS#")
        elif group_id:
            assert answer["GroupId"] == group_id


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "GET"}, 60009),
        ({"sdkappid": ""}, 60006),
        ({"sdkappid": "1400000001"}, 60006),
        ({"identifier": "anna"}, 60010),
        ({"usersig": ""}, 70002),
        ({"usersig": "not-a-sig"}, 70003),
        ({"key": "other"}, 70009),
        ({"app": 1}, 70014),
        ({"user_id": "u"}, 70013),
    ],
)
def test_invalid_credentials_get_the_error_code_of_tencent(call, im, change, code):
    if not change.keys() & {"method", "sdkappid", "identifier", "usersig"}:
        change = {"usersig": usersig(**{"user_id": "administrator", **change})}
    assert call(IMPORT, {"UserID": "a"}, **change)["ErrorCode"] == code
    assert im.accounts == {}


@pytest.mark.parametrize(
    ("command", "content", "code"),
    [
        (IMPORT, b"no json", 60003),
        (IMPORT, b"[]", 60003),
        ("/group_open_http_svc/make_tea", {}, 60009),
        (PORTRAIT, {"From_Account": "b", "ProfileItem": []}, 40003),
        *(
            (PORTRAIT, {"From_Account": "a", "ProfileItem": items}, 10004)
            for items in (None, ["text"], [{"Tag": "Tag_Profile_IM_Nick"}])
        ),
        *(
            (CREATE, {"Owner_Account": "a", "Type": "AVChatRoom", "Name": "a"} | change, code)
            for change, code in (
                ({"Type": "Public"}, 10004),
                ({"Name": ""}, 10004),
                ({"Owner_Account": "b"}, 70107),
            )
        ),
        (MUTE, {"GroupId": "room_3", "Members_Account": ["a"], "MuteTime": 1}, 10010),
        (MUTE, {"GroupId": "room_1", "Members_Account": ["b"], "MuteTime": 1}, 70107),
        (KICK, {"UserID": "b"}, 70107),
    ],
)
def test_invalid_command_gets_the_error_code_of_tencent_and_changes_nothing(
    call, im, command, content, code
):
    im.accounts["a"], im.groups["room_1"] = {}, {}
    assert call(command, content)["ErrorCode"] == code
    assert (im.accounts, im.groups) == ({"a": {}}, {"room_1": {}})
    assert (im.sanctions.muted, im.sanctions.kicked) == ({}, {})


def test_repeated_import_changes_only_the_fields_sent(call, im):
    call(IMPORT, {"UserID": "a", "Nick": "n", "FaceUrl": "f"})
    call(IMPORT, {"UserID": "a", "Nick": "m"})
    assert im.accounts == {"a": {"Nick": "m", "FaceUrl": "f"}}


def test_group_info_has_the_owner_or_an_error_for_each_group(call):
    call(IMPORT, {"UserID": "u1"})
    call(CREATE, {"Type": "AVChatRoom", "Name": "a", "GroupId": "g1", "Owner_Account": "u1"})
    answer = call("/group_open_http_svc/get_group_info", {"GroupIdList": ["g1", "g2"]})
    known, unknown = answer["GroupInfo"]
    assert (known["ErrorCode"], known["Owner_Account"]) == (0, "u1")
    assert unknown == {"GroupId": "g2", "ErrorCode": 10010}


# ---- messages


@pytest.fixture
def messages(clock):
    return SimulatedMessages({"room_1": {}}, {"u1": {}, "u2": {}}, clock)


def text_body(text="hello"):
    return [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]


def group_message(**change):
    return {
        "GroupId": "room_1",
        "Random": 1,
        "MsgPriority": "High",
        "MsgBody": text_body(),
    } | change


def user_message(**change):
    return {"To_Account": "u2", "MsgRandom": 1, "MsgBody": text_body()} | change


def test_messages_are_numbered_and_recorded(messages):
    assert messages.send_group_msg(group_message())[1]["MsgSeq"] == 1
    assert messages.send_group_msg(group_message(Random=2, From_Account="u1"))[1]["MsgSeq"] == 2
    data = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": "psst"}}]
    code, answer = messages.sendmsg(user_message(MsgBody=data, From_Account="u1"))
    assert (code, answer["MsgTime"]) == (0, 1_700_000_000)
    assert list(messages.sent) == [
        {"group": "room_1", "priority": "High", "text": "hello", "random": 1},
        {"group": "room_1", "priority": "High", "text": "hello", "random": 2},
        {"to": "u2", "text": "psst", "random": 1},
    ]


def test_unknown_groups_and_users_get_the_error_code_of_tencent(messages):
    assert messages.send_group_msg(group_message(GroupId="room_2")) == (10010, {})
    assert messages.send_group_msg(group_message(From_Account="u3")) == (70107, {})
    assert messages.sendmsg(user_message(To_Account="u3")) == (20003, {})
    assert messages.sendmsg(user_message(From_Account="u3")) == (20003, {})
    assert not messages.sent


@pytest.mark.parametrize(
    ("send", "message", "seconds"),
    [("send_group_msg", group_message, 300), ("sendmsg", user_message, 1)],
)
def test_repeated_message_is_sent_only_after_a_time(messages, clock, send, message, seconds):
    send = getattr(messages, send)
    first = send(message())
    clock.now += seconds - 1
    assert send(message()) == first
    send(message(MsgBody=text_body("other")))
    send(message(Random=2, MsgRandom=2))
    assert len(messages.sent) == 3
    clock.now += 1
    send(message())
    assert len(messages.sent) == 4


def test_group_accepts_forty_messages_per_second(messages, clock):
    for n in range(PER_SECOND):
        clock.now += 0.01
        assert messages.send_group_msg(group_message(Random=n))[0] == 0
    assert messages.send_group_msg(group_message(Random=99)) == (10023, {})
    clock.now += 0.7
    assert messages.send_group_msg(group_message(Random=99))[0] == 0


# ---- sanctions, and what they mean to a chat client


@pytest.fixture
def chat(im):
    """Sends a message of "anna", to one of two groups or to none; returns the error code."""
    im.accounts["anna"] = {}
    im.groups |= {"room_1": {}, "room_2": {}}

    def send(sig, group_id=None, user_id="anna"):
        content = {"user_id": user_id, "user_sig": sig, "group_id": group_id}
        body = sig if isinstance(sig, bytes) else json.dumps(content).encode()
        return json.loads(im.chat(SimulatorRequest("POST", "/phone/chat", body=body)).body)[
            "ErrorCode"
        ]

    return send


def test_kick_ends_the_usersigs_signed_before(im, call, chat, clock):
    old = usersig("anna")
    assert chat(old) == 0
    call(KICK, {"UserID": "anna"})
    assert chat(old) == 70052
    clock.now += 1
    assert (chat(old), chat(usersig("anna"))) == (70052, 0)


def test_mute_ends_after_its_time_with_0_or_with_the_group(im, call, chat, clock):
    sig = usersig("anna")

    def mute(seconds):
        members = {"GroupId": "room_1", "Members_Account": ["anna"]}
        assert call(MUTE, {**members, "MuteTime": seconds})["ErrorCode"] == 0

    assert chat(sig, "room_1") == 0
    mute(60)
    assert (chat(sig, "room_1"), chat(sig, "room_2"), chat(sig)) == (10017, 0, 0)
    clock.now += 60
    assert chat(sig, "room_1") == 0
    mute(4294967295)
    assert chat(sig, "room_1") == 10017
    mute(0)
    assert chat(sig, "room_1") == 0
    mute(60)
    call(DESTROY, {"GroupId": "room_1"})
    assert chat(sig, "room_1") == 10010
    call(CREATE, {"Type": "AVChatRoom", "GroupId": "room_1", "Name": "a", "Owner_Account": "anna"})
    assert chat(sig, "room_1") == 0


def test_chat_client_needs_its_own_usersig(chat):
    assert (chat(b"no json"), chat(b"{}")) == (60003, 70002)
    assert chat(usersig("anna"), user_id="bert") == 70013
