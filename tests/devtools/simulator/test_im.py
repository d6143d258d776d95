import json

import pytest
from TLSSigAPIv2 import TLSSigAPIv2

from config.sections import ImSettings
from devtools.simulator.im import SimulatedIm
from devtools.simulator.wire import SimulatorRequest

KEY, APP = "key", 1400000000


@pytest.fixture
def im():
    return SimulatedIm(ImSettings(sdk_app_id=APP, secret_key=KEY), lambda: 0)


@pytest.fixture
def call(im):
    usersig = TLSSigAPIv2(APP, KEY).gen_sig("administrator", 3600)

    def send(command: str, content: object, method: str = "POST", **other):
        query = {
            "sdkappid": str(APP),
            "identifier": "administrator",
            "usersig": usersig,
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


IMPORT, PORTRAIT = "/im_open_login_svc/account_import", "/profile/portrait_set"
CREATE, DESTROY = "/group_open_http_svc/create_group", "/group_open_http_svc/destroy_group"
KICK, MUTE = "/im_open_login_svc/kick", "/group_open_http_svc/forbid_send_msg"
GROUP_MSG, MSG = "/group_open_http_svc/send_group_msg", "/openim/sendmsg"


def test_group_info_has_the_owner_or_an_error_for_each_group(call):
    call(IMPORT, {"UserID": "u1"})
    call(CREATE, {"Type": "AVChatRoom", "Name": "a", "GroupId": "g1", "Owner_Account": "u1"})
    answer = call("/group_open_http_svc/get_group_info", {"GroupIdList": ["g1", "g2"]})
    first, second = answer["GroupInfo"]
    assert (first["ErrorCode"], first["Owner_Account"]) == (0, "u1")
    assert second == {"GroupId": "g2", "ErrorCode": 10010}


def test_documented_calls_get_documented_answers(call, vectors):
    for user_id in ("u_10001", "u_10002", "u_10003"):
        call(IMPORT, {"UserID": user_id})
    cases = [
        case
        for case in vectors("im")["rest"]["calls"]
        if case["path"] in (IMPORT, KICK, PORTRAIT, CREATE, DESTROY, MUTE, GROUP_MSG, MSG)
    ]
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
        ({"identifier": "somebody"}, 60010),
        ({"usersig": ""}, 70002),
        ({"usersig": "not-a-sig"}, 70003),
        ({"usersig": TLSSigAPIv2(APP, "other").gen_sig("administrator", 3600)}, 70009),
        ({"usersig": TLSSigAPIv2(1, KEY).gen_sig("administrator", 3600)}, 70014),
        ({"usersig": TLSSigAPIv2(APP, KEY).gen_sig("u", 3600)}, 70013),
    ],
)
def test_invalid_credentials_get_the_error_code_of_tencent(call, im, change, code):
    assert call(IMPORT, {"UserID": "a"}, **change)["ErrorCode"] == code
    assert im.accounts == {}


def test_expired_signature_has_its_own_error_code(call, im):
    im._now = lambda: 2e9 * 2
    assert call(IMPORT, {"UserID": "a"})["ErrorCode"] == 70001


@pytest.mark.parametrize("body", [b"", b"no json", b"[]"])
def test_body_that_is_no_json_object_is_error_60003(call, body):
    assert call(IMPORT, body)["ErrorCode"] == 60003


def test_unknown_command_is_error_60009(call):
    assert call("/group_open_http_svc/make_tea", {})["ErrorCode"] == 60009


def test_repeated_import_changes_only_the_fields_sent(call, im):
    call(IMPORT, {"UserID": "a", "Nick": "n", "FaceUrl": "f"})
    call(IMPORT, {"UserID": "a", "Nick": "m"})
    assert im.accounts == {"a": {"Nick": "m", "FaceUrl": "f"}}


@pytest.mark.parametrize("items", [None, ["text"], [{"Tag": "Tag_Profile_IM_Nick"}]])
def test_invalid_portrait_changes_nothing(call, im, items):
    call(IMPORT, {"UserID": "a"})
    assert call(PORTRAIT, {"From_Account": "a", "ProfileItem": items})["ErrorCode"] == 10004
    assert im.accounts == {"a": {}}


def test_portrait_of_an_unknown_account_is_refused(call):
    assert call(PORTRAIT, {"From_Account": "a", "ProfileItem": []})["ErrorCode"] == 40003


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Type": "Public"}, 10004),
        ({"Name": ""}, 10004),
        ({"Owner_Account": "nobody"}, 70107),
    ],
)
def test_invalid_group_gets_the_error_code_of_tencent(call, im, change, code):
    call(IMPORT, {"UserID": "host"})
    group = {"Owner_Account": "host", "Type": "AVChatRoom", "GroupId": "room_1", "Name": "a"}
    assert call(CREATE, {**group, **change})["ErrorCode"] == code
    assert im.groups == {}
    assert call(CREATE, group)["GroupId"] == "room_1"
