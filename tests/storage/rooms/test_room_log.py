"""The event log of a room, on a real MongoDB."""

import asyncio
from typing import Any

import pytest

from rooms.events import LOG_SIZE
from rooms.members import Person
from storage.errors import StorageUnavailable
from storage.rooms.rooms import CONCURRENT_LOG_READS
from tests.support.room_builders import NOW
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import (
    change_profile,
    change_room,
    load_room,
    open_room,
    room_document,
    save_room,
)
from tests.support.waiting import run_ready_tasks


async def test_log_returns_all_missed_events_in_order_or_none(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    await change_profile(stores, live_id, 5)
    missed = await stores.rooms.log_since(live_id, "e1", 3)
    assert missed is not None
    assert [(event.epoch, event.seq, event.ts, event.type) for event in missed] == [
        ("e1", 4, NOW, "profile"),
        ("e1", 5, NOW, "profile"),
    ]
    assert missed[1].data["nickname"] == "n4"
    assert await stores.rooms.log_since(live_id, "e1", 5) == []
    for room_id, epoch, seq in ((live_id, "e0", 1), (live_id, "e1", 6), (99, "e1", 0)):
        assert await stores.rooms.log_since(room_id, epoch, seq) is None


async def test_only_some_logs_are_read_at_once_and_one_that_waits_too_long_fails_like_mongodb(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_id = await open_room(stores)
    answering, reading = asyncio.Event(), 0
    find_one = stores.rooms._rooms.find_one

    async def find_later(*args: Any) -> Any:
        nonlocal reading
        reading += 1
        await answering.wait()
        return await find_one(*args)

    monkeypatch.setattr(stores.rooms._rooms, "find_one", find_later)
    monkeypatch.setattr(stores.rooms._log_readers, "_timeout", 0.01)
    positions = range(-CONCURRENT_LOG_READS, 0)
    reads = [asyncio.ensure_future(stores.rooms.log_since(live_id, "e1", n)) for n in positions]
    await run_ready_tasks()
    with pytest.raises(StorageUnavailable):
        await stores.rooms.log_since(live_id, "e1", 0)
    assert reading == CONCURRENT_LOG_READS
    answering.set()
    assert await asyncio.gather(*reads) == [None] * CONCURRENT_LOG_READS
    assert await stores.rooms.log_since(live_id, "e1", 0) is not None


async def test_log_keeps_only_the_last_events_of_any_number(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    await stores.database.collection("rooms").update_one(
        {"_id": live_id}, {"$set": {"version": 10_000}}
    )
    names = [f"n{n}" for n in range(LOG_SIZE + 3)]
    for some in (names[: LOG_SIZE // 2], names[LOG_SIZE // 2 :]):
        room = await load_room(stores, live_id)
        for name in some:
            room.update_profile(Person(room.host_id, name))
        await save_room(stores, room)
    last = 10_000 + LOG_SIZE + 3
    events = await stores.rooms.log_since(live_id, "e1", last - LOG_SIZE)
    assert events is not None
    assert [event.seq for event in events] == list(range(last - LOG_SIZE + 1, last + 1))
    assert [event.data["nickname"] for event in events] == names[3:]
    assert await stores.rooms.log_since(live_id, "e1", last - LOG_SIZE - 1) is None
    assert len((await room_document(stores, live_id))["log"]) == LOG_SIZE


async def test_new_live_starts_with_an_empty_log(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    await change_profile(stores, live_id, 3)
    await change_room(stores, live_id, lambda room: room.close("host"))
    (last,) = await stores.rooms.log_since(live_id, "e1", 3) or []
    assert last.type == "live_end"
    await open_room(stores, epoch="e2")
    assert (await room_document(stores, live_id))["log"] == {}
    assert await stores.rooms.log_since(live_id, "e1", 0) is None
    assert await stores.rooms.log_since(live_id, "e2", 0) == []
