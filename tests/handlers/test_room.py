import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture
from tests.support.mic import take_seat
from tests.support.waiting import until

ENTER = "qlive_room/matchmaker_enter/"


async def room_and_role(client: ApiClient) -> tuple[Any, int]:
    user_state = (await client.get("qlive_user/get_user_state/")).ok()
    return user_state["live_id"], user_state["user_type"]


# ---- matchmaker_enter


@pytest.mark.gen_test(timeout=20)
async def test_matchmaker_opens_a_room_with_an_im_group(
    api: ApiFixture, server: ServerProcess
) -> None:
    host = await api.matchmaker()
    opened = (await host.post(ENTER)).ok()
    assert opened["status"] == "ok"
    assert (opened["user_id"], opened["nickname"], opened["face_url"]) == (host.id, "红娘", "")
    assert opened["push_url"].startswith("rtmp://push.")
    assert opened["play_url"].startswith("rtmp://play.")
    assert await room_and_role(host) == (opened["live_id"], 5)
    assert server.simulator
    group = server.simulator.im.groups[opened["group_id"]]
    assert group["Owner_Account"] == host.id


@pytest.mark.gen_test(timeout=20)
async def test_entering_again_resumes_the_same_live(api: ApiFixture) -> None:
    host = await api.matchmaker()
    first = (await host.post(ENTER)).ok()
    anna = await api.guest("anna", 2, first["live_id"])
    await take_seat(anna)
    again = (await host.post(ENTER)).ok()
    for name in ("live_id", "group_id"):
        assert again[name] == first[name]
    assert again["push_url"].split("?")[0] == first["push_url"].split("?")[0]
    assert again["push_url"]
    assert await room_and_role(anna) == (first["live_id"], 4)


@pytest.mark.gen_test(timeout=20)
async def test_new_live_keeps_the_room_and_gets_a_new_stream(api: ApiFixture) -> None:
    host = await api.matchmaker()
    first = (await host.post(ENTER)).ok()
    (await host.post("qlive_room/live_end/", live_id=first["live_id"])).ok()
    second = (await host.post(ENTER)).ok()
    assert (second["live_id"], second["group_id"]) == (first["live_id"], first["group_id"])
    assert second["push_url"].split("?")[0] != first["push_url"].split("?")[0]


@pytest.mark.gen_test(timeout=20)
async def test_concurrent_entries_create_one_room(api: ApiFixture, db: Any) -> None:
    host = await api.matchmaker()
    replies = await asyncio.gather(*(host.post(ENTER) for _ in range(10)))
    opened = [reply.ok() for reply in replies]
    assert len({(row["live_id"], row["push_url"].split("?")[0]) for row in opened}) == 1
    assert db.rooms.count_documents({}) == 1


@pytest.mark.gen_test(timeout=20)
async def test_only_matchmakers_may_open_a_room(api: ApiFixture) -> None:
    anna = await api.user("anna", 2)
    assert (await anna.post(ENTER)).refusal == (403, "not_matchmaker")
    assert await room_and_role(anna) == ("", 0)


@pytest.mark.gen_test(timeout=20)
async def test_banned_matchmaker_gets_the_failed_status_of_the_contract(api: ApiFixture) -> None:
    host = await api.matchmaker()
    (await api.ops("PATCH", f"users/{host.id}", banned=True)).ok()
    reply = (await host.post(ENTER)).ok()
    assert (reply["status"], reply["code"]) == ("failed", "banned")
    assert reply["detail"]
    assert (await api.ops("GET", "rooms")).ok()["items"] == []


@pytest.mark.gen_test(timeout=20)
async def test_first_entry_requires_im_and_later_entries_do_not(api: ApiFixture) -> None:
    host = await api.matchmaker()
    await api.outage("im", status=500)
    unavailable = await host.post(ENTER)
    assert unavailable.refusal == (503, "im_away")
    assert int(unavailable.headers["Retry-After"]) > 0
    assert await room_and_role(host) == ("", 0)
    await api.outage("im")
    opened = (await host.post(ENTER)).ok()
    await api.outage("im", status=500)
    (await host.post("qlive_room/live_end/", live_id=opened["live_id"])).ok()
    assert (await host.post(ENTER)).ok()["group_id"] == opened["group_id"]


@pytest.mark.gen_test(timeout=20)
async def test_opening_a_room_leaves_the_room_the_matchmaker_was_watching(api: ApiFixture) -> None:
    other = await api.host("other")
    host = await api.matchmaker()
    (await host.get("get_playurl/", live_id=other.live_id)).ok()
    (await host.post("qlive_room/apply_micro/", live_id=other.live_id)).ok()
    socket = await other.connect()
    await socket.next("snapshot")
    opened = (await host.post(ENTER)).ok()
    event = (await socket.next("micro_refuse"))["data"]
    assert (event["user_id"], event["reason"]) == (host.id, "left")
    assert await room_and_role(host) == (opened["live_id"], 5)
    room = (await other.get("get_playurl/", live_id=other.live_id)).ok()
    assert room["num_list"] == [0, 0, 0, 0]


