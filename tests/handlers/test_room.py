import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server import Server
from tests.handlers.waiting import until
from tests.phones import Phone, Street

ENTER = "qlive_room/matchmaker_enter/"


async def matchmaker(street: Street, name: str = "红娘") -> Phone:
    """One who has not opened a room yet."""
    phone = await street.person(name, 2)
    (await street.ops("PATCH", f"users/{phone.id}", is_matchmaker=True)).ok()
    return phone


async def state(phone: Phone) -> tuple[Any, int]:
    got = (await phone.get("qlive_user/get_user_state/")).ok()
    return got["live_id"], got["user_type"]


# ---- matchmaker_enter


@pytest.mark.gen_test(timeout=20)
async def test_a_matchmaker_opens_a_room_with_its_im_group(street: Street, server: Server) -> None:
    host = await matchmaker(street)
    opened = (await host.post(ENTER)).ok()
    assert opened["status"] == "ok"
    assert (opened["user_id"], opened["nickname"], opened["face_url"]) == (host.id, "红娘", "")
    assert opened["push_url"].startswith("rtmp://push.")
    assert opened["play_url"].startswith("rtmp://play.")
    assert await state(host) == (opened["live_id"], 5)
    assert server.parts.simulator
    group = server.parts.simulator.im.groups[opened["group_id"]]
    assert group["Owner_Account"] == host.id


@pytest.mark.gen_test(timeout=20)
async def test_coming_back_resumes_the_same_live(street: Street) -> None:
    host = await matchmaker(street)
    first = (await host.post(ENTER)).ok()
    anna = await street.guest("anna", 2, first["live_id"])
    (await anna.post("qlive_room/apply_micro/", live_id=first["live_id"])).ok()
    (await anna.post("qlive_room/accept_micro/", live_id=first["live_id"])).ok()
    again = (await host.post(ENTER)).ok()
    for name in ("live_id", "group_id"):
        assert again[name] == first[name]
    assert again["push_url"].split("?")[0] == first["push_url"].split("?")[0]
    assert again["push_url"]
    assert await state(anna) == (first["live_id"], 4)


@pytest.mark.gen_test(timeout=20)
async def test_a_new_live_has_the_same_room_and_a_new_stream(street: Street) -> None:
    host = await matchmaker(street)
    first = (await host.post(ENTER)).ok()
    (await host.post("qlive_room/live_end/", live_id=first["live_id"])).ok()
    second = (await host.post(ENTER)).ok()
    assert (second["live_id"], second["group_id"]) == (first["live_id"], first["group_id"])
    assert second["push_url"].split("?")[0] != first["push_url"].split("?")[0]


@pytest.mark.gen_test(timeout=20)
async def test_entering_at_once_makes_one_room(street: Street, db: Any) -> None:
    host = await matchmaker(street)
    answers = await asyncio.gather(*(host.post(ENTER) for _ in range(10)))
    opened = [answer.ok() for answer in answers]
    assert len({(row["live_id"], row["push_url"].split("?")[0]) for row in opened}) == 1
    assert db.rooms.count_documents({}) == 1


@pytest.mark.gen_test(timeout=20)
async def test_only_matchmakers_open_rooms(street: Street) -> None:
    anna = await street.person("anna", 2)
    assert (await anna.post(ENTER)).refusal == (403, "not_matchmaker")
    assert await state(anna) == ("", 0)


@pytest.mark.gen_test(timeout=20)
async def test_a_banned_matchmaker_is_answered_in_the_contracts_words(street: Street) -> None:
    host = await matchmaker(street)
    (await street.ops("PATCH", f"users/{host.id}", banned=True)).ok()
    answer = (await host.post(ENTER)).ok()
    assert (answer["status"], answer["code"]) == ("failed", "banned")
    assert answer["detail"]
    assert await state(host) == ("", 0)


@pytest.mark.gen_test(timeout=20)
async def test_the_first_entrance_waits_for_im_and_later_ones_do_not(street: Street) -> None:
    host = await matchmaker(street)
    await street.outage("im", status=500)
    away = await host.post(ENTER)
    assert away.refusal == (503, "im_away")
    assert int(away.headers["Retry-After"]) > 0
    assert await state(host) == ("", 0)
    await street.outage("im")
    opened = (await host.post(ENTER)).ok()
    await street.outage("im", status=500)
    (await host.post("qlive_room/live_end/", live_id=opened["live_id"])).ok()
    assert (await host.post(ENTER)).ok()["group_id"] == opened["group_id"]


@pytest.mark.gen_test(timeout=20)
async def test_opening_ones_room_leaves_the_one_one_watched(street: Street) -> None:
    other = await street.host("other")
    host = await matchmaker(street)
    (await host.get("get_playurl/", live_id=other.live_id)).ok()
    (await host.post("qlive_room/apply_micro/", live_id=other.live_id)).ok()
    socket = await other.connect()
    await socket.next("snapshot")
    opened = (await host.post(ENTER)).ok()
    told = (await socket.next("micro_refuse"))["data"]
    assert (told["user_id"], told["reason"]) == (host.id, "left")
    assert await state(host) == (opened["live_id"], 5)
    seen = (await other.get("get_playurl/", live_id=other.live_id)).ok()
    assert seen["num_list"] == [0, 0, 0, 0]


