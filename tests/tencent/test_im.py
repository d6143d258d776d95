import json
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
    TRANSIENT_CODES,
    ImClient,
    truncate_utf8,
    url_within_limit,
)
from tests.support.usersig import decode_usersig

async_test = pytest.mark.gen_test(timeout=20)

SUCCESS = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}


def failed(code: int) -> dict:
    return {"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": f"info {code}"}


@pytest.fixture
def scripted(serve, make_service_client, scripted_service):
    def build(*answers):
        service = scripted_service(*answers)
        settings = ImSettings(sdk_app_id=1400000000, secret_key="key")
        return ImClient(make_service_client("im", serve(service)), settings), service

    return build


@pytest.fixture
def im(simulator, sim_url, make_service_client, clock, monkeypatch):
    """Against the simulator, with the signing package on the simulator's clock."""
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    settings = ImSettings(sdk_app_id=1400000000, secret_key="im-key-of-the-tests")
    return ImClient(make_service_client("im", sim_url), settings)


def json_body(request) -> dict:
    return json.loads(request.body)


@async_test
async def test_command_url_is_as_documented(scripted):
    im, service = scripted(SUCCESS)
    await im.account_import("12345678", "小红", "https://example.com/a.png")
    request = service.requests[0]
    assert (request.method, request.path) == ("POST", "/v4/im_open_login_svc/account_import")
    assert request.query.keys() == {"sdkappid", "identifier", "usersig", "random", "contenttype"}
    assert request.query["sdkappid"] == "1400000000"
    assert request.query["identifier"] == "administrator"
    assert request.query["contenttype"] == "json"
    assert 0 <= int(request.query["random"]) < 2**32
    assert json_body(request) == {
        "UserID": "12345678",
        "Nick": "小红",
        "FaceUrl": "https://example.com/a.png",
    }


@async_test
async def test_account_import_omits_unset_fields(scripted):
    im, service = scripted(SUCCESS)
    await im.account_import("12345678", "", "")
    assert json_body(service.requests[0]) == {"UserID": "12345678"}


@async_test
@pytest.mark.parametrize(
    ("gender", "gender_tag"),
    [(0, "Gender_Type_Unknown"), (1, "Gender_Type_Male"), (2, "Gender_Type_Female")],
)
async def test_portrait_request_is_as_documented(scripted, gender, gender_tag):
    im, service = scripted(SUCCESS)
    await im.portrait_set("12345678", "小红", "https://example.com/a.png", gender)
    assert service.requests[0].path == "/v4/profile/portrait_set"
    assert json_body(service.requests[0]) == {
        "From_Account": "12345678",
        "ProfileItem": [
            {"Tag": "Tag_Profile_IM_Nick", "Value": "小红"},
            {"Tag": "Tag_Profile_IM_Gender", "Value": gender_tag},
            {"Tag": "Tag_Profile_IM_Image", "Value": "https://example.com/a.png"},
        ],
    }


@async_test
async def test_group_name_and_face_url_are_cut_to_the_limits(scripted):
    im, service = scripted({**SUCCESS, "GroupId": "room_1"})
    await im.create_group("room_1", "相亲房" * 10, "12345678", "https://" + "a" * 100)
    assert json_body(service.requests[0]) == {
        "Owner_Account": "12345678",
        "Type": "AVChatRoom",
        "GroupId": "room_1",
        "Name": "相亲房相亲房相亲房相",  # 30 bytes
    }


@async_test
async def test_group_without_a_name_is_named_after_its_id(scripted):
    im, service = scripted(SUCCESS)
    await im.create_group("room_1", "", "12345678", "https://a/b")
    assert json_body(service.requests[0])["Name"] == "room_1"
    assert json_body(service.requests[0])["FaceUrl"] == "https://a/b"


@async_test
async def test_creating_a_group_again_succeeds_for_its_owner_only(im, simulator):
    for owner in ("host1", "host2"):
        await im.account_import(owner, "", "")
    assert await im.create_group("room_1", "a", "host1", "")
    assert not await im.create_group("room_1", "a", "host1", "")
    with pytest.raises(ImGroupTaken) as rejection:
        await im.create_group("room_1", "a", "host2", "")
    assert rejection.value.code == 10021
    assert simulator.im.groups["room_1"]["Owner_Account"] == "host1"


