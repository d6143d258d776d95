from datetime import UTC, datetime, timedelta
from unittest.mock import AsyncMock

import pytest
from pymongo.errors import AutoReconnect

from storage import chat
from storage.chat import ChatLine, ChatLineStore
from storage.database import Database
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, load_room, open_room


def written(*texts: str, user_id: str = "anna") -> list[ChatLine]:
    return [ChatLine(user_id, text, n) for n, text in enumerate(texts)]


async def add(store: ChatLineStore, rooms: dict[int, list[ChatLine]]) -> None:
    for live_id, lines in rooms.items():
        for line in lines:
            store.add(live_id, line)
    await store.flush()


async def texts_of(store: ChatLineStore, live_id: int, *user_ids: str) -> list[str]:
    return [line.text for line in await store.last_lines(live_id, user_ids)]


async def test_a_room_keeps_its_last_lines_of_all_processes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "LINES_KEPT", 3)
    stores = [ChatLineStore(database, days=60) for _ in range(2)]
    await stores[0].make_indexes()
    await add(stores[0], {1: written("a", "b"), 2: written("x")})
    await add(stores[1], {1: written("c", user_id="bert")})
    await add(stores[0], {1: written("d", "e")})
    assert await texts_of(stores[1], 1) == ["c", "d", "e"]
    assert await texts_of(stores[1], 1, "anna") == ["d", "e"]
    assert await texts_of(stores[1], 2) == ["x"]
    assert await stores[0].last_lines(2) == [ChatLine("anna", "x", 0)]
    await add(stores[0], {1: written(*"fghij")})
    assert await texts_of(stores[1], 1) == ["h", "i", "j"]


@pytest.mark.parametrize("days", [60, 0])
async def test_lines_expire_after_their_days(database: Database, days: int) -> None:
    await add(ChatLineStore(database, days), {1: written("a")})
    (row,) = await database.collection("chat_lines").find().to_list()
    if days:
        expected = datetime.now(UTC) + timedelta(days=days)
        assert abs(row["expires_at"] - expected) < timedelta(minutes=5)
    else:
        assert "expires_at" not in row


async def test_lines_wait_in_bounded_memory_until_they_are_stored(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "MAX_WAITING", 3)
    monkeypatch.setattr(chat, "BATCH_LINES", 2)
    monkeypatch.setattr(chat, "MAX_TEXT", 2)
    store = ChatLineStore(database, 60)
    for live_id, text in ((1, "aaa"), (2, "b"), (1, ""), (1, "c"), (1, "dropped")):
        store.add(live_id, ChatLine("anna", text, 1))
    with monkeypatch.context() as patch:
        patch.setattr(database, "next_number", AsyncMock(side_effect=AutoReconnect()))
        with pytest.raises(AutoReconnect):
            await store.flush()
    await store.flush()
    await store.flush()
    assert [await texts_of(store, live_id) for live_id in (1, 2)] == [["aa", "c"], ["b"]]


async def test_a_room_is_found_by_its_chat_group(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    room = await load_room(stores, live_id)
    await change_room(stores, live_id, lambda room: room.mute(room.host_id, "anna", 2**41))
    found = await stores.rooms.of_group(room.group_id)
    assert found
    assert (found.live_id, found.host_id, found.muted) == (live_id, room.host_id, {"anna": 2**41})
    assert await stores.rooms.of_group("another") is None
