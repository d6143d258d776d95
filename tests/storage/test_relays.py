import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tornado.ioloop import IOLoop

from storage.database import Database
from storage.relays import Relays, Turn

gen_test = pytest.mark.gen_test(timeout=60)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=40)
A_SECOND = timedelta(seconds=1)


@pytest.fixture
def relays(io_loop: IOLoop, database: Database) -> Relays:
    relays = Relays(database)
    io_loop.run_sync(relays.make_indexes)
    return relays


async def claim(relays: Relays, now: datetime = NOW) -> Turn | None:
    return await relays.claim(now, now + LEASE)


async def claimed(relays: Relays, now: datetime = NOW) -> Turn:
    turn = await claim(relays, now)
    assert turn is not None
    return turn


async def rest(relays: Relays, turn: Turn, due_at: datetime | None = None) -> None:
    await relays.rest(turn, NOW, turn.num_at, due_at, num_due=False)


@gen_test
async def test_a_room_woken_for_the_first_time_has_relayed_nothing(relays: Relays) -> None:
    await relays.wake(7, NOW, num=False)
    assert await claimed(relays) == Turn(
        live_id=7,
        epoch="",
        seq=0,
        since=NOW,
        num_due=False,
        num_at=NOW,
        tries=0,
        woken=1,
        claims=1,
    )


@gen_test
async def test_a_room_is_claimed_once_until_the_lease_runs_out(relays: Relays) -> None:
    await relays.wake(7, NOW, num=False)
    await claimed(relays)
    assert await claim(relays) is None
    assert await claim(relays, NOW + LEASE - A_SECOND) is None
    assert (await claimed(relays, NOW + LEASE)).claims == 2


@gen_test
async def test_many_who_claim_at_once_never_get_the_same_room(relays: Relays) -> None:
    for live_id in range(10):
        await relays.wake(live_id, NOW, num=False)
    turns = await asyncio.gather(*(claim(relays) for _ in range(15)))
    assert sorted(turn.live_id for turn in turns if turn) == list(range(10))


@gen_test
async def test_a_room_that_waits_longer_comes_first(relays: Relays) -> None:
    for live_id, seconds in ((1, 3), (2, 1), (3, 2)):
        await relays.wake(live_id, NOW + seconds * A_SECOND, num=False)
    await relays.wake(2, NOW + 9 * A_SECOND, num=False)  # it waits since the first one
    later = NOW + LEASE
    assert [(await claimed(relays, later)).live_id for _ in range(3)] == [2, 3, 1]


@gen_test
async def test_many_first_wakes_at_once_make_one_row(relays: Relays) -> None:
    await asyncio.gather(*(relays.wake(7, NOW, num=n == 3) for n in range(10)))
    turn = await claimed(relays)
    assert (turn.woken, turn.num_due) == (10, True)
    assert await claim(relays) is None


@gen_test
async def test_numbers_stay_due_through_a_wake_without_them(relays: Relays) -> None:
    await relays.wake(7, NOW, num=True)
    await relays.wake(7, NOW, num=False)
    assert (await claimed(relays)).num_due


@gen_test
async def test_a_room_at_rest_is_nobodys_until_it_is_woken(relays: Relays) -> None:
    await relays.wake(7, NOW, num=True)
    turn = await claimed(relays)
    assert await relays.moved(turn, "e1", 5, NOW + LEASE, over=False)
    await rest(relays, turn)
    assert await claim(relays, NOW + 9 * LEASE) is None
    await relays.wake(7, NOW, num=False)
    turn = await claimed(relays)
    assert (turn.epoch, turn.seq, turn.num_due) == ("e1", 5, False)


@gen_test
async def test_a_wake_during_a_turn_is_not_lost(relays: Relays) -> None:
    await relays.wake(7, NOW, num=False)
    turn = await claimed(relays)
    await relays.wake(7, NOW, num=True)
    assert await claim(relays) is None
    await rest(relays, turn)
    again = await claimed(relays)
    assert (again.woken, again.num_due) == (2, True)
    await rest(relays, again)
    assert await claim(relays) is None


@gen_test
async def test_a_room_may_rest_until_its_numbers_are_due(relays: Relays) -> None:
    await relays.wake(7, NOW, num=True)
    turn, soon = await claimed(relays), NOW + A_SECOND
    await relays.rest(turn, NOW, soon, soon, num_due=True)
    assert await claim(relays) is None
    again = await claimed(relays, soon)
    assert (again.num_due, again.num_at) == (True, soon)


@gen_test
async def test_a_room_put_off_is_not_claimed_earlier_however_often_it_is_woken(
    relays: Relays,
) -> None:
    await relays.wake(7, NOW, num=False)
    await relays.later(await claimed(relays), NOW + 5 * A_SECOND)
    await relays.wake(7, NOW, num=False)
    assert await claim(relays, NOW + 4 * A_SECOND) is None
    turn = await claimed(relays, NOW + 5 * A_SECOND)
    assert turn.tries == 1
    await relays.later(turn, NOW)
    assert (await claimed(relays)).tries == 2


@gen_test
async def test_what_was_relayed_ends_the_count_of_failures(relays: Relays) -> None:
    await relays.wake(7, NOW, num=False)
    await relays.later(await claimed(relays), NOW)
    turn = await claimed(relays)
    await relays.moved(turn, "e1", 1, NOW, over=False)
    assert (await claimed(relays)).tries == 0


@gen_test
async def test_who_moves_on_keeps_the_turn_for_longer(relays: Relays) -> None:
    await relays.wake(7, NOW, num=False)
    turn = await claimed(relays)
    assert await relays.moved(turn, "e1", 1, NOW + 2 * LEASE, over=False)
    assert await claim(relays, NOW + LEASE) is None
    assert (await claimed(relays, NOW + 2 * LEASE)).seq == 1


@gen_test
async def test_who_has_lost_the_turn_changes_nothing(relays: Relays) -> None:
    await relays.wake(7, NOW, num=False)
    slow = await claimed(relays)
    later = NOW + LEASE
    assert await relays.moved(await claimed(relays, later), "e1", 4, later + LEASE, over=False)
    assert not await relays.moved(slow, "e1", 2, NOW, over=False)
    await rest(relays, slow)
    await relays.later(slow, NOW)
    assert await claim(relays, later) is None
    assert (await claimed(relays, later + LEASE)).seq == 4


@gen_test
async def test_cursors_are_those_of_rooms_that_may_have_more_to_say(relays: Relays) -> None:
    for live_id, over in ((1, False), (2, True)):
        await relays.wake(live_id, NOW, num=False)
        assert await relays.moved(await claimed(relays), "e1", 3, NOW + LEASE, over=over)
    await relays.wake(3, NOW, num=False)
    assert await relays.cursors() == {1: ("e1", 3), 3: ("", 0)}


@gen_test
async def test_what_is_asked_every_second_has_an_index(relays: Relays, database: Database) -> None:
    await relays.make_indexes()  # again: harmless
    found = await database.collection("relays").index_information()
    assert {index["key"][0][0] for index in found.values()} == {"_id", "due_at", "over"}
