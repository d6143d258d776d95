import json
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rooms.refusals import ServiceAway
from tencent.im import EXPIRED, IM, MISCONFIGURED, TRY_LATER, IMRefused, cut, fitting
from tencent.simulator.wire import SimReply
from tencent.usersig import UserSigs

a_command = pytest.mark.gen_test(timeout=20)

FINE = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}


def failed(code: int) -> dict:
    return {"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": f"info {code}"}


@pytest.fixture
def scripted(serve, reach, script):
    def build(*lines):
        service = script(*lines)
        sigs = UserSigs(1400000000, "key")
        return IM(reach("im", serve(service)), sigs, "administrator"), service

    return build


@pytest.fixture
def im(simulator, sim_url, reach, clock, monkeypatch):
    """Against the simulator, with the signing package on the simulator's clock."""
    monkeypatch.setattr("TLSSigAPIv2.time", SimpleNamespace(time=clock))
    sigs = UserSigs(1400000000, "im-key-of-the-tests")
    return IM(reach("im", sim_url), sigs, "administrator")


def said(request) -> dict:
    return json.loads(request.body)


@a_command
async def test_a_command_is_addressed_as_documented(scripted):
    im, service = scripted(FINE)
    await im.account_import("12345678", "小红", "https://example.com/a.png")
    heard = service.heard[0]
    assert (heard.method, heard.path) == ("POST", "/v4/im_open_login_svc/account_import")
    assert heard.query.keys() == {"sdkappid", "identifier", "usersig", "random", "contenttype"}
    assert heard.query["sdkappid"] == "1400000000"
    assert heard.query["identifier"] == "administrator"
    assert heard.query["contenttype"] == "json"
    assert 0 <= int(heard.query["random"]) < 2**32
    assert said(heard) == {
        "UserID": "12345678",
        "Nick": "小红",
        "FaceUrl": "https://example.com/a.png",
    }


@a_command
async def test_an_import_does_not_send_what_is_not_set(scripted):
    im, service = scripted(FINE)
    await im.account_import("12345678", "", "")
    assert said(service.heard[0]) == {"UserID": "12345678"}


@a_command
@pytest.mark.parametrize(
    ("gender", "word"),
    [(0, "Gender_Type_Unknown"), (1, "Gender_Type_Male"), (2, "Gender_Type_Female")],
)
async def test_a_portrait_is_set_as_documented(scripted, gender, word):
    im, service = scripted(FINE)
    await im.portrait_set("12345678", "小红", "https://example.com/a.png", gender)
    assert service.heard[0].path == "/v4/profile/portrait_set"
    assert said(service.heard[0]) == {
        "From_Account": "12345678",
        "ProfileItem": [
            {"Tag": "Tag_Profile_IM_Nick", "Value": "小红"},
            {"Tag": "Tag_Profile_IM_Gender", "Value": word},
            {"Tag": "Tag_Profile_IM_Image", "Value": "https://example.com/a.png"},
        ],
    }


@a_command
async def test_a_group_is_created_with_what_fits(scripted):
    im, service = scripted({**FINE, "GroupId": "room_1"})
    assert await im.create_group("room_1", "相亲房" * 10, "12345678", "https://" + "a" * 100)
    assert said(service.heard[0]) == {
        "Owner_Account": "12345678",
        "Type": "AVChatRoom",
        "GroupId": "room_1",
        "Name": "相亲房相亲房相亲房相",  # 30 bytes
    }


@a_command
async def test_a_group_without_a_name_is_called_by_its_id(scripted):
    im, service = scripted(FINE)
    assert await im.create_group("room_1", "", "12345678", "https://a/b") == "room_1"
    assert said(service.heard[0])["Name"] == "room_1"
    assert said(service.heard[0])["FaceUrl"] == "https://a/b"


@a_command
async def test_a_group_that_is_ours_already_is_fine_and_another_owners_is_not(im, simulator):
    for owner in ("host1", "host2"):
        await im.account_import(owner, "", "")
    assert await im.create_group("room_1", "a", "host1", "") == "room_1"
    assert await im.create_group("room_1", "a", "host1", "") == "room_1"
    with pytest.raises(IMRefused) as refused:
        await im.create_group("room_1", "a", "host2", "")
    assert refused.value.code == 10021
    assert simulator.im.groups["room_1"]["Owner_Account"] == "host1"


@a_command
async def test_an_unknown_owner_is_imported_first(im, simulator):
    assert await im.create_group("room_1", "a", "host1", "") == "room_1"
    assert list(simulator.im.accounts) == ["host1"]


