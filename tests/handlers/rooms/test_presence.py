"""Lost and restored connections, removed users and ended sessions: events and close codes.

tests/rooms, tests/storage/rooms and tests/services/rooms show the rules of absences.
"""

from typing import Any

import pytest
from pymongo.database import Database

from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.mic import take_seat, user_type

Db = Database[dict[str, Any]]
SHORT: dict[str, Any] = {
    "presence": {
        "viewer_seconds": 0.6,
        "guest_seconds": 0.5,
        "host_seconds": 0.8,
        "shown_after_seconds": 0.1,
    }
}
"""Absent users lose seat and membership soon."""
PUT_OUT = "qlive_room/put_out/"


@pytest.fixture
def changes() -> dict[str, Any]:
    """Absences are shown soon, and users have the time of the defaults to return."""
    return {"presence": {"shown_after_seconds": 0.2}}


async def guest_on_mic(api: ApiFixture, host: ApiClient) -> ApiClient:
    guest = await api.guest("bert", 1, host.live_id)
    await take_seat(guest)
    return guest


async def read_events(socket: Socket, *types: str) -> list[dict[str, Any]]:
    """The data of the next events, whose types are checked."""
    return [(await socket.next(type_))["data"] for type_ in types]


# ---- lost connections


async def test_guest_and_host_who_reconnect_in_time_keep_seat_and_live(api: ApiFixture) -> None:
    host = await api.host()
    guest = await guest_on_mic(api, host)
    observer, dropped = await host.watch(), await guest.watch()
    dropped.connection.transport.abort()
    [away] = await read_events(observer, "member_away")
    assert (away["user_id"], away["role"]) == (guest.id, "male")
    snapshot = (await (await guest.connect()).next("snapshot"))["data"]
    assert (snapshot["male"]["user_id"], snapshot["male"]["away"]) == (guest.id, False)
    [back] = await read_events(observer, "member_back")
    assert (back["user_id"], back["role"]) == (guest.id, "male")

    viewer = await api.guest("anna", 2, host.live_id)
    dropped, observer = observer, await viewer.watch()
    dropped.connection.transport.abort()
    away, _ = await read_events(observer, "member_away", "live_pause")
    assert away["role"] == "host"
    snapshot = (await (await guest.connect()).next("snapshot"))["data"]
    assert (snapshot["status"], snapshot["owner"]["away"]) == ("paused", True)
    (await viewer.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()  # calls still work
    await read_events(observer, "micro_apply")
    await host.connect()
    await read_events(observer, "member_back", "live_resume")


@pytest.mark.parametrize("changes", [SHORT])
async def test_users_who_do_not_reconnect_lose_seat_application_and_live(api: ApiFixture) -> None:
    host = await api.host()
    guest, applicant = await guest_on_mic(api, host), await api.guest("carl", 1, host.live_id)
    unconnected = await api.guest("anna", 2, host.live_id)
    (await applicant.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    observer = await host.watch()
    for client, *types in ((guest, "member_away", "micro_leave"), (applicant, "micro_refuse")):
        (await client.watch()).connection.transport.abort()
        ended = (await read_events(observer, *types))[-1]
        assert (ended["user_id"], ended["reason"]) == (client.id, "offline")
    assert await user_type(applicant) == 0
    assert await user_type(unconnected) == 1, "a user who never connected is not absent"
    viewer = await unconnected.watch()
    observer.connection.transport.abort()
    *_, end = await read_events(viewer, "member_away", "live_pause", "live_end")
    assert end["reason"] == "offline"
    assert await viewer.close_code() == 4510


# ---- removal by the host


async def test_removed_user_is_disconnected_and_cannot_reenter_until_the_ban_expires(
    api: ApiFixture, db: Db
) -> None:
    host = await api.host()
    guest = await guest_on_mic(api, host)
    observer, socket = await host.watch(), await guest.watch()
    reply = await host.post(PUT_OUT, live_id=host.live_id, user_id=guest.id, minutes=1)
    assert reply.ok() == {"detail": "OK"}
    left = await observer.next("micro_leave")
    assert left["data"]["reason"] == "host"
    assert await socket.close_code() == 4503
    assert (await guest.get("get_playurl/", live_id=host.live_id)).refusal == (403, "put_out")
    resumed = await guest.connect(host.live_id, since=1, epoch=left["epoch"])
    bye = await resumed.next("bye")
    assert (bye["code"], bye["reconnect"]) == (4503, False)
    assert await resumed.close_code() == 4503
    db.rooms.update_one({}, {"$inc": {f"blocked.{guest.id}": -60_000}})
    (await guest.get("get_playurl/", live_id=host.live_id)).ok()


async def test_only_the_host_may_remove_users_and_not_the_host(api: ApiFixture) -> None:
    host = await api.host()
    guest = await api.guest("anna", 2, host.live_id)
    for client, user_id, minutes, refusal in (
        (guest, host.id, 1, (403, "not_host")),
        (host, host.id, 1, (400, "bad_parameter")),
        (host, "00000000", 1, (404, "no_such_user")),
        (host, guest.id, 0, (400, "bad_parameter")),
        (host, guest.id, 1441, (400, "bad_parameter")),
    ):
        body: dict[str, Any] = {"user_id": user_id, "minutes": minutes}
        reply = await client.post(PUT_OUT, live_id=host.live_id, **body)
        assert reply.refusal == refusal, body


# ---- ended sessions


async def test_login_that_ends_the_oldest_session_closes_its_socket(api: ApiFixture) -> None:
    host = await api.host()
    socket = await (await api.guest("anna", 2, host.live_id)).watch()
    for _ in range(5):
        assert (await api.log_in("anna")).ok()["login_type"] == 1
    assert await socket.close_code() == 4401
