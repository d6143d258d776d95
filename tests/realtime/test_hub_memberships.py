"""Sockets closed by messages from other processes, and by comparison with stored memberships."""

import asyncio
from collections.abc import Callable

import pytest

from realtime.bus import ConnectionOpened, TokenRevoked, UserEvicted
from realtime.close_codes import CloseCode
from realtime.lease import SESSION_QUERY_SIZE, reconcile_memberships
from realtime.resume import RoomView
from rooms.errors import NotAMember
from rooms.presence import SessionState
from tests.support.hub import ROOM, HubFixture, OutboxSpy, profile_events
from tests.support.waiting import until

THIS_PROCESS = "one"
CLOSE_CODES = {
    "left": CloseCode.NOT_A_MEMBER,
    "banned": CloseCode.PUT_OUT,
    "logged_out": CloseCode.TOKEN,
}


def session(number: int = 1, process: str | None = THIS_PROCESS) -> SessionState:
    return SessionState(ROOM, "a", number, process)


class StoredMemberships:
    """Stored sessions by user id, and the close codes of users who have none."""

    def __init__(
        self, sessions: dict[str, SessionState], close_codes: dict[str, CloseCode] | None = None
    ) -> None:
        self.sessions = sessions
        self.close_codes = close_codes or {}
        self.unavailable = False
        self.queries: list[list[str]] = []
        self.checked: list[tuple[int, str]] = []
        self.after_read: Callable[[], None] = lambda: None

    async def find(self, user_ids: list[str]) -> dict[str, SessionState]:
        self.queries.append(user_ids)
        await asyncio.sleep(0)
        if self.unavailable:
            raise ConnectionError
        return {user_id: self.sessions[user_id] for user_id in user_ids if user_id in self.sessions}

    async def close_code(self, live_id: int, user_id: str) -> CloseCode | None:
        self.checked.append((live_id, user_id))
        code = self.close_codes.get(user_id)
        await asyncio.sleep(0)
        self.after_read()
        return code


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


# ---- reconciliation


@pytest.mark.gen_test(timeout=10)
async def test_reconciliation_closes_users_without_a_membership_with_the_matching_code(
    hub_fixture: HubFixture,
) -> None:
    outboxes = {
        user_id: await hub_fixture.join(OutboxSpy(user_id, number=1))
        for user_id in ("stays", *CLOSE_CODES)
    }
    memberships = StoredMemberships(
        {"stays": session(), "left": SessionState(ROOM + 1, "x", 1, THIS_PROCESS)}, CLOSE_CODES
    )
    await reconcile_memberships(hub_fixture.hub, memberships.find, memberships.close_code)
    assert {user_id: outbox.code for user_id, outbox in outboxes.items()} == {
        "stays": None,
        **CLOSE_CODES,
    }
    assert sorted(memberships.checked) == sorted((ROOM, user_id) for user_id in CLOSE_CODES)
    assert [outbox.user_id for _, outbox in hub_fixture.hub.members] == ["stays"]


@pytest.mark.gen_test(timeout=10)
@pytest.mark.parametrize(
    ("stored", "code"),
    [
        (session(2, THIS_PROCESS), CloseCode.REPLACED),
        (session(2, "two"), CloseCode.REPLACED),
        (session(2, None), CloseCode.RESTART),  # the newer socket has closed
        (session(0, None), CloseCode.RESTART),  # the user has left and entered again
    ],
)
async def test_reconciliation_closes_a_socket_whose_number_is_not_the_stored_one(
    hub_fixture: HubFixture, stored: SessionState, code: CloseCode
) -> None:
    outbox = await hub_fixture.join(OutboxSpy("1", number=1))
    memberships = StoredMemberships({"1": stored})
    await reconcile_memberships(hub_fixture.hub, memberships.find, memberships.close_code)
    assert outbox.code == code
    assert hub_fixture.hub.channels == []


@pytest.mark.gen_test(timeout=10)
async def test_live_end_is_delivered_before_reconciliation_closes_the_sockets(
    hub_fixture: HubFixture,
) -> None:
    """Reconciliation may run before the check that would deliver the event."""
    outboxes = [await hub_fixture.join(OutboxSpy(user_id, number=1)) for user_id in ("1", "2")]
    hub_fixture.stored.save("profile")
    hub_fixture.stored.save("live_end")
    memberships = StoredMemberships({}, {"1": CloseCode.ENDED, "2": CloseCode.ENDED})
    await reconcile_memberships(hub_fixture.hub, memberships.find, memberships.close_code)
    for outbox in outboxes:
        assert outbox.received_events == [("snapshot", 0), ("profile", 1), ("live_end", 2)]
        assert outbox.code == CloseCode.ENDED
    assert memberships.checked == [(ROOM, "1")], "the end has closed the second socket"


