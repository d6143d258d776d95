"""Users' own channels in the hub: their sockets, hints, transient frames and checks."""

from collections.abc import Sequence, Set
from typing import Any

import pytest

from realtime.bus import ChannelChanged, ConnectionOpened, EventPublished, UserEvicted
from realtime.frames import CloseCode
from realtime.hub import READ_SIZE, USER_CHECKS
from realtime.resume import ResumePosition
from tests.support.hub import ROOM, USER, HubFixture, SlowJoin, WriterSpy, profile_events


@pytest.fixture
def own() -> HubFixture:
    return HubFixture(key=USER)


def own_socket(number: int) -> WriterSpy:
    writer = WriterSpy(USER, number)
    writer.member_socket = None
    return writer


async def test_newer_sockets_replace_only_those_below_the_oldest_that_may_stay(
    own: HubFixture,
) -> None:
    """The socket of a room is none of them, whatever its number is."""
    of_room = await own.join(WriterSpy(USER, 1))
    first, second = [await own.join(own_socket(number)) for number in (2, 5)]
    joining = own_socket(3)
    join = SlowJoin(own, joining)
    await join.has_read()
    own.bus.publish(ConnectionOpened(USER, "a", USER, 4))
    await join.finish()
    codes = [writer.code for writer in (of_room, first, second, joining)]
    assert codes == [None, CloseCode.REPLACED, None, CloseCode.REPLACED]
    own.bus.publish(UserEvicted(USER, None, CloseCode.PUT_OUT, 5))
    assert (of_room.code, second.code) == (CloseCode.PUT_OUT, CloseCode.PUT_OUT)
    assert own.hub.channels == []


async def test_a_room_beside_the_own_channel_sends_the_heartbeats_of_both(
    own: HubFixture,
) -> None:
    """An event of either reaches the socket, which is counted once and closed with the room."""
    both, alone = WriterSpy(USER, 1), own_socket(2)
    own.hub.connect(both)  # type: ignore[arg-type]
    await own.hub.join(ROOM, both, None, own.stored.load_view)  # type: ignore[arg-type]
    await own.join(both)
    await own.join(alone)
    own.stored.save()
    own.bus.publish(ChannelChanged(USER, "events"))
    await own.wait_backfilled()
    assert own.hub.socket_count == 2
    assert len(own.hub.members) == 1
    for now in (1.0, 100.0):
        own.hub.send_heartbeats(now, every=20, silent=1000)
    beats = [
        {name: frame[name] for name in ("seq", "own_seq") if name in frame}
        for writer in (both, alone)
        for frame in writer.received
        if frame["type"] == "heartbeat"
    ]
    assert beats == [{"seq": 0, "own_seq": 1}, {"seq": 1}]
    own.hub.evict(ROOM, USER, 1)
    assert (both.code, alone.code) == (CloseCode.NOT_A_MEMBER, None)
    own.hub.disconnect(both, ROOM, USER)  # type: ignore[arg-type]
    assert own.hub.socket_count == 1
    both_again = WriterSpy(USER, 3, token_id="t")
    await own.join(both_again)
    own.hub.end_sessions({"t": CloseCode.TOKEN})
    assert (both_again.code, alone.code) == (CloseCode.TOKEN, None), "another session"


async def test_what_is_not_numbered_is_read_when_it_is_sent_and_sent_if_it_differs(
    own: HubFixture,
) -> None:
    reads: list[list[Any]] = []
    place: int | None = None

    async def read(channels: Sequence[tuple[str, str]]) -> dict[str, Any]:
        reads.append([*channels])
        return {user_id: {"live_id": place} for user_id, _ in channels}

    async def sent() -> list[Any]:
        await own.hub.send_transient("where", read)
        return [frame["data"]["live_id"] for frame in writer.received if frame["type"] == "where"]

    writer = await own.join(own_socket(1))
    assert await sent() == []
    assert reads == [], "the snapshot has it"
    await own.join(own_socket(2), since=ResumePosition("a", 0))
    assert await sent() == [None]
    for place_of_time in (5, 6):  # of two changes in a second, the last one is sent
        place = place_of_time
        own.bus.publish(ChannelChanged(USER, "where"))
    assert await sent() == [None, 6]
    own.bus.publish(EventPublished(5, "e", 9, b"", last=True))
    assert await sent() == [None, 6]
    assert len(reads) == 2
    place = None
    own.bus.publish(EventPublished(6, "e", 9, b"", last=True))
    assert await sent() == [None, 6, None]
    own.hub.refresh_all()
    assert await sent() == [None, 6, None]
    assert len(reads) == 4