@a_command
async def test_an_owner_who_stays_unknown_ends_it(scripted):
    im, service = scripted(failed(70107), FINE, failed(70107))
    with pytest.raises(IMRefused):
        await im.create_group("room_1", "a", "host1", "")
    assert len(service.heard) == 3


@a_command
async def test_a_portrait_of_an_unknown_user_imports_them(im, simulator):
    await im.portrait_set("12345678", "小红", "https://a/b", 2)
    assert simulator.im.accounts["12345678"] == {
        "Nick": "小红",
        "FaceUrl": "https://a/b",
        "Tag_Profile_IM_Nick": "小红",
        "Tag_Profile_IM_Gender": "Gender_Type_Female",
        "Tag_Profile_IM_Image": "https://a/b",
    }


@a_command
async def test_a_portrait_refused_for_another_reason_imports_nobody(scripted):
    im, service = scripted(failed(40001), FINE)
    with pytest.raises(IMRefused):
        await im.portrait_set("12345678", "小红", "", 2)
    assert len(service.heard) == 1


@a_command
async def test_a_group_can_be_destroyed_twice(im, simulator):
    await im.create_group("room_1", "a", "host1", "")
    await im.destroy_group("room_1")
    assert simulator.im.groups == {}
    await im.destroy_group("room_1")
    assert [entry["outcome"] for entry in simulator.log][-2:] == ["ok", "10010"]


@a_command
async def test_a_group_is_told_as_documented(scripted):
    im, service = scripted({**FINE, "MsgTime": 1700000000, "MsgSeq": 1})
    await im.send_group_msg("room_1", "你好", 8912345, "High")
    assert service.heard[0].path == "/v4/group_open_http_svc/send_group_msg"
    assert said(service.heard[0]) == {
        "GroupId": "room_1",
        "Random": 8912345,
        "MsgPriority": "High",
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "你好"}}],
    }


@a_command
async def test_a_user_is_told_as_documented(scripted):
    im, service = scripted({**FINE, "MsgTime": 1700000000, "MsgKey": "89541_2574206_1700000000"})
    await im.send_text("u_10002", "你好", 1287657, 60)
    assert service.heard[0].path == "/v4/openim/sendmsg"
    assert said(service.heard[0]) == {
        "SyncOtherMachine": 2,
        "To_Account": "u_10002",
        "MsgLifeTime": 60,
        "MsgRandom": 1287657,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "你好"}}],
    }


@a_command
async def test_both_may_be_told_in_somebodys_name(scripted):
    im, service = scripted(FINE)
    await im.send_group_msg("room_1", "a", 1, "Normal", "u_10001")
    await im.send_text("u_10002", "a", 1, 0, "u_10001")
    assert [said(heard)["From_Account"] for heard in service.heard] == ["u_10001", "u_10001"]


@a_command
async def test_the_simulator_passes_messages_on(im, simulator):
    await im.create_group("room_1", "a", "host1", "")
    await im.send_group_msg("room_1", "hello", 1, "High")
    await im.send_text("host1", "psst", 2, 60)
    assert list(simulator.im.messages) == [
        {"group": "room_1", "priority": "High", "text": "hello", "random": 1},
        {"to": "host1", "text": "psst", "random": 2},
    ]


@a_command
@pytest.mark.parametrize("code", [20003, 90012, 90048])
async def test_a_recipient_unknown_to_im_is_imported_and_told_once_more(scripted, code):
    im, service = scripted(failed(code), FINE, FINE)
    await im.send_text("u_10002", "a", 7, 60)
    first, imported, second = service.heard
    assert imported.path == "/v4/im_open_login_svc/account_import"
    assert said(imported) == {"UserID": "u_10002"}
    assert said(first) == said(second)


@a_command
async def test_a_recipient_who_stays_unknown_or_may_not_be_told_ends_it(scripted):
    for lines, calls in (([failed(20003), FINE, failed(20003)], 3), ([failed(90002)], 1)):
        im, service = scripted(*lines)
        with pytest.raises(IMRefused):
            await im.send_text("u_10002", "a", 7, 60)
        assert len(service.heard) == calls


@a_command
async def test_a_message_of_more_than_8_kb_is_not_sent(scripted):
    im, service = scripted(FINE)
    fits = "红" * 2700
    await im.send_group_msg("room_1", fits, 1, "High")
    for send in (im.send_group_msg("g", fits * 2, 1, "High"), im.send_text("u", fits * 2, 1, 0)):
        with pytest.raises(IMRefused) as refused:
            await send
        assert refused.value.code == 80002
    assert len(service.heard) == 1


