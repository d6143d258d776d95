import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from runtime.process import ServerProcess
from services.keeper import Keeper
from storage.accounts.users import User
from tests.support.api import BASE, ApiFixture
from tests.support.mic import take_seat, user_type
from tests.support.usersig import decode_usersig
from tests.support.waiting import until


def parse_time(text: str) -> datetime:
    """A time of the API contract, which has no offset and is China's (UTC+8)."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text)
    return datetime.fromisoformat(text + "+08:00")


# ---- update_userinfo


@pytest.mark.gen_test(timeout=20)
async def test_update_changes_only_the_given_fields(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    face = "https://example.com/a.png"
    changed = await anna.post("qlive_user/update_userinfo/", age="27", area=310100, face_url=face)
    info = changed.ok()
    assert (info["age"], info["area"], info["face_url"]) == (27, "310100", face)
    assert (info["nickname"], info["gender"], info["user_id"]) == ("anna", 2, anna.id)
    renamed = (await anna.post("qlive_user/update_userinfo/", nickname="  安 娜 ")).ok()
    assert (renamed["nickname"], renamed["age"]) == ("安 娜", 27)
    kept = (await anna.get("qlive_user/get_userinfo/")).ok()
    assert (kept["nickname"], kept["area"], kept["face_url"]) == ("安 娜", "310100", face)
    untouched = (await anna.post("qlive_user/update_userinfo/", nickname="", age="")).ok()
    assert (untouched["nickname"], untouched["age"]) == ("安 娜", 27)


INVALID_VALUES: dict[str, list[Any]] = {
    "nickname": [
        *("   ", "x" * 21, "a\nb", "a\x00b", "a\x1b[31m", "a\u2028b", "\u202eabc", "\u200b"),
        *("an\u200bna", "anna\u2060", "\u3164", ["a"]),
    ],
    "gender": [0, 3, "man", -1, 1.5],
    "age": [0, 121, "old", -5, 2**70, True, "1_0", " 2", "2 "],
    "area": ["31010", "3101000", "abcdef", "３１０１００"],
    "face_url": [
        *("ftp://example.com/a", "javascript:alert(1)", "https://a b", 'https://a"><b>'),
        "x" * 20,
    ],
}


@pytest.mark.gen_test(timeout=20)
async def test_invalid_field_is_named_and_the_profile_is_unchanged(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    before = (await anna.get("qlive_user/get_userinfo/")).ok()
    for field, values in INVALID_VALUES.items():
        for value in values:
            reply = await anna.post("qlive_user/update_userinfo/", **{"age": 30, field: value})
            assert reply.refusal == (400, "bad_parameter"), (field, value)
            assert reply.json["fields"].keys() == {field}, (field, value)
            assert reply.json["fields"][field], (field, value)
    after = (await anna.get("qlive_user/get_userinfo/")).ok()
    signed_anew = {"user_sig": "", "user_sig_expired": ""}
    assert {**after, **signed_anew} == {**before, **signed_anew}


@pytest.mark.gen_test(timeout=20)
async def test_responses_are_not_cacheable(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    reply = await anna.get("qlive_user/get_userinfo/")
    assert reply.ok()["user_sig"]
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Etag" not in reply.headers


@pytest.mark.gen_test(timeout=20)
async def test_field_limits_are_inclusive(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    longest = "https://example.com/".ljust(512, "x")
    for field, value in (
        ("nickname", "字" * 20),
        ("age", 1),
        ("age", 120),
        ("gender", 1),
        ("face_url", longest),
    ):
        reply = await anna.post("qlive_user/update_userinfo/", **{field: value})
        assert reply.ok()[field] == value
    too_long = await anna.post("qlive_user/update_userinfo/", face_url=longest + "x")
    assert too_long.refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_gender_cannot_change_while_applied_or_on_mic(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    (await anna.post("qlive_user/update_userinfo/", gender=1)).ok()
    (await anna.post("qlive_user/update_userinfo/", gender=2)).ok()
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    applied = await anna.post("qlive_user/update_userinfo/", gender=1, nickname="ann")
    assert applied.refusal == (409, "gender_in_use")
    (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    seated = await anna.post("qlive_user/update_userinfo/", gender=1)
    assert seated.refusal == (409, "gender_in_use")
    (await anna.post("qlive_user/update_userinfo/", gender=2)).ok()
    info = (await anna.get("qlive_user/get_userinfo/")).ok()
    assert (info["nickname"], info["gender"]) == ("anna", 2)


@pytest.mark.gen_test(timeout=20)
async def test_new_gender_of_a_viewer_is_counted_in_the_room(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 0, host.live_id)
    entered = (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    assert entered["num_list"] == [0, 0, 0, 0]
    (await anna.post("qlive_user/update_userinfo/", gender=2)).ok()
    entered = (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    assert entered["num_list"] == [0, 0, 0, 1]
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()


@pytest.mark.gen_test(timeout=20)
async def test_profile_change_of_a_visible_user_is_published_to_the_room(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    viewer = await api.guest("viewer", 1, host.live_id)
    socket = await viewer.connect()
    await socket.next("snapshot")
    (await viewer.post("qlive_user/update_userinfo/", nickname="not visible")).ok()
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")
    (await anna.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
    event = (await socket.next("profile"))["data"]
    assert (event["user_id"], event["nickname"]) == (anna.id, "安娜")
    (await host.post("qlive_user/update_userinfo/", face_url="https://example.com/h.png")).ok()
    event = (await socket.next("profile"))["data"]
    assert (event["user_id"], event["face_url"]) == (host.id, "https://example.com/h.png")


@pytest.mark.gen_test(timeout=20)
async def test_room_shows_a_new_face_whose_update_was_cut_short(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.host()
    socket = await (await api.guest("viewer", 1, host.live_id)).connect()
    await socket.next("snapshot")
    change_room = Keeper.change_prepared

    async def die_in_request(self: Keeper, *args: Any, **more: Any) -> Any:
        if "request_id" in structlog.contextvars.get_contextvars():
            raise ConnectionError
        return await change_room(self, *args, **more)

    monkeypatch.setattr(Keeper, "change_prepared", die_in_request)
    reply = await host.post("qlive_user/update_userinfo/", face_url="https://example.com/h.png")
    assert reply.status == 500
    event = (await socket.next("profile"))["data"]
    assert (event["user_id"], event["face_url"]) == (host.id, "https://example.com/h.png")


@pytest.mark.gen_test(timeout=20)
async def test_new_nickname_is_sent_to_im_in_the_background(
    api: ApiFixture, server: ServerProcess
) -> None:
    anna = await api.user("anna", 2)
    (await anna.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
    assert server.simulator
    accounts = server.simulator.im.accounts
    await until(lambda: accounts.get(anna.id, {}).get("Tag_Profile_IM_Nick") == "安娜")


@pytest.mark.gen_test(timeout=20)
async def test_user_sig_is_signed_before_the_update_and_not_returned_to_a_banned_user(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, steps = await api.user("anna", 2), []
    context = server.context
    update, sign = context.services.profiles.update, context.tencent.im.user_sig

    async def ban_and_update(*args: Any, **changes: Any) -> User:
        await context.services.moderation.change_user(anna.id, {"banned": True})
        steps.append("update")
        return await update(*args, **changes)

    def sign_step(user_id: str, seconds: int) -> str:
        if user_id == anna.id:
            steps.append("sign")
        return sign(user_id, seconds)

    monkeypatch.setattr(context.services.profiles, "update", ban_and_update)
    monkeypatch.setattr(context.tencent.im, "user_sig", sign_step)
    reply = await anna.post("qlive_user/update_userinfo/", age=30)
    assert reply.refusal == (403, "banned")
    assert steps == ["sign", "update"]


# ---- get_userinfo


@pytest.mark.gen_test(timeout=20)
async def test_cached_token_of_an_ended_session_reads_no_user_sig(api: ApiFixture, db: Any) -> None:
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    (await anna.get("qlive_user/get_user_state/")).ok()
    db.tokens.update_many({"user_id": anna.id}, {"$set": {"revoked": True}})
    (await anna.get("qlive_user/get_userinfo/", user_id=bert.id)).ok()
    for params in ({}, {"user_id": anna.id}):
        reply = await anna.get("qlive_user/get_userinfo/", **params)
        assert reply.refusal == (401, "token")


@pytest.mark.gen_test(timeout=20)
async def test_user_banned_during_the_request_reads_no_user_sig(
    api: ApiFixture, server: ServerProcess, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, catalogue = await api.user("anna", 2), server.context.services.catalogue
    current = catalogue.current

    async def ban_meanwhile() -> Any:
        db.users.update_one({"_id": anna.id}, {"$set": {"banned": True}})
        return await current()

    monkeypatch.setattr(catalogue, "current", ban_meanwhile)
    reply = await anna.get("qlive_user/get_userinfo/")
    assert reply.refusal == (403, "banned")


@pytest.mark.gen_test(timeout=20)
async def test_own_profile_includes_balance_and_user_sig(api: ApiFixture) -> None:
    anna = await api.user("anna", 2, gold=12)
    own = (await anna.get("qlive_user/get_userinfo/")).ok()
    assert (own["user_id"], own["gold"], own["income"], own["rate"]) == (anna.id, 12, 0, "0.1")
    assert own["user_sig"]
    now = datetime.now(UTC)
    valid_for = parse_time(own["user_sig_expired"]) - now
    assert timedelta(hours=23) < valid_for <= timedelta(hours=24, seconds=1)
    ticket = decode_usersig(own["user_sig"])
    assert ticket["TLS.identifier"] == anna.id
    assert ticket["TLS.expire"] == 24 * 3600
    assert timedelta(0) <= now - parse_time(own["create_time"]) < timedelta(seconds=20)
    assert timedelta(0) <= now - parse_time(own["last_login_time"]) < timedelta(seconds=20)
    by_id = (await anna.get("qlive_user/get_userinfo/", user_id=anna.id)).ok()
    assert by_id["user_sig"]
    assert by_id["gold"] == 12


@pytest.mark.gen_test(timeout=20)
async def test_profile_of_another_user_omits_balance_and_user_sig(api: ApiFixture) -> None:
    anna, bert = await api.user("anna", 2, gold=12), await api.user("bert", 1)
    other = (await bert.get("qlive_user/get_userinfo/", user_id=anna.id)).ok()
    assert (other["user_sig"], other["user_sig_expired"]) == ("", None)
    assert (other["gold"], other["income"]) == (None, None)
    assert (other["user_id"], other["nickname"], other["gender"]) == (anna.id, "anna", 2)
    own = (await bert.get("qlive_user/get_userinfo/")).ok()
    assert other.keys() == own.keys()


@pytest.mark.gen_test(timeout=20)
async def test_unknown_user_is_404_and_malformed_user_id_is_400(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    unknown = await anna.get("qlive_user/get_userinfo/", user_id="10000000")
    assert unknown.refusal == (404, "no_such_user")
    for invalid in ("1234567", "123456789", "abcdefgh", "1234567x", "12345678\n"):
        reply = await anna.get("qlive_user/get_userinfo/", user_id=invalid)
        assert reply.refusal == (400, "bad_parameter"), invalid
        assert reply.json["fields"].keys() == {"user_id"}


# ---- get_user_state


@pytest.mark.gen_test(timeout=20)
async def test_user_state_returns_room_and_role(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.user("anna", 2)
    assert (await anna.get("qlive_user/get_user_state/")).ok() == {
        "live_room_name": "",
        "live_id": "",
        "group_id": "",
        "user_type": 0,
    }
    user_types = []
    for call, path in (
        (anna.get, "get_playurl/"),
        (anna.post, "qlive_room/apply_micro/"),
        (anna.post, "qlive_room/accept_micro/"),
        (anna.get, "qlive_room/leave_micro/"),
        (anna.get, "qlive_room/leave_room/"),
    ):
        (await call(path, live_id=host.live_id)).ok()
        user_types.append(await user_type(anna))
    assert user_types == [1, 2, 4, 1, 0]
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(bert)
    assert await user_type(bert) == 3
    state = (await host.get("qlive_user/get_user_state/")).ok()
    assert state["user_type"] == 5
    assert (state["live_room_name"], state["live_id"]) == ("红娘", host.live_id)
    assert state["group_id"]


# ---- logout


@pytest.mark.gen_test(timeout=20)
async def test_logout_revokes_only_its_own_token(api: ApiFixture) -> None:
    first = await api.user("anna", 2)
    second = await api.user("anna", 2)
    assert (await first.get("qlive_user/logout/")).ok() == {"detail": "OK"}
    assert (await first.get("get_configs/")).refusal == (401, "token")
    assert (await second.get("get_configs/")).status == 200


@pytest.mark.gen_test(timeout=20)
async def test_repeated_logout_succeeds(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    replies = [(await anna.get("qlive_user/logout/")).ok() for _ in range(3)]
    assert replies == [{"detail": "OK"}] * 3
    anna.token = "0" * 40
    assert (await anna.get("qlive_user/logout/")).refusal == (401, "token")


@pytest.mark.gen_test(timeout=20)
async def test_logout_leaves_seat_and_room(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    socket = await host.connect()
    await socket.next("snapshot")
    (await anna.get("qlive_user/logout/")).ok()
    event = (await socket.next("micro_leave"))["data"]
    assert (event["user_id"], event["reason"]) == (anna.id, "left")
    entered = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert (entered["female"], entered["num_list"]) == ({}, [0, 0, 0, 0])
    assert await user_type(await api.user("anna", 2)) == 0


@pytest.mark.gen_test(timeout=20)
async def test_logout_of_the_host_ends_the_live(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    (await host.get("qlive_user/logout/")).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "host"
    assert await user_type(anna) == 0
    ended = await anna.get("get_playurl/", live_id=host.live_id)
    assert ended.refusal == (409, "not_live")


# ---- authentication


@pytest.mark.gen_test(timeout=20)
async def test_only_a_known_token_with_the_qlivetoken_scheme_is_accepted(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    path = f"{BASE}get_configs/"
    for header in (
        None,
        "",
        "QLiveToken",
        "QLiveToken " + "0" * 40,
        f"Bearer {anna.token}",
        anna.token,
        f"QLiveToken {anna.token[:-1]}",
        f"QLiveToken {anna.token}0",
        "QLiveToken ключ",
    ):
        headers = {} if header is None else {"Authorization": header}
        reply = await api.request("GET", path, headers=headers)
        assert reply.refusal == (401, "token"), header
        assert reply.headers["WWW-Authenticate"] == "QLiveToken"
    headers = {"Authorization": f"QLiveToken {anna.token}"}
    assert (await api.request("GET", path, headers=headers)).status == 200
