"""Resuming: missed events from memory and from the log, as the same bytes."""

import json

import pytest

from realtime import channel
from runtime.process import ServerProcess
from storage.rooms import rooms
from tests.support.api import ApiFixture
from tests.support.waiting import until
from tests.support.websockets import invite_repeatedly, next_events

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
