"""Sockets that the database no longer permits are closed, if nothing else has done it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from realtime.frames import CloseCode
from realtime.resume import RoomView
from rooms.members import Member, MemberSocket
from services.accounts.sessions import EvictionService
from services.rooms import socket_reconciler
from services.rooms.presence import Lease
from services.rooms.socket_reconciler import INTERVAL, SocketReconciler
from storage.documents import token_id
from tests.support.hub import ROOM, HubFixture, WriterSpy
from tests.support.presence import MovedClock
from tests.support.races import run_before
from tests.support.room_builders import ANNA, BERT
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import find_membership, open_room, register_socket

LEASE_SECONDS = 15.0
HERE = "one"


class ReconcilerFixture:
    """A hub with sockets of stored users, who may stay in the room, and its reconciler."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores, self.hub_fixture = stores, HubFixture()
        self.code: CloseCode | None = None
        self.bus, hub = self.hub_fixture.bus, self.hub_fixture.hub
        self.lease = Lease(stores.presence, HERE, LEASE_SECONDS)
        self.clock = MovedClock()
        evictions = EvictionService(stores.evictions, self.bus, HERE)
        self.reconciler = SocketReconciler(
            self.bus,
            hub,
            self.lease,
            stores,
            evictions,
            SimpleNamespace(reason_to_close=self.reason_to_close),  # type: ignore[arg-type]
            self.clock,
        )

    async def reason_to_close(self, _live_id: int, _user_id: str) -> CloseCode | None:
        return self.code

    async def open(self) -> WriterSpy:
        (user_id,) = await self.stores.create_users((0, 0))
        token, _ = await self.stores.tokens.issue(user_id)
        return await self.hub_fixture.join(WriterSpy(user_id, token_id=token_id(token)))

    async def change_token(self, writer: WriterSpy, **fields: Any) -> None:
        tokens = self.stores.database.collection("tokens")
        await tokens.update_one({"_id": writer.token_id}, {"$set": fields})


async def fail() -> None:
    raise ConnectionError


# ---- when something is compared


@pytest.mark.parametrize(
    ("healthy", "gaps", "seconds"), [(True, 0, 15), (False, 0, 5), (True, 1, 0)]
)
async def test_memberships_are_compared_once_per_lease_and_sooner_without_the_bus(
    stores: StoresFixture, healthy: bool, gaps: int, seconds: float
) -> None:
    """Thrice per lease while it is down, and at once after a gap."""
    fixture = ReconcilerFixture(stores)
    fixture.bus.healthy, fixture.code = healthy, CloseCode.NOT_A_MEMBER
    writer = await fixture.open()
    fixture.clock.move(seconds / 2)
    await fixture.reconciler.run()
    assert writer.code is None
    fixture.clock.move(seconds / 2)
    fixture.bus.gaps += gaps
    await fixture.reconciler.run()
    assert writer.code == CloseCode.NOT_A_MEMBER


# ---- memberships, which are in memory here


def session(number: int = 1, process: str | None = HERE, live_id: int = ROOM) -> Member:
    return Member("", live_id, "a", 1, "viewer", 0, socket=number, process=process)


class StoredMemberships:
    """Memberships by user id, the close codes of users who have none, and claims of sockets."""

    def __init__(
        self, sessions: dict[str, Member], close_codes: dict[str, CloseCode] | None = None
    ) -> None:
        self.sessions = sessions
        self.close_codes = close_codes or {}
        self.queries: list[int] = []
        """Number of users of each query."""
        self.checked: list[str] = []
        self.claimed: list[str] = []

    async def get_many(self, user_ids: list[str]) -> list[Member | None]:
        self.queries.append(len(user_ids))
        await asyncio.sleep(0)
        return [self.sessions.get(user_id) for user_id in user_ids]

    async def claim_members(self, sockets: Sequence[MemberSocket], process: str, _now: int) -> None:
        assert process == HERE
        self.claimed += [socket.user_id for socket in sockets]

    async def reason_to_close(self, live_id: int, user_id: str) -> CloseCode | None:
        assert live_id == ROOM
        self.checked.append(user_id)
        await asyncio.sleep(0)
        return self.close_codes.get(user_id)

    async def receive(self) -> None:
        """There are no stored evictions."""

    async def served(self, _process: str) -> list[MemberSocket]:
        return []

    async def mark_disconnected(self, sockets: list[MemberSocket]) -> None:
        assert not sockets

    async def reconcile(self, fixture: HubFixture) -> None:
        fake: Any = self
        stores: Any = SimpleNamespace(members=self, presence=self)
        lease = Lease(fake, HERE, 15)
        clock = MovedClock()
        reconciler = SocketReconciler(fixture.bus, fixture.hub, lease, stores, fake, fake, clock)
        clock.move(lease.seconds)
        await reconciler.run()


