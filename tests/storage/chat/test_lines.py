from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from services.chat import chat_log
from services.chat.chat_log import ChatLog
from storage.chat import lines as chat_lines
from storage.chat.lines import ChatLine, ChatLineStore
from storage.database import Database
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, load_room, open_room


def written(*texts: str, user_id: str = "anna") -> list[ChatLine]:
    return [ChatLine(user_id, text, n) for n, text in enumerate(texts)]


async def texts_of(store: ChatLineStore, live_id: int, *user_ids: str) -> list[str]:
    return [line.text for line in await store.last_lines(live_id, user_ids)]


async def test_a_room_keeps_its_last_lines_of_all_processes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_lines, "LINES_KEPT", 3)
    stores = [ChatLineStore(database, days=60) for _ in range(2)]
    await stores[0].make_indexes()
    await stores[0].add({1: written("a", "b"), 2: written("x")})
    await stores[1].add({1: written("c", user_id="bert")})
    await stores[0].add({1: written("d", "e")})
    assert await texts_of(stores[1], 1) == ["c", "d", "e"]
    assert await texts_of(stores[1], 1, "anna") == ["d", "e"]
    assert await texts_of(stores[1], 2) == ["x"]
    assert await stores[0].last_lines(2) == [ChatLine("anna", "x", 0)]
    await stores[0].add({1: written(*"fghij")})
    assert await texts_of(stores[1], 1) == ["h", "i", "j"]


@pytest.mark.parametrize("days", [60, 0])
async def test_lines_expire_after_their_days(database: Database, days: int) -> None:
    await ChatLineStore(database, days).add({1: written("a")})
    (row,) = await database.collection("chat_lines").find().to_list()
    if days:
        expected = datetime.now(UTC) + timedelta(days=days)
        assert abs(row["expires_at"] - expected) < timedelta(minutes=5)
    else:
        assert "expires_at" not in row


class Lines:
    """Stands in for the store; `error` is raised."""

    def __init__(self) -> None:
        self.added: list[dict[int, list[str]]] = []
        self.error: Exception | None = None

    async def add(self, rooms: dict[int, list[ChatLine]]) -> None:
        if self.error:
            raise self.error
        self.added.append({room: [line.text for line in lines] for room, lines in rooms.items()})


async def test_lines_wait_in_bounded_memory_until_they_are_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat_log, "MAX_WAITING", 3)
    monkeypatch.setattr(chat_log, "FLUSH_SIZE", 2)
    monkeypatch.setattr(chat_log, "MAX_TEXT", 2)
    lines: Any = Lines()
    log = ChatLog(lines)
    lines.error = AutoReconnect()
    for live_id, text in ((1, "aaa"), (2, "b"), (1, ""), (1, "c"), (1, "dropped")):
        log.add(live_id, ChatLine("anna", text, 1))
    with pytest.raises(AutoReconnect):
        await log.flush()
    lines.error = None
    await log.flush()
    await log.flush()
    assert lines.added == [{1: ["aa"], 2: ["b"]}, {1: ["c"]}]


async def test_who_may_write_in_a_group_is_read_by_the_group(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    room = await load_room(stores, live_id)
    await change_room(stores, live_id, lambda room: room.mute(room.host_id, "anna", 2**41))
    await change_room(stores, live_id, lambda room: room.set_mute_all(room.host_id, on=True))
    found = await stores.room_groups.chat_room(room.group_id)
    assert found
    assert (found.live_id, found.host_id, found.mute_all) == (live_id, room.host_id, True)
    assert (found.muted, found.blocked) == ({"anna": 2**41}, {})
    assert await stores.room_groups.chat_room("another") is None
