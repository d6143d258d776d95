"""Members' sockets and who is connected, on a real MongoDB."""

import asyncio

import pytest

from core.clock import now_ms
from core.errors import TryAgain
from rooms.members import Person
from services.room_changes import RoomChanges
from services.rooms.consequences import consequences
from tests.support.room_builders import ANNA, BERT, CARL, GRACE, HOST, KIM, NOW
from tests.support.room_changes import RecordingListener
from tests.support.storage import StoresFixture, profile_queries
from tests.support.stored_rooms import (
    LATER,
    OTHER_PROCESS,
    PROCESS,
    accept_user,
    change_room,
    closed,
    find_membership,
    member_fields,
    member_row,
    open_room,
    register_socket,
)

VIEWERS = [Person(f"2000000{n}", f"viewer {n}", gender=1) for n in range(8)]


async def database_ms(stores: StoresFixture) -> int:
    return int((await stores.database.now()).timestamp() * 1000)


async def leave(stores: StoresFixture, live_id: int, person: Person) -> None:
    await change_room(stores, live_id, lambda room: room.leave(person.user_id), person.user_id)


async def enter(stores: StoresFixture, live_id: int, person: Person) -> None:
    await change_room(stores, live_id, lambda room: room.enter(person, NOW), person.user_id)


# ---- numbers


