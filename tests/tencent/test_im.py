import json
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.sections import ImSettings
from devtools.simulator.wire import SimulatorReply
from tencent.errors import (
    ImGroupMissing,
    ImGroupTaken,
    ImMisconfigured,
    ImRejected,
    ServiceUnavailable,
)
from tencent.im import (
    MISCONFIGURATION_CODES,
    NO_CALLBACKS,
    TRANSIENT_CODES,
    ImClient,
    truncate_utf8,
)
from tests.support.chat import decode_usersig
from tests.support.hypothesis_profiles import example_settings

SUCCESS = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
ACCOUNT, GROUP = "/v4/im_open_login_svc/account_import", "/v4/group_open_http_svc"


def failed(code):
    return {"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": f"info {code}"}


@pytest.fixture
def client_at(make_service_client):
    def build(url, **settings):
        im = ImSettings(sdk_app_id=1400000000, secret_key="key", **settings)
        return ImClient(make_service_client("im", url), im)

    return build


def sent(service):
    return [(request.path, json.loads(request.body)) for request in service.requests]


# ---- requests


async def test_query_of_a_command_is_as_documented_with_a_new_usersig(scripted, monkeypatch):
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=count(1_700_000_000).__next__))
    im, service = scripted(SUCCESS)
    await im.destroy_group("room_1")
    await im.destroy_group("room_2")
    first, second = service.requests
    assert first.method == "POST"
    assert first.query.keys() == {"sdkappid", "identifier", "usersig", "random", "contenttype"}
    assert (first.query["sdkappid"], first.query["identifier"]) == ("1400000000", "administrator")
    assert first.query["contenttype"] == "json"
    assert 0 <= int(first.query["random"]) < 2**32
    times = [decode_usersig(request.query["usersig"])["TLS.time"] for request in (first, second)]
    assert times[1] == times[0] + 1


async def test_requests_are_those_of_the_documentation(scripted, vectors):
    im, service = scripted(SUCCESS)
    url, text = (
        "https://example.com/a.png",
        [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "你好"}}],
    )
    documented = {
        case["path"]: case["request"]
        for case in vectors("im")["rest"]["calls"]
        if case["response"]["ErrorCode"] == 0
    }
    for path in ("/group_open_http_svc/send_group_msg", "/openim/sendmsg"):
        del documented[path]["From_Account"]  # by default the administrator, who sends
        documented[path]["MsgBody"] = text
        documented[path]["ForbidCallbackControl"] = NO_CALLBACKS
    for path, call in {
        "/im_open_login_svc/account_import": im.account_import("u_10001", "小红", url),
        "/im_open_login_svc/kick": im.kick("u_10001"),
        "/profile/portrait_set": im.portrait_set("u_10001", "小红", url, 2),
        "/group_open_http_svc/create_group": im.create_group("room_1", "相亲房1", "u_10001", ""),
        "/group_open_http_svc/destroy_group": im.destroy_group("room_1"),
        "/group_open_http_svc/forbid_send_msg": im.forbid_send_msg("room_1", "u_10003", 60),
        "/group_open_http_svc/send_group_msg": im.send_group_msg("room_1", "你好", 8912345, "High"),
        "/openim/sendmsg": im.send_text("u_10002", "你好", 1287657, 60),
    }.items():
        await call
        assert sent(service)[-1] == (f"/v4{path}", documented[path])


async def test_unset_fields_are_left_out_and_long_ones_cut(scripted):
    im, service = scripted(SUCCESS)
    await im.account_import("12345678", "", "")
    await im.create_group("room_1", "", "12345678", "https://a/b")
    await im.create_group("room_1", "相亲房" * 10, "12345678", "https://" + "a" * 100)
    for gender in (0, 1):
        await im.portrait_set("12345678", "小红", "", gender)
    await im.forbid_send_msg("room_1", "12345678", 2**40)
    imported, unnamed, long_named, *portraits, mute = [body for _, body in sent(service)]
    assert imported == {"UserID": "12345678"}
    assert (unnamed["Name"], unnamed["FaceUrl"]) == ("room_1", "https://a/b")
    assert long_named["Name"] == "相亲房相亲房相亲房相"  # 30 bytes
    assert "FaceUrl" not in long_named  # 108 bytes: a part of a URL is of no use
    genders = [body["ProfileItem"][1]["Value"] for body in portraits]
    assert genders == ["Gender_Type_Unknown", "Gender_Type_Male"]
    assert mute["MuteTime"] == 4294967295


