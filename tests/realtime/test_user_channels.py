"""User channels in the hub: their sockets, hints, transient frames and checks."""

from collections.abc import Sequence, Set
from functools import partial
from typing import Any

import pytest

from realtime.backfills import READ_SIZE, USER_CHECKS
from realtime.bus import ChannelChanged, ConnectionOpened, EventPublished, UserEvicted
from realtime.frames import CloseCode
from realtime.resume import ResumePosition
from tests.support.hub import ROOM, USER, HubFixture, SlowJoin, WriterSpy, profile_events


@pytest.fixture
def user_hub() -> HubFixture:
    return HubFixture(key=USER)


def user_socket(number: int) -> WriterSpy:
    writer = WriterSpy(USER, number)
    writer.member_socket = None
    return writer


async def test_newer_sockets_replace_only_those_below_the_oldest_that_may_stay(
    user_hub: HubFixture,
) -> None:
    """The socket of a room is none of them, whatever its number is."""
    of_room = await user_hub.join(WriterSpy(USER, 1))
    first, second = [await user_hub.join(user_socket(number)) for number in (2, 5)]
    joining = user_socket(3)
    join = SlowJoin(user_hub, joining)
    await join.has_read()
    user_hub.bus.publish(ConnectionOpened(USER, "a", USER, 4))
    await join.finish()
    codes = [writer.code for writer in (of_room, first, second, joining)]
    assert codes == [None, CloseCode.REPLACED, None, CloseCode.REPLACED]
    user_hub.bus.publish(UserEvicted(USER, None, CloseCode.PUT_OUT, 5))
    assert (of_room.code, second.code) == (CloseCode.PUT_OUT, CloseCode.PUT_OUT)
    assert user_hub.hub.channels == []


async def test_a_room_beside_the_user_channel_sends_the_heartbeats_of_both(
    user_hub: HubFixture,
) -> None:
    """An event of either reaches the socket, which is counted once and closed with the room."""
    both, alone = WriterSpy(USER, 1), user_socket(2)
    await user_hub.join(both, key=ROOM)
    await user_hub.join(both)
    await user_hub.join(alone)
    user_hub.stored.save()
    user_hub.bus.publish(ChannelChanged(USER, "events"))
    await user_hub.wait_backfilled()
    assert user_hub.hub.socket_count == 2
    assert len(user_hub.hub.members) == 1
    for now in (1.0, 100.0):
        user_hub.hub.send_heartbeats(now, every=20, silent=1000)
    beats = [
        {name: frame[name] for name in ("seq", "own_seq") if name in frame}
        for writer in (both, alone)
        for frame in writer.received
        if frame["type"] == "heartbeat"
    ]
    assert beats == [{"seq": 0, "own_seq": 1}, {"seq": 1}]
    user_hub.hub.evict(ROOM, USER, 1)
    assert (both.code, alone.code) == (CloseCode.NOT_A_MEMBER, None)
    user_hub.hub.disconnect(both, ROOM, USER)  # type: ignore[arg-type]
    assert user_hub.hub.socket_count == 1
    both_again = WriterSpy(USER, 3, token_id="t")
    await user_hub.join(both_again)
    user_hub.hub.end_sessions({"t": CloseCode.TOKEN})
    assert (both_again.code, alone.code) == (CloseCode.TOKEN, None), "another session"