@async_test
async def test_a_group_in_use_is_ours_if_it_belongs_to_the_host(scripted):
    info = {"GroupId": "room_1", "ErrorCode": 0, "Owner_Account": "host1"}
    im, service = scripted(failed(10021), {**SUCCESS, "GroupInfo": [info]})
    assert not await im.create_group("room_1", "a", "host1", "")
    assert service.requests[1].path == "/v4/group_open_http_svc/get_group_info"
    assert json_body(service.requests[1]) == {"GroupIdList": ["room_1"]}


@async_test
@pytest.mark.parametrize("infos", [None, [], ["?"], [{"GroupId": "room_1", "ErrorCode": 10010}]])
async def test_a_group_in_use_without_a_known_owner_is_taken(scripted, infos):
    im, _ = scripted(failed(10021), {**SUCCESS, "GroupInfo": infos})
    with pytest.raises(ImGroupTaken):
        await im.create_group("room_1", "a", "host1", "")


@async_test
@pytest.mark.parametrize("code", [10010, 10015])
async def test_a_message_to_a_dissolved_group_raises_group_missing(scripted, code):
    im, _ = scripted(failed(code))
    with pytest.raises(ImGroupMissing) as rejection:
        await im.send_group_msg("room_1", "a", 1, "High")
    assert rejection.value.code == code


@async_test
async def test_an_exceeded_quota_of_groups_is_logged_as_an_error(scripted):
    im, _ = scripted(failed(10036))
    with capture_logs() as logs, pytest.raises(ImRejected):
        await im.create_group("room_1", "a", "host1", "")
    errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert errors == ["im_group_quota_exceeded"]


@async_test
async def test_unknown_owner_is_imported_before_the_group(im, simulator):
    await im.create_group("room_1", "a", "host1", "")
    assert list(simulator.im.accounts) == ["host1"]


@async_test
async def test_create_group_is_retried_once_after_importing_the_owner(scripted):
    im, service = scripted(failed(70107), SUCCESS, failed(70107))
    with pytest.raises(ImRejected):
        await im.create_group("room_1", "a", "host1", "")
    assert len(service.requests) == 3


@async_test
async def test_portrait_of_an_unknown_user_imports_the_account(im, simulator):
    await im.portrait_set("12345678", "小红", "https://a/b", 2)
    assert simulator.im.accounts["12345678"] == {
        "Tag_Profile_IM_Nick": "小红",
        "Tag_Profile_IM_Gender": "Gender_Type_Female",
        "Tag_Profile_IM_Image": "https://a/b",
    }


@async_test
async def test_portrait_refused_for_another_reason_imports_no_account(scripted):
    im, service = scripted(failed(40001), SUCCESS)
    with pytest.raises(ImRejected):
        await im.portrait_set("12345678", "小红", "", 2)
    assert len(service.requests) == 1


@async_test
async def test_destroying_a_group_twice_succeeds(im, simulator):
    await im.create_group("room_1", "a", "host1", "")
    await im.destroy_group("room_1")
    assert simulator.im.groups == {}
    await im.destroy_group("room_1")
    assert [entry["outcome"] for entry in simulator.log][-2:] == ["ok", "10010"]


@async_test
async def test_group_message_request_is_as_documented(scripted):
    im, service = scripted({**SUCCESS, "MsgTime": 1700000000, "MsgSeq": 1})
    await im.send_group_msg("room_1", "你好", 8912345, "High")
    assert service.requests[0].path == "/v4/group_open_http_svc/send_group_msg"
    assert json_body(service.requests[0]) == {
        "GroupId": "room_1",
        "Random": 8912345,
        "MsgPriority": "High",
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "你好"}}],
    }


@async_test
async def test_user_message_request_is_as_documented(scripted):
    im, service = scripted({**SUCCESS, "MsgTime": 1700000000, "MsgKey": "89541_2574206_1700000000"})
    await im.send_text("u_10002", "你好", 1287657, 60)
    assert service.requests[0].path == "/v4/openim/sendmsg"
    assert json_body(service.requests[0]) == {
        "SyncOtherMachine": 2,
        "To_Account": "u_10002",
        "MsgLifeTime": 60,
        "MsgRandom": 1287657,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "你好"}}],
    }


@async_test
async def test_simulator_records_messages(im, simulator):
    await im.create_group("room_1", "a", "host1", "")
    await im.send_group_msg("room_1", "hello", 1, "High")
    await im.send_text("host1", "psst", 2, 60)
    assert list(simulator.im.messages) == [
        {"group": "room_1", "priority": "High", "text": "hello", "random": 1},
        {"to": "host1", "text": "psst", "random": 2},
    ]