async def test_an_account_that_a_busy_im_does_not_delete_is_deleted_later(scripted):
    im, _ = scripted(SUCCESS | {"ResultItem": [{"UserID": "12345678", "ResultCode": 60008}]})
    with pytest.raises(ServiceUnavailable):
        await im.account_delete("12345678")


def of_friend(code, info=""):
    row = {"To_Account": "22222222", "ResultCode": code, "ResultInfo": info}
    return SUCCESS | {"ResultItem": [row]}


ADD = (
    "/v4/sns/friend_add",
    {
        "From_Account": "11111111",
        "AddFriendItem": [{"To_Account": "22222222", "AddSource": "AddSource_Type_Match"}],
        "AddType": "Add_Type_Both",
        "ForceAddFlags": 1,
    },
)
DELETE = (
    "/v4/sns/friend_delete",
    {
        "From_Account": "11111111",
        "To_Account": ["22222222"],
        "DeleteType": "Delete_Type_Both",
    },
)


@pytest.mark.parametrize(
    ("code", "info", "error"),
    [
        (0, "", None),
        (30001, "Err_SNS_FriendAdd_Friend_Exist", None),
        (30001, "Err_SNS_Parameter", ImRejected),
        (30539, "", None),
        (30006, "", ServiceUnavailable),
        (30008, "", ServiceUnavailable),
        (30009, "", ImRejected),
    ],
)
async def test_a_friendship_is_added_as_the_result_of_its_item_says(scripted, code, info, error):
    im, service = scripted(of_friend(code, info))
    if error:
        with pytest.raises(error):
            await im.add_friends("11111111", "22222222")
    else:
        await im.add_friends("11111111", "22222222")
    assert sent(service) == [ADD]


async def test_a_full_list_of_friends_is_logged_and_given_up(scripted):
    for code in (30010, 30012, 30014, 30515, 30516, 30525, 30540):
        im, _ = scripted(of_friend(code))
        with capture_logs() as logs:
            await im.add_friends("11111111", "22222222")
        [refused] = [row for row in logs if row["event"] == "im_friendship_refused"]
        assert refused["error_code"] == code


async def test_friends_whom_im_does_not_know_are_imported_once(scripted):
    im, service = scripted(failed(30003), SUCCESS, of_friend(30003), SUCCESS, of_friend(0))
    await im.add_friends("11111111", "22222222")
    imports = [(ACCOUNT, {"UserID": user_id}) for user_id in ("11111111", "22222222")]
    assert sent(service) == [ADD, imports[0], ADD, imports[1], ADD]


async def test_the_end_of_a_friendship_needs_none(scripted):
    for reply in (of_friend(0), of_friend(31704), of_friend(30003), failed(30003)):
        im, service = scripted(reply)
        await im.delete_friends("11111111", "22222222")
        assert sent(service) == [DELETE]
    for code, error in ((30007, ServiceUnavailable), (30001, ImRejected)):
        im, _ = scripted(of_friend(code))
        with pytest.raises(error):
            await im.delete_friends("11111111", "22222222")


async def test_a_group_is_closed_and_opened_unless_that_is_left_to_the_callback(
    scripted, client_at
):
    for mute_all in (True, False):
        im, service = scripted(SUCCESS, at=partial(client_at, mute_all=mute_all))
        for on in (True, False):
            await im.mute_group("room_1", on=on)
        bodies = [{"GroupId": "room_1", "MuteAllMember": state} for state in ("On", "Off")]
        path = f"{GROUP}/modify_group_base_info"
        assert sent(service) == ([(path, body) for body in bodies] if mute_all else [])


async def test_message_over_8_kb_is_not_sent(scripted):
    im, service = scripted(SUCCESS)
    text = "红" * 2700
    await im.send_group_msg("room_1", text, 1, "High")
    for send in (im.send_group_msg("g", text * 2, 1, "High"), im.send_text("u", text * 2, 1, 0)):
        with pytest.raises(ImRejected) as rejection:
            await send
        assert rejection.value.code == 80002
    assert len(service.requests) == 1


@given(st.text(), st.integers(0, 40))
@example_settings(100)
def test_cut_returns_the_longest_prefix_within_the_limit(text, limit):
    prefix = truncate_utf8(text, limit)
    assert text.startswith(prefix)
    assert len(prefix.encode()) <= limit
    if prefix != text:
        assert len(text[: len(prefix) + 1].encode()) > limit


# ---- groups and accounts


