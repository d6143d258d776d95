"""Sockets of a running server: the first frame, who may listen, heartbeats and counts."""

import asyncio
import json
from typing import Any

import pytest

from realtime import channel
from runtime.process import ServerProcess
from storage.rooms import rooms
from tests.support.api import ApiFixture
from tests.support.waiting import until
from tests.support.websockets import close_code_of, invite_repeatedly, next_events


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


async def test_many_sockets_of_a_user_opened_at_once_leave_one_open(api: ApiFixture) -> None:
    host = await api.host()
    sockets = await asyncio.gather(*(host.connect() for _ in range(6)))
    closing = [asyncio.ensure_future(socket.connection.wait_closed()) for socket in sockets]
    await until(lambda: sum(task.done() for task in closing) == 5)
    [open_socket] = [s for s, task in zip(sockets, closing, strict=True) if not task.done()]
    close_codes = [s.connection.close_code for s in sockets if s is not open_socket]
    assert close_codes == [4509] * 5
    assert (await open_socket.frame())["type"] == "snapshot"


# ---- resuming


KEPT_EVENTS = 20
"""Events kept in the stored log and in memory."""


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "LOG_SIZE", KEPT_EVENTS)
    monkeypatch.setattr(channel, "RECENT_FRAMES", KEPT_EVENTS)


async def test_missed_events_are_replayed_as_the_same_bytes_from_memory_and_from_the_log(
    short_log: None, api: ApiFixture, server: ServerProcess
) -> None:
    """A position before them gets a snapshot; later events follow either without a gap."""
    host = await api.host()
    bert, anna = [await api.guest(*who, host.live_id) for who in (("bert", 1), ("anna", 2))]
    listener, socket = [await client.connect() for client in (bert, anna)]
    epoch = (await listener.next("snapshot"))["epoch"]
    await invite_repeatedly(host, bert, KEPT_EVENTS + 3)
    received = await next_events(listener, KEPT_EVENTS + 3)
    position = {"live_id": host.live_id, "epoch": epoch, "seq": KEPT_EVENTS + 3}
    for source in ("memory", "log"):
        await socket.connection.close()
        if source == "log":
            await listener.connection.close()
            await until(lambda: not server.context.hub.channels)
        socket = await anna.connect(epoch=epoch, since=3)
        resumed = {"type": "resumed", **position, "replayed": KEPT_EVENTS}
        assert await socket.frame() == resumed, source
        assert await next_events(socket, KEPT_EVENTS) == received[3:]
        socket = await anna.connect(epoch=epoch, since=2)
        snapshot = await socket.frame()
        assert (snapshot["type"], snapshot["reset"]) == ("snapshot", "too_old")
        assert snapshot["seq"] == KEPT_EVENTS + 3
    await invite_repeatedly(host, bert, 1)
    assert json.loads((await next_events(socket, 1))[0])["seq"] == KEPT_EVENTS + 4