async def test_sockets_without_their_membership_are_closed_and_others_stored_as_served_here(
    hub_fixture: HubFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_reconciler, "QUERY_SIZE", 4)
    sessions = {
        "served here": session(),
        "served by none": session(process=None),
        "served elsewhere": session(process="two"),
        "in another room": session(live_id=ROOM + 1),
        "replaced here": session(2),
        "replaced elsewhere": session(2, "two"),
        "whose newer socket has closed": session(2, None),
        "who has entered again": session(0, None),
    }
    removed = {
        "in another room": CloseCode.NOT_A_MEMBER,
        "banned": CloseCode.PUT_OUT,
        "logged out": CloseCode.TOKEN,
    }
    memberships = StoredMemberships(sessions, removed)
    users = (*sessions, "banned", "logged out", "who has access")
    writers = {user: await hub_fixture.join(WriterSpy(user, number=1)) for user in users}
    await memberships.reconcile(hub_fixture)
    assert {user: writer.code for user, writer in writers.items() if writer.code} == {
        **removed,
        "replaced here": CloseCode.REPLACED,
        "replaced elsewhere": CloseCode.REPLACED,
        "whose newer socket has closed": CloseCode.RESTART,
        "who has entered again": CloseCode.RESTART,
    }
    assert sorted(memberships.checked) == sorted([*removed, "who has access"])
    assert sorted(memberships.claimed) == ["served by none", "served elsewhere"]
    assert memberships.queries == [4, 4, 3]
    assert len(hub_fixture.hub.members) == 4


async def test_live_end_is_delivered_before_sockets_are_closed(hub_fixture: HubFixture) -> None:
    """Sockets may be compared before the check that would deliver the event."""
    writers = [await hub_fixture.join(WriterSpy(user_id, number=1)) for user_id in ("1", "2")]
    hub_fixture.stored.save("profile")
    hub_fixture.stored.save("live_end")
    memberships = StoredMemberships({}, {"1": CloseCode.ENDED, "2": CloseCode.ENDED})
    await memberships.reconcile(hub_fixture)
    for writer in writers:
        assert writer.received_events == [("snapshot", 0), ("profile", 1), ("live_end", 2)]
        assert writer.code == CloseCode.ENDED
    assert memberships.checked == ["1"], "the end has closed the second socket"
    assert hub_fixture.hub.channels == []


async def test_user_reconnecting_meanwhile_keeps_the_new_socket(hub_fixture: HubFixture) -> None:
    """The close code belongs to the older socket."""
    older, newer = await hub_fixture.join(WriterSpy("1", number=1)), WriterSpy("1", number=2)
    view: RoomView = await hub_fixture.stored.load_view()

    async def load_view() -> RoomView:
        return view

    async def rejoin_and_close(_live_id: int, _user_id: str) -> CloseCode:
        await hub_fixture.join(newer, load_view=load_view)
        return CloseCode.NOT_A_MEMBER

    memberships = StoredMemberships({})
    memberships.reason_to_close = rejoin_and_close  # type: ignore[method-assign]
    await memberships.reconcile(hub_fixture)
    assert (older.code, newer.code) == (CloseCode.REPLACED, None)


async def test_member_whose_socket_is_missing_twice_is_marked_away(stores: StoresFixture) -> None:
    """The process died before opening the socket, or the answer of MongoDB was lost."""
    fixture, live_id = ReconcilerFixture(stores), await open_room(stores, BERT, ANNA)
    await register_socket(stores, BERT, live_id, HERE)
    anna, hub = WriterSpy(ANNA.user_id), fixture.hub_fixture.hub
    anna.member_socket = await register_socket(stores, ANNA, live_id, HERE)

    async def reconcile() -> list[bool]:
        """Whether BERT and ANNA are away afterwards."""
        fixture.clock.move(LEASE_SECONDS)
        await fixture.reconciler.run()
        return [bool((await find_membership(stores, p)).away_at) for p in (BERT, ANNA)]

    assert await reconcile() == [False, False], "the sockets may be joining"
    hub.connect(anna)  # type: ignore[arg-type]
    assert await reconcile() == [True, False]
    hub.disconnect(live_id, anna)  # type: ignore[arg-type]
    assert await reconcile() == [True, False]


# ---- tokens


async def test_sockets_of_ended_sessions_are_closed_with_the_matching_code(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_reconciler, "TOKEN_ROUND_SECONDS", INTERVAL)
    fixture = ReconcilerFixture(stores)
    valid, expired, too_old, gone, revoked, banned = [await fixture.open() for _ in range(6)]
    await fixture.change_token(expired, expires_at=datetime.now(UTC))
    await fixture.change_token(too_old, made_at=datetime.now(UTC) - timedelta(days=180))
    await stores.database.collection("tokens").delete_one({"_id": gone.token_id})
    await stores.tokens.end_sessions(revoked.user_id)
    await stores.users.update(banned.user_id, banned=True)
    await stores.tokens.end_sessions(banned.user_id)
    await fixture.reconciler.run()
    ended = (expired, too_old, gone, revoked)
    assert [writer.code for writer in ended] == [CloseCode.TOKEN] * 4
    assert (valid.code, banned.code) == (None, CloseCode.PUT_OUT)


async def test_share_whose_check_failed_is_checked_again(stores: StoresFixture) -> None:
    fixture = ReconcilerFixture(stores)
    writer = await fixture.open()
    await stores.tokens.end_sessions(writer.user_id)
    run_before(stores.tokens, "invalid", fail)
    with pytest.raises(ConnectionError):
        await fixture.reconciler.run()
    assert writer.code is None
    await fixture.reconciler.run()
    assert writer.code == CloseCode.TOKEN
