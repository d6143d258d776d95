"""Lost and restored connections: published events and evictions."""

from typing import Any

import pytest
from pymongo.database import Database

from runtime.process import ServerProcess
from tests.support.api import ApiClient, ApiFixture, Socket
from tests.support.mic import take_seat
from tests.support.waiting import until

Db = Database[dict[str, Any]]
SHOWN_SOON: dict[str, Any] = {"presence": {"shown_after_seconds": 0.2}}
"""Absences are shown soon, and users have the time of the defaults to return."""


@pytest.fixture
def changes() -> dict[str, Any]:
    """Grace periods at about a twentieth of the defaults."""
    return {
        "presence": {
            "viewer_seconds": 3,
            "guest_seconds": 2,
            "host_seconds": 4,
            "shown_after_seconds": 0.2,
        }
    }


async def guest_on_mic(api: ApiFixture, host: ApiClient) -> ApiClient:
    guest = await api.guest("bert", 1, host.live_id)
    await take_seat(guest)
    return guest


async def read_events(socket: Socket, *types: str) -> list[dict[str, Any]]:
    """Read the next events and check their types."""
    return [await socket.next(type_) for type_ in types]


@pytest.mark.gen_test(timeout=20)
async def test_disconnected_guest_is_shown_away_and_then_loses_the_seat(api: ApiFixture) -> None:
    host = await api.host()
    guest = await guest_on_mic(api, host)
    observer, dropped = await host.connect(), await guest.connect()
    await read_events(observer, "snapshot")
    await dropped.next("snapshot")
    dropped.connection.transport.abort()
    away, left = await read_events(observer, "member_away", "micro_leave")
    assert (away["data"]["user_id"], away["data"]["role"]) == (guest.id, "male")
    assert (left["data"]["user_id"], left["data"]["reason"]) == (guest.id, "offline")


@pytest.mark.parametrize("changes", [SHOWN_SOON])
@pytest.mark.gen_test(timeout=20)
async def test_guest_reconnecting_within_the_grace_period_keeps_the_seat(api: ApiFixture) -> None:
    host = await api.host()
    guest = await guest_on_mic(api, host)
    observer, dropped = await host.connect(), await guest.connect()
    await read_events(observer, "snapshot")
    await dropped.next("snapshot")
    dropped.connection.transport.abort()
    await read_events(observer, "member_away")
    reconnected = await guest.connect()
    snapshot = (await reconnected.next("snapshot"))["data"]
    assert (snapshot["male"]["user_id"], snapshot["male"]["away"]) == (guest.id, False)
    (back,) = await read_events(observer, "member_back")
    assert (back["data"]["user_id"], back["data"]["role"]) == (guest.id, "male")


