"""The mic over HTTP; tests/rooms show the rules of applications, invitations and seats."""

import asyncio
from typing import Any

import pytest

from tests.support.api import ApiClient, ApiFixture
from tests.support.mic import user_type

ROOM = "qlive_room/"
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


async def test_of_two_who_accept_at_once_one_gets_the_seat(api: ApiFixture) -> None:
    host = await api.host()
    men = [await api.guest(name, 1, host.live_id) for name in ("bert", "carl")]
    for man in men:
        (await call(man, "apply_micro")).ok()
    socket = await host.watch()
    replies = await asyncio.gather(*(call(man, "accept_micro") for man in men))
    winner, loser = sorted(replies, key=lambda reply: reply.status)
    assert loser.refusal == (409, "seat_taken")
    accepted = (await socket.next("micro_accept"))["data"]
    assert accepted["user_id"] == winner.ok()["user_id"]
    seated = (await host.get("get_playurl/", live_id=host.live_id)).ok()["male"]
    assert seated["user_id"] == accepted["user_id"]


@pytest.mark.parametrize("changes", [{"micro": {"admission": "open", "removed_seconds": 0}}])
async def test_settings_decide_who_is_admitted(api: ApiFixture) -> None:
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    for _ in range(2):
        (await call(anna, "accept_micro")).ok()
        (await call(host, "leave_micro", user_id=anna.id)).ok()


async def test_an_application_and_an_invitation_expire_by_themselves(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("APPLICATION_SECONDS", "INVITATION_SECONDS"):
        monkeypatch.setattr(f"rooms.room.{name}", 0)
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await host.watch()
    for client, action, params in (
        (anna, "apply", {}),
        (host, "invite", {"user_id": anna.id}),
    ):
        (await call(client, f"{action}_micro", **params)).ok()
        await socket.next(f"micro_{action}")
        event = (await socket.next("micro_refuse"))["data"]
        assert (event["user_id"], event["reason"]) == (anna.id, "expired"), action
