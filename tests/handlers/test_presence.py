"""Connections come and go: what the room hears, and what comes of it."""

from typing import Any

import pytest
from pymongo.database import Database

from server import Server
from tests.phones import Phone, Socket, Street

Db = Database[dict[str, Any]]


@pytest.fixture
def changes() -> dict[str, Any]:
    """Everything in a twentieth of its time, so that a test sees it happen."""
    return {
        "presence": {
            "viewer_seconds": 3,
            "guest_seconds": 2,
            "host_seconds": 4,
            "shown_after_seconds": 0.2,
        }
    }


async def on_mic(street: Street, host: Phone, name: str = "bert", gender: int = 1) -> Phone:
    guest = await street.guest(name, gender, host.live_id)
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await guest.post("qlive_room/accept_micro/", live_id=host.live_id)).ok()
    return guest


async def heard(socket: Socket, *types: str) -> list[dict[str, Any]]:
    """The next events, which are of these types."""
    return [await socket.next(type_) for type_ in types]


@pytest.mark.gen_test(timeout=20)
async def test_a_guest_who_loses_the_connection_is_shown_away_and_then_loses_the_seat(
    street: Street,
) -> None:
    host = await street.host()
    guest = await on_mic(street, host)
    listener, lost = await host.connect(), await guest.connect()
    await heard(listener, "snapshot")
    await lost.next("snapshot")
    lost.connection.transport.abort()
    away, left = await heard(listener, "member_away", "micro_leave")
    assert (away["data"]["user_id"], away["data"]["role"]) == (guest.id, "male")
    assert (left["data"]["user_id"], left["data"]["reason"]) == (guest.id, "offline")


@pytest.mark.gen_test(timeout=20)
async def test_a_guest_who_comes_back_in_time_keeps_everything(street: Street) -> None:
    host = await street.host()
    guest = await on_mic(street, host)
    listener, lost = await host.connect(), await guest.connect()
    await heard(listener, "snapshot")
    await lost.next("snapshot")
    lost.connection.transport.abort()
    await heard(listener, "member_away")
    again = await guest.connect()
    shown = (await again.next("snapshot"))["data"]
    assert (shown["male"]["user_id"], shown["male"]["away"]) == (guest.id, False)
    (back,) = await heard(listener, "member_back")
    assert (back["data"]["user_id"], back["data"]["role"]) == (guest.id, "male")


