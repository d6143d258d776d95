"""The simulated Tencent IM: UserSigs, accounts, groups, messages and sanctions."""

import json
from types import SimpleNamespace

import pytest
from TLSSigAPIv2 import TLSSigAPIv2

from config.sections import ImSettings
from devtools.simulator.im import SimulatedIm
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from tencent.callbacks import parse_im_callback
from tests.support.tencent import ScriptedService

KEY, APP = "key", 1400000000
SETTINGS = ImSettings(sdk_app_id=APP, secret_key=KEY, callback_token="token")
IMPORT, PORTRAIT = "/im_open_login_svc/account_import", "/profile/portrait_set"
CREATE, DESTROY = "/group_open_http_svc/create_group", "/group_open_http_svc/destroy_group"
KICK, MUTE = "/im_open_login_svc/kick", "/group_open_http_svc/forbid_send_msg"
GROUP_MSG, MSG = "/group_open_http_svc/send_group_msg", "/openim/sendmsg"


def usersig(user_id, key=KEY):
    return TLSSigAPIv2(APP, key).gen_sig(user_id, 3600)


@pytest.fixture
def im(clock, monkeypatch):
    """The signing package is on its clock, too."""
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    return SimulatedIm(SETTINGS, clock)


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

    def error(signature, identifier, now, app=known["sdkappid"]):
        settings = ImSettings(sdk_app_id=app, secret_key=known["key"])
        return SimulatedIm(settings, lambda: now).usersig_error(signature, identifier)

    for identifier, signature in signatures:
        for now in (known["time"], known["time"] + known["expire"]):
            assert error(signature, identifier, now) == 0
    for case in known["negative"]:
        identifier = case.get("as_identifier", "xiaojun")
        app = case.get("as_sdkappid", known["sdkappid"])
        assert error(case["usersig"], identifier, case["now"], app) == case["im_error"], case[
            "name"
        ]


# ---- commands


def test_documented_calls_get_documented_answers(call, vectors):
    for user_id in ("u_10001", "u_10002", "u_10003"):
        call(IMPORT, {"UserID": user_id})
    commands = (IMPORT, KICK, PORTRAIT, CREATE, DESTROY, MUTE, GROUP_MSG, MSG)
    cases = [case for case in vectors("im")["rest"]["calls"] if case["path"] in commands]
    assert len(cases) == 13
    unknown = call("/group_open_http_svc/get_group_info", {"GroupIdList": ["room_9"]})
    assert unknown["GroupInfo"] == [{"GroupId": "room_9", "ErrorCode": 10010}]
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
    ("command", "content", "query", "code"),
    [
        (IMPORT, {"UserID": "b"}, {"method": "GET"}, 60009),
        (IMPORT, {"UserID": "b"}, {"sdkappid": "1400000001"}, 60006),
        (IMPORT, {"UserID": "b"}, {"identifier": "anna"}, 60010),
        (IMPORT, {"UserID": "b"}, {"usersig": ""}, 70002),
        (IMPORT, b"no json", {}, 60003),
        ("/group_open_http_svc/make_tea", {}, {}, 60009),
        (PORTRAIT, {"From_Account": "b", "ProfileItem": []}, {}, 40003),
        (PORTRAIT, {"From_Account": "a", "ProfileItem": ["text"]}, {}, 10004),
        (CREATE, {"Owner_Account": "a", "Type": "Public", "Name": "a"}, {}, 10004),
        (CREATE, {"Owner_Account": "b", "Type": "AVChatRoom", "Name": "a"}, {}, 70107),
        (MUTE, {"GroupId": "room_3", "Members_Account": ["a"], "MuteTime": 1}, {}, 10010),
        (MUTE, {"GroupId": "room_1", "Members_Account": ["b"], "MuteTime": 1}, {}, 70107),
        (KICK, {"UserID": "b"}, {}, 70107),
        (GROUP_MSG, {"GroupId": "room_3"}, {}, 10010),
        (GROUP_MSG, {"GroupId": "room_1", "From_Account": "b"}, {}, 70107),
        (MSG, {"To_Account": "b", "MsgRandom": 1}, {}, 20003),
    ],
)
def test_invalid_command_gets_the_error_code_of_tencent_and_changes_nothing(
    call, im, command, content, query, code
):
    im.accounts["a"], im.groups["room_1"] = {}, {}
    assert call(command, content, **query)["ErrorCode"] == code
    assert (im.accounts, im.groups) == ({"a": {}}, {"room_1": {}})
    assert (im.muted, im.kicked, list(im.messages)) == ({}, {}, [])


# ---- messages


def message(text, random):
    element = {"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}
    to = {"GroupId": "room_1", "Random": random, "To_Account": "u2", "MsgRandom": random}
    return {**to, "MsgBody": [element]}


@pytest.mark.parametrize(("command", "seconds"), [(GROUP_MSG, 300), (MSG, 1)])
def test_repeated_message_is_sent_only_after_a_time(call, im, clock, command, seconds):
    im.accounts["u2"], im.groups["room_1"] = {}, {}
    first = call(command, message("hello", 1))
    clock.now += seconds - 1
    assert call(command, message("hello", 1)) == first
    call(command, message("other", 1))
    call(command, message("hello", 2))
    assert len(im.messages) == 3
    clock.now += 1
    call(command, message("hello", 1))
    assert len(im.messages) == 4


# ---- the callback before a message


@pytest.mark.usefixtures("im")
async def test_an_answer_refuses_with_a_code_of_its_kind_and_any_other_lets_the_message_pass(
    clock, serve
):
    for to, answer, verdict in (
        ({}, {"ErrorCode": 0, "ErrorInfo": ""}, (0, "")),
        ({}, {"ErrorCode": 10101, "ErrorInfo": "muted"}, (10101, "muted")),
        ({}, {"ErrorCode": 120001, "ErrorInfo": "x"}, (0, "")),
        ({"to": "u2"}, {"ErrorCode": 120001, "ErrorInfo": "banned"}, (120001, "banned")),
        ({"to": "u2"}, {"ErrorCode": 10101, "ErrorInfo": "x"}, (0, "")),
        ({}, {"ErrorInfo": "x"}, (0, "")),
        ({}, SimulatorReply(200, {}, b""), (0, "")),
    ):
        service = ScriptedService(answer)
        im = SimulatedIm(SETTINGS, clock, serve(service))
        im.groups["g"] = {}
        content = {"user_id": "u1", "user_sig": usersig("u1"), "group_id": "g", "body": [], **to}
        body = json.dumps(content).encode()
        reply = json.loads((await im.chat(SimulatorRequest("POST", "/phone/chat", body=body))).body)
        assert (reply["ErrorCode"], reply["ErrorInfo"]) == verdict
        (asked,) = service.requests
        parsed = parse_im_callback(asked.query, asked.body, "token", APP, clock())
        assert (parsed.event.sender, parsed.event.group_id) == ("u1", "" if to else "g")