# ---- live_end


@pytest.mark.gen_test(timeout=20)
async def test_the_host_ends_the_live_for_everybody(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    for _ in range(2):
        ended = await host.post("qlive_room/live_end/", live_id=host.live_id)
        assert ended.ok() == {"detail": "OK"}
    assert (await socket.next("live_end"))["data"]["reason"] == "host"
    assert [await state(phone) for phone in (host, anna)] == [("", 0), ("", 0)]


@pytest.mark.gen_test(timeout=20)
async def test_nobody_else_ends_a_live(street: Street) -> None:
    host, other = await street.host(), await street.host("other")
    anna = await street.guest("anna", 2, host.live_id)
    for stranger in (anna, other):
        answer = await stranger.post("qlive_room/live_end/", live_id=host.live_id)
        assert answer.refusal == (403, "not_host")
    assert await state(host) == (host.live_id, 5)
    nowhere = await host.post("qlive_room/live_end/", live_id=4711)
    assert nowhere.refusal == (404, "no_such_room")


@pytest.mark.gen_test(timeout=20)
async def test_the_time_on_air_is_added_up(street: Street, db: Any) -> None:
    host = await street.host()
    for seconds in (100, 20):
        (await host.post(ENTER)).ok()
        began = int((datetime.now(UTC) - timedelta(seconds=seconds)).timestamp() * 1000)
        db.rooms.update_one({"_id": host.live_id}, {"$set": {"started_at": began}})
        for _ in range(2):
            (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    row = (await street.ops("GET", f"users/{host.id}")).ok()
    assert 120 <= row["continuous_time"] <= 125


# ---- leave_room


@pytest.mark.gen_test(timeout=20)
async def test_leaving_gives_up_room_seat_and_application(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    bert = await street.guest("bert", 1, host.live_id)
    for phone in (anna, bert):
        (await phone.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    socket = await host.connect()
    await socket.next("snapshot")
    for phone, word in ((anna, "micro_leave"), (bert, "micro_refuse")):
        for _ in range(2):
            left = await phone.get("qlive_room/leave_room/", live_id=host.live_id)
            assert left.ok() == {"detail": "OK"}
        told = (await socket.next(word))["data"]
        assert (told["user_id"], told["reason"]) == (phone.id, "left")
        assert await state(phone) == ("", 0)
    seen = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert (seen["female"], seen["num_list"]) == ({}, [0, 0, 0, 0])


@pytest.mark.gen_test(timeout=20)
async def test_leaving_a_room_one_is_not_in_leaves_no_other(street: Street) -> None:
    one, two = await street.host("one"), await street.host("two")
    anna = await street.guest("anna", 2, one.live_id)
    (await anna.get("qlive_room/leave_room/", live_id=two.live_id)).ok()
    assert await state(anna) == (one.live_id, 1)


@pytest.mark.gen_test(timeout=20)
async def test_the_host_must_end_instead_of_leaving(street: Street) -> None:
    host = await street.host()
    answer = await host.get("qlive_room/leave_room/", live_id=host.live_id)
    assert answer.refusal == (409, "host_must_end")
    assert await state(host) == (host.live_id, 5)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert (await host.get("qlive_room/leave_room/", live_id=host.live_id)).ok()


@pytest.mark.gen_test(timeout=20)
async def test_the_audience_hears_how_many_are_left(street: Street) -> None:
    host = await street.host()
    anna = await street.guest("anna", 2, host.live_id)
    socket = await host.connect()
    assert (await socket.next("snapshot"))["data"]["audience_count"] == 2
    (await anna.get("qlive_room/leave_room/", live_id=host.live_id)).ok()

    async def alone() -> bool:
        return (await socket.audience())["audience_count"] == 1

    await until(alone)


@pytest.mark.gen_test(timeout=20)
async def test_the_banned_get_the_same_no_everywhere_in_a_room(street: Street) -> None:
    host = await street.host()
    (await street.ops("PATCH", f"users/{host.id}", banned=True)).ok()
    for call, path in (
        (host.get, "get_livelist/"),
        (host.get, "get_playurl/"),
        (host.get, "qlive_user/get_users_info/"),
        (host.post, "qlive_room/live_end/"),
        (host.get, "qlive_room/leave_room/"),
        (host.get, "qlive_gift/"),
        (host.get, "qlive_gift/push_gift/"),
    ):
        answer = await call(path, live_id=host.live_id)
        assert answer.refusal == (403, "banned"), path
    (await host.get("qlive_user/get_userinfo/")).ok()
