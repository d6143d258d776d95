import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.phones import BASE, Phone, Street
from tests.realtime.folding import Screen, comparable
from tests.realtime.listening import numbered, parted, speak, until

FRIEND = "https://friend.example"
FACE = {"user_id", "nickname", "face_url", "gender"}
SEAT = FACE | {"area", "age", "play_url", "away"}


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"server": {"port": 0, "drain_seconds": 1, "allowed_origins": [FRIEND]}}


async def a_seated_pair(street: Street, live_id: int) -> tuple[Phone, Phone]:
    pair = [await street.guest("bert", 1, live_id), await street.guest("anna", 2, live_id)]
    for phone in pair:
        (await phone.post("qlive_room/apply_micro/", live_id=live_id)).ok()
        (await phone.post("qlive_room/accept_micro/", live_id=live_id)).ok()
    return pair[0], pair[1]


@pytest.mark.gen_test(timeout=20)
async def test_the_first_frame_is_the_whole_room(street: Street) -> None:
    host = await street.host("hong")
    bert, anna = await a_seated_pair(street, host.live_id)
    carl, dora = [await street.guest(*who, host.live_id) for who in (("carl", 1), ("dora", 2))]
    (await carl.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    (await bert.get("qlive_room/leave_micro/", live_id=host.live_id)).ok()
    await speak(host, bert, 1)
    frame = await (await dora.connect()).frame()
    assert frame.keys() == {"type", "live_id", "epoch", "seq", "ts", "data"}
    assert (frame["type"], frame["live_id"]) == ("snapshot", host.live_id)
    assert frame["seq"] == 7
    room = frame["data"]
    assert room.keys() == {
        *("status", "room_name", "room_image", "group_id", "owner", "male", "female"),
        *("applicants", "audience_count", "num_list"),
    }
    assert (room["status"], room["room_name"]) == ("live", "hong")
    assert room["room_image"] == room["owner"]["face_url"]
    assert room["group_id"].startswith("qlive")
    assert room["owner"].keys() == room["female"].keys() == SEAT
    assert room["owner"]["user_id"] == host.id
    assert room["female"]["user_id"] == anna.id
    assert room["female"]["play_url"].startswith("rtmp://")
    assert room["female"]["away"] is False
    assert room["male"] is None
    queue = room["applicants"]
    assert [row["user_id"] for row in queue] == [carl.id, bert.id]
    assert queue[0].keys() == FACE | {"applied_at", "invited", "expires_at"}
    assert queue[0]["invited"] is False
    assert queue[0]["applied_at"] < queue[0]["expires_at"]
    assert (queue[1]["invited"], queue[1]["applied_at"]) == (True, None)
    assert room["audience_count"] == 5
    assert room["num_list"] == [1, 2, 0, 2]


@pytest.mark.gen_test(timeout=20)
async def test_a_first_frame_may_bring_the_token_from_an_app_our_page_or_an_allowed_one(
    street: Street,
) -> None:
    host = await street.host()
    for origin in (None, street.address, FRIEND):
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(
                f"{street.address}{BASE}ws/?live_id={host.live_id}", origin=origin
            ) as page,
        ):
            await page.send_json({"type": "auth", "token": host.token})
            assert (await page.receive_json())["type"] == "snapshot", origin


@pytest.mark.gen_test(timeout=20)
async def test_a_token_that_never_comes_or_stands_in_the_url_is_a_goodbye(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.caller.AUTH_SECONDS", 0.05)
    host = await street.host()
    assert await parted(await street.socket(host.live_id)) == 4401
    in_the_url: Any = f"{host.live_id}&token={host.token}"
    assert await parted(await street.socket(in_the_url)) == 4401


@pytest.mark.gen_test(timeout=20)
async def test_a_bad_token_in_the_first_frame_or_the_header_is_a_goodbye(street: Street) -> None:
    host = await street.host()
    for token in ("0" * 40, "", "红娘", "\ud800"):
        socket = await street.socket(host.live_id)
        await socket.send(type="auth", token=token)
        assert await parted(socket) == 4401, token
    assert await parted(await street.socket(host.live_id, "0" * 40)) == 4401


@pytest.mark.gen_test(timeout=20)
async def test_only_members_may_listen_and_only_in_a_room_that_there_is(street: Street) -> None:
    """What else names no room: test_handshake.py."""
    host, stranger = await street.host(), await street.person("bert", 1)
    for live_id in (host.live_id, 999, "abc"):
        assert await parted(await stranger.connect(live_id)) == 4504  # type: ignore[arg-type]


@pytest.mark.gen_test(timeout=20)
async def test_the_banned_stay_out(street: Street) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    socket = await bert.connect()
    assert (await socket.frame())["type"] == "snapshot"
    (await street.ops("PATCH", f"users/{bert.id}", banned=True, ban_reason="rude")).ok()
    assert await parted(socket) == 4503
    assert await parted(await bert.connect()) == 4503


@pytest.mark.gen_test(timeout=20)
async def test_a_newer_socket_replaces_the_older(street: Street) -> None:
    host = await street.host()
    bert = await street.guest("bert", 1, host.live_id)
    older = await bert.connect()
    assert (await older.frame())["type"] == "snapshot"
    newer = await bert.connect()
    assert (await newer.frame())["type"] == "snapshot"
    assert await parted(older) == 4509
    await speak(host, bert, 1)
    assert (await newer.next("micro_invite"))["seq"] == 1


@pytest.mark.gen_test(timeout=20)
async def test_of_many_sockets_at_once_one_is_left(street: Street) -> None:
    host = await street.host()
    sockets = await asyncio.gather(*(host.connect() for _ in range(6)))
    socket_closes = [socket.connection.wait_closed() for socket in sockets]
    closing = [asyncio.ensure_future(closes) for closes in socket_closes]
    await until(lambda: sum(task.done() for task in closing) == 5)
    [left] = [s for s, task in zip(sockets, closing, strict=True) if not task.done()]
    gone = [s.connection.close_code for s in sockets if s is not left]
    assert gone == [4509] * 5
    assert (await left.frame())["type"] == "snapshot"


@pytest.mark.gen_test(timeout=20)
async def test_the_second_to_come_sees_what_the_first_has_made_of_it(street: Street) -> None:
    host = await street.host()
    first = await host.connect()
    screen = Screen(await first.frame())
    await a_seated_pair(street, host.live_id)
    dora = await street.guest("dora", 2, host.live_id)
    await speak(host, await street.guest("carl", 1, host.live_id), 0)
    (await dora.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    for text in await numbered(first, 5):
        screen.hear(json.loads(text))
    snapshot = await (await dora.connect()).frame()
    assert (snapshot["epoch"], snapshot["seq"]) == (screen.epoch, screen.seq)
    assert comparable(snapshot["data"]) == screen.shown
