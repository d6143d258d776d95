import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tornado.ioloop import IOLoop

from storage.chat import RelayClaim, RelayCursorStore, RelayPosition
from storage.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=40)
A_SECOND = timedelta(seconds=1)


@pytest.fixture
def cursors(io_loop: IOLoop, database: Database) -> RelayCursorStore:
    cursors = RelayCursorStore(database)
    io_loop.run_sync(cursors.make_indexes)
    return cursors


async def claim(cursors: RelayCursorStore, now: datetime = NOW) -> RelayClaim | None:
    claims = await cursors.claim(now, now + LEASE, 1)
    return claims[0] if claims else None


async def claim_due(cursors: RelayCursorStore, now: datetime = NOW) -> RelayClaim:
    claimed = await claim(cursors, now)
    assert claimed is not None
    return claimed


async def release(
    cursors: RelayCursorStore, claimed: RelayClaim, due_at: datetime | None = None
) -> None:
    await cursors.release(claimed, None, NOW, claimed.counts_at, due_at, counts_due=False)


async def test_first_wake_creates_a_cursor_before_the_first_event(
    cursors: RelayCursorStore,
) -> None:
    await cursors.wake({7: False}, NOW)
    assert await claim_due(cursors) == RelayClaim(
        live_id=7,
        epoch="",
        seq=0,
        since=NOW,
        counts_due=False,
        counts_at=NOW,
        tries=0,
        woken=1,
        claims=1,
    )


async def test_room_is_claimed_once_until_the_lease_expires(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: False}, NOW)
    await claim_due(cursors)
    assert await claim(cursors) is None
    assert await claim(cursors, NOW + LEASE - A_SECOND) is None
    assert (await claim_due(cursors, NOW + LEASE)).claims == 2


async def test_concurrent_claims_get_different_rooms(cursors: RelayCursorStore) -> None:
    for live_id in range(10):
        await cursors.wake({live_id: False}, NOW)
    claims = await asyncio.gather(*(cursors.claim(NOW, NOW + LEASE, 4) for _ in range(15)))
    while more := await cursors.claim(NOW, NOW + LEASE, 4):
        claims.append(more)
    assert all(len(some) <= 4 for some in claims)
    assert sorted(it.live_id for some in claims for it in some) == list(range(10))


async def test_longest_waiting_room_is_claimed_first(cursors: RelayCursorStore) -> None:
    for live_id, seconds in ((1, 3), (2, 1), (3, 2)):
        await cursors.wake({live_id: False}, NOW + seconds * A_SECOND)
    await cursors.wake({2: False}, NOW + 9 * A_SECOND)  # still waits since its first wake
    later = NOW + LEASE
    assert [(await claim_due(cursors, later)).live_id for _ in range(3)] == [2, 3, 1]


async def test_concurrent_first_wakes_make_one_row(cursors: RelayCursorStore) -> None:
    await asyncio.gather(*(cursors.wake({7: n == 3}, NOW) for n in range(10)))
    claimed = await claim_due(cursors)
    assert (claimed.woken, claimed.counts_due) == (10, True)
    assert await claim(cursors) is None


async def test_counts_stay_due_after_a_wake_without_counts(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: True}, NOW)
    await cursors.wake({7: False}, NOW)
    assert (await claim_due(cursors)).counts_due


async def test_released_room_is_not_claimed_until_it_is_woken(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: True}, NOW)
    claimed = await claim_due(cursors)
    assert await cursors.advance(claimed, RelayPosition("e1", 5, over=False), NOW + LEASE)
    await release(cursors, claimed)
    assert await claim(cursors, NOW + 9 * LEASE) is None
    await cursors.wake({7: False}, NOW)
    claimed = await claim_due(cursors)
    assert (claimed.epoch, claimed.seq, claimed.counts_due) == ("e1", 5, False)


async def test_wake_during_a_claim_is_not_lost(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: False}, NOW)
    claimed = await claim_due(cursors)
    await cursors.wake({7: True}, NOW)
    assert await claim(cursors) is None
    await release(cursors, claimed)
    again = await claim_due(cursors)
    assert (again.woken, again.counts_due) == (2, True)
    await release(cursors, again)
    assert await claim(cursors) is None


