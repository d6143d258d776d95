"""Resuming: missed events from memory and from the log, as the same bytes."""

import asyncio
import json

import pytest

from realtime import channel
from realtime.channel import Channel
from realtime.resume import Resume, ResumePosition, RoomView
from runtime.process import ServerProcess
from storage.rooms import rooms
from tests.support.api import ApiFixture
from tests.support.hub import no_data
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_profile, open_room
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


async def test_sockets_that_resume_together_share_the_reads_of_the_log(
    stores: StoresFixture, commands: list[str]
) -> None:
    """As after a restart: the process has no frame in memory, and every client has missed one."""
    live_id = await open_room(stores)
    await change_profile(stores, live_id, 2)
    room, position = Channel(live_id), ResumePosition("e1", 1)

    async def load_view() -> RoomView:
        return RoomView("e1", 2, no_data)

    async def load_room(_live_id: int) -> RoomView:
        return await load_view()

    commands.clear()
    reads = [
        Resume(room, stores.rooms, load_room, str(n), position).read(load_view) for n in range(50)
    ]
    (resumed, event), *others = await asyncio.gather(*reads)
    assert b'"replayed":1' in resumed
    assert b'"nickname":"n1"' in event
    assert others == [[resumed, event]] * 49
    assert len(commands) <= 2
    commands.clear()
    later = Resume(room, stores.rooms, load_room, "later", position)
    assert await later.read(load_view) == [resumed, event]
    assert commands == []