@pytest.mark.gen_test(timeout=10)
async def test_user_without_a_session_but_with_access_stays_connected(
    hub_fixture: HubFixture,
) -> None:
    """The session may be a moment old, or the lookup may have failed."""
    outbox = await hub_fixture.join(OutboxSpy("1", number=1))
    memberships = StoredMemberships({})
    await reconcile_memberships(hub_fixture.hub, memberships.find, memberships.close_code)
    assert (memberships.checked, outbox.code) == ([(ROOM, "1")], None)


@pytest.mark.gen_test(timeout=10)
async def test_failed_reconciliation_closes_no_socket_and_the_next_one_works(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join(OutboxSpy("1", number=1))
    memberships = StoredMemberships({}, {"1": CloseCode.NOT_A_MEMBER})
    memberships.unavailable = True
    with pytest.raises(ConnectionError):
        await reconcile_memberships(hub_fixture.hub, memberships.find, memberships.close_code)
    hub_fixture.store_and_publish()
    assert (outbox.code, outbox.received_events) == (None, [("snapshot", 0), *profile_events(1, 1)])
    memberships.unavailable = False
    await reconcile_memberships(hub_fixture.hub, memberships.find, memberships.close_code)
    assert outbox.code == CloseCode.NOT_A_MEMBER


@pytest.mark.gen_test(timeout=10)
async def test_user_reconnecting_during_reconciliation_keeps_the_new_socket(
    hub_fixture: HubFixture,
) -> None:
    """The close code belongs to the older socket."""
    older, newer = await hub_fixture.join(OutboxSpy("1", number=1)), OutboxSpy("1", number=2)
    view: RoomView = await hub_fixture.stored.load_view()

    async def load_view() -> RoomView:
        return view

    joining: list[asyncio.Task[OutboxSpy]] = []
    memberships = StoredMemberships({}, {"1": CloseCode.NOT_A_MEMBER})
    memberships.after_read = lambda: joining.append(
        asyncio.ensure_future(hub_fixture.join(newer, load_view=load_view))
    )
    close_code = memberships.close_code

    async def close_code_after_rejoin(live_id: int, user_id: str) -> CloseCode | None:
        code = await close_code(live_id, user_id)
        await joining[0]
        return code

    await reconcile_memberships(hub_fixture.hub, memberships.find, close_code_after_rejoin)
    assert (older.code, newer.code) == (CloseCode.REPLACED, None)


@pytest.mark.gen_test(timeout=20)
async def test_reconciliation_queries_sessions_in_batches(hub_fixture: HubFixture) -> None:
    user_ids = [f"{n:04d}" for n in range(SESSION_QUERY_SIZE + 3)]
    for user_id in user_ids:
        await hub_fixture.join(OutboxSpy(user_id, number=1))
    memberships = StoredMemberships(dict.fromkeys(user_ids, session()))
    await reconcile_memberships(hub_fixture.hub, memberships.find, memberships.close_code)
    assert [len(user_ids) for user_ids in memberships.queries] == [SESSION_QUERY_SIZE, 3]
    assert memberships.checked == []


@pytest.mark.gen_test(timeout=10)
async def test_reconciliation_returns_sockets_not_stored_as_served_here(
    hub_fixture: HubFixture,
) -> None:
    """They stay open; only the database is out of date."""
    processes: dict[str, str | None] = {
        "stored": THIS_PROCESS,
        "unassigned": None,
        "elsewhere": "two",
    }
    outboxes = {
        user_id: await hub_fixture.join(OutboxSpy(user_id, number=1)) for user_id in processes
    }
    memberships = StoredMemberships(
        {user_id: session(process=process) for user_id, process in processes.items()}
    )
    misplaced = await reconcile_memberships(
        hub_fixture.hub, memberships.find, memberships.close_code, THIS_PROCESS
    )
    assert sorted(outbox.user_id for _, outbox in misplaced) == ["elsewhere", "unassigned"]
    assert all(channel.live_id == ROOM for channel, _ in misplaced)
    assert [outbox.code for outbox in outboxes.values()] == [None] * 3


@pytest.mark.gen_test(timeout=10)
async def test_reconciliation_does_not_return_the_sockets_that_it_closes(
    hub_fixture: HubFixture,
) -> None:
    for user_id in ("older", "left"):
        await hub_fixture.join(OutboxSpy(user_id, number=1))
    memberships = StoredMemberships({"older": session(2, "two")}, {"left": CloseCode.NOT_A_MEMBER})
    assert (
        await reconcile_memberships(
            hub_fixture.hub, memberships.find, memberships.close_code, THIS_PROCESS
        )
        == []
    )


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
