"""Sockets of a running server: the first frame, who may listen, heartbeats and counts."""

import asyncio
import json
import time
from typing import Any

import pytest

from rooms.members import GracePolicy
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.client_frames import PING, TEXT
from tests.support.waiting import until
from tests.support.websockets import RawWebSocket, close_code_of, connect_raw


@pytest.fixture
def changes() -> dict[str, Any]:
    """Silent sockets are closed after three hours, unless the test moves their clocks."""
    return {"realtime": {"heartbeat_seconds": 3600}}


@pytest.fixture
def grace() -> GracePolicy:
    return GracePolicy(shown=200)


async def test_first_frame_of_a_client_may_carry_the_token(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await api.host()
    socket = await api.socket(host.live_id)
    await socket.send(type="auth", token=host.token)
    assert (await socket.frame())["type"] == "snapshot"
    for token in ("0" * 40, "", "红娘", "\ud800"):
        socket = await api.socket(host.live_id)
        await socket.send(type="auth", token=token)
        assert await close_code_of(socket) == 4401, token
    assert await close_code_of(await api.socket(host.live_id, "0" * 40)) == 4401
    monkeypatch.setattr("handlers.websocket.connection.AUTH_SECONDS", 0.05)
    token_in_url: Any = f"{host.live_id}&token={host.token}"
    for live_id in (host.live_id, token_in_url):
        assert await close_code_of(await api.socket(live_id)) == 4401


async def test_only_members_of_an_existing_room_may_subscribe(api: ApiFixture) -> None:
    """Malformed room ids: test_handshake.py."""
    host, stranger = await api.host(), await api.user("bert", 1)
    for live_id in (host.live_id, 999):
        assert await close_code_of(await stranger.connect(live_id)) == 4504


async def test_many_sockets_of_a_user_opened_at_once_leave_one_open(api: ApiFixture) -> None:
    host = await api.host()
    sockets = await asyncio.gather(*(host.connect() for _ in range(6)))
    closing = [asyncio.ensure_future(socket.connection.wait_closed()) for socket in sockets]
    await until(lambda: sum(task.done() for task in closing) == 5)
    [open_socket] = [s for s, task in zip(sockets, closing, strict=True) if not task.done()]
    close_codes = [s.connection.close_code for s in sockets if s is not open_socket]
    assert close_codes == [4509] * 5
    assert (await open_socket.frame())["type"] == "snapshot"


async def read_frames(client: RawWebSocket, last: str) -> list[Any]:
    """Decoded text frames and opcodes of others, without audience frames, up to type `last`."""
    frames: list[Any] = []
    while not frames or frames[-1] == PING or frames[-1]["type"] != last:
        received = await client.next()
        assert received is not None, "the connection ended"
        opcode, data = received
        if opcode != TEXT or b'"audience"' not in data:
            frames.append(json.loads(data) if opcode == TEXT else opcode)
    return frames


async def test_silent_client_is_closed_and_shown_as_away_but_not_one_that_answers_pings(
    api: ApiFixture, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that vanishes without FIN or RST: tornado #2835."""
    monkeypatch.setattr("realtime.socket_writer.CLOSE_TIMEOUT_SECONDS", 0.1)
    host = await api.host()
    bert = await api.guest("bert", 1, host.live_id)
    (await bert.post("qlive_room/apply_micro/", live_id=host.live_id)).ok()
    answers_pings = await bert.connect()
    await answers_pings.next("snapshot")
    silent_client = await connect_raw(host)
    writers = {writer.user_id: writer for _, writer in server.context.hub.members}
    an_hour_ago = time.monotonic() - 3600
    for writer in writers.values():
        writer.received_at = writer.next_heartbeat = an_hour_ago
    await until(lambda: writers[bert.id].received_at > an_hour_ago)
    assert writers[host.id].received_at == an_hour_ago
    writers[host.id].received_at -= 3 * 3600
    heartbeat, ping, bye = await read_frames(silent_client, "bye")
    assert (heartbeat["type"], heartbeat["seq"], ping) == ("heartbeat", 1, PING)
    assert (bye["code"], bye["reconnect"]) == (4003, True)
    for event_type in ("member_away", "live_pause"):
        assert (await answers_pings.next(event_type))["data"]["user_id"] == host.id
    await silent_client.close()
