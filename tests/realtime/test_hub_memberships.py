"""Sockets closed by messages from other processes."""

import asyncio

import pytest

from realtime.bus import ConnectionOpened, TokenRevoked, UserEvicted
from realtime.close_codes import CloseCode
from realtime.resume import RoomView
from rooms.errors import NotAMember
from tests.support.hub import ROOM, HubFixture, OutboxSpy, profile_events
from tests.support.waiting import until

# ---- newer sockets


@pytest.mark.gen_test(timeout=10)
async def test_newer_socket_on_another_process_replaces_the_local_socket(
    hub_fixture: HubFixture,
) -> None:
    older, other = (
        await hub_fixture.join(OutboxSpy("1", number=2)),
        await hub_fixture.join(OutboxSpy("2", number=2)),
    )
    hub_fixture.hub.on_message(ConnectionOpened(ROOM, "a", "1", 3))
    assert (older.code, other.code) == (CloseCode.REPLACED, None)
    assert hub_fixture.hub.sockets == 1


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize("number", [1, 2])
async def test_announcement_of_the_same_or_an_older_socket_closes_nothing(
    hub_fixture: HubFixture, number: int
) -> None:
    outbox = await hub_fixture.join(OutboxSpy("1", number=2))
    hub_fixture.hub.on_message(ConnectionOpened(ROOM, "a", "1", number))
    assert outbox.code is None