@a_command
@pytest.mark.parametrize("code", sorted(TRY_LATER))
async def test_what_may_pass_is_away(scripted, code):
    im, service = scripted(failed(code))
    with pytest.raises(ServiceAway) as refusal:
        await im.destroy_group("room_1")
    assert refusal.value.code == "im_away"
    assert len(service.heard) == 1


BUGS = [60002, 60003, 60009, 10004, 10007, 10015, 10036, 80001]


@a_command
@pytest.mark.parametrize("code", sorted(MISCONFIGURED - EXPIRED))
async def test_what_our_settings_are_to_blame_for_is_away_and_an_error_in_the_log(scripted, code):
    im, service = scripted(failed(code))
    with capture_logs() as logs, pytest.raises(ServiceAway) as refusal:
        await im.account_import("12345678", "a", "")
    assert refusal.value.code == "im_away"
    assert len(service.heard) == 1
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [(entry["event"], entry["error_code"]) for entry in errors] == [
        ("im_misconfigured", code)
    ]


@a_command
@pytest.mark.parametrize("code", BUGS)
async def test_what_will_not_pass_is_refused_with_its_number(scripted, code):
    im, _ = scripted(failed(code))
    with pytest.raises(IMRefused) as refused:
        await im.account_import("12345678", "a", "")
    assert (refused.value.code, refused.value.info) == (code, f"info {code}")
    assert str(code) in str(refused.value)


@a_command
@pytest.mark.parametrize("code", [70001, 70052])
async def test_an_expired_signature_is_renewed_once(scripted, code, monkeypatch):
    ticks = SimpleNamespace(time=count(1_700_000_000).__next__)
    monkeypatch.setattr("TLSSigAPIv2.time", ticks)
    im, service = scripted(failed(code), FINE)
    await im.destroy_group("room_1")
    old, new = (request.query["usersig"] for request in service.heard)
    assert old != new
    await im.destroy_group("room_2")
    assert service.heard[2].query["usersig"] == new
    im, service = scripted(failed(code))
    with pytest.raises(ServiceAway):
        await im.destroy_group("room_1")
    assert len(service.heard) == 2


@a_command
async def test_a_signature_from_a_clock_far_behind_tencents_is_away(im, simulator, clock):
    await im.account_import("a", "", "")
    simulator.im._now = lambda: clock.now + 86401
    with pytest.raises(ServiceAway):
        await im.account_import("b", "", "")
    assert [entry["outcome"] for entry in simulator.log] == ["ok", "70001", "70001"]


@a_command
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"ErrorCode": "0"}', b'{"ErrorCode": null}']
)
async def test_an_answer_that_makes_no_sense_is_away(scripted, body):
    im, _ = scripted(SimReply(200, {}, body))
    with pytest.raises(ServiceAway):
        await im.destroy_group("room_1")


@a_command
async def test_a_lost_answer_is_asked_for_again(scripted):
    im, service = scripted(SimReply(502, {}, b""), FINE)
    await im.destroy_group("room_1")
    assert len(service.heard) == 2


@a_command
@pytest.mark.parametrize("trouble", [503, 3.0])
async def test_an_outage_is_away(simulator, sim_url, reach, trouble):
    simulator.outage["im"] = trouble
    im = IM(reach("im", sim_url, timeout=0.1), UserSigs(1, "key"), "administrator")
    with pytest.raises(ServiceAway):
        await im.destroy_group("room_1")


@a_command
async def test_a_refusal_is_logged_without_signature_or_profile(scripted):
    im, service = scripted(failed(80001))
    with capture_logs() as logs, pytest.raises(IMRefused):
        await im.account_import("12345678", "小红", "")
    assert [entry["error_code"] for entry in logs if "error_code" in entry] == [80001]
    assert service.heard[0].query["usersig"] not in repr(logs)
    assert "小红" not in repr(logs)


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_is_the_longest_beginning_that_fits(text, limit):
    short = cut(text, limit)
    assert text.startswith(short)
    assert len(short.encode()) <= limit
    if short != text:
        assert len(text[: len(short) + 1].encode()) > limit


def test_an_address_fits_whole_or_not_at_all():
    assert fitting("https://a", 9) == "https://a"
    assert fitting("https://ab", 9) == ""
