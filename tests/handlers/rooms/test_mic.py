"""The mic over HTTP; tests/rooms show the rules of applications, invitations and seats."""

from typing import Any

import pytest

from tests.support.api import ApiClient, ApiFixture
from tests.support.mic import take_seat, user_type

ROOM = "qlive_room/"
ACTIONS = ("apply_micro", "invite_micro", "accept_micro", "refuse_micro", "leave_micro")
DONE = {"detail": "OK"}


async def call(client: ApiClient, action: str, **params: Any) -> Any:
    send = client.get if action == "leave_micro" else client.post
    return await send(f"{ROOM}{action}/", live_id=client.live_id, **params)


async def test_applicant_takes_a_seat_and_leaves_it_with_one_event_for_each_step(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    profile = {"age": 27, "area": "310100", "face_url": "https://example.com/a.png"}
    (await anna.post("qlive_user/update_userinfo/", **profile)).ok()
    socket = await host.watch()
    assert [(await call(anna, "apply_micro")).ok() for _ in range(2)] == [DONE] * 2
    seat, repeated = [(await call(anna, "accept_micro")).ok() for _ in range(2)]
    push_url, play_url = seat.pop("push_url"), seat.pop("play_url")
    assert seat == {**profile, "nickname": "anna", "user_id": anna.id, "gender": 2}
    assert push_url.startswith("rtmp://push.")
    assert play_url.startswith("rtmp://play.")
    assert repeated["push_url"].split("?")[0] == push_url.split("?")[0]
    assert await user_type(anna) == 4
    for _ in range(2):
        assert (await call(anna, "leave_micro", gender=2)).ok() == DONE
    assert await user_type(anna) == 1
    applied = (await socket.next("micro_apply"))["data"]
    assert applied["expires_at"] - applied["applied_at"] == 600_000
    accepted = (await socket.next("micro_accept"))["data"]
    assert (accepted["user_id"], accepted["age"]) == (anna.id, 27)
    left = (await socket.next("micro_leave"))["data"]
    assert (left["user_id"], left["reason"]) == (anna.id, "left")


async def test_invitation_admits_a_viewer_and_refusing_ends_it_or_an_application(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await anna.watch()
    for client, action in ((anna, "apply_micro"), (host, "invite_micro")):
        assert (await call(client, action, user_id=anna.id)).ok() == DONE
        assert (await call(anna, "refuse_micro")).ok() == DONE
    frames = [await socket.next() for _ in range(4)]
    types = [frame["type"] for frame in frames]
    assert types == ["micro_apply", "micro_refuse", "micro_invite", "micro_refuse"]
    assert [frames[1]["data"]["reason"], frames[3]["data"]["reason"]] == ["withdrawn", "refused"]
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")
    (await call(host, "invite_micro", user_id=anna.id)).ok()
    (await call(anna, "accept_micro")).ok()
    assert (await call(anna, "refuse_micro")).ok() == DONE, "there is no invitation any more"
    assert await user_type(anna) == 4


async def test_host_takes_a_guest_off_the_mic_and_an_applicant_out_of_the_queue(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    bert = await api.guest("bert", 1, host.live_id)
    await take_seat(anna)
    (await call(bert, "apply_micro")).ok()
    socket = await host.watch()
    for client, event_type in ((anna, "micro_leave"), (bert, "micro_refuse")):
        (await call(host, "leave_micro", user_id=client.id)).ok()
        event = (await socket.next(event_type))["data"]
        assert (event["user_id"], event["reason"]) == (client.id, "host")
        assert await user_type(client) == 1
    (await call(anna, "apply_micro")).ok()
    refused = await call(anna, "accept_micro")
    assert refused.refusal == (409, "not_admitted")
    assert "wait for an invitation" in refused.json["detail"]


SETTINGS = {
    "admission": "open",
    "removed_seconds": 0,
    "application_seconds": 0.2,
    "invitation_seconds": 0.2,
}


@pytest.mark.parametrize("changes", [{"micro": SETTINGS}])
async def test_settings_decide_who_is_admitted_and_when_applications_expire(
    api: ApiFixture,
) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    for _ in range(2):
        (await call(anna, "accept_micro")).ok()
        (await call(host, "leave_micro", user_id=anna.id)).ok()
    socket = await host.watch()
    for client, action, event_type in (
        (anna, "apply_micro", "micro_apply"),
        (host, "invite_micro", "micro_invite"),
    ):
        (await call(client, action, user_id=anna.id)).ok()
        await socket.next(event_type)
        event = (await socket.next("micro_refuse"))["data"]
        assert (event["user_id"], event["reason"]) == (anna.id, "expired"), action


async def test_calls_that_the_room_does_not_permit_are_refused(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert (await call(anna, "accept_micro")).refusal == (409, "not_admitted")
    for user_id, refusal in (
        (carl.id, (409, "seat_taken")),
        (bert.id, on_mic),
        (unset.id, no_gender),
        (outside.id, not_in_room),
        ("10000000", (404, "no_such_user")),
        ("", (400, "bad_parameter")),
    ):
        assert (await call(host, "invite_micro", user_id=user_id)).refusal == refusal, refusal
    for client in (carl, outside):
        for action in ("invite_micro", "leave_micro"):
            reply = await call(client, action, user_id=bert.id)
            assert reply.refusal == (403, "not_host"), (client.name, action)
    wrong_gender = await call(host, "leave_micro", user_id=bert.id, gender=2)
    assert wrong_gender.refusal == (400, "bad_parameter")
    assert wrong_gender.json["fields"].keys() == {"gender"}
    monkeypatch.setattr("rooms.room.QUEUE_SIZE", 0)
    assert (await call(carl, "apply_micro")).refusal == (409, "queue_full")
    assert (await call(host, "invite_micro", user_id=anna.id)).refusal == (409, "queue_full")
    clients = (outside, unset, anna, carl, bert, host)
    assert [await user_type(client) for client in clients] == [0, 1, 1, 1, 3, 5]


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
