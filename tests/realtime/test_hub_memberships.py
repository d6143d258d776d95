"""Sockets closed by messages from other processes: newer sockets, tokens and evictions."""

import pytest

from realtime.bus import BusMessage, ConnectionOpened, TokenRevoked, UserEvicted
from realtime.frames import CloseCode
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


async def test_the_removal_of_a_banned_user_spares_a_socket_that_was_opened_since(
    hub_fixture: HubFixture,
) -> None:
    writer = await hub_fixture.join(WriterSpy("1", number=5))
    hub_fixture.hub.evict(ROOM, "1", 4, may_not_reconnect=True)
    assert writer.code is None
    hub_fixture.hub.evict(ROOM, "1", 5, may_not_reconnect=True)
    assert writer.code == PUT_OUT


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
    await hub_fixture.join(WriterSpy("1", number=6))
    with pytest.raises(NotAMember):
        await first.finish()


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
