import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server import Server
from tests.handlers.waiting import until
from tests.phones import BASE, Phone, Street


def at(text: str) -> datetime:
    """A time of the contract, which is China's."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text)
    return datetime.fromisoformat(text + "+08:00")


async def user_type(phone: Phone) -> int:
    kind: int = (await phone.get("qlive_user/get_user_state/")).ok()["user_type"]
    return kind


# ---- update_userinfo


@pytest.mark.gen_test(timeout=20)
async def test_any_subset_of_the_fields_changes_and_the_rest_stays(street: Street) -> None:
    anna = await street.person("anna", 2)
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


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (
            "nickname",
            [
                "   ",
                "x" * 21,
                "a\nb",
                "a\x00b",
                "a\x1b[31m",
                "a\u2028b",
                "\u202eabc",
                "\u200b",
                ["a"],
            ],
        ),
        ("gender", [0, 3, "man", -1, 1.5]),
        ("age", [0, 121, "old", -5, 2**70, True, "1_0", " 2", "2 "]),
        ("area", ["31010", "3101000", "abcdef", "３１０１００"]),
        (
            "face_url",
            [
                "ftp://example.com/a",
                "javascript:alert(1)",
                "https://a b",
                'https://a"><b>',
                "x" * 20,
            ],
        ),
    ],
)
@pytest.mark.gen_test(timeout=20)
async def test_a_field_that_is_wrong_is_named_and_nothing_changes(
    street: Street, field: str, values: list[Any]
) -> None:
    anna = await street.person("anna", 2)
    before = (await anna.get("qlive_user/get_userinfo/")).ok()
    for value in values:
        answer = await anna.post("qlive_user/update_userinfo/", **{"age": 30, field: value})
        assert answer.refusal == (400, "bad_parameter"), value
        assert answer.json["fields"].keys() == {field}
        assert answer.json["fields"][field]
    after = (await anna.get("qlive_user/get_userinfo/")).ok()
    assert {**after, "user_sig": "", "user_sig_expired": ""} == {
        **before,
        "user_sig": "",
        "user_sig_expired": "",
    }


@pytest.mark.gen_test(timeout=20)
async def test_nobody_on_the_way_may_keep_an_answer(street: Street) -> None:
    anna = await street.person("anna", 2)
    answer = await anna.get("qlive_user/get_userinfo/")
    assert answer.ok()["user_sig"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Etag" not in answer.headers


@pytest.mark.gen_test(timeout=20)
async def test_the_limits_of_a_field_are_inside_it(street: Street) -> None:
    anna = await street.person("anna", 2)
    longest = "https://example.com/".ljust(512, "x")
    for field, value in (
        ("nickname", "字" * 20),
        ("age", 1),
        ("age", 120),
        ("gender", 1),
        ("face_url", longest),
    ):
        answer = await anna.post("qlive_user/update_userinfo/", **{field: value})
        assert answer.ok()[field] == value
    over = await anna.post("qlive_user/update_userinfo/", face_url=longest + "x")
    assert over.refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_the_gender_stays_while_applied_or_on_mic(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
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
async def test_a_viewers_new_gender_is_counted_in_the_room(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 0, host.live_id)
    entered = (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    assert entered["num_list"] == [0, 0, 0, 0]
    (await anna.post("qlive_user/update_userinfo/", gender=2)).ok()
    entered = (await anna.get("get_playurl/", live_id=host.live_id)).ok()
    assert entered["num_list"] == [0, 0, 0, 1]
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()


@pytest.mark.gen_test(timeout=20)
async def test_the_room_is_told_of_a_visible_persons_new_face(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    viewer = await street.guest("viewer", 1, host.live_id)
    socket = await viewer.connect()
    await socket.next("snapshot")
    (await viewer.post("qlive_user/update_userinfo/", nickname="nobody sees this")).ok()
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    await socket.next("micro_apply")
    (await anna.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
    told = (await socket.next("profile"))["data"]
    assert (told["user_id"], told["nickname"]) == (anna.id, "安娜")
    (await host.post("qlive_user/update_userinfo/", face_url="https://example.com/h.png")).ok()
    told = (await socket.next("profile"))["data"]
    assert (told["user_id"], told["face_url"]) == (host.id, "https://example.com/h.png")


@pytest.mark.gen_test(timeout=20)
async def test_im_learns_the_new_name_without_being_waited_for(
    street: Street, server: Server
) -> None:
    anna = await street.person("anna", 2)
    (await anna.post("qlive_user/update_userinfo/", nickname="安娜")).ok()
    assert server.parts.simulator
    accounts = server.parts.simulator.im.accounts

    async def nick() -> bool:
        return accounts.get(anna.id, {}).get("Tag_Profile_IM_Nick") == "安娜"

    await until(nick)


# ---- get_userinfo


@pytest.mark.gen_test(timeout=20)
async def test_one_sees_ones_own_secrets(street: Street) -> None:
    anna = await street.person("anna", 2, gold=12)
    mine = (await anna.get("qlive_user/get_userinfo/")).ok()
    assert (mine["user_id"], mine["gold"], mine["income"], mine["rate"]) == (anna.id, 12, 0, "0.1")
    assert mine["user_sig"]
    now = datetime.now(UTC)
    left = at(mine["user_sig_expired"]) - now
    assert timedelta(days=29) < left <= timedelta(days=30, seconds=1)
    assert timedelta(0) <= now - at(mine["create_time"]) < timedelta(seconds=20)
    assert timedelta(0) <= now - at(mine["last_login_time"]) < timedelta(seconds=20)
    named = (await anna.get("qlive_user/get_userinfo/", user_id=anna.id)).ok()
    assert named["user_sig"]
    assert named["gold"] == 12


@pytest.mark.gen_test(timeout=20)
async def test_the_secrets_of_others_stay_theirs(street: Street) -> None:
    anna, bert = await street.person("anna", 2, gold=12), await street.person("bert", 1)
    hers = (await bert.get("qlive_user/get_userinfo/", user_id=anna.id)).ok()
    assert (hers["user_sig"], hers["user_sig_expired"]) == ("", None)
    assert (hers["gold"], hers["income"]) == (None, None)
    assert (hers["user_id"], hers["nickname"], hers["gender"]) == (anna.id, "anna", 2)
    mine = (await bert.get("qlive_user/get_userinfo/")).ok()
    assert hers.keys() == mine.keys()


@pytest.mark.gen_test(timeout=20)
async def test_nobody_is_404_and_no_user_id_400(street: Street) -> None:
    anna = await street.person("anna", 2)
    nobody = await anna.get("qlive_user/get_userinfo/", user_id="10000000")
    assert nobody.refusal == (404, "no_such_user")
    for wrong in ("1234567", "123456789", "abcdefgh", "1234567x", "12345678\n"):
        answer = await anna.get("qlive_user/get_userinfo/", user_id=wrong)
        assert answer.refusal == (400, "bad_parameter"), wrong
        assert answer.json["fields"].keys() == {"user_id"}


# ---- get_user_state


@pytest.mark.gen_test(timeout=20)
async def test_the_state_says_where_one_is_and_as_what(street: Street) -> None:
    host = await street.host()
    anna = await street.person("anna", 2)
    assert (await anna.get("qlive_user/get_user_state/")).ok() == {
        "live_room_name": "",
        "live_id": "",
        "group_id": "",
        "user_type": 0,
    }
    seen = []
    for call, path in (
        (anna.get, "get_playurl/"),
        (anna.post, "qlive_room/apply_micro/"),
        (anna.post, "qlive_room/accept_micro/"),
        (anna.get, "qlive_room/leave_micro/"),
        (anna.get, "qlive_room/leave_room/"),
    ):
        (await call(path, live_id=host.live_id)).ok()
        seen.append(await user_type(anna))
    assert seen == [1, 2, 4, 1, 0]
    bert = await street.guest("bert", 1, host.live_id)
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await bert.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    assert await user_type(bert) == 3
    state = (await host.get("qlive_user/get_user_state/")).ok()
    assert state["user_type"] == 5
    assert (state["live_room_name"], state["live_id"]) == ("红娘", host.live_id)
    assert state["group_id"]


# ---- logout


@pytest.mark.gen_test(timeout=20)
async def test_logout_ends_this_token_and_no_other(street: Street) -> None:
    one = await street.person("anna", 2)
    two = await street.person("anna", 2)
    assert (await one.get("qlive_user/logout/")).ok() == {"detail": "OK"}
    assert (await one.get("get_configs/")).refusal == (401, "token")
    assert (await two.get("get_configs/")).status == 200


@pytest.mark.gen_test(timeout=20)
async def test_a_phone_that_repeats_its_logout_hears_ok_again(street: Street) -> None:
    anna = await street.person("anna", 2)
    again = [(await anna.get("qlive_user/logout/")).ok() for _ in range(3)]
    assert again == [{"detail": "OK"}] * 3
    anna.token = "0" * 40
    assert (await anna.get("qlive_user/logout/")).refusal == (401, "token")


@pytest.mark.gen_test(timeout=20)
async def test_whoever_logs_out_leaves_seat_and_room(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    (await anna.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    socket = await host.connect()
    await socket.next("snapshot")
    (await anna.get("qlive_user/logout/")).ok()
    left = (await socket.next("micro_leave"))["data"]
    assert (left["user_id"], left["reason"]) == (anna.id, "left")
    entered = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert (entered["female"], entered["num_list"]) == ({}, [0, 0, 0, 0])
    assert await user_type(await street.person("anna", 2)) == 0


@pytest.mark.gen_test(timeout=20)
async def test_a_host_who_logs_out_ends_the_live(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    (await host.get("qlive_user/logout/")).ok()
    assert (await socket.next("live_end"))["data"]["reason"] == "host"
    assert await user_type(anna) == 0
    gone = await anna.get("get_playurl/", live_id=host.live_id)
    assert gone.refusal == (409, "not_live")


# ---- who may call at all


@pytest.mark.gen_test(timeout=20)
async def test_a_token_must_be_ours_and_come_as_qlivetoken(street: Street) -> None:
    anna = await street.person("anna", 2)
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
        answer = await street.ask("GET", path, headers=headers)
        assert answer.refusal == (401, "token"), header
        assert answer.headers["WWW-Authenticate"] == "QLiveToken"
    headers = {"Authorization": f"QLiveToken {anna.token}"}
    assert (await street.ask("GET", path, headers=headers)).status == 200
