import asyncio
from typing import Any

import pytest

from core.clock import now_ms
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.hypothesis_profiles import repetitions
from tests.support.mic import take_seat, user_type

ROOM = "qlive_room/"
ACTIONS = ("apply_micro", "invite_micro", "accept_micro", "refuse_micro", "leave_micro")


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


# ---- accept_micro


@pytest.mark.gen_test(timeout=20)
async def test_accepting_once_or_twice_takes_the_seat_and_returns_the_push_url(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    face = "https://example.com/a.png"
    (await anna.post("qlive_user/update_userinfo/", age=27, area="310100", face_url=face)).ok()
    socket = await connect_and_read_snapshot(host)
    (await call(anna, "apply_micro")).ok()
    seat, repeated = [(await call(anna, "accept_micro")).ok() for _ in range(2)]
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
    assert repeated["push_url"].split("?")[0] == seat["push_url"].split("?")[0]
    assert await user_type(anna) == 4
    (await call(anna, "leave_micro")).ok()
    await socket.next("micro_apply")
    event = (await socket.next("micro_accept"))["data"]
    assert (event["user_id"], event["age"]) == (anna.id, 27)
    await socket.next("micro_leave")  # there is one event of the two calls


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
    assert 0 < db.rooms.find_one()["removed"][bert.id] - now_ms() <= 60_000
    (await call(bert, "apply_micro")).ok()
    reply = await call(bert, "accept_micro")
    assert reply.refusal == (409, "not_admitted")
    assert "wait for an invitation" in reply.json["detail"]
    (await call(host, "invite_micro", user_id=bert.id)).ok()
    (await call(bert, "accept_micro")).ok()
    assert db.rooms.find_one()["removed"] == {}


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


@pytest.mark.gen_test(timeout=20)
async def test_two_users_accepting_at_once_get_one_seat(api: ApiFixture) -> None:
    host = await api.host()
    men = [await api.guest(name, 1, host.live_id) for name in ("bert", "carl")]
    for _ in range(repetitions(3)):
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


# ---- expiry


SHORT = {"micro": {"application_seconds": 0.2, "invitation_seconds": 0.2}}


@pytest.mark.parametrize("changes", [SHORT])
@pytest.mark.gen_test(timeout=20)
async def test_applications_and_invitations_expire(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await connect_and_read_snapshot(host)
    for client, action, event_type in (
        (anna, "apply_micro", "micro_apply"),
        (host, "invite_micro", "micro_invite"),
    ):
        (await call(client, action, user_id=anna.id)).ok()
        await socket.next(event_type)
        event = (await socket.next("micro_refuse"))["data"]
        assert (event["user_id"], event["reason"]) == (anna.id, "expired"), action
        assert await user_type(anna) == 1, action
        assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted"), action


# ---- refusals


@pytest.mark.gen_test(timeout=20)
async def test_calls_that_the_room_does_not_permit_are_refused(api: ApiFixture) -> None:
    host, outside = await api.host(), await api.user("outside", 2)
    bert, carl, anna, unset = [
        await api.guest(name, gender, host.live_id)
        for name, gender in (("bert", 1), ("carl", 1), ("anna", 2), ("unset", 0))
    ]
    outside.live_id = host.live_id
    await take_seat(bert)
    on_mic, not_in_room, no_gender = (409, "on_mic"), (409, "not_in_room"), (409, "no_gender")
    for client, refusal in ((outside, not_in_room), (unset, no_gender), (host, on_mic)):
        for action in ("apply_micro", "accept_micro"):
            assert (await call(client, action)).refusal == refusal, (client.name, action)
    assert (await call(bert, "apply_micro")).refusal == on_mic
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")
    for user_id, refusal in (
        (carl.id, (409, "seat_taken")),
        (bert.id, on_mic),
        (host.id, on_mic),
        (unset.id, no_gender),
        (outside.id, not_in_room),
        ("10000000", (404, "no_such_user")),
        ("", (400, "bad_parameter")),
    ):
        assert (await call(host, "invite_micro", user_id=user_id)).refusal == refusal, refusal
    assert (await call(carl, "invite_micro", user_id=carl.id)).refusal == (403, "not_host")
    (await call(carl, "apply_micro")).ok()
    assert (await call(carl, "accept_micro")).refusal == (409, "seat_taken")
    clients = (outside, unset, anna, carl, bert, host)
    assert [await user_type(client) for client in clients] == [0, 1, 1, 2, 3, 5]


@pytest.mark.gen_test(timeout=20)
async def test_calls_are_refused_for_unknown_rooms_ended_lives_and_banned_users(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    anna.live_id = 4711
    assert await refusals(anna) == dict.fromkeys(ACTIONS, (404, "no_such_room"))
    anna.live_id = host.live_id
    (await call(host, "live_end")).ok()
    not_live = dict.fromkeys(("apply_micro", "invite_micro", "accept_micro"), (409, "not_live"))
    assert await refusals(host) == not_live
    assert await refusals(anna) == not_live | {"invite_micro": (403, "not_host")}
    (await api.ops("PATCH", f"users/{anna.id}", banned=True)).ok()
    assert await refusals(anna) == dict.fromkeys(ACTIONS, (403, "banned"))


async def refusals(client: ApiClient) -> dict[str, tuple[int, str]]:
    """The refusals of the calls about the client's own seat; some may succeed."""
    replies = {action: await call(client, action, user_id=client.id) for action in ACTIONS}
    return {action: reply.refusal for action, reply in replies.items() if reply.status != 200}