@pytest.mark.gen_test(timeout=20)
async def test_replaced_connection_publishes_no_away_event(api: ApiFixture) -> None:
    host = await api.host()
    guest = await guest_on_mic(api, host)
    observer, dropped = await host.connect(), await guest.connect()
    await read_events(observer, "snapshot")
    await dropped.next("snapshot")
    await guest.connect()  # replaces and closes the first connection
    assert await dropped.close_code() == 4509
    (await guest.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    await read_events(observer, "micro_leave")


@pytest.mark.parametrize("changes", [SHOWN_SOON])
@pytest.mark.gen_test(timeout=20)
async def test_room_pauses_without_the_host_and_resumes_on_reconnect(api: ApiFixture) -> None:
    host = await api.host()
    guest = await api.guest("anna", 2, host.live_id)
    observer, dropped = await guest.connect(), await host.connect()
    await read_events(observer, "snapshot")
    await dropped.next("snapshot")
    dropped.connection.transport.abort()
    away, _ = await read_events(observer, "member_away", "live_pause")
    assert away["data"]["role"] == "host"
    snapshot = (await (await guest.connect()).next("snapshot"))["data"]
    assert (snapshot["status"], snapshot["owner"]["away"]) == ("paused", True)
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()  # calls still work
    observer = await guest.connect()
    await read_events(observer, "snapshot")
    await host.connect()
    await read_events(observer, "member_back", "live_resume")


@pytest.mark.gen_test(timeout=20)
async def test_live_ends_when_the_host_does_not_reconnect(api: ApiFixture) -> None:
    host = await api.host()
    guest = await api.guest("anna", 2, host.live_id)
    observer, dropped = await guest.connect(), await host.connect()
    await read_events(observer, "snapshot")
    await dropped.next("snapshot")
    dropped.connection.transport.abort()
    *_, end = await read_events(observer, "member_away", "live_pause", "live_end")
    assert end["data"]["reason"] == "offline"
    assert await observer.close_code() == 4510


@pytest.mark.gen_test(timeout=20)
async def test_disconnected_applicant_leaves_the_room_and_the_queue(api: ApiFixture) -> None:
    host = await api.host()
    guest = await api.guest("bert", 1, host.live_id)
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    observer, dropped = await host.connect(), await guest.connect()
    await read_events(observer, "snapshot")
    await dropped.next("snapshot")
    dropped.connection.transport.abort()
    (refused,) = await read_events(observer, "micro_refuse")
    assert (refused["data"]["user_id"], refused["data"]["reason"]) == (guest.id, "offline")
    state = (await guest.get("qlive_user/get_user_state/")).ok()
    assert state["user_type"] == 0


@pytest.mark.gen_test(timeout=20)
async def test_user_who_never_connected_is_not_evicted(api: ApiFixture, db: Db) -> None:
    host = await api.host()
    unconnected = await api.guest("anna", 2, host.live_id)
    dropped_guest = await api.guest("bert", 1, host.live_id)
    observer, dropped = await host.connect(), await dropped_guest.connect()
    await read_events(observer, "snapshot")
    await dropped.next("snapshot")
    dropped.connection.transport.abort()
    await until(lambda: not db.members.find_one({"_id": dropped_guest.id}))
    assert (await unconnected.get("qlive_user/get_user_state/")).ok()["user_type"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_user_who_never_connected_is_evicted_after_hours_of_inactivity(
    api: ApiFixture, server: ServerProcess, db: Db
) -> None:
    host = await api.host()
    unconnected = await api.guest("anna", 2, host.live_id)
    db.members.update_one({"_id": unconnected.id}, {"$inc": {"seen_at": -7 * 3_600_000}})
    await server.context.presence.mark_silent_away()
    await host.connect()
    await until(lambda: not db.members.find_one({"_id": unconnected.id}))
    assert (await host.get("qlive_user/get_user_state/")).ok()["user_type"] == 5


# ---- removal by the host


@pytest.mark.gen_test(timeout=20)
async def test_removed_user_is_disconnected_and_cannot_reenter_while_banned(
    api: ApiFixture,
) -> None:
    host = await api.host()
    guest = await guest_on_mic(api, host)
    observer, socket = await host.connect(), await guest.connect()
    await read_events(observer, "snapshot")
    await socket.next("snapshot")
    reply = await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=guest.id)
    assert reply.ok() == {"detail": "OK"}
    (left,) = await read_events(observer, "micro_leave")
    assert left["data"]["reason"] == "host"
    assert await socket.close_code() == 4503
    assert (await guest.get("get_playurl/", live_id=host.live_id)).refusal == (403, "put_out")
    resumed = await guest.connect(host.live_id, since=1, epoch=left["epoch"])
    bye = await resumed.next("bye")
    assert (bye["code"], bye["reconnect"]) == (4503, False)
    assert await resumed.close_code() == 4503


@pytest.mark.gen_test(timeout=20)
async def test_only_the_host_may_remove_users_and_not_the_host(api: ApiFixture) -> None:
    host = await api.host()
    guest = await api.guest("anna", 2, host.live_id)
    room_params = {"live_id": host.live_id}
    reply = await guest.post("qlive_room/put_out/", **room_params, user_id=host.id)
    assert reply.refusal == (403, "not_host")
    reply = await host.post("qlive_room/put_out/", **room_params, user_id=host.id)
    assert reply.refusal == (400, "bad_parameter")
    reply = await host.post("qlive_room/put_out/", **room_params, user_id="00000000")
    assert reply.refusal == (404, "no_such_user")
    for minutes in (0, 1441, "many"):
        reply = await host.post(
            "qlive_room/put_out/", **room_params, user_id=guest.id, minutes=minutes
        )
        assert reply.refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_room_ban_expires(api: ApiFixture, db: Db) -> None:
    host = await api.host()
    guest = await api.guest("anna", 2, host.live_id)
    room_params = {"live_id": host.live_id, "user_id": guest.id, "minutes": 1}
    (await host.post("qlive_room/put_out/", **room_params)).ok()
    reply = await guest.get("get_playurl/", live_id=host.live_id)
    assert reply.refusal == (403, "put_out")
    db.rooms.update_one({}, {"$inc": {f"blocked.{guest.id}": -60_000}})
    (await guest.get("get_playurl/", live_id=host.live_id)).ok()


# ---- revoked tokens


@pytest.mark.gen_test(timeout=20)
async def test_logout_closes_the_socket_of_its_token_with_4401(api: ApiFixture) -> None:
    host = await api.host()
    guest = await api.guest("anna", 2, host.live_id)
    socket = await guest.connect()
    await socket.next("snapshot")
    (await guest.get("qlive_user/logout/")).ok()
    assert await socket.close_code() == 4401


@pytest.mark.gen_test(timeout=20)
async def test_login_that_revokes_the_oldest_token_closes_its_socket(api: ApiFixture) -> None:
    host = await api.host()
    guest = await api.guest("anna", 2, host.live_id)
    socket = await guest.connect()
    await socket.next("snapshot")
    for _ in range(5):
        login = await api.wechat("anna", 2)
        body = {name: login[name] for name in ("appId", "code")}
        path = "/wx/api/qlive/qlive_user/login/"
        assert (await api.request("POST", path, json=body)).ok()["login_type"] == 1
    assert await socket.close_code() == 4401
