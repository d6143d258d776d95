"""Sockets compared with stored memberships, which are in memory."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from realtime.close_codes import CloseCode
from realtime.resume import RoomView
from rooms.members import Member, MemberSocket
from services.rooms.presence import Lease
from services.rooms.socket_reconciler import QUERY_SIZE, SocketReconciler
from tests.support.hub import ROOM, HubFixture, OutboxSpy, profile_events

THIS_PROCESS = "one"
CLOSE_CODES = {
    "left": CloseCode.NOT_A_MEMBER,
    "banned": CloseCode.PUT_OUT,
    "logged_out": CloseCode.TOKEN,
}


def session(number: int = 1, process: str | None = THIS_PROCESS, live_id: int = ROOM) -> Member:
    return Member("", live_id, "a", 1, "viewer", 0, socket=number, process=process)


class StoredMemberships:
    """Memberships by user id, the close codes of users who have none, and claims of sockets."""

    def __init__(
        self, sessions: dict[str, Member], close_codes: dict[str, CloseCode] | None = None
    ) -> None:
        self.sessions = sessions
        self.close_codes = close_codes or {}
        self.unavailable = False
        self.queries: list[list[str]] = []
        self.checked: list[tuple[int, str]] = []
        self.claimed: list[tuple[Sequence[MemberSocket], str]] = []
        self.after_read: Callable[[], None] = lambda: None

    async def get_many(self, user_ids: list[str]) -> list[Member | None]:
        self.queries.append(user_ids)
        await asyncio.sleep(0)
        if self.unavailable:
            raise ConnectionError
        return [self.sessions.get(user_id) for user_id in user_ids]

    async def claim_members(self, sockets: Sequence[MemberSocket], process: str, _now: int) -> None:
        self.claimed.append((sockets, process))

    async def reason_to_close(self, live_id: int, user_id: str) -> CloseCode | None:
        self.checked.append((live_id, user_id))
        code = self.close_codes.get(user_id)
        await asyncio.sleep(0)
        self.after_read()
        return code

    async def receive(self) -> None:
        """There are no stored evictions."""

    async def reconcile(self, fixture: HubFixture) -> None:
        it: Any = self
        stores: Any = SimpleNamespace(members=self, presence=self)
        lease = Lease(it, THIS_PROCESS, 15)
        reconciler = SocketReconciler(fixture.bus, fixture.hub, lease, stores, it, it)
        reconciler._checked_at -= lease.seconds
        await reconciler._check_memberships()


@pytest.fixture
def hub_fixture() -> HubFixture:
    return HubFixture()


async def test_reconciliation_closes_users_without_a_membership_with_the_matching_code(
    hub_fixture: HubFixture,
) -> None:
    outboxes = {
        user_id: await hub_fixture.join(OutboxSpy(user_id, number=1))
        for user_id in ("stays", *CLOSE_CODES)
    }
    memberships = StoredMemberships(
        {"stays": session(), "left": session(live_id=ROOM + 1)}, CLOSE_CODES
    )
    await memberships.reconcile(hub_fixture)
    assert {user_id: outbox.code for user_id, outbox in outboxes.items()} == {
        "stays": None,
        **CLOSE_CODES,
    }
    assert sorted(memberships.checked) == sorted((ROOM, user_id) for user_id in CLOSE_CODES)
    assert [outbox.user_id for _, outbox in hub_fixture.hub.members] == ["stays"]


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
    hub_fixture: HubFixture, stored: Member, code: CloseCode
) -> None:
    outbox = await hub_fixture.join(OutboxSpy("1", number=1))
    memberships = StoredMemberships({"1": stored})
    await memberships.reconcile(hub_fixture)
    assert outbox.code == code
    assert hub_fixture.hub.channels == []


async def test_live_end_is_delivered_before_reconciliation_closes_the_sockets(
    hub_fixture: HubFixture,
) -> None:
    """Reconciliation may run before the check that would deliver the event."""
    outboxes = [await hub_fixture.join(OutboxSpy(user_id, number=1)) for user_id in ("1", "2")]
    hub_fixture.stored.save("profile")
    hub_fixture.stored.save("live_end")
    memberships = StoredMemberships({}, {"1": CloseCode.ENDED, "2": CloseCode.ENDED})
    await memberships.reconcile(hub_fixture)
    for outbox in outboxes:
        assert outbox.received_events == [("snapshot", 0), ("profile", 1), ("live_end", 2)]
        assert outbox.code == CloseCode.ENDED
    assert memberships.checked == [(ROOM, "1")], "the end has closed the second socket"


async def test_user_without_a_session_but_with_access_stays_connected(
    hub_fixture: HubFixture,
) -> None:
    """The session may be a moment old, or the lookup may have failed."""
    outbox = await hub_fixture.join(OutboxSpy("1", number=1))
    memberships = StoredMemberships({})
    await memberships.reconcile(hub_fixture)
    assert (memberships.checked, outbox.code) == ([(ROOM, "1")], None)


async def test_failed_reconciliation_closes_no_socket_and_the_next_one_works(
    hub_fixture: HubFixture,
) -> None:
    outbox = await hub_fixture.join(OutboxSpy("1", number=1))
    memberships = StoredMemberships({}, {"1": CloseCode.NOT_A_MEMBER})
    memberships.unavailable = True
    with pytest.raises(ConnectionError):
        await memberships.reconcile(hub_fixture)
    hub_fixture.store_and_publish()
    assert (outbox.code, outbox.received_events) == (None, [("snapshot", 0), *profile_events(1, 1)])
    memberships.unavailable = False
    await memberships.reconcile(hub_fixture)
    assert outbox.code == CloseCode.NOT_A_MEMBER


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
    reason_to_close = memberships.reason_to_close

    async def reason_after_rejoin(live_id: int, user_id: str) -> CloseCode | None:
        code = await reason_to_close(live_id, user_id)
        await joining[0]
        return code

    memberships.reason_to_close = reason_after_rejoin  # type: ignore[method-assign]
    await memberships.reconcile(hub_fixture)
    assert (older.code, newer.code) == (CloseCode.REPLACED, None)


async def test_reconciliation_queries_sessions_in_batches(hub_fixture: HubFixture) -> None:
    user_ids = [f"{n:04d}" for n in range(QUERY_SIZE + 3)]
    for user_id in user_ids:
        await hub_fixture.join(OutboxSpy(user_id, number=1))
    memberships = StoredMemberships(dict.fromkeys(user_ids, session()))
    await memberships.reconcile(hub_fixture)
    assert [len(user_ids) for user_ids in memberships.queries] == [QUERY_SIZE, 3]
    assert memberships.checked == []


async def test_sockets_not_stored_as_served_here_are_stored_as_such(
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
    await memberships.reconcile(hub_fixture)
    claimed = [outboxes[user_id].connection for user_id in ("unassigned", "elsewhere")]
    assert memberships.claimed == [(claimed, THIS_PROCESS)]
    assert [outbox.code for outbox in outboxes.values()] == [None] * 3


async def test_sockets_that_are_closed_are_not_stored_as_served_here(
    hub_fixture: HubFixture,
) -> None:
    for user_id in ("older", "left"):
        await hub_fixture.join(OutboxSpy(user_id, number=1))
    memberships = StoredMemberships({"older": session(2, "two")}, {"left": CloseCode.NOT_A_MEMBER})
    await memberships.reconcile(hub_fixture)
    assert memberships.claimed == [([], THIS_PROCESS)]