@pytest.mark.gen_test(timeout=20)
async def test_a_blip_shorter_than_a_moment_is_not_shown(street: Street) -> None:
    host = await street.host()
    guest = await on_mic(street, host)
    listener, lost = await host.connect(), await guest.connect()
    await heard(listener, "snapshot")
    await lost.next("snapshot")
    await guest.connect()  # replaces the other one, which is none the less closed
    assert await lost.closed() == 4509
    (await guest.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    await heard(listener, "micro_leave")


@pytest.mark.gen_test(timeout=20)
async def test_without_its_host_a_room_pauses_and_goes_on_when_she_is_back(street: Street) -> None:
    host = await street.host()
    guest = await street.guest("anna", 2, host.live_id)
    listener, lost = await guest.connect(), await host.connect()
    await heard(listener, "snapshot")
    await lost.next("snapshot")
    lost.connection.transport.abort()
    away, _ = await heard(listener, "member_away", "live_pause")
    assert away["data"]["role"] == "host"
    shown = (await (await guest.connect()).next("snapshot"))["data"]
    assert (shown["status"], shown["owner"]["away"]) == ("paused", True)
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()  # life goes on
    listener = await guest.connect()
    await heard(listener, "snapshot")
    await host.connect()
    await heard(listener, "member_back", "live_resume")


@pytest.mark.gen_test(timeout=20)
async def test_a_host_who_stays_away_ends_the_live(street: Street) -> None:
    host = await street.host()
    guest = await street.guest("anna", 2, host.live_id)
    listener, lost = await guest.connect(), await host.connect()
    await heard(listener, "snapshot")
    await lost.next("snapshot")
    lost.connection.transport.abort()
    *_, end = await heard(listener, "member_away", "live_pause", "live_end")
    assert end["data"]["reason"] == "offline"
    assert await listener.closed() == 4510


@pytest.mark.gen_test(timeout=20)
async def test_a_viewer_who_is_gone_leaves_the_room_and_the_queue(street: Street) -> None:
    host = await street.host()
    guest = await street.guest("bert", 1, host.live_id)
    (await guest.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    listener, lost = await host.connect(), await guest.connect()
    await heard(listener, "snapshot")
    await lost.next("snapshot")
    lost.connection.transport.abort()
    (refused,) = await heard(listener, "micro_refuse")
    assert (refused["data"]["user_id"], refused["data"]["reason"]) == (guest.id, "offline")
    state = (await guest.get("qlive_user/get_user_state/")).ok()
    assert state["user_type"] == 0


@pytest.mark.gen_test(timeout=20)
async def test_somebody_without_a_socket_is_not_swept(street: Street, db: Db) -> None:
    host = await street.host()
    silent = await street.guest("anna", 2, host.live_id)
    gone = await street.guest("bert", 1, host.live_id)
    listener, lost = await host.connect(), await gone.connect()
    await heard(listener, "snapshot")
    await lost.next("snapshot")
    lost.connection.transport.abort()
    while db.members.find_one({"_id": gone.id}):
        await listener.frame()
    assert (await silent.get("qlive_user/get_user_state/")).ok()["user_type"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_after_hours_of_silence_somebody_without_a_socket_is_gone(
    street: Street, server: Server, db: Db
) -> None:
    host = await street.host()
    silent = await street.guest("anna", 2, host.live_id)
    db.members.update_one({"_id": silent.id}, {"$inc": {"seen_at": -7 * 3_600_000}})
    await server.parts.presence.miss_silent()
    listener = await host.connect()
    while db.members.find_one({"_id": silent.id}):
        await listener.frame()
    assert (await host.get("qlive_user/get_user_state/")).ok()["user_type"] == 5


# ---- put out


@pytest.mark.gen_test(timeout=20)
async def test_who_is_put_out_hears_nothing_more_and_may_not_come_back(street: Street) -> None:
    host = await street.host()
    guest = await on_mic(street, host)
    listener, socket = await host.connect(), await guest.connect()
    await heard(listener, "snapshot")
    await socket.next("snapshot")
    said = await host.post("qlive_room/put_out/", live_id=host.live_id, user_id=guest.id)
    assert said.ok() == {"detail": "OK"}
    (left,) = await heard(listener, "micro_leave")
    assert left["data"]["reason"] == "host"
    assert await socket.closed() == 4503
    assert (await guest.get("get_playurl/", live_id=host.live_id)).refusal == (403, "put_out")
    resumed = await guest.connect(host.live_id, since=1, epoch=left["epoch"])
    bye = await resumed.next("bye")
    assert (bye["code"], bye["reconnect"]) == (4503, False)
    assert await resumed.closed() == 4503


@pytest.mark.gen_test(timeout=20)
async def test_only_the_host_puts_out_and_not_herself(street: Street) -> None:
    host = await street.host()
    guest = await street.guest("anna", 2, host.live_id)
    where = {"live_id": host.live_id}
    said = await guest.post("qlive_room/put_out/", **where, user_id=host.id)
    assert said.refusal == (403, "not_host")
    said = await host.post("qlive_room/put_out/", **where, user_id=host.id)
    assert said.refusal == (400, "bad_parameter")
    said = await host.post("qlive_room/put_out/", **where, user_id="00000000")
    assert said.refusal == (404, "no_such_user")
    for minutes in (0, 1441, "many"):
        said = await host.post("qlive_room/put_out/", **where, user_id=guest.id, minutes=minutes)
        assert said.refusal == (400, "bad_parameter")


@pytest.mark.gen_test(timeout=20)
async def test_a_block_ends_with_its_time(street: Street, db: Db) -> None:
    host = await street.host()
    guest = await street.guest("anna", 2, host.live_id)
    where = {"live_id": host.live_id, "user_id": guest.id, "minutes": 1}
    (await host.post("qlive_room/put_out/", **where)).ok()
    said = await guest.get("get_playurl/", live_id=host.live_id)
    assert said.refusal == (403, "put_out")
    db.rooms.update_one({}, {"$inc": {f"blocked.{guest.id}": -60_000}})
    (await guest.get("get_playurl/", live_id=host.live_id)).ok()


# ---- one person, several sockets


@pytest.mark.gen_test(timeout=20)
async def test_logging_out_closes_the_socket_of_that_token_with_its_own_code(
    street: Street,
) -> None:
    host = await street.host()
    guest = await street.guest("anna", 2, host.live_id)
    socket = await guest.connect()
    await socket.next("snapshot")
    (await guest.get("qlive_user/logout/")).ok()
    assert await socket.closed() == 4401


@pytest.mark.gen_test(timeout=20)
async def test_a_login_that_displaces_the_oldest_token_closes_its_socket(street: Street) -> None:
    host = await street.host()
    guest = await street.guest("anna", 2, host.live_id)
    socket = await guest.connect()
    await socket.next("snapshot")
    for _ in range(5):
        login = await street.wechat("anna", 2)
        body = {name: login[name] for name in ("appId", "code")}
        path = "/wx/api/qlive/qlive_user/login/"
        assert (await street.ask("POST", path, json=body)).ok()["login_type"] == 1
    assert await socket.closed() == 4401