@async_test
@pytest.mark.parametrize("code", [20003, 90012, 90048])
async def test_unknown_recipient_is_imported_and_the_message_resent_once(scripted, code):
    im, service = scripted(failed(code), SUCCESS, SUCCESS)
    await im.send_text("u_10002", "a", 7, 60)
    first, imported, second = service.requests
    assert imported.path == "/v4/im_open_login_svc/account_import"
    assert json_body(imported) == {"UserID": "u_10002"}
    assert json_body(first) == json_body(second)


@async_test
async def test_recipient_that_stays_unknown_or_is_refused_raises_im_rejected(scripted):
    for answers, calls in (([failed(20003), SUCCESS, failed(20003)], 3), ([failed(90002)], 1)):
        im, service = scripted(*answers)
        with pytest.raises(ImRejected):
            await im.send_text("u_10002", "a", 7, 60)
        assert len(service.requests) == calls


@async_test
async def test_message_over_8_kb_is_not_sent(scripted):
    im, service = scripted(SUCCESS)
    text = "红" * 2700
    await im.send_group_msg("room_1", text, 1, "High")
    for send in (im.send_group_msg("g", text * 2, 1, "High"), im.send_text("u", text * 2, 1, 0)):
        with pytest.raises(ImRejected) as rejection:
            await send
        assert rejection.value.code == 80002
    assert len(service.requests) == 1


@async_test
@pytest.mark.parametrize("code", sorted(TRANSIENT_CODES))
async def test_temporary_error_codes_raise_service_unavailable(scripted, code):
    im, service = scripted(failed(code))
    with pytest.raises(ServiceUnavailable) as failure:
        await im.destroy_group("room_1")
    assert failure.value.code == "im_away"
    assert len(service.requests) == 1


PERMANENT_CODES = [60002, 60003, 60009, 10004, 10007, 10015, 10036, 80001]


@async_test
@pytest.mark.parametrize("code", sorted(MISCONFIGURATION_CODES))
async def test_misconfiguration_codes_are_unavailable_and_logged_as_errors(scripted, code):
    im, service = scripted(failed(code))
    with capture_logs() as logs, pytest.raises(ImMisconfigured) as failure:
        await im.account_import("12345678", "a", "")
    assert failure.value.code == "im_away"
    assert len(service.requests) == 1
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [(entry["event"], entry["error_code"]) for entry in errors] == [
        ("im_misconfigured", code)
    ]


@async_test
@pytest.mark.parametrize("code", PERMANENT_CODES)
async def test_permanent_error_codes_raise_im_rejected_with_the_code(scripted, code):
    im, _ = scripted(failed(code))
    with pytest.raises(ImRejected) as rejection:
        await im.account_import("12345678", "a", "")
    assert (rejection.value.code, rejection.value.info) == (code, f"info {code}")
    assert str(code) in str(rejection.value)


@async_test
async def test_each_command_has_a_new_usersig(scripted, monkeypatch):
    fake_time = SimpleNamespace(time=count(1_700_000_000).__next__)
    monkeypatch.setattr("TLSSigAPIv2.time", fake_time)
    im, service = scripted(SUCCESS, SUCCESS)
    await im.destroy_group("room_1")
    await im.destroy_group("room_2")
    first, second = (decode_usersig(request.query["usersig"]) for request in service.requests)
    assert second["TLS.time"] == first["TLS.time"] + 1


@async_test
async def test_usersig_from_a_clock_a_day_behind_is_unavailable(im, simulator, clock):
    await im.account_import("a", "", "")
    simulator.im._now = lambda: clock.now + 86401
    with pytest.raises(ServiceUnavailable):
        await im.account_import("b", "", "")
    assert [entry["outcome"] for entry in simulator.log] == ["ok", "70001"]


@async_test
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"ErrorCode": "0"}', b'{"ErrorCode": null}']
)
async def test_unreadable_answer_is_unavailable(scripted, body):
    im, _ = scripted(SimulatorReply(200, {}, body))
    with pytest.raises(ServiceUnavailable):
        await im.destroy_group("room_1")


@async_test
async def test_request_is_repeated_once_after_a_gateway_error(scripted):
    im, service = scripted(SimulatorReply(502, {}, b""), SUCCESS)
    await im.destroy_group("room_1")
    assert len(service.requests) == 2


