"""Eviction messages between processes, on a real MongoDB."""

import asyncio
from datetime import timedelta

from bson import ObjectId

from storage.accounts.tokens import OVERLAP, EvictionStore
from tests.support.storage import StoresFixture


async def polled_store(stores: StoresFixture) -> EvictionStore:
    """The store of a process after its first poll."""
    store = EvictionStore(stores.database)
    assert await store.poll() == []
    return store


async def insert_message(stores: StoresFixture, message: bytes, ago: timedelta) -> None:
    """Insert a message that becomes visible now, stamped `ago` earlier."""
    at = await stores.database.now() - ago
    rows = stores.database.collection("evictions")
    await rows.insert_one({"_id": ObjectId(), "message": message, "at": at})


async def test_every_process_reads_each_message_since_its_start_once(stores: StoresFixture) -> None:
    await stores.evictions.append(b"before")
    first, second = await polled_store(stores), await polled_store(stores)
    await first.append(b"$NOW")
    assert await first.poll() == [b"$NOW"]
    await second.append(b"\x00\xff")
    assert await first.poll() == [b"\x00\xff"]
    assert await second.poll() == [b"$NOW", b"\x00\xff"]
    await asyncio.gather(*(first.append(b"%d" % n) for n in range(10)))
    for store in (first, second):
        assert sorted(await store.poll()) == [b"%d" % n for n in range(10)]
        assert await store.poll() == []


async def test_message_that_becomes_visible_late_is_read_in_order(stores: StoresFixture) -> None:
    store = await polled_store(stores)
    await store.append(b"on time")
    assert await store.poll() == [b"on time"]
    await insert_message(stores, b"second", timedelta(seconds=1))
    await insert_message(stores, b"first", OVERLAP - timedelta(seconds=2))
    await insert_message(stores, b"too old", OVERLAP * 2)
    await store.append(b"third")
    assert await store.poll() == [b"first", b"second", b"third"]
    assert await store.poll() == []


async def test_overlap_is_counted_back_from_the_latest_message(stores: StoresFixture) -> None:
    store = await polled_store(stores)
    await insert_message(stores, b"last", -OVERLAP * 4)
    assert await store.poll() == [b"last"]
    await insert_message(stores, b"long before it", timedelta())
    await insert_message(stores, b"shortly before it", -OVERLAP * 4 + timedelta(seconds=1))
    assert await store.poll() == [b"shortly before it"]


async def test_messages_are_stamped_by_the_databases_clock(stores: StoresFixture) -> None:
    before = await stores.database.now()
    await stores.evictions.append(b"now")
    after = await stores.database.now()
    row = await stores.database.collection("evictions").find_one()
    assert row is not None
    assert before <= row["at"] <= after
