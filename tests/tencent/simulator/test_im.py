import json

import pytest

from tencent.simulator.im import Im
from tencent.simulator.wire import SimRequest
from tencent.usersig import UserSigs

KEY, APP = "key", 1400000000


@pytest.fixture
def im():
    return Im(APP, KEY, "administrator", lambda: 0)


@pytest.fixture
def ask(im):
    usersig = UserSigs(APP, KEY).sign("administrator", 3600)

    def call(command: str, content: object, method: str = "POST", **other):
        query = {
            "sdkappid": str(APP),
            "identifier": "administrator",
            "usersig": usersig,
            "random": "4294967295",
            "contenttype": "json",
            **other,
        }
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        reply = im.answer(SimRequest(method, f"/v4{command}", query, {}, body))
        assert reply.status == 200
        answer = json.loads(reply.body)
        assert answer["ActionStatus"] == ("FAIL" if answer["ErrorCode"] else "OK")
        return answer

    return call


IMPORT, PORTRAIT = "/im_open_login_svc/account_import", "/profile/portrait_set"
CREATE, DESTROY = "/group_open_http_svc/create_group", "/group_open_http_svc/destroy_group"
GROUP_MSG, MSG = "/group_open_http_svc/send_group_msg", "/openim/sendmsg"


def test_the_documented_calls_get_the_documented_answers(ask, vectors):
    ask(IMPORT, {"UserID": "u_10002"})
    played = [
        call
        for call in vectors("im")["rest"]["calls"]
        if call["path"] in (IMPORT, PORTRAIT, CREATE, DESTROY, GROUP_MSG, MSG)
    ]
    assert len(played) == 11
    for call in played:
        answer = ask(call["path"], call["request"])
        assert answer["ErrorCode"] == call["response"]["ErrorCode"], call
        assert answer.keys() >= call["response"].keys(), call
        expected = call["response"].get("GroupId", "")
        if expected.startswith("@TGS#"):
            assert answer["GroupId"].startswith("@TGS#")
        elif expected:
            assert answer["GroupId"] == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "GET"}, 60009),
        ({"random": ""}, 60009),
        ({"random": "4294967296"}, 60009),
        ({"random": "-1"}, 60009),
        ({"contenttype": "xml"}, 60009),
        ({"sdkappid": ""}, 60012),
        ({"sdkappid": "abc"}, 60006),
        ({"sdkappid": "1400000001"}, 70014),
        ({"identifier": "somebody"}, 70013),
        ({"usersig": ""}, 70002),
        ({"usersig": "not-a-sig"}, 70003),
        ({"usersig": UserSigs(APP, "other").sign("administrator", 3600)}, 70009),
        ({"usersig": UserSigs(1, KEY).sign("administrator", 3600), "sdkappid": "1"}, 60006),
        ({"usersig": UserSigs(APP, KEY).sign("u", 3600), "identifier": "u"}, 60010),
    ],
)
def test_a_stranger_is_turned_away_with_tencents_number(ask, im, change, code):
    assert ask(IMPORT, {"UserID": "a"}, **change)["ErrorCode"] == code
    assert im.accounts == {}


def test_an_expired_signature_is_told_apart(ask, im):
    im._now = lambda: 2e9 * 2
    assert ask(IMPORT, {"UserID": "a"})["ErrorCode"] == 70001


@pytest.mark.parametrize("body", [b"", b"no json", b"[]"])
def test_a_body_that_is_no_object_is_60003(ask, body):
    assert ask(IMPORT, body)["ErrorCode"] == 60003


def test_a_command_that_does_not_exist_is_a_bad_url(ask):
    assert ask("/group_open_http_svc/make_tea", {})["ErrorCode"] == 60009


@pytest.mark.parametrize("user_id", [None, "", 5, "a" * 33, "红" * 11])
def test_an_account_needs_an_id_of_at_most_32_bytes(ask, user_id):
    assert ask(IMPORT, {"UserID": user_id})["ErrorCode"] == 70402


def test_importing_again_changes_only_what_is_sent(ask, im):
    ask(IMPORT, {"UserID": "a", "Nick": "n", "FaceUrl": "f"})
    ask(IMPORT, {"UserID": "a", "Nick": "m"})
    assert im.accounts == {"a": {"Nick": "m", "FaceUrl": "f"}}


@pytest.mark.parametrize(
    "items",
    [
        None,
        [],
        ["text"],
        [{"Tag": "Tag_Unheard", "Value": "x"}],
        [{"Tag": "Tag_Profile_IM_Nick"}],
        [{"Tag": "Tag_Profile_IM_Nick", "Value": "a" * 501}],
    ],
)
def test_a_bad_portrait_changes_nothing(ask, im, items):
    ask(IMPORT, {"UserID": "a"})
    assert ask(PORTRAIT, {"From_Account": "a", "ProfileItem": items})["ErrorCode"] == 40001
    assert im.accounts == {"a": {}}


def test_a_portrait_of_nobody_is_refused(ask):
    assert ask(PORTRAIT, {"From_Account": "a", "ProfileItem": []})["ErrorCode"] == 40003


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Type": "Public"}, 10004),
        ({"Name": ""}, 10004),
        ({"Name": "a" * 101}, 10004),
        ({"FaceUrl": "a" * 501}, 10004),
        ({"GroupId": "房间"}, 10004),
        ({"GroupId": "a" * 49}, 10015),
        ({"GroupId": "@TGS#a"}, 10015),
        ({"MemberList": []}, 10007),
        ({"Owner_Account": "nobody"}, 70107),
    ],
)
def test_a_bad_group_is_refused_with_tencents_number(ask, im, change, code):
    ask(IMPORT, {"UserID": "host"})
    group = {"Owner_Account": "host", "Type": "AVChatRoom", "GroupId": "room_1", "Name": "a"}
    assert ask(CREATE, {**group, **change})["ErrorCode"] == code
    assert im.groups == {}
    assert ask(CREATE, group)["GroupId"] == "room_1"