@async_test
@pytest.mark.parametrize("outage", [503, 3.0])
async def test_im_outage_is_unavailable(simulator, sim_url, make_service_client, outage):
    simulator.outage["im"] = outage
    settings = ImSettings(sdk_app_id=1, secret_key="key")
    im = ImClient(make_service_client("im", sim_url, timeout=0.1), settings)
    with pytest.raises(ServiceUnavailable):
        await im.destroy_group("room_1")


@async_test
async def test_rejection_is_logged_without_usersig_or_profile(scripted):
    im, service = scripted(failed(80001))
    with capture_logs() as logs, pytest.raises(ImRejected):
        await im.account_import("12345678", "小红", "")
    assert [entry["error_code"] for entry in logs if "error_code" in entry] == [80001]
    assert service.requests[0].query["usersig"] not in repr(logs)
    assert "小红" not in repr(logs)


@given(st.text(), st.integers(0, 40))
def test_cut_returns_the_longest_prefix_within_the_limit(text, limit):
    prefix = truncate_utf8(text, limit)
    assert text.startswith(prefix)
    assert len(prefix.encode()) <= limit
    if prefix != text:
        assert len(text[: len(prefix) + 1].encode()) > limit


def test_fitting_url_is_kept_whole_or_dropped():
    assert url_within_limit("https://a", 9) == "https://a"
    assert url_within_limit("https://ab", 9) == ""


# ---- sanctions


@async_test
async def test_kick_request_is_as_documented_and_an_unknown_account_is_done(scripted):
    im, service = scripted(SUCCESS, failed(70107))
    for _ in range(2):
        await im.kick("12345678")
    assert service.requests[0].path == "/v4/im_open_login_svc/kick"
    assert json_body(service.requests[0]) == {"UserID": "12345678"}
    assert len(service.requests) == 2


@async_test
async def test_mute_request_is_as_documented(scripted):
    im, service = scripted(SUCCESS)
    await im.forbid_send_msg("room_1", ["12345678"], 60)
    assert service.requests[0].path == "/v4/group_open_http_svc/forbid_send_msg"
    body = {"GroupId": "room_1", "Members_Account": ["12345678"], "MuteTime": 60}
    assert json_body(service.requests[0]) == body


@async_test
async def test_mute_of_an_unknown_account_is_done(scripted):
    im, _ = scripted(failed(70107))
    await im.forbid_send_msg("room_1", ["12345678"], 60)


@async_test
@pytest.mark.parametrize("code", [10010, 10015])
async def test_mute_in_a_dissolved_group_raises_group_missing(scripted, code):
    im, _ = scripted(failed(code))
    with pytest.raises(ImGroupMissing) as rejection:
        await im.forbid_send_msg("room_1", ["12345678"], 60)
    assert rejection.value.code == code


@async_test
@pytest.mark.parametrize("code", [10010, 10015])
async def test_destroying_a_group_that_im_does_not_have_succeeds(scripted, code):
    im, service = scripted(failed(code))
    await im.destroy_group("room_1")
    assert len(service.requests) == 1


@async_test
async def test_more_than_500_users_are_muted_in_several_commands(scripted):
    im, service = scripted(SUCCESS, SUCCESS, SUCCESS)
    users = [str(10_000_000 + n) for n in range(1001)]
    await im.forbid_send_msg("room_1", users, 2**40)
    bodies = [json_body(request) for request in service.requests]
    assert [len(body["Members_Account"]) for body in bodies] == [500, 500, 1]
    assert [user for body in bodies for user in body["Members_Account"]] == users
    assert {body["MuteTime"] for body in bodies} == {4294967295}


@async_test
@pytest.mark.parametrize("code", [10002, 60008])
async def test_sanctions_are_retried_while_im_is_away(scripted, code):
    im, _ = scripted(failed(code), failed(code))
    with pytest.raises(ServiceUnavailable):
        await im.kick("12345678")
    with pytest.raises(ServiceUnavailable):
        await im.forbid_send_msg("room_1", ["12345678"], 60)


@async_test
async def test_simulator_accepts_the_sanctions(im, simulator):
    simulator.im.groups["room_1"] = {}
    await im.account_import("12345678", "", "")
    await im.kick("12345678")
    await im.forbid_send_msg("room_1", ["12345678"], 60)
    assert simulator.im.sanctions.kicked.keys() == {"12345678"}
    assert simulator.im.sanctions.is_muted("room_1", "12345678")