async def test_what_is_not_numbered_is_read_when_it_is_sent_and_sent_if_it_differs(
    user_hub: HubFixture,
) -> None:
    reads: list[list[Any]] = []
    place: int | None = None

    async def read(channels: Sequence[tuple[str, str]]) -> dict[str, Any]:
        reads.append([*channels])
        return {user_id: {"live_id": place} for user_id, _ in channels}

    async def sent() -> list[Any]:
        await user_hub.hub.send_transient("where", read)
        return [frame["data"]["live_id"] for frame in writer.received if frame["type"] == "where"]

    writer = await user_hub.join(user_socket(1))
    assert await sent() == []
    assert reads == [], "the snapshot has it"
    await user_hub.join(user_socket(2), since=ResumePosition("a", 0))
    assert await sent() == [None]
    for place_of_time in (5, 6):  # of two changes in a second, the last one is sent
        place = place_of_time
        user_hub.bus.publish(ChannelChanged(USER, "where"))
    assert await sent() == [None, 6]
    user_hub.bus.publish(EventPublished(5, "e", 9, b"", last=True))
    assert await sent() == [None, 6]
    assert len(reads) == 2
    place = None
    user_hub.bus.publish(EventPublished(6, "e", 9, b"", last=True))
    assert await sent() == [None, 6, None]
    user_hub.hub.refresh_all()
    assert await sent() == [None, 6, None]
    assert len(reads) == 4


async def test_a_frame_for_some_users_reaches_each_of_their_sockets_once(
    user_hub: HubFixture,
) -> None:
    """Those of rooms receive it, too; one that is joining, or has closed meanwhile, does not."""
    join_room = partial(user_hub.join, key=ROOM)
    alone, both = await user_hub.join(user_socket(1)), await join_room(WriterSpy(USER, 2))
    beside = await join_room(WriterSpy("10000002", 3))
    others = [await join_room(WriterSpy(str(number), number)) for number in range(READ_SIZE)]
    join = SlowJoin(user_hub, joining := user_socket(4))
    await join.has_read()
    asked: list[set[str]] = []

    async def choose(user_ids: Set[str]) -> set[str]:
        asked.append({*user_ids})
        others[8].close(CloseCode.RESTART)
        return {*user_ids} - {"7"}

    async def received() -> list[int]:
        await user_hub.hub.send_to_users("news", {"n": 1}, choose)
        writers = (alone, both, beside, joining, *others)
        return [sum(row["type"] == "news" for row in writer.received) for writer in writers]

    expected = (number not in (7, 8) for number in range(READ_SIZE))
    assert await received() == [1, 1, 1, 0, *expected]
    assert alone.received[-1] == {"type": "news", "user_id": USER, "data": {"n": 1}}
    assert set.union(*asked) == {USER, "10000002", *map(str, range(READ_SIZE))}
    assert [len(user_ids) <= READ_SIZE for user_ids in asked] == [True, True]
    await user_hub.join(both)  # its client wants the user channel, too
    await join.finish()
    assert (await received())[:4] == [2, 2, 2, 1]


async def test_a_hint_during_a_join_is_read_afterwards(user_hub: HubFixture) -> None:
    writer = user_socket(1)
    join = SlowJoin(user_hub, writer)
    await join.has_read()
    user_hub.store_and_publish()
    await join.finish()
    await user_hub.wait_backfilled()
    assert writer.received_events == [("snapshot", 0), *profile_events(1, 1)]


async def test_a_hint_during_a_read_is_not_lost(user_hub: HubFixture) -> None:
    writer = await user_hub.join(user_socket(1))
    user_hub.stored.after_read = user_hub.store_and_publish
    user_hub.store_and_publish()
    await user_hub.wait_backfilled()
    assert writer.received_events == [("snapshot", 0), *profile_events(1, 2)]


async def test_lost_hints_of_users_are_found_by_turns_and_at_once_after_a_gap(
    user_hub: HubFixture,
) -> None:
    writers = {}
    for n in range(2 * USER_CHECKS):
        writer = writers[str(n)] = WriterSpy(str(n), 1)
        writer.member_socket = None
        await user_hub.join(writer, key=str(n))
    user_hub.stored.save()
    for checks in range(1, USER_CHECKS + 1):
        await user_hub.hub.backfills.check_users()
        told = [writer for writer in writers.values() if len(writer.received) == 2]
        assert len(told) == 2 * checks
    for change in ({"gaps": 1}, {"healthy": False}):
        user_hub.stored.save()
        vars(user_hub.bus).update(change)
        await user_hub.hub.backfills.check_users()
        assert len({len(writer.received) for writer in writers.values()}) == 1
