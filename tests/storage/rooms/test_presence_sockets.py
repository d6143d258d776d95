"""Members' sockets and who is connected, on a real MongoDB."""

import asyncio
from typing import Any

import pytest
from pymongo import MongoClient

from core.clock import now_ms
from core.errors import TryAgain, WriteConflict
from rooms.members import Person
from services.keeper import Keeper
from tests.support.database import blocked_writes
from tests.support.keeper import RecordingListener
from tests.support.query_profile import profile_queries
from tests.support.room_builders import ANNA, BERT, CARL, GRACE, HOST, NOW
from tests.support.storage import NAME, StoresFixture
from tests.support.stored_members import (
    LATER,
    OTHER_PROCESS,
    PROCESS,
    closed,
    disconnect,
    find_membership,
    member_fields,
    member_row,
    pending_absence,
    register_socket,
)
from tests.support.stored_rooms import accept_user, change_room, load_room, open_room, save_room
from tests.support.waiting import run_ready_tasks

gen_test = pytest.mark.gen_test(timeout=60)
VIEWERS = [Person(f"2000000{n}", f"viewer {n}", gender=1) for n in range(8)]


async def database_ms(stores: StoresFixture) -> int:
    return int((await stores.database.now()).timestamp() * 1000)


# ---- numbers


@gen_test
async def test_new_membership_has_no_socket_and_is_not_due(stores: StoresFixture) -> None:
    await open_room(stores, BERT)
    names = ("process", "socket", "away_at", "due_at", "stream", "seen_at")
    assert await member_fields(stores, BERT, *names) == (None, 0, None, None, None, NOW)
    assert await stores.presence.claim(NOW + 10**9) is None


