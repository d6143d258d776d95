"""Relay cursors, of which no wake is lost, and chat groups of rooms, on a real MongoDB."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from unittest.mock import AsyncMock

import pytest
from pymongo.errors import AutoReconnect

from core.errors import TryAgain
from rooms.room import Room
from storage import chat
from storage.chat import (
    REPLACE_MS,
    ChatLine,
    ChatLineStore,
    ClaimLost,
    RelayClaim,
    RelayCursorStore,
    RelayPosition,
)
from storage.database import Database
from tests.support.room_builders import ANNA, BERT, HOST
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import change_room, load_room, open_room

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=40)
A_SECOND = timedelta(seconds=1)


@pytest.fixture
def cursors(stores: StoresFixture) -> RelayCursorStore:
    return stores.relay_cursors


def at(seq: int, *, over: bool = False) -> RelayPosition:
    return RelayPosition("e1", seq, over)


async def claim(cursors: RelayCursorStore, now: datetime = NOW) -> RelayClaim | None:
    claims = await cursors.claim(now, now + LEASE, 1)
    return claims[0] if claims else None


async def claim_due(cursors: RelayCursorStore, now: datetime = NOW) -> RelayClaim:
    claimed = await claim(cursors, now)
    assert claimed is not None
    return claimed


async def wake_and_claim(cursors: RelayCursorStore, *, counts: bool = False) -> RelayClaim:
    await cursors.mark_due({7: counts}, NOW)
    return await claim_due(cursors)


# ---- wakes and claims


async def test_first_wakes_create_one_cursor(cursors: RelayCursorStore) -> None:
    await asyncio.gather(*(cursors.mark_due({7: n == 3}, NOW) for n in range(10)))
    assert await claim_due(cursors) == RelayClaim(
        live_id=7,
        epoch="",
        seq=0,
        since=NOW,
        counts_due=True,
        counts_at=NOW,
        tries=0,
        woken=10,
        claims=1,
    )
    assert await claim(cursors) is None


async def test_concurrent_claims_get_different_rooms(cursors: RelayCursorStore) -> None:
    await cursors.mark_due(dict.fromkeys(range(10), False), NOW)
    claims = await asyncio.gather(*(cursors.claim(NOW, NOW + LEASE, 4) for _ in range(8)))
    while more := await cursors.claim(NOW, NOW + LEASE, 4):
        claims.append(more)
    assert sorted(claimed.live_id for some in claims for claimed in some) == list(range(10))


async def test_room_that_waits_longest_is_claimed_first(cursors: RelayCursorStore) -> None:
    for live_id, seconds in ((1, 3), (2, 1), (3, 2)):
        await cursors.mark_due({live_id: False}, NOW + seconds * A_SECOND)
    await cursors.mark_due({2: False}, NOW + 9 * A_SECOND)  # still waits since its first wake
    later = NOW + LEASE
    assert [(await claim_due(cursors, later)).live_id for _ in range(3)] == [2, 3, 1]
    assert await claim(cursors, later + LEASE - A_SECOND) is None
    again = await claim_due(cursors, later + LEASE)
    assert (again.live_id, again.claims) == (2, 2)


# ---- progress


async def test_released_room_is_claimed_when_it_is_woken_or_due(cursors: RelayCursorStore) -> None:
    claimed = await wake_and_claim(cursors, counts=True)
    await cursors.release(claimed, at(5), NOW, NOW, None, counts_due=False)
    assert await claim(cursors, NOW + 9 * LEASE) is None
    claimed, soon = await wake_and_claim(cursors), NOW + A_SECOND
    assert (claimed.epoch, claimed.seq, claimed.counts_due) == ("e1", 5, False)
    await cursors.release(claimed, None, NOW, soon, soon, counts_due=True)
    assert await claim(cursors) is None
    again = await claim_due(cursors, soon)
    assert (again.seq, again.counts_due, again.counts_at) == (5, True, soon)


async def test_wake_during_a_claim_is_not_lost(cursors: RelayCursorStore) -> None:
    claimed = await wake_and_claim(cursors)
    await cursors.mark_due({7: True}, NOW)
    assert await claim(cursors) is None
    await cursors.release(claimed, at(5), NOW, NOW, None, counts_due=False)
    again = await claim_due(cursors)
    assert (again.woken, again.seq, again.counts_due) == (2, 5, True)
    await cursors.release(again, None, NOW, NOW, None, counts_due=False)
    assert await claim(cursors) is None


async def test_advance_extends_the_lease_and_resets_failures(cursors: RelayCursorStore) -> None:
    await cursors.postpone(await wake_and_claim(cursors), NOW)
    claimed = await claim_due(cursors)
    assert claimed.tries == 1
    await cursors.advance(claimed, at(1), NOW + 2 * LEASE)
    assert await claim(cursors, NOW + LEASE) is None
    claimed = await claim_due(cursors, NOW + 2 * LEASE)
    assert (claimed.seq, claimed.tries) == (1, 0)


async def test_postponement_ends_the_claim_despite_a_wake(cursors: RelayCursorStore) -> None:
    claimed = await wake_and_claim(cursors)
    await cursors.postpone(claimed, NOW + 5 * A_SECOND)
    await cursors.mark_due({7: False}, NOW)
    with pytest.raises(ClaimLost):
        await cursors.advance(claimed, at(1), NOW)
    assert await claim(cursors, NOW + 4 * A_SECOND) is None
    claimed = await claim_due(cursors, NOW + 5 * A_SECOND)
    assert (claimed.seq, claimed.tries) == (0, 1)


async def test_process_with_a_lost_claim_changes_nothing(cursors: RelayCursorStore) -> None:
    slow, later = await wake_and_claim(cursors), NOW + LEASE
    await cursors.advance(await claim_due(cursors, later), at(4), later + LEASE)
    with pytest.raises(ClaimLost):
        await cursors.advance(slow, at(2), NOW)
    with pytest.raises(ClaimLost):
        await cursors.release(slow, at(2), NOW, NOW, None, counts_due=False)
    await cursors.postpone(slow, NOW)
    assert await claim(cursors, later) is None
    assert (await claim_due(cursors, later + LEASE)).seq == 4


async def test_of_cursors_that_are_moved_together_lost_claims_stay_and_finished_rooms_are_left_out(
    cursors: RelayCursorStore,
) -> None:
    for live_id in range(5):
        await cursors.mark_due({live_id: False}, NOW)
    claims = await cursors.claim(NOW, NOW, 5)
    lost = {claim.live_id for claim in await cursors.claim(NOW, NOW, 2)}
    over = next(claim.live_id for claim in claims if claim.live_id not in lost)
    moved = await asyncio.gather(
        *(cursors.advance(claimed, at(3, over=claimed.live_id == over), NOW) for claimed in claims),
        return_exceptions=True,
    )
    are_lost = [isinstance(outcome, ClaimLost) for outcome in moved]
    assert are_lost == [claim.live_id in lost for claim in claims]
    assert await cursors.cursors() == {
        live_id: ("", 0) if live_id in lost else ("e1", 3) for live_id in {*range(5)} - {over}
    }


# ---- groups of rooms


RANDOM_ID = re.compile(r"qlive_[0-9]+_[0-9a-f]{24}")
"""IM allows 48 bytes of ASCII."""


async def test_each_group_has_an_id_that_cannot_be_guessed(stores: StoresFixture) -> None:
    live_id, group_id, ready = await stores.rooms.get_or_create(HOST)
    assert not ready
    assert await stores.room_groups.detach(HOST.user_id) is None
    await stores.room_groups.mark_ready(live_id, "another")
    assert await stores.rooms.get_or_create(HOST) == (live_id, group_id, False)
    await stores.room_groups.mark_ready(live_id, group_id)
    assert await stores.rooms.get_or_create(HOST) == (live_id, group_id, True)
    assert await stores.room_groups.detach(HOST.user_id) == group_id
    _, detached, ready = await stores.rooms.get_or_create(HOST)
    assert not ready
    _, other, _ = await stores.rooms.get_or_create(ANNA)
    assert len({group_id, detached, other}) == 3
    assert all(RANDOM_ID.fullmatch(id_) for id_ in (group_id, detached, other))
    assert await stores.room_groups.detach("unknown") is None


async def test_a_group_has_one_planned_replacement(stores: StoresFixture) -> None:
    live_id = await open_room(stores)
    old = (await load_room(stores, live_id)).group_id
    planned = await asyncio.gather(*(stores.room_groups.plan(live_id, old) for _ in range(10)))
    (new,) = {*planned}
    assert new not in (None, old)
    assert (await load_room(stores, live_id)).group_id == old
    await change_room(stores, live_id, lambda room: room.change_group(old, str(new)))
    assert (await load_room(stores, live_id)).group_id == new
    assert await stores.room_groups.plan(live_id, old) is None
    assert await stores.room_groups.plan(99, old) is None


async def test_a_host_who_dissolves_the_group_in_a_loop_gets_one_in_five_minutes(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores)
    group_id = (await load_room(stores, live_id)).group_id

    async def set_plan_back(milliseconds: int) -> None:
        earlier = {"$subtract": ["$next_group.at", milliseconds]}
        rooms = stores.rows("rooms")
        await rooms.update_one({}, [{"$set": {"next_group.at": earlier}}])

    for _ in range(2):
        planned = str(await stores.room_groups.plan(live_id, group_id))
        assert await stores.room_groups.plan(live_id, group_id) == planned, "a repetition"
        await change_room(stores, live_id, partial(Room.change_group, old=group_id, new=planned))
        group_id = planned
        await set_plan_back(REPLACE_MS - 60_000)
        with pytest.raises(TryAgain):
            await stores.room_groups.plan(live_id, group_id)
        await set_plan_back(60_000)


async def test_room_is_found_by_its_group_while_live_or_ready(stores: StoresFixture) -> None:
    live_id, group_id, _ = await stores.rooms.get_or_create(HOST)
    assert await stores.room_groups.room_of(group_id) is None
    await stores.room_groups.mark_ready(live_id, group_id)
    assert await stores.room_groups.room_of(group_id) == live_id
    live = await open_room(stores, host=BERT)
    assert await stores.room_groups.room_of((await load_room(stores, live)).group_id) == live
    assert await stores.room_groups.room_of("unknown") is None


# ---- lines


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
    kept = row["expires_at"] - datetime.now(UTC) if "expires_at" in row else timedelta(0)
    assert round(kept / timedelta(days=1)) == days


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