# ---- live_end


@pytest.mark.gen_test(timeout=20)
async def test_host_ends_the_live_for_all_members(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await anna.connect()
    await socket.next("snapshot")
    for _ in range(2):
        reply = await host.post("qlive_room/live_end/", live_id=host.live_id)
        assert reply.ok() == {"detail": "OK"}
    assert (await socket.next("live_end"))["data"]["reason"] == "host"
    assert [await room_and_role(client) for client in (host, anna)] == [("", 0), ("", 0)]


@pytest.mark.gen_test(timeout=20)
async def test_only_the_host_may_end_the_live(api: ApiFixture) -> None:
    host, other = await api.host(), await api.host("other")
    anna = await api.guest("anna", 2, host.live_id)
    for user in (anna, other):
        reply = await user.post("qlive_room/live_end/", live_id=host.live_id)
        assert reply.refusal == (403, "not_host")
    assert await room_and_role(host) == (host.live_id, 5)
    unknown_room = await host.post("qlive_room/live_end/", live_id=4711)
    assert unknown_room.refusal == (404, "no_such_room")


@pytest.mark.gen_test(timeout=20)
async def test_live_time_is_accumulated(api: ApiFixture, db: Any) -> None:
    host = await api.host()
    for seconds in (100, 20):
        (await host.post(ENTER)).ok()
        started_at = int((datetime.now(UTC) - timedelta(seconds=seconds)).timestamp() * 1000)
        db.rooms.update_one({"_id": host.live_id}, {"$set": {"started_at": started_at}})
        for _ in range(2):
            (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    row = (await api.ops("GET", f"users/{host.id}")).ok()
    assert 120 <= row["continuous_time"] <= 125


# ---- leave_room


@pytest.mark.gen_test(timeout=20)
async def test_leaving_the_room_frees_the_seat_and_withdraws_the_application(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    bert = await api.guest("bert", 1, host.live_id)
    for client in (anna, bert):
        (await client.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await anna.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    socket = await host.connect()
    await socket.next("snapshot")
    for client, event_type in ((anna, "micro_leave"), (bert, "micro_refuse")):
        for _ in range(2):
            reply = await client.get("qlive_room/leave_room/", live_id=host.live_id)
            assert reply.ok() == {"detail": "OK"}
        event = (await socket.next(event_type))["data"]
        assert (event["user_id"], event["reason"]) == (client.id, "left")
        assert await room_and_role(client) == ("", 0)
    room = (await host.get("get_playurl/", live_id=host.live_id)).ok()
    assert (room["female"], room["num_list"]) == ({}, [0, 0, 0, 0])


@pytest.mark.gen_test(timeout=20)
async def test_leaving_another_room_keeps_the_current_membership(api: ApiFixture) -> None:
    first_host, second_host = await api.host("one"), await api.host("two")
    anna = await api.guest("anna", 2, first_host.live_id)
    (await anna.get("qlive_room/leave_room/", live_id=second_host.live_id)).ok()
    assert await room_and_role(anna) == (first_host.live_id, 1)


@pytest.mark.gen_test(timeout=20)
async def test_host_must_end_the_live_instead_of_leaving(api: ApiFixture) -> None:
    host = await api.host()
    reply = await host.get("qlive_room/leave_room/", live_id=host.live_id)
    assert reply.refusal == (409, "host_must_end")
    assert await room_and_role(host) == (host.live_id, 5)
    (await host.post("qlive_room/live_end/", live_id=host.live_id)).ok()
    assert (await host.get("qlive_room/leave_room/", live_id=host.live_id)).ok()


@pytest.mark.gen_test(timeout=20)
async def test_audience_frame_has_the_new_count_after_a_member_leaves(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await host.connect()
    assert (await socket.next("snapshot"))["data"]["audience_count"] == 2
    (await anna.get("qlive_room/leave_room/", live_id=host.live_id)).ok()

    async def only_the_host_is_left() -> bool:
        return (await socket.audience())["audience_count"] == 1

    await until(only_the_host_is_left)


@pytest.mark.gen_test(timeout=20)
async def test_banned_user_is_refused_by_every_endpoint(api: ApiFixture) -> None:
    host = await api.host()
    (await api.ops("PATCH", f"users/{host.id}", banned=True)).ok()
    for call, path in (
        (host.get, "get_livelist/"),
        (host.get, "get_playurl/"),
        (host.get, "qlive_user/get_users_info/"),
        (host.post, "qlive_room/live_end/"),
        (host.get, "qlive_room/leave_room/"),
        (host.get, "qlive_gift/"),
        (host.get, "qlive_gift/push_gift/"),
        (host.get, "qlive_user/get_userinfo/"),
        (host.post, "qlive_user/update_userinfo/"),
        (host.get, "qlive_user/get_user_state/"),
        (host.get, "qlive_pay/"),
        (host.post, "qlive_pay/"),
        (host.post, "qlive_like/"),
        (host.get, "qlive_like/"),
        (host.get, "get_configs/"),
    ):
        reply = await call(path, live_id=host.live_id)
        assert reply.refusal == (403, "banned"), path