@gen_test
async def test_socket_numbers_of_a_user_increase(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    processes = (PROCESS, OTHER_PROCESS, PROCESS)
    numbers = [
        (await register_socket(stores, BERT, live_id, process)).number for process in processes
    ]
    assert numbers == sorted(set(numbers))
    names = ("process", "socket", "away_at", "due_at", "v")
    assert await member_fields(stores, BERT, *names) == (PROCESS, numbers[-1], None, None, 3)


@gen_test
async def test_socket_number_is_at_least_the_database_time(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    before = await database_ms(stores)
    number = (await register_socket(stores, BERT, live_id)).number
    assert before <= number <= await database_ms(stores)


@gen_test
async def test_socket_number_exceeds_the_last_even_if_the_clock_is_behind(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT)
    ahead = await database_ms(stores) + 3_600_000
    await stores.database.collection("members").update_one(
        {"_id": BERT.user_id}, {"$set": {"socket": ahead}}
    )
    assert (await register_socket(stores, BERT, live_id)).number == ahead + 1


@gen_test
async def test_socket_numbers_keep_increasing_after_leaving_and_reentering(
    stores: StoresFixture,
) -> None:
    """Otherwise the end of the old socket would be taken for the end of the new one."""
    live_id = await open_room(stores, BERT)
    old = await register_socket(stores, BERT, live_id)
    for _ in range(3):
        await change_room(stores, live_id, lambda room: room.leave(BERT.user_id), BERT.user_id)
        await change_room(stores, live_id, lambda room: room.enter(BERT, NOW), BERT.user_id)
        new = await register_socket(stores, BERT, live_id)
        assert new.number > old.number
        await stores.presence.mark_disconnected([closed(old)])
        assert await member_fields(stores, BERT, "process", "away_at") == (PROCESS, None)
        old = new


@gen_test
async def test_concurrent_sockets_get_different_numbers(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    sockets = await asyncio.gather(*(register_socket(stores, BERT, live_id) for _ in range(8)))
    assert len({socket.number for socket in sockets}) == 8


@gen_test
async def test_sockets_of_a_batch_are_registered_by_one_bulk_write(
    stores: StoresFixture, commands: list[str]
) -> None:
    """Clients that reconnect open a second socket when the first is not answered at once."""
    live_id = await open_room(stores, *VIEWERS)
    before = await database_ms(stores)
    commands.clear()
    opened = [person for person in VIEWERS for _ in range(2)]
    sockets = await asyncio.gather(*(register_socket(stores, it, live_id) for it in opened))
    assert commands == ["update", "find"]
    for person, older, newer in zip(VIEWERS, sockets[::2], sockets[1::2], strict=True):
        assert before <= newer.number
        assert older.number < newer.number
        assert await member_fields(stores, person, "socket") == (newer.number,)


@gen_test
async def test_sockets_that_arrive_during_a_registration_share_the_next_one(
    stores: StoresFixture, commands: list[str], mongo: MongoClient[Any]
) -> None:
    live_id = await open_room(stores, BERT, *VIEWERS)
    commands.clear()
    with blocked_writes(mongo[NAME].members, BERT.user_id):
        registrations = [asyncio.ensure_future(register_socket(stores, BERT, live_id))]
        await run_ready_tasks()
        registrations += [
            asyncio.ensure_future(register_socket(stores, it, live_id)) for it in VIEWERS
        ]
        await run_ready_tasks()
        blocked_until = await database_ms(stores)
        assert commands == ["hello"]
    _, *later = await asyncio.gather(*registrations)
    assert commands == ["hello", *["update", "find"] * 2]
    assert min(socket.number for socket in later) >= blocked_until


@gen_test
async def test_sockets_that_another_process_overtakes_are_to_try_again(
    stores: StoresFixture,
) -> None:
    """The newer one may have been announced before the older ones join, which would stay open.

    They are not told that they were replaced: the order of two writes does not show which client
    is still connected, and a replaced client does not reconnect.
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


@gen_test
async def test_socket_of_a_user_who_reenters_during_its_registration_is_to_try_again(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other socket has replaced it: the client is to connect again."""
    live_id = await open_room(stores, BERT)
    collection = stores.presence._members
    bulk_write = collection.bulk_write

    async def reenter_after_write(*updates: Any, **options: Any) -> None:
        await bulk_write(*updates, **options)
        await change_room(stores, live_id, lambda room: room.leave(BERT.user_id), BERT.user_id)
        await change_room(stores, live_id, lambda room: room.enter(BERT, NOW), BERT.user_id)

    monkeypatch.setattr(collection, "bulk_write", reenter_after_write)
    with pytest.raises(TryAgain):
        await register_socket(stores, BERT, live_id)


@gen_test
async def test_socket_of_a_non_member_is_not_registered(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    before = await member_row(stores, BERT)
    for user_id, room_id in ((CARL.user_id, live_id), (BERT.user_id, live_id + 1)):
        assert await stores.presence.register_socket(user_id, room_id, PROCESS, LATER) is None
    assert await member_row(stores, BERT) == before
    assert await stores.members.get(CARL.user_id) is None


# ---- disconnecting and reconnecting


@gen_test
async def test_user_is_away_from_the_time_the_socket_closed(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    await disconnect(stores, BERT, live_id)
    assert await member_fields(stores, BERT, "process", "away_at", "v") == (None, LATER, 2)
    member = await stores.members.get(BERT.user_id)
    assert member is not None
    assert member.away_at == LATER


@pytest.mark.parametrize(
    ("person", "grace_ms"),
    [
        (HOST, GRACE.shown),
        (BERT, GRACE.shown),
        (ANNA, GRACE.viewer),
        (CARL, GRACE.viewer),
    ],
    ids=["host", "guest", "applicant", "viewer"],
)
@gen_test
async def test_first_due_time_of_an_absence_depends_on_the_role(
    stores: StoresFixture, person: Person, grace_ms: int
) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    await accept_user(stores, live_id, BERT)
    await change_room(stores, live_id, lambda room: room.apply(ANNA, NOW, 600), ANNA.user_id)
    await stores.database.collection("members").update_many({}, {"$set": {"due_at": None}})
    await disconnect(stores, person, live_id)
    assert await stores.presence.claim(LATER + grace_ms - 1) is None
    assert await stores.presence.claim(LATER + grace_ms) == pending_absence(person, live_id)


@gen_test
async def test_closing_an_older_socket_changes_nothing(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    old, new = (
        await register_socket(stores, BERT, live_id),
        await register_socket(stores, BERT, live_id, OTHER_PROCESS),
    )
    before = await member_row(stores, BERT)
    await stores.presence.mark_disconnected([closed(old)])
    assert await member_row(stores, BERT) == before
    await stores.presence.mark_disconnected([closed(new)])
    assert await member_fields(stores, BERT, "process", "away_at") == (None, LATER)


@gen_test
async def test_newer_socket_ends_the_absence(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    first = await register_socket(stores, BERT, live_id)
    await stores.presence.mark_disconnected([closed(first)])
    socket = await register_socket(stores, BERT, live_id, OTHER_PROCESS, LATER + 5)
    assert socket.number > first.number
    names = ("process", "away_at", "due_at", "seen_at")
    assert await member_fields(stores, BERT, *names) == (OTHER_PROCESS, None, None, LATER + 5)
    assert await stores.presence.claim(NOW + 10**9) is None


@gen_test
async def test_sockets_closed_in_bulk_keep_their_own_times(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    bert_socket, anna_socket = (
        await register_socket(stores, BERT, live_id),
        await register_socket(stores, ANNA, live_id),
    )
    await register_socket(stores, BERT, live_id)
    carl_socket = await register_socket(stores, CARL, live_id)
    await stores.presence.mark_disconnected(
        [closed(it, LATER + n) for n, it in enumerate([bert_socket, anna_socket, carl_socket])]
    )
    times = [(await member_fields(stores, person, "away_at"))[0] for person in (BERT, ANNA, CARL)]
    assert times == [None, LATER + 1, LATER + 2]
    await stores.presence.mark_disconnected([])


@gen_test
async def test_closing_a_socket_of_an_earlier_live_changes_nothing(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    socket = await register_socket(stores, BERT, live_id)
    await change_room(stores, live_id, lambda room: room.close("host"))
    await open_room(stores, BERT, epoch="e2")
    assert (await register_socket(stores, BERT, live_id)).epoch == "e2"
    await stores.presence.mark_disconnected([closed(socket)])
    assert await member_fields(stores, BERT, "process", "away_at") == (PROCESS, None)


@gen_test
async def test_room_change_conflicts_when_the_connection_has_changed(stores: StoresFixture) -> None:
    """A user who has just reconnected is not shown as away."""
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT)
    await disconnect(stores, BERT, live_id)
    room = await load_room(stores, live_id, BERT.user_id)
    room.apply_absence(BERT.user_id, LATER + 3_000, GRACE, since=0, streams=False)
    assert [event.type for event in room.events] == ["member_away"]
    await register_socket(stores, BERT, live_id)
    with pytest.raises(WriteConflict):
        await save_room(stores, room)
    reloaded = await load_room(stores, live_id, BERT.user_id)
    assert reloaded.male is not None
    assert not reloaded.male.away


@gen_test
async def test_open_sockets_are_reclaimed_after_their_process_was_presumed_dead(
    stores: StoresFixture,
) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    bert_socket, anna_socket = (
        await register_socket(stores, BERT, live_id),
        await register_socket(stores, ANNA, live_id),
    )
    await register_socket(stores, ANNA, live_id, OTHER_PROCESS)  # newer, in another process
    await stores.presence.mark_members_away(PROCESS, LATER)
    assert await member_fields(stores, BERT, "process", "away_at") == (None, LATER)
    version = (await member_row(stores, BERT))["v"]
    await stores.presence.claim_members([bert_socket, anna_socket], PROCESS, LATER + 5)
    names = ("process", "away_at", "due_at", "v")
    assert await member_fields(stores, BERT, *names) == (PROCESS, None, None, version + 1)
    assert await member_fields(stores, ANNA, "process") == (OTHER_PROCESS,)
    await stores.presence.claim_members([], PROCESS, LATER)


@pytest.mark.parametrize("source", ["register", "claim", "report", "seen"])
@gen_test
async def test_returning_user_on_mic_is_due_at_once(stores: StoresFixture, source: str) -> None:
    """The room may show the user as away, which the next evaluation corrects."""
    live_id = await open_room(stores, BERT)
    await accept_user(stores, live_id, BERT)
    socket = await register_socket(stores, BERT, live_id)
    away = {"away_at": NOW, "due_at": None, "process": None}
    if source in ("report", "seen"):
        away["socket"] = 0  # reports on users with a socket are ignored
    await stores.database.collection("members").update_one({"_id": BERT.user_id}, {"$set": away})
    membership = await find_membership(stores, BERT)
    match source:
        case "register":
            await register_socket(stores, BERT, live_id, now=LATER)
        case "claim":
            await stores.presence.claim_members([socket], PROCESS, LATER)
        case "report":
            assert await stores.presence.record_report(membership, present=True, now=LATER)
        case "seen":
            assert await stores.presence.seen(BERT.user_id, LATER)
    assert await member_fields(stores, BERT, "away_at", "due_at") == (None, LATER)
    assert await stores.presence.claim(LATER) == pending_absence(BERT, live_id)


# ---- queries


@gen_test
async def test_age_of_a_socket_is_by_the_database_clock(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT)
    assert await stores.presence.socket_age_ms(BERT.user_id) is None
    await register_socket(stores, BERT, live_id)
    earlier = {"$inc": {"socket": -60_000}}
    await stores.database.collection("members").update_one({"_id": BERT.user_id}, earlier)
    age = await stores.presence.socket_age_ms(BERT.user_id)
    assert age is not None
    assert 60_000 <= age < 120_000
    assert await stores.presence.socket_age_ms("unknown") is None


@gen_test
async def test_ages_of_many_sockets_are_read_together(stores: StoresFixture) -> None:
    """Thousands are asked for while the clients of a killed process reconnect."""
    async with profile_queries(stores.database, "members") as examined:
        await asyncio.gather(*(stores.presence.socket_age_ms(str(n)) for n in range(100)))
    assert len(examined) == 1


@pytest.mark.parametrize("skew_ms", [-3_600_000, 3_600_000])
@gen_test
async def test_eviction_covers_the_sockets_opened_before_whatever_the_clock_of_the_process(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch, skew_ms: int
) -> None:
    live_id = await open_room(stores, BERT)
    older = await register_socket(stores, BERT, live_id)
    await change_room(stores, live_id, lambda room: room.leave(BERT.user_id), BERT.user_id)
    listener = RecordingListener()
    keeper = Keeper(stores.rooms, listener)
    monkeypatch.setattr("services.keeper.now_ms", lambda: now_ms() + skew_ms)
    await keeper.change(live_id, lambda room: room.leave(BERT.user_id), BERT.user_id)
    monkeypatch.undo()
    await change_room(stores, live_id, lambda room: room.enter(BERT, NOW), BERT.user_id)
    newer = await register_socket(stores, BERT, live_id)
    ((*call, number),) = listener.calls
    assert call == ["evict", live_id, BERT.user_id]
    assert older.number <= number <= newer.number


@gen_test
async def test_on_mic_lists_the_users_served_by_a_process(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    await accept_user(stores, live_id, BERT)
    await accept_user(stores, live_id, ANNA)
    for person, process in (
        (HOST, PROCESS),
        (BERT, PROCESS),
        (CARL, PROCESS),
        (ANNA, OTHER_PROCESS),
    ):
        await register_socket(stores, person, live_id, process)
    assert sorted(await stores.presence.on_mic(PROCESS)) == [HOST.user_id, BERT.user_id]
    assert await stores.presence.on_mic("process-3") == []


@gen_test
async def test_served_lists_the_stored_sockets_of_a_process(stores: StoresFixture) -> None:
    live_id = await open_room(stores, BERT, ANNA, CARL)
    bert_socket = await register_socket(stores, BERT, live_id)
    await register_socket(stores, ANNA, live_id, OTHER_PROCESS)
    await disconnect(stores, CARL, live_id)
    assert await stores.presence.served(PROCESS) == [bert_socket]
    assert await stores.presence.served("process-3") == []