async def test_a_group_in_use_is_ours_if_it_belongs_to_the_host_and_taken_if_not(scripted):
    im, _ = scripted(SUCCESS, failed(10025))
    assert [await im.create_group("room_1", "a", "host1", "") for _ in range(2)] == [True, False]
    info = {"GroupId": "room_1", "ErrorCode": 0, "Owner_Account": "host1"}
    im, service = scripted(failed(10021), {**SUCCESS, "GroupInfo": [info]})
    assert not await im.create_group("room_1", "a", "host1", "")
    assert sent(service)[1] == (f"{GROUP}/get_group_info", {"GroupIdList": ["room_1"]})
    for infos in (None, [], ["?"], [{"GroupId": "room_1", "ErrorCode": 10010}]):
        im, _ = scripted(failed(10021), {**SUCCESS, "GroupInfo": infos})
        with pytest.raises(ImGroupTaken):
            await im.create_group("room_1", "a", "host1", "")


async def test_an_unknown_account_is_imported_and_the_command_sent_again_only_once(scripted):
    for code, command, values in (
        *((code, "send_text", ("u1", "a", 7, 60)) for code in (20003, 90012, 90048)),
        (70107, "forbid_send_msg", ("room_1", "u1", 60)),
        (70107, "create_group", ("room_1", "a", "u1", "")),
        (40003, "portrait_set", ("u1", "小红", "", 2)),
    ):
        im, service = scripted(failed(code), SUCCESS, SUCCESS)
        await getattr(im, command)(*values)
        first, imported, second = sent(service)
        assert imported == (ACCOUNT, {"UserID": "u1"})
        assert first == second
    for answers, calls in (([failed(20003), SUCCESS, failed(20003)], 3), ([failed(90002)], 1)):
        im, service = scripted(*answers)
        with pytest.raises(ImRejected):
            await im.send_text("u_10002", "a", 7, 60)
        assert len(service.requests) == calls


async def test_sanctions_of_an_unknown_account_are_done_and_sent_again_if_the_gateway_fails(
    scripted,
):
    im, service = scripted(SimulatorReply(502, {}, b""), failed(70107))
    await im.kick("12345678")
    await im.forbid_send_msg("room_1", "12345678", 0)  # lifts a mute
    assert len(service.requests) == 3


async def test_a_dissolved_group_is_missing_for_messages_and_mutes_and_need_not_be_destroyed(
    scripted,
):
    for code in (10010, 10015):
        im, _ = scripted(failed(code))
        for call in (im.send_group_msg("g", "a", 1, "High"), im.forbid_send_msg("g", "1", 60)):
            with pytest.raises(ImGroupMissing) as rejection:
                await call
            assert rejection.value.code == code
        await im.destroy_group("room_1")


# ---- failures


async def test_temporary_errors_misconfiguration_and_unreadable_answers_are_unavailable(scripted):
    for code in TRANSIENT_CODES | MISCONFIGURATION_CODES:
        im, service = scripted(failed(code))
        with capture_logs() as logs, pytest.raises(ServiceUnavailable) as failure:
            await im.account_import("12345678", "a", "")
        assert failure.value.code == "im_away"
        assert len(service.requests) == 1
        is_wrong = code in MISCONFIGURATION_CODES
        assert isinstance(failure.value, ImMisconfigured) == is_wrong
        errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
        assert errors == (["im_misconfigured"] if is_wrong else [])
    for body in (b"<html>", b"{}", b'{"ErrorCode": "0"}'):
        im, _ = scripted(SimulatorReply(200, {}, body))
        with pytest.raises(ServiceUnavailable):
            await im.destroy_group("room_1")


@pytest.mark.parametrize("code", [60002, 10036])
async def test_permanent_error_codes_raise_im_rejected_and_are_logged_without_secrets(
    scripted, code
):
    im, service = scripted(failed(code))
    with capture_logs() as logs, pytest.raises(ImRejected) as rejection:
        await im.account_import("12345678", "小红", "")
    assert (rejection.value.code, str(rejection.value)) == (code, f"{code} info {code}")
    assert [entry["error_code"] for entry in logs if "error_code" in entry] == [code]
    assert service.requests[0].query["usersig"] not in repr(logs)
    assert "小红" not in repr(logs)
    errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert errors == (["im_group_quota_exceeded"] if code == 10036 else [])


# ---- UserSigs


def test_usersigs_are_those_of_the_vectors(vectors, monkeypatch):
    vector = vectors("usersig")
    plain = [case for case in vector["cases"] if case["userbuf_b64"] is None]
    assert len(plain) == 3
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=lambda: vector["time"]))
    im = ImClient(None, ImSettings(sdk_app_id=vector["sdkappid"], secret_key=vector["key"]))
    for case in plain:
        assert decode_usersig(im.user_sig(case["identifier"], vector["expire"])) == case["decoded"]