@pytest.mark.gen_test(timeout=10)
async def test_announcement_in_another_epoch_or_room_closes_nothing(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join(OutboxSpy("1", number=2))
    hub_fixture.hub.on_message(ConnectionOpened(ROOM, "b", "1", 9))
    hub_fixture.hub.on_message(ConnectionOpened(ROOM + 1, "a", "1", 9))
    assert outbox.code is None


@pytest.mark.gen_test(timeout=10)
async def test_socket_replaced_while_joining_is_closed(hub_fixture: HubFixture) -> None:
    hub_fixture.stored.after_read = lambda: hub_fixture.hub.on_message(
        ConnectionOpened(ROOM, "a", "1", 5)
    )
    outbox = await hub_fixture.join(OutboxSpy("1", number=4))
    assert (outbox.code, outbox.received, hub_fixture.hub.sockets) == (CloseCode.REPLACED, [], 0)


@pytest.mark.gen_test(timeout=10)
async def test_newest_socket_stays_open_when_an_older_one_is_announced_during_its_join(
    hub_fixture: HubFixture,
) -> None:
    hub_fixture.stored.after_read = lambda: hub_fixture.hub.on_message(
        ConnectionOpened(ROOM, "a", "1", 3)
    )
    outbox = await hub_fixture.join(OutboxSpy("1", number=4))
    assert (outbox.code, outbox.received_events) == (None, [("snapshot", 0)])


@pytest.mark.gen_test(timeout=10)
async def test_older_socket_joining_last_does_not_replace_the_newer(
    hub_fixture: HubFixture,
) -> None:
    newer = await hub_fixture.join(OutboxSpy("1", number=5))
    older = await hub_fixture.join(OutboxSpy("1", number=4))
    assert (newer.code, older.code) == (None, CloseCode.REPLACED)
    hub_fixture.store_and_publish()
    assert newer.received_events == [("snapshot", 0), *profile_events(1, 1)]


# ---- tokens and evictions


@pytest.mark.gen_test(timeout=10)
async def test_revoked_token_closes_only_its_own_sockets(hub_fixture: HubFixture) -> None:
    mine = await hub_fixture.join(OutboxSpy("1", token_id="t1"))
    theirs = await hub_fixture.join(OutboxSpy("2", token_id="t2"))
    hub_fixture.hub.on_message(TokenRevoked("t1"))
    assert (mine.code, theirs.code) == (CloseCode.TOKEN, None)
    assert hub_fixture.hub.sockets == 1


@pytest.mark.gen_test(timeout=10)
async def test_token_revoked_while_joining_closes_the_socket(hub_fixture: HubFixture) -> None:
    hub_fixture.stored.after_read = lambda: hub_fixture.hub.on_message(TokenRevoked("t1"))
    outbox = await hub_fixture.join(OutboxSpy("1", token_id="t1"))
    assert (outbox.code, outbox.received, hub_fixture.hub.channels) == (CloseCode.TOKEN, [], [])


@pytest.mark.gen_test(timeout=10)
async def test_eviction_without_a_room_closes_the_socket_in_any_room(
    hub_fixture: HubFixture,
) -> None:
    outbox, other = await hub_fixture.join(OutboxSpy("1")), await hub_fixture.join(OutboxSpy("2"))
    hub_fixture.hub.on_message(UserEvicted("1", None, CloseCode.PUT_OUT))
    hub_fixture.hub.on_message(UserEvicted("2", ROOM + 1, CloseCode.PUT_OUT))
    assert (outbox.code, other.code) == (CloseCode.PUT_OUT, None)


@pytest.mark.gen_test(timeout=10)
async def test_user_banned_while_joining_is_not_told_to_log_in(hub_fixture: HubFixture) -> None:
    def ban() -> None:
        hub_fixture.hub.on_message(UserEvicted("1", None, CloseCode.PUT_OUT))
        hub_fixture.hub.on_message(TokenRevoked("t1"))

    hub_fixture.stored.after_read = ban
    outbox = await hub_fixture.join(OutboxSpy("1", token_id="t1"))
    assert (outbox.code, outbox.received, hub_fixture.hub.channels) == (CloseCode.PUT_OUT, [], [])


# ---- late evictions and concurrent joins


@pytest.mark.gen_test(timeout=10)
async def test_late_eviction_does_not_close_a_newer_socket(hub_fixture: HubFixture) -> None:
    """The user left and was back before the eviction arrived."""
    outbox = await hub_fixture.join(OutboxSpy("1", number=5))
    hub_fixture.hub.on_message(UserEvicted("1", ROOM, CloseCode.NOT_A_MEMBER, 4))
    assert outbox.code is None
    hub_fixture.hub.on_message(UserEvicted("1", ROOM, CloseCode.NOT_A_MEMBER, 5))
    assert outbox.code == CloseCode.NOT_A_MEMBER


@pytest.mark.gen_test(timeout=10)
async def test_removed_user_is_closed_regardless_of_the_socket_number(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join(OutboxSpy("1", number=5))
    hub_fixture.hub.evict(ROOM, "1", 4, banned_until_left=True)
    assert outbox.code == CloseCode.PUT_OUT


@pytest.mark.gen_test(timeout=10)
async def test_evicted_socket_is_rejected_while_a_second_one_joins_concurrently(
    hub_fixture: HubFixture,
) -> None:
    """Each join reads the room by itself."""
    loaded, may_load = asyncio.Event(), asyncio.Event()

    async def slow_load() -> RoomView:
        if not loaded.is_set():
            loaded.set()
            view = await hub_fixture.stored.load_view()
            await may_load.wait()
            return view
        raise NotAMember

    first = asyncio.ensure_future(hub_fixture.join(OutboxSpy("1", number=5), load_view=slow_load))
    await loaded.wait()
    hub_fixture.hub.evict(ROOM, "1", 5)
    await hub_fixture.join(OutboxSpy("1", number=6))
    may_load.set()
    with pytest.raises(NotAMember):
        await first


@pytest.mark.gen_test(timeout=10)
async def test_eviction_of_an_older_socket_does_not_undo_a_replacement_during_a_join(
    hub_fixture: HubFixture,
) -> None:
    may_load = asyncio.Event()

    async def slow_load() -> RoomView:
        view = await hub_fixture.stored.load_view()
        await may_load.wait()
        return view

    outbox = OutboxSpy("1", number=5)
    slow_join = asyncio.ensure_future(hub_fixture.join(outbox, load_view=slow_load))
    await until(lambda: hub_fixture.hub.channels)
    hub_fixture.hub.on_message(ConnectionOpened(ROOM, "a", "1", 7))
    hub_fixture.hub.evict(ROOM, "1", 3)
    may_load.set()
    await slow_join
    assert outbox.code == CloseCode.REPLACED


@pytest.mark.gen_test(timeout=10)
async def test_user_rejoining_while_another_user_joins_keeps_the_new_socket(
    hub_fixture: HubFixture,
) -> None:
    """The eviction, remembered while another join is in progress, names the old socket only."""
    may_load = asyncio.Event()

    async def slow_load() -> RoomView:
        await may_load.wait()
        return await hub_fixture.stored.load_view()

    slow_join = asyncio.ensure_future(
        hub_fixture.join(OutboxSpy("9", number=1), load_view=slow_load)
    )
    await until(lambda: hub_fixture.hub.channels)
    await hub_fixture.join(OutboxSpy("1", number=5))
    hub_fixture.hub.evict(ROOM, "1", 5)
    rejoined = await hub_fixture.join(OutboxSpy("1", number=6))
    may_load.set()
    await slow_join
    assert rejoined.code is None
    assert hub_fixture.hub.sockets == 2