async def test_socket_numbers_increase_from_the_database_time(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    times, numbers = [await database_ms(stores)], []
    for process in (PROCESS, OTHER_PROCESS, PROCESS):
        numbers.append((await register_socket(stores, BERT, live_id, process)).number)
        times.append(await database_ms(stores))
    assert numbers == sorted(set(numbers))
    assert times[0] <= numbers[0] <= times[1]
    names = ("process", "socket", "away_at", "due_at", "version")
    assert await member_fields(stores, BERT, *names) == (PROCESS, numbers[-1], None, None, 3)
    ahead = {"$set": {"socket": times[-1] + 3_600_000}}  # as if the clock had been set back
    await stores.rows("members").update_one({"_id": BERT.user_id}, ahead)
    assert (await register_socket(stores, BERT, live_id)).number == times[-1] + 3_600_001


async def test_sockets_of_a_batch_take_one_write(
    stores: StoresFixture, commands: list[str]
) -> None:
    """Clients that reconnect open a second socket when the first is not answered at once."""
    live_id = await open_room(stores, *VIEWERS)
    before = await database_ms(stores)
    commands.clear()
    opened = [person for person in VIEWERS for _ in range(2)]
    sockets = await asyncio.gather(*(register_socket(stores, person, live_id) for person in opened))
    assert commands == ["update", "find"]
    for person, older, newer in zip(VIEWERS, sockets[::2], sockets[1::2], strict=True):
        assert before <= newer.number
        assert older.number < newer.number
        assert await member_fields(stores, person, "socket") == (newer.number,)


async def test_sockets_that_another_process_overtakes_try_again(stores: StoresFixture) -> None:
    """The newer one may have been announced before the older ones join, which would stay open.

    They are not reported as replaced: the order of two writes does not show which client is still
    connected, and a replaced client does not reconnect.
    """
    live_id = await open_room(stores, BERT, ANNA)
    opened = [(BERT, PROCESS), (BERT, PROCESS), (ANNA, PROCESS), (BERT, OTHER_PROCESS)]
    *older, anna, newest = await asyncio.gather(
        *(register_socket(stores, person, live_id, process) for person, process in opened),
        return_exceptions=True,
    )
    assert [type(error) for error in older] == [TryAgain] * 2
    assert await stores.presence.served(PROCESS) == [anna]
    assert await stores.presence.served(OTHER_PROCESS) == [newest]


async def test_socket_of_a_non_member_is_not_registered(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    before = await member_row(stores, BERT)
    for user_id, room_id in ((CARL.user_id, live_id), (BERT.user_id, live_id + 1)):
        assert await stores.presence.register_socket(user_id, room_id, PROCESS, LATER) is None
    assert await member_row(stores, BERT) == before
    assert await stores.members.get(CARL.user_id) is None


@pytest.mark.parametrize("skew_ms", [-3_600_000, 3_600_000])
async def test_eviction_covers_the_sockets_opened_before_whatever_the_clock_of_the_process(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    live_id = await open_room(stores, BERT)
    older = await register_socket(stores, BERT, live_id)
    await leave(stores, live_id, BERT)
    listener = RecordingListener()
    room_changes = RoomChanges(stores, consequences(stores), listener)
    monkeypatch.setattr("services.room_changes.now_ms", lambda: now_ms() + skew_ms)
    await room_changes.change(live_id, lambda room: room.leave(BERT.user_id), BERT.user_id)
    monkeypatch.undo()
    await enter(stores, live_id, BERT)
    newer = await register_socket(stores, BERT, live_id)
    ((*call, number),) = listener.calls
    assert call == ["evict", live_id, BERT.user_id]
    assert older.number <= number <= newer.number
    assert older.number < newer.number, "also after the user has entered again"


# ---- disconnecting and reconnecting


async def test_absence_begins_with_a_grace_period_of_the_role(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    await accept_user(stores, live_id, BERT)
    await change_room(stores, live_id, lambda room: room.apply(ANNA, NOW), ANNA.user_id)
    people = (HOST, BERT, ANNA, CARL)
    sockets = [await register_socket(stores, person, live_id) for person in people]
    await stores.presence.mark_disconnected(
        [closed(socket, LATER + n) for n, socket in enumerate(sockets)]
    )
    names = ("process", "away_at", "due_at")
    grace = (GRACE.shown, GRACE.shown, GRACE.viewer, GRACE.viewer)
    assert [await member_fields(stores, person, *names) for person in people] == [
        (None, LATER + n, LATER + n + milliseconds) for n, milliseconds in enumerate(grace)
    ]
    await stores.presence.mark_disconnected([])


async def test_only_the_newest_socket_of_the_live_ends_a_connection(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    earlier = await register_socket(stores, BERT, live_id)
    await change_room(stores, live_id, lambda room: room.close("host"))
    await open_room(stores, BERT, ANNA, epoch="e2")
    old = await register_socket(stores, BERT, live_id)
    new = await register_socket(stores, BERT, live_id, OTHER_PROCESS)
    anna = await register_socket(stores, ANNA, live_id)
    before = await member_row(stores, BERT)
    await stores.presence.mark_disconnected([closed(earlier), closed(old), closed(anna)])
    assert await member_row(stores, BERT) == before
    assert await member_fields(stores, ANNA, "process", "away_at") == (None, LATER)
    await stores.presence.mark_disconnected([closed(new)])
    names = ("process", "away_at", "version")
    assert await member_fields(stores, BERT, *names) == (None, LATER, before["version"] + 1)


async def test_sockets_are_reclaimed_after_their_process_seemed_dead(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA)
    sockets = [await register_socket(stores, person, live_id) for person in (BERT, ANNA)]
    await register_socket(stores, ANNA, live_id, OTHER_PROCESS)  # newer, in another process
    await stores.presence.mark_members_away(PROCESS, LATER)
    version = (await member_row(stores, BERT))["version"]
    await stores.presence.claim_members(sockets, PROCESS, LATER + 5)
    names = ("process", "away_at", "due_at", "version")
    assert await member_fields(stores, BERT, *names) == (PROCESS, None, None, version + 1)
    assert await member_fields(stores, ANNA, "process") == (OTHER_PROCESS,)


async def test_a_returning_user_is_due_at_once_only_on_mic(stores: StoresFixture) -> None:
    """The room may show a user on mic as away, which the next evaluation corrects."""
    live_id = await open_room(stores, BERT, ANNA, CARL, KIM)
    members = stores.rows("members")
    without_socket = {"_id": {"$in": [CARL.user_id, KIM.user_id]}}
    for role, due_at in (("male", LATER), ("viewer", None)):
        await register_socket(stores, BERT, live_id)
        socket = await register_socket(stores, ANNA, live_id)
        away = {"role": role, "away_at": NOW, "due_at": NOW + 10**9}
        await members.update_many({}, {"$set": away})
        await members.update_many(without_socket, {"$set": {"process": None, "socket": 0}})
        await register_socket(stores, BERT, live_id, now=LATER)
        await stores.presence.claim_members([socket], PROCESS, LATER)
        membership = await find_membership(stores, CARL)
        assert await stores.presence.record_report(membership, present=True, now=LATER)
        assert await stores.presence.seen(KIM.user_id, LATER)
        for person in (BERT, ANNA, CARL, KIM):
            times = await member_fields(stores, person, "away_at", "due_at", "seen_at")
            assert times == (None, due_at, LATER), person


# ---- queries


async def test_age_of_a_socket_is_by_the_database_clock(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    assert await stores.presence.socket_age_ms(BERT.user_id) is None
    await register_socket(stores, BERT, live_id)
    earlier = {"$inc": {"socket": -60_000}}
    await stores.rows("members").update_one({"_id": BERT.user_id}, earlier)
    async with profile_queries(stores.database, "members") as examined:
        ages = await asyncio.gather(
            *(stores.presence.socket_age_ms(user_id) for user_id in (BERT.user_id, "unknown"))
        )
    assert ages[0] is not None
    assert 60_000 <= ages[0] < 120_000
    assert ages[1] is None
    assert len(examined) == 1, "thousands are asked for while clients of a killed process reconnect"


async def test_the_users_on_mic_of_a_process_are_known(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    await accept_user(stores, live_id, BERT)
    await accept_user(stores, live_id, ANNA)
    for person in (HOST, BERT, CARL):
        await register_socket(stores, person, live_id)
    await register_socket(stores, ANNA, live_id, OTHER_PROCESS)
    assert await stores.presence.on_mic(PROCESS) == [HOST.user_id, BERT.user_id]