async def test_released_room_is_claimed_when_its_counts_are_due(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: True}, NOW)
    claimed, soon = await claim_due(cursors), NOW + A_SECOND
    await cursors.release(claimed, None, NOW, soon, soon, counts_due=True)
    assert await claim(cursors) is None
    again = await claim_due(cursors, soon)
    assert (again.counts_due, again.counts_at) == (True, soon)


async def test_wake_does_not_shorten_a_postponement(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: False}, NOW)
    await cursors.postpone(await claim_due(cursors), NOW + 5 * A_SECOND)
    await cursors.wake({7: False}, NOW)
    assert await claim(cursors, NOW + 4 * A_SECOND) is None
    claimed = await claim_due(cursors, NOW + 5 * A_SECOND)
    assert claimed.tries == 1
    await cursors.postpone(claimed, NOW)
    assert (await claim_due(cursors)).tries == 2


async def test_progress_resets_the_failure_count(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: False}, NOW)
    await cursors.postpone(await claim_due(cursors), NOW)
    claimed = await claim_due(cursors)
    await cursors.advance(claimed, RelayPosition("e1", 1, over=False), NOW)
    assert (await claim_due(cursors)).tries == 0


async def test_advance_extends_the_lease(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: False}, NOW)
    claimed = await claim_due(cursors)
    assert await cursors.advance(claimed, RelayPosition("e1", 1, over=False), NOW + 2 * LEASE)
    assert await claim(cursors, NOW + LEASE) is None
    assert (await claim_due(cursors, NOW + 2 * LEASE)).seq == 1


async def test_process_with_a_lost_claim_changes_nothing(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: False}, NOW)
    slow = await claim_due(cursors)
    later = NOW + LEASE
    position = RelayPosition("e1", 4, over=False)
    assert await cursors.advance(await claim_due(cursors, later), position, later + LEASE)
    assert not await cursors.advance(slow, RelayPosition("e1", 2, over=False), NOW)
    await release(cursors, slow)
    await cursors.postpone(slow, NOW)
    assert await claim(cursors, later) is None
    assert (await claim_due(cursors, later + LEASE)).seq == 4


async def test_cursors_leave_out_finished_rooms(cursors: RelayCursorStore) -> None:
    for live_id, over in ((1, False), (2, True)):
        await cursors.wake({live_id: False}, NOW)
        position = RelayPosition("e1", 3, over)
        assert await cursors.advance(await claim_due(cursors), position, NOW + LEASE)
    await cursors.wake({3: False}, NOW)
    assert await cursors.cursors() == {1: ("e1", 3), 3: ("", 0)}


async def test_polled_fields_are_indexed(cursors: RelayCursorStore, database: Database) -> None:
    await cursors.make_indexes()  # idempotent
    found = await database.collection("relay_cursors").index_information()
    assert {index["key"][0][0] for index in found.values()} == {"_id", "due_at", "over"}


async def test_release_moves_the_cursor(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: True}, NOW)
    claimed, position = await claim_due(cursors), RelayPosition("e1", 5, over=False)
    await cursors.wake({7: False}, NOW)  # meanwhile
    await cursors.release(claimed, position, NOW, NOW, None, counts_due=False)
    again = await claim_due(cursors)
    assert (again.epoch, again.seq, again.counts_due) == ("e1", 5, True)


async def test_of_cursors_that_are_moved_together_lost_claims_stay(
    cursors: RelayCursorStore,
) -> None:
    for live_id in range(5):
        await cursors.wake({live_id: False}, NOW)
    claims = await cursors.claim(NOW, NOW, 5)
    await cursors.claim(NOW, NOW, 2)
    position = RelayPosition("e1", 3, over=False)
    moved = await asyncio.gather(*(cursors.advance(it, position, NOW) for it in claims))
    assert sorted(moved) == [False, False, True, True, True]
    lost = {claim.live_id for claim, is_moved in zip(claims, moved, strict=True) if not is_moved}
    assert {live_id: seq for live_id, (_, seq) in (await cursors.cursors()).items()} == {
        live_id: 0 if live_id in lost else 3 for live_id in range(5)
    }


async def test_postponement_ends_the_claim(cursors: RelayCursorStore) -> None:
    await cursors.wake({7: False}, NOW)
    claimed = await claim_due(cursors)
    await cursors.postpone(claimed, NOW)
    assert not await cursors.advance(claimed, RelayPosition("e1", 1, over=False), NOW + LEASE)
    assert (await claim_due(cursors)).seq == 0
