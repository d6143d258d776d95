"""Sockets closed by messages from other processes: newer sockets, tokens and evictions."""

import asyncio

import pytest

from core.errors import TryAgain
from realtime.bus import BusMessage, ConnectionOpened, TokenRevoked, UserEvicted
from realtime.frames import CloseCode
from realtime.resume import ResumePosition, View
from rooms.errors import NotAMember
from tests.support.hub import ROOM, HubFixture, SlowJoin, WriterSpy, profile_events

PUT_OUT, NOT_A_MEMBER = CloseCode.PUT_OUT, CloseCode.NOT_A_MEMBER


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (ConnectionOpened(ROOM, "a", "1", 6), CloseCode.REPLACED),
        (ConnectionOpened(ROOM, "a", "1", 5), None),
        (ConnectionOpened(ROOM, "a", "1", 4), None),
        (ConnectionOpened(ROOM, "b", "1", 9), None),
        (ConnectionOpened(ROOM + 1, "a", "1", 9), None),
        (TokenRevoked("t1"), CloseCode.TOKEN),
        (UserEvicted("1", None, PUT_OUT, 5), PUT_OUT),
        (UserEvicted("1", ROOM + 1, PUT_OUT, 5), None),
        (UserEvicted("1", ROOM, NOT_A_MEMBER, 4), None),
        (UserEvicted("1", ROOM, NOT_A_MEMBER, 5), NOT_A_MEMBER),
    ],
    ids=[
        *("newer socket", "the same socket", "older socket", "another epoch", "another room"),
        *("revoked token", "evicted everywhere", "evicted elsewhere", "late eviction", "eviction"),
    ],
)
async def test_a_message_closes_the_sockets_that_it_concerns(
    hub_fixture: HubFixture, message: BusMessage, code: CloseCode | None
) -> None:
    writer = await hub_fixture.join(WriterSpy("1", number=5, token_id="t1"))
    other = await hub_fixture.join(WriterSpy("2", number=5, token_id="t2"))
    hub_fixture.hub.on_message(message)
    assert (writer.code, other.code) == (code, None)
    assert hub_fixture.hub.socket_count == (1 if code else 2)


async def test_older_socket_joining_last_does_not_replace_the_newer(
    hub_fixture: HubFixture,
) -> None:
    newer = await hub_fixture.join(WriterSpy("1", number=5))
    older = await hub_fixture.join(WriterSpy("1", number=4))
    assert (newer.code, older.code) == (None, CloseCode.REPLACED)
    hub_fixture.store_and_publish()
    assert newer.received_events == [("snapshot", 0), *profile_events(1, 1)]


# ---- during a join


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([ConnectionOpened(ROOM, "a", "1", 6)], CloseCode.REPLACED),
        ([TokenRevoked("t1")], CloseCode.TOKEN),
        ([UserEvicted("1", None, PUT_OUT, 5), TokenRevoked("t1")], PUT_OUT),
    ],
    ids=["newer socket", "revoked token", "ban, which revokes the tokens"],
)
async def test_socket_that_is_closed_while_it_joins_receives_nothing(
    hub_fixture: HubFixture, messages: list[BusMessage], code: CloseCode
) -> None:
    def receive() -> None:
        for message in messages:
            hub_fixture.hub.on_message(message)

    hub_fixture.stored.after_read = receive
    writer = await hub_fixture.join(WriterSpy("1", number=5, token_id="t1"))
    assert (writer.code, writer.received, hub_fixture.hub.channels) == (code, [], [])


@pytest.mark.parametrize(
    "message",
    [ConnectionOpened(ROOM, "a", "1", 4), UserEvicted("2", ROOM, NOT_A_MEMBER, 9)],
    ids=["older socket", "eviction of another user"],
)
async def test_message_that_does_not_concern_a_joining_socket_leaves_it_open(
    hub_fixture: HubFixture, message: BusMessage
) -> None:
    hub_fixture.stored.after_read = lambda: hub_fixture.hub.on_message(message)
    writer = await hub_fixture.join(WriterSpy("1", number=5))
    assert (writer.code, writer.received_events) == (None, [("snapshot", 0)])


async def test_evicted_socket_is_rejected_while_a_second_one_joins_concurrently(
    hub_fixture: HubFixture,
) -> None:
    """Each join reads the room by itself."""
    first = SlowJoin(hub_fixture, WriterSpy("1", number=5))
    await first.has_read()
    first.refused = NotAMember()
    hub_fixture.hub.evict(ROOM, "1", 5)
    newer = await hub_fixture.join(WriterSpy("1", number=6))
    with pytest.raises(NotAMember):
        await first.finish()
    for number, code in ((5, None), (6, PUT_OUT)):
        hub_fixture.hub.evict(ROOM, "1", number, may_not_reconnect=True)
        assert newer.code == code


