import asyncio
from typing import Any

import pytest

from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.hypothesis_profiles import repetitions
from tests.support.mic import take_seat, user_type

ROOM = "qlive_room/"


async def connect_and_read_snapshot(client: ApiClient) -> Socket:
    """A connected socket whose snapshot has been read."""
    socket = await client.connect()
    await socket.next("snapshot")
    return socket


async def call(client: ApiClient, action: str, **params: Any) -> Any:
    send = client.get if action == "leave_micro" else client.post
    return await send(f"{ROOM}{action}/", live_id=client.live_id, **params)


# ---- apply_micro


@pytest.mark.gen_test(timeout=20)
async def test_application_is_published_once(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await connect_and_read_snapshot(host)
    for _ in range(3):
        assert (await call(anna, "apply_micro")).ok() == {"detail": "OK"}
    event = (await socket.next("micro_apply"))["data"]
    assert event["user_id"] == anna.id
    assert event["expires_at"] - event["applied_at"] == 600_000
    (await call(anna, "refuse_micro")).ok()
    assert (await socket.next("micro_refuse"))["data"]["reason"] == "withdrawn"


@pytest.mark.gen_test(timeout=20)
async def test_invalid_applications_are_rejected(api: ApiFixture) -> None:
    host = await api.host()
    outside = await api.user("outside", 2)
    outside.live_id = host.live_id
    assert (await call(outside, "apply_micro")).refusal == (409, "not_in_room")
    unset = await api.guest("unset", 0, host.live_id)
    assert (await call(unset, "apply_micro")).refusal == (409, "no_gender")
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    assert (await call(anna, "apply_micro")).refusal == (409, "on_mic")
    assert (await call(host, "apply_micro")).refusal == (409, "on_mic")
    assert [await user_type(client) for client in (outside, unset, anna, host)] == [0, 1, 4, 5]


# ---- accept_micro


@pytest.mark.gen_test(timeout=20)
async def test_accepting_takes_the_seat_and_returns_the_push_url(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    face = "https://example.com/a.png"
    (await anna.post("qlive_user/update_userinfo/", age=27, area="310100", face_url=face)).ok()
    socket = await connect_and_read_snapshot(host)
    (await call(anna, "apply_micro")).ok()
    seat = (await call(anna, "accept_micro")).ok()
    fields = {name: seat[name] for name in ("nickname", "area", "age", "user_id", "gender")}
    assert fields == {
        "nickname": "anna",
        "area": "310100",
        "age": 27,
        "user_id": anna.id,
        "gender": 2,
    }
    assert seat["face_url"] == face
    assert seat["push_url"].startswith("rtmp://push.")
    assert seat["play_url"].startswith("rtmp://play.")
    await socket.next("micro_apply")
    event = (await socket.next("micro_accept"))["data"]
    assert (event["user_id"], event["age"]) == (anna.id, 27)
    assert await user_type(anna) == 4


@pytest.mark.gen_test(timeout=20)
async def test_repeated_accept_returns_the_same_seat_without_an_event(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    socket = await connect_and_read_snapshot(host)
    first, second = [(await call(anna, "accept_micro")).ok() for _ in range(2)]
    assert first["push_url"].split("?")[0] == second["push_url"].split("?")[0]
    assert second["push_url"]
    (await call(anna, "leave_micro")).ok()
    await socket.next("micro_leave")


@pytest.mark.gen_test(timeout=20)
async def test_invalid_accepts_are_rejected(api: ApiFixture) -> None:
    host = await api.host()
    bert, carl, anna = [
        await api.guest(name, gender, host.live_id)
        for name, gender in (("bert", 1), ("carl", 1), ("anna", 2))
    ]
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")
    await take_seat(bert)
    (await call(carl, "apply_micro")).ok()
    assert (await call(carl, "accept_micro")).refusal == (409, "seat_taken")
    assert await user_type(carl) == 2
    outside = await api.user("outside", 2)
    outside.live_id = host.live_id
    assert (await call(outside, "accept_micro")).refusal == (409, "not_in_room")
    unset = await api.guest("unset", 0, host.live_id)
    assert (await call(unset, "accept_micro")).refusal == (409, "no_gender")
    assert (await call(host, "accept_micro")).refusal == (409, "on_mic")


@pytest.mark.parametrize("changes", [{"micro": {"admission": "invited"}}])
@pytest.mark.gen_test(timeout=20)
async def test_invited_admission_requires_an_invitation(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    (await call(anna, "apply_micro")).ok()
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")
    (await call(host, "invite_micro", user_id=anna.id)).ok()
    (await call(anna, "accept_micro")).ok()


@pytest.mark.parametrize("changes", [{"micro": {"admission": "open"}}])
@pytest.mark.gen_test(timeout=20)
async def test_open_admission_requires_no_application(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    (await call(anna, "accept_micro")).ok()
    assert await user_type(anna) == 4


async def take_off_mic(host: ApiClient, guest: ApiClient) -> None:
    (await host.get("qlive_room/leave_micro/", live_id=host.live_id, user_id=guest.id)).ok()


@pytest.mark.gen_test(timeout=20)
async def test_guest_taken_off_the_mic_by_the_host_needs_an_invitation(
    api: ApiFixture, db: Any
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(bert)
    await take_off_mic(host, bert)
    (await call(bert, "apply_micro")).ok()
    reply = await call(bert, "accept_micro")
    assert reply.refusal == (409, "not_admitted")
    assert "wait for an invitation" in reply.json["detail"]
    (await call(host, "invite_micro", user_id=bert.id)).ok()
    (await call(bert, "accept_micro")).ok()
    assert db.rooms.find_one()["removed"] == {}


@pytest.mark.gen_test(timeout=20)
async def test_guest_taken_off_the_mic_may_be_back_after_the_time(api: ApiFixture, db: Any) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(bert)
    await take_off_mic(host, bert)
    db.rooms.update_one({}, {"$inc": {f"removed.{bert.id}": -60_000}})
    await take_seat(bert)


@pytest.mark.parametrize("changes", [{"micro": {"removed_seconds": 0}}])
@pytest.mark.gen_test(timeout=20)
async def test_without_the_setting_a_guest_taken_off_the_mic_may_be_back_at_once(
    api: ApiFixture,
) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(bert)
    await take_off_mic(host, bert)
    await take_seat(bert)


@pytest.mark.gen_test(timeout=60)
async def test_two_users_accepting_at_once_get_one_seat(api: ApiFixture) -> None:
    host = await api.host()
    men = [await api.guest(name, 1, host.live_id) for name in ("bert", "carl")]
    for _ in range(repetitions(30)):
        await asyncio.gather(*(call(man, "apply_micro") for man in men))
        replies = await asyncio.gather(*(call(man, "accept_micro") for man in men))
        assert sorted(reply.status for reply in replies) == [200, 409]
        seated, loser = men if replies[0].status == 200 else men[::-1]
        refused = next(reply for reply in replies if reply.status == 409)
        assert refused.refusal == (409, "seat_taken")
        room = (await loser.get("get_playurl/", live_id=host.live_id)).ok()
        assert (room["male"]["user_id"], room["num_list"]) == (seated.id, [1, 2, 0, 0])
        (await call(seated, "leave_micro")).ok()


# ---- refuse_micro


@pytest.mark.gen_test(timeout=20)
async def test_refusing_withdraws_an_application_or_declines_an_invitation(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await connect_and_read_snapshot(host)
    (await call(anna, "apply_micro")).ok()
    assert (await call(anna, "refuse_micro")).ok() == {"detail": "OK"}
    (await call(host, "invite_micro", user_id=anna.id)).ok()
    assert (await call(anna, "refuse_micro")).ok() == {"detail": "OK"}
    frames = [await socket.next() for _ in range(4)]
    types = [frame["type"] for frame in frames]
    assert types == ["micro_apply", "micro_refuse", "micro_invite", "micro_refuse"]
    assert [frames[1]["data"]["reason"], frames[3]["data"]["reason"]] == ["withdrawn", "refused"]
    assert await user_type(anna) == 1
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")


@pytest.mark.gen_test(timeout=20)
async def test_refusing_without_an_application_succeeds_and_keeps_the_seat(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    assert (await call(anna, "refuse_micro")).ok() == {"detail": "OK"}
    await take_seat(anna)
    assert (await call(anna, "refuse_micro")).ok() == {"detail": "OK"}
    assert await user_type(anna) == 4
    anna.live_id = 4711
    assert (await call(anna, "refuse_micro")).refusal == (404, "no_such_room")


# ---- leave_micro


@pytest.mark.gen_test(timeout=20)
async def test_guest_leaving_the_mic_stays_in_the_room(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    socket = await connect_and_read_snapshot(host)
    for _ in range(2):
        assert (await call(anna, "leave_micro", gender=2)).ok() == {"detail": "OK"}
    event = (await socket.next("micro_leave"))["data"]
    assert (event["user_id"], event["reason"]) == (anna.id, "left")
    assert await user_type(anna) == 1
    (await call(anna, "apply_micro")).ok()
    await socket.next("micro_apply")


@pytest.mark.gen_test(timeout=20)
async def test_host_removes_guests_from_the_mic_and_applicants_from_the_queue(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(anna)
    (await call(bert, "apply_micro")).ok()
    socket = await connect_and_read_snapshot(host)
    (await call(host, "leave_micro", user_id=anna.id)).ok()
    event = (await socket.next("micro_leave"))["data"]
    assert (event["user_id"], event["reason"]) == (anna.id, "host")
    (await call(host, "leave_micro", user_id=bert.id, gender=1)).ok()
    event = (await socket.next("micro_refuse"))["data"]
    assert (event["user_id"], event["reason"]) == (bert.id, "host")
    assert [await user_type(client) for client in (anna, bert)] == [1, 1]
    (await call(host, "leave_micro", user_id=bert.id)).ok()
    (await call(host, "leave_micro")).ok()
    assert await user_type(host) == 5


@pytest.mark.gen_test(timeout=20)
async def test_only_the_host_may_remove_another_guest_from_the_mic(api: ApiFixture) -> None:
    host, other_host = await api.host(), await api.host("other")
    anna = await api.guest("anna", 2, host.live_id)
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(anna)
    other_host.live_id = host.live_id
    for user in (bert, other_host):
        reply = await call(user, "leave_micro", user_id=anna.id)
        assert reply.refusal == (403, "not_host")
    assert await user_type(anna) == 4


@pytest.mark.gen_test(timeout=20)
async def test_leave_micro_gender_must_match_the_guest(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    await take_seat(anna)
    for client in (anna, host):
        reply = await call(client, "leave_micro", user_id=anna.id, gender=1)
        assert reply.refusal == (400, "bad_parameter")
        assert reply.json["fields"].keys() == {"gender"}
    assert await user_type(anna) == 4
    anna.live_id = 4711
    assert (await call(anna, "leave_micro")).refusal == (404, "no_such_room")


# ---- invite_micro


@pytest.mark.gen_test(timeout=20)
async def test_invited_viewer_may_accept(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await connect_and_read_snapshot(anna)
    assert (await call(host, "invite_micro", user_id=anna.id)).ok() == {"detail": "OK"}
    assert (await socket.next("micro_invite"))["data"]["user_id"] == anna.id
    assert await user_type(anna) == 1
    (await call(anna, "accept_micro")).ok()
    assert await user_type(anna) == 4


@pytest.mark.gen_test(timeout=20)
async def test_invalid_invitations_are_rejected(api: ApiFixture) -> None:
    host = await api.host()
    bert, carl, unset = [
        await api.guest(name, gender, host.live_id)
        for name, gender in (("bert", 1), ("carl", 1), ("unset", 0))
    ]
    outside = await api.user("outside", 2)
    await take_seat(bert)
    for target, refusal in (
        (carl.id, (409, "seat_taken")),
        (bert.id, (409, "on_mic")),
        (host.id, (409, "on_mic")),
        (unset.id, (409, "no_gender")),
        (outside.id, (409, "not_in_room")),
        ("10000000", (404, "no_such_user")),
        ("", (400, "bad_parameter")),
    ):
        assert (await call(host, "invite_micro", user_id=target)).refusal == refusal, refusal
    assert (await call(carl, "invite_micro", user_id=carl.id)).refusal == (403, "not_host")
    assert (await call(carl, "accept_micro")).refusal == (409, "seat_taken")


# ---- expiry


@pytest.mark.parametrize("changes", [{"micro": {"application_seconds": 0.2}}])
@pytest.mark.gen_test(timeout=20)
async def test_application_expires(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await connect_and_read_snapshot(host)
    (await call(anna, "apply_micro")).ok()
    await socket.next("micro_apply")
    event = (await socket.next("micro_refuse"))["data"]
    assert (event["user_id"], event["reason"]) == (anna.id, "expired")
    assert await user_type(anna) == 1
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")


@pytest.mark.parametrize("changes", [{"micro": {"invitation_seconds": 0.2}}])
@pytest.mark.gen_test(timeout=20)
async def test_invitation_expires(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await connect_and_read_snapshot(host)
    (await call(host, "invite_micro", user_id=anna.id)).ok()
    await socket.next("micro_invite")
    assert (await socket.next("micro_refuse"))["data"]["reason"] == "expired"
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")


@pytest.mark.gen_test(timeout=20)
async def test_expired_application_does_not_admit_before_it_is_deleted(
    api: ApiFixture, db: Any
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    (await call(anna, "apply_micro")).ok()
    expired = {"$set": {f"applications.{anna.id}.expires_at": 0}, "$unset": {"due_at": ""}}
    db.rooms.update_one({"_id": host.live_id}, expired)
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")


# ---- errors common to all calls


@pytest.mark.parametrize(
    "action", ["apply_micro", "invite_micro", "accept_micro", "refuse_micro", "leave_micro"]
)
@pytest.mark.gen_test(timeout=20)
async def test_mic_calls_reject_unknown_rooms_ended_lives_and_banned_users(
    api: ApiFixture, action: str
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    params = {"user_id": anna.id} if action == "invite_micro" else {}
    host.live_id, live_id = 4711, host.live_id
    assert (await call(host, action, **params)).refusal == (404, "no_such_room")
    host.live_id = live_id
    (await call(host, "live_end")).ok()
    reply = await call(host if params else anna, action, **params)
    if action in ("refuse_micro", "leave_micro"):
        assert reply.ok() == {"detail": "OK"}
    else:
        assert reply.refusal == (409, "not_live")
    (await api.ops("PATCH", f"users/{anna.id}", banned=True)).ok()
    assert (await call(anna, action, **params)).refusal == (403, "banned")
