"""Eviction messages between processes, on a real MongoDB."""

import asyncio
from datetime import timedelta

import pytest
from bson import ObjectId

from storage.accounts.tokens import OVERLAP, EvictionStore
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=60)


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


@gen_test
async def test_new_process_ignores_earlier_messages(stores: StoresFixture) -> None:
    await stores.evictions.append(b"before")
    store = await polled_store(stores)
    assert await store.poll() == []
    await stores.evictions.append(b"since")
    assert await store.poll() == [b"since"]


@gen_test
async def test_every_process_reads_every_message_once_including_its_own(
    stores: StoresFixture,
) -> None:
    first, second = await polled_store(stores), await polled_store(stores)
    await first.append(b"first")
    assert await first.poll() == [b"first"]
    await second.append(b"second")
    assert await first.poll() == [b"second"]
    assert await second.poll() == [b"first", b"second"]
    for store in (first, second):
        assert await store.poll() == []


@gen_test
async def test_messages_are_read_in_timestamp_order(stores: StoresFixture) -> None:
    store = await polled_store(stores)
    await insert_message(stores, b"second", timedelta(seconds=1))
    await insert_message(stores, b"first", timedelta(seconds=2))
    await store.append(b"third")
    assert await store.poll() == [b"first", b"second", b"third"]


@gen_test
async def test_message_that_becomes_visible_late_is_read(stores: StoresFixture) -> None:
    store = await polled_store(stores)
    await store.append(b"on time")
    assert await store.poll() == [b"on time"]
    await insert_message(stores, b"late", OVERLAP - timedelta(seconds=2))
    assert await store.poll() == [b"late"]
    assert await store.poll() == []


@gen_test
async def test_message_older_than_the_overlap_is_not_read(stores: StoresFixture) -> None:
    store = await polled_store(stores)
    await insert_message(stores, b"too old", OVERLAP * 2)
    assert await store.poll() == []


@gen_test
async def test_overlap_is_counted_back_from_the_latest_message(stores: StoresFixture) -> None:
    store = await polled_store(stores)
    await insert_message(stores, b"last", -OVERLAP * 4)
    assert await store.poll() == [b"last"]
    await insert_message(stores, b"long before it", timedelta())
    await insert_message(stores, b"shortly before it", -OVERLAP * 4 + timedelta(seconds=1))
    assert await store.poll() == [b"shortly before it"]


@gen_test
async def test_concurrently_appended_messages_are_each_read_once(stores: StoresFixture) -> None:
    store = await polled_store(stores)
    read: list[bytes] = []
    for start in range(0, 30, 10):
        appends = (store.append(b"%d" % n) for n in range(start, start + 10))
        await asyncio.gather(*appends)
        read += await store.poll()
    assert sorted(read) == sorted(b"%d" % n for n in range(30))


@pytest.mark.parametrize("message", [b"", b"$NOW", b"\x00\xff", b'{"type": "revoked"}'])
@gen_test
async def test_message_bytes_are_read_unchanged(stores: StoresFixture, message: bytes) -> None:
    store = await polled_store(stores)
    await store.append(message)
    assert await store.poll() == [message]


@gen_test
async def test_messages_are_stamped_by_the_databases_clock(stores: StoresFixture) -> None:
    before = await stores.database.now()
    await stores.evictions.append(b"now")
    after = await stores.database.now()
    row = await stores.database.collection("evictions").find_one()
    assert row is not None
    assert before <= row["at"] <= after