async def test_eviction_of_an_older_socket_does_not_undo_a_replacement_during_a_join(
    hub_fixture: HubFixture,
) -> None:
    writer = WriterSpy("1", number=5)
    slow_join = SlowJoin(hub_fixture, writer)
    await slow_join.has_read()
    hub_fixture.hub.on_message(ConnectionOpened(ROOM, "a", "1", 7))
    hub_fixture.hub.evict(ROOM, "1", 3)
    await slow_join.finish()
    assert writer.code == CloseCode.REPLACED


async def test_user_rejoining_while_another_user_joins_keeps_the_new_socket(
    hub_fixture: HubFixture,
) -> None:
    """The eviction, remembered while another join is in progress, names the old socket only."""
    slow_join = SlowJoin(hub_fixture, WriterSpy("9", number=1))
    await slow_join.has_read()
    await hub_fixture.join(WriterSpy("1", number=5))
    hub_fixture.hub.evict(ROOM, "1", 5)
    rejoined = await hub_fixture.join(WriterSpy("1", number=6))
    await slow_join.finish()
    assert rejoined.code is None
    assert hub_fixture.hub.socket_count == 2


# ---- joining


async def test_join_gives_up_after_repeated_evictions(hub_fixture: HubFixture) -> None:
    async def load_view() -> View:
        view = await hub_fixture.stored.load_view()
        hub_fixture.hub.evict(ROOM, "1", 0)
        return view

    with pytest.raises(TryAgain):
        await hub_fixture.join(load_view=load_view)
    assert hub_fixture.hub.channels == []


async def test_joining_a_new_epoch_closes_the_sockets_of_the_old_epoch(
    hub_fixture: HubFixture,
) -> None:
    old = await hub_fixture.join(WriterSpy("1"))
    hub_fixture.stored.start_epoch("b")
    new = await hub_fixture.join(WriterSpy("2"))
    hub_fixture.store_and_publish()
    assert old.code == CloseCode.ENDED
    assert [frame["epoch"] for frame in new.received] == ["b", "b"]
    assert new.received_events == [("snapshot", 0), *profile_events(1, 1)]


async def test_two_sockets_of_a_user_joining_at_once_leave_one_open(
    hub_fixture: HubFixture,
) -> None:
    writers = await asyncio.gather(
        hub_fixture.join(WriterSpy("1")), hub_fixture.join(WriterSpy("1"))
    )
    assert [writer.code for writer in writers] == [CloseCode.REPLACED, None]
    assert hub_fixture.hub.socket_count == 1
    hub_fixture.hub.disconnect(writers[0], ROOM)
    assert hub_fixture.hub.socket_count == 1


async def test_join_that_does_not_end_with_an_open_socket_leaves_no_channel(
    hub_fixture: HubFixture,
) -> None:
    hub_fixture.stored.unavailable = True
    with pytest.raises(ConnectionError):
        await hub_fixture.join()
    assert hub_fixture.hub.channels == []
    hub_fixture.stored.unavailable = False
    closed = WriterSpy()
    hub_fixture.stored.after_read = lambda: setattr(closed, "closed", True)
    await hub_fixture.join(closed)
    assert (closed.received, hub_fixture.hub.channels) == ([], [])
    hub_fixture.stored.after_read = lambda: hub_fixture.store_and_publish("live_end")
    ended = await hub_fixture.join()
    assert (ended.code, hub_fixture.hub.channels) == (CloseCode.ENDED, [])


@pytest.mark.parametrize(
    ("epoch", "seq", "reset"),
    [("a", 4, "ahead"), ("a", 10**14, "ahead"), ("b", 3, "epoch"), ("", 0, "epoch")],
)
async def test_wrong_resume_position_is_corrected_by_a_snapshot(
    hub_fixture: HubFixture, epoch: str, seq: int, reset: str
) -> None:
    """Endless reconnects with a wrong sequence number: mattermost #30388."""
    hub_fixture.store_and_publish("profile", "profile", "profile")
    writer = await hub_fixture.join(since=ResumePosition(epoch, seq))
    assert (writer.received_events, writer.received[0]["reset"]) == ([("snapshot", 3)], reset)
    resumed = await hub_fixture.join(WriterSpy("2"), since=ResumePosition("a", 3))
    assert (resumed.received_events, resumed.received[0]["replayed"]) == ([("resumed", 3)], 0)
    hub_fixture.store_and_publish()
    for joined in (writer, resumed):
        assert joined.received_events[1:] == profile_events(4, 4)
