import asyncio
import json
from typing import Any

import aiohttp
import pytest

from rooms.state import Snapshot
from tests.support.api import BASE, ApiClient, ApiFixture
from tests.support.room_screen import Screen, comparable
from tests.support.waiting import until
from tests.support.websockets import close_code_of, invite_repeatedly, next_events

ALLOWED_ORIGIN = "https://allowed.example"
FACE = {"user_id", "nickname", "face_url", "gender"}
SEAT = FACE | {"area", "age", "play_url", "away"}


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"server": {"port": 0, "drain_seconds": 1, "allowed_origins": [ALLOWED_ORIGIN]}}


async def seat_two_guests(api: ApiFixture, live_id: int) -> tuple[ApiClient, ApiClient]:
    pair = [await api.guest("bert", 1, live_id), await api.guest("anna", 2, live_id)]
    for client in pair:
        (await client.post("qlive_room/apply_micro/", live_id=live_id)).ok()
        (await client.post("qlive_room/accept_micro/", live_id=live_id)).ok()
    return pair[0], pair[1]


@pytest.mark.gen_test(timeout=20)
async def test_first_frame_is_a_complete_snapshot(api: ApiFixture) -> None:
    host = await api.host("hong")
    bert, anna = await seat_two_guests(api, host.live_id)
    carl, dora = [await api.guest(*guest, host.live_id) for guest in (("carl", 1), ("dora", 2))]
    (await carl.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await bert.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    await invite_repeatedly(host, bert, 1)
    frame = await (await dora.connect()).frame()
    assert frame.keys() == {"type", "live_id", "epoch", "seq", "ts", "data"}
    assert (frame["type"], frame["live_id"]) == ("snapshot", host.live_id)
    assert frame["seq"] == 7
    room = frame["data"]
    assert room.keys() == Snapshot.__annotations__.keys()
    assert (room["status"], room["room_name"]) == ("live", "hong")
    assert room["room_image"] == room["owner"]["face_url"]
    assert room["group_id"].startswith("qlive")
    assert room["owner"].keys() == room["female"].keys() == SEAT
    assert room["owner"]["user_id"] == host.id
    assert room["female"]["user_id"] == anna.id
    assert room["female"]["play_url"].startswith("rtmp://")
    assert room["female"]["away"] is False
    assert room["male"] is None
    applicants = room["applicants"]
    assert [row["user_id"] for row in applicants] == [carl.id, bert.id]
    assert applicants[0].keys() == FACE | {"applied_at", "invited", "expires_at"}
    assert applicants[0]["invited"] is False
    assert applicants[0]["applied_at"] < applicants[0]["expires_at"]
    assert (applicants[1]["invited"], applicants[1]["applied_at"]) == (True, None)
    assert room["audience_count"] == 5
    assert room["num_list"] == [1, 2, 0, 2]


@pytest.mark.gen_test(timeout=20)
async def test_first_frame_may_carry_the_token_from_an_app_own_page_or_allowed_origin(
    api: ApiFixture,
) -> None:
    host = await api.host()
    for origin in (None, api.address, ALLOWED_ORIGIN):
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(
                f"{api.address}{BASE}ws/?live_id={host.live_id}", origin=origin
            ) as socket,
        ):
            await socket.send_json({"type": "auth", "token": host.token})
            assert (await socket.receive_json())["type"] == "snapshot", origin


@pytest.mark.gen_test(timeout=20)
async def test_missing_token_or_token_in_the_url_closes_the_socket(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.websocket.connection.AUTH_SECONDS", 0.05)
    host = await api.host()
    assert await close_code_of(await api.socket(host.live_id)) == 4401
    token_in_url: Any = f"{host.live_id}&token={host.token}"
    assert await close_code_of(await api.socket(token_in_url)) == 4401


@pytest.mark.gen_test(timeout=20)
async def test_invalid_token_in_the_first_frame_or_header_closes_the_socket(
    api: ApiFixture,
) -> None:
    host = await api.host()
    for token in ("0" * 40, "", "红娘", "\ud800"):
        socket = await api.socket(host.live_id)
        await socket.send(type="auth", token=token)
        assert await close_code_of(socket) == 4401, token
    assert await close_code_of(await api.socket(host.live_id, "0" * 40)) == 4401


@pytest.mark.gen_test(timeout=20)
async def test_only_members_of_an_existing_room_may_subscribe(api: ApiFixture) -> None:
    """Malformed room ids: test_handshake.py."""
    host, stranger = await api.host(), await api.user("bert", 1)
    for live_id in (host.live_id, 999, "abc"):
        assert await close_code_of(await stranger.connect(live_id)) == 4504  # type: ignore[arg-type]


@pytest.mark.gen_test(timeout=20)
async def test_banned_user_is_disconnected_and_cannot_reconnect(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    socket = await bert.connect()
    assert (await socket.frame())["type"] == "snapshot"
    (await api.ops("PATCH", f"users/{bert.id}", banned=True, ban_reason="rude")).ok()
    assert await close_code_of(socket) == 4503
    assert await close_code_of(await bert.connect()) == 4503


@pytest.mark.gen_test(timeout=20)
async def test_newer_socket_replaces_the_older(api: ApiFixture) -> None:
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    older = await bert.connect()
    assert (await older.frame())["type"] == "snapshot"
    newer = await bert.connect()
    assert (await newer.frame())["type"] == "snapshot"
    assert await close_code_of(older) == 4509
    await invite_repeatedly(host, bert, 1)
    assert (await newer.next("micro_invite"))["seq"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_many_sockets_of_a_user_opened_at_once_leave_one_open(api: ApiFixture) -> None:
    host = await api.host()
    sockets = await asyncio.gather(*(host.connect() for _ in range(6)))
    socket_closes = [socket.connection.wait_closed() for socket in sockets]
    closing = [asyncio.ensure_future(closes) for closes in socket_closes]
    await until(lambda: sum(task.done() for task in closing) == 5)
    [open_socket] = [s for s, task in zip(sockets, closing, strict=True) if not task.done()]
    close_codes = [s.connection.close_code for s in sockets if s is not open_socket]
    assert close_codes == [4509] * 5
    assert (await open_socket.frame())["type"] == "snapshot"


@pytest.mark.gen_test(timeout=20)
async def test_events_applied_to_a_snapshot_equal_a_later_snapshot(api: ApiFixture) -> None:
    host = await api.host()
    first = await host.connect()
    screen = Screen(await first.frame())
    await seat_two_guests(api, host.live_id)
    dora = await api.guest("dora", 2, host.live_id)
    await invite_repeatedly(host, await api.guest("carl", 1, host.live_id), 0)
    (await dora.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    for text in await next_events(first, 5):
        screen.hear(json.loads(text))
    snapshot = await (await dora.connect()).frame()
    assert (snapshot["epoch"], snapshot["seq"]) == (screen.epoch, screen.seq)
    assert comparable(snapshot["data"]) == screen.shown