async def test_a_frame_for_some_users_reaches_each_of_their_sockets_once(own: HubFixture) -> None:
    """Those of rooms receive it, too; one that is joining, or has closed meanwhile, does not."""

    async def join_room(writer: WriterSpy) -> WriterSpy:
        own.hub.connect(writer)  # type: ignore[arg-type]
        await own.hub.join(ROOM, writer, None, own.stored.load_view)  # type: ignore[arg-type]
        return writer

    alone, both = await own.join(own_socket(1)), await join_room(WriterSpy(USER, 2))
    beside = await join_room(WriterSpy("10000002", 3))
    others = [await join_room(WriterSpy(str(number), number)) for number in range(READ_SIZE)]
    join = SlowJoin(own, joining := own_socket(4))
    await join.has_read()
    asked: list[set[str]] = []

    async def choose(user_ids: Set[str]) -> set[str]:
        asked.append({*user_ids})
        others[8].close(CloseCode.RESTART)
        return {*user_ids} - {"7"}

    async def received() -> list[int]:
        await own.hub.send_to_users("news", {"n": 1}, choose)
        writers = (alone, both, beside, joining, *others)
        return [sum(row["type"] == "news" for row in writer.received) for writer in writers]

    expected = (number not in (7, 8) for number in range(READ_SIZE))
    assert await received() == [1, 1, 1, 0, *expected]
    assert alone.received[-1] == {"type": "news", "user_id": USER, "data": {"n": 1}}
    assert set.union(*asked) == {USER, "10000002", *map(str, range(READ_SIZE))}
    assert [len(user_ids) <= READ_SIZE for user_ids in asked] == [True, True]
    await own.join(both)  # its client wants the own channel, too
    await join.finish()
    assert (await received())[:4] == [2, 2, 2, 1]


async def test_a_hint_during_a_join_is_read_afterwards(own: HubFixture) -> None:
    writer = own_socket(1)
    join = SlowJoin(own, writer)
    await join.has_read()
    own.store_and_publish()
    await join.finish()
    await own.wait_backfilled()
    assert writer.received_events == [("snapshot", 0), *profile_events(1, 1)]


async def test_a_hint_during_a_read_is_not_lost(own: HubFixture) -> None:
    writer = await own.join(own_socket(1))
    own.stored.after_read = own.store_and_publish
    own.store_and_publish()
    await own.wait_backfilled()
    assert writer.received_events == [("snapshot", 0), *profile_events(1, 2)]


async def test_lost_hints_of_users_are_found_by_turns_and_at_once_after_a_gap(
    own: HubFixture,
) -> None:
    writers = {}
    for n in range(2 * USER_CHECKS):
        writer = writers[str(n)] = WriterSpy(str(n), 1)
        writer.member_socket = None
        await own.hub.join(str(n), writer, None, own.stored.load_view)  # type: ignore[arg-type]
    own.stored.save()
    for checks in range(1, USER_CHECKS + 1):
        await own.hub.check_users()
        told = [writer for writer in writers.values() if len(writer.received) == 2]
        assert len(told) == 2 * checks
    for change in ({"gaps": 1}, {"healthy": False}):
        own.stored.save()
        vars(own.bus).update(change)
        await own.hub.check_users()
        assert len({len(writer.received) for writer in writers.values()}) == 1
