"""The mic over HTTP, and lost connections; tests/rooms show the rules."""

from itertools import count

import pytest

from rooms.members import GracePolicy
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.mic import stream_of, take_seat, user_type


@pytest.mark.parametrize("changes", [{"micro": {"admission": "open", "removed_seconds": 0}}])
async def test_settings_decide_who_is_admitted(api: ApiFixture) -> None:
    host = await api.host()
    anna, room = await api.guest("anna", 2, host.live_id), {"live_id": host.live_id}
    for _ in range(2):
        (await anna.post("qlive_room/accept_micro/", **room)).ok()
        (await host.get("qlive_room/leave_micro/", user_id=anna.id, **room)).ok()


async def test_the_answer_and_the_event_of_a_seat_have_the_same_play_url(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, numbers = await api.host(), count()
    bert, room = await api.guest("bert", 1, host.live_id), {"live_id": host.live_id}
    socket = await host.watch()
    urls = server.context.tencent.stream_urls
    monkeypatch.setattr(urls, "play", lambda stream: f"rtmp://play/{stream}?{next(numbers)}")
    (await bert.post("qlive_room/apply_micro/", **room)).ok()
    seated = (await bert.post("qlive_room/accept_micro/", **room)).ok()
    await socket.next("micro_apply")
    assert (await socket.next("micro_accept"))["data"]["play_url"] == seated["play_url"]
    again = (await bert.post("qlive_room/accept_micro/", **room)).ok()
    assert stream_of(again) == stream_of(seated)
    assert stream_of(seated) in again["play_url"], "of the seat that the user has already"


async def test_an_application_and_an_invitation_expire_by_themselves(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("APPLICATION_SECONDS", "INVITATION_SECONDS"):
        monkeypatch.setattr(f"rooms.seating_room.{name}", 0)
    host = await api.host()
    anna = await api.guest("anna", 2, host.live_id)
    socket = await host.watch()
    room = {"live_id": host.live_id}
    for client, action in ((anna, "apply"), (host, "invite")):
        (await client.post(f"qlive_room/{action}_micro/", user_id=anna.id, **room)).ok()
        await socket.next(f"micro_{action}")
        event = (await socket.next("micro_refuse"))["data"]
        assert (event["user_id"], event["reason"]) == (anna.id, "expired"), action


SHORT = GracePolicy(shown=100, viewer=600, guest=500, host=800)
"""Absent users lose seat and membership soon."""


# ---- lost connections


@pytest.mark.parametrize("grace", [SHORT])
async def test_users_who_do_not_reconnect_lose_seat_application_and_live(api: ApiFixture) -> None:
    host = await api.host()
    guest, applicant = [await api.guest(name, 1, host.live_id) for name in ("bert", "carl")]
    await take_seat(guest)
    unconnected = await api.guest("anna", 2, host.live_id)
    (await applicant.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    observer = await host.watch()
    for client, *types in ((guest, "member_away", "micro_leave"), (applicant, "micro_refuse")):
        (await client.watch()).connection.transport.abort()
        ended = [(await observer.next(type_))["data"] for type_ in types][-1]
        assert (ended["user_id"], ended["reason"]) == (client.id, "offline")
    assert await user_type(applicant) == 0
    assert await user_type(unconnected) == 1, "a user who never connected is not absent"
    viewer = await unconnected.watch()
    observer.connection.transport.abort()
    for type_ in ("member_away", "live_pause"):
        await viewer.next(type_)
    assert (await viewer.next("live_end"))["data"]["reason"] == "offline"
    assert await viewer.close_code() == 4510


# ---- ended sessions


async def test_login_that_ends_the_oldest_session_closes_its_socket(api: ApiFixture) -> None:
    host = await api.host()
    socket = await (await api.guest("anna", 2, host.live_id)).watch()
    for _ in range(5):
        assert (await api.log_in("anna")).ok()["login_type"] == 1
    assert await socket.close_code() == 4401
