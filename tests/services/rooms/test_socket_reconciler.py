"""Sockets that the database no longer permits are closed, if nothing else has done it."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest

from core.errors import TryAgain
from realtime.frames import CloseCode
from rooms.errors import NotAMember, NotLive
from rooms.members import Member
from services.accounts.sessions import EvictionService
from services.errors import AccountBanned
from services.rooms import room_access
from services.rooms.presence import Lease
from services.rooms.room_access import RECONCILE_SECONDS, SocketReconciler
from storage.documents import token_id
from tests.support.hub import ROOM, HubFixture, WriterSpy
from tests.support.races import run_before
from tests.support.room_builders import ANNA, BERT
from tests.support.storage import StoresFixture
from tests.support.stored_rooms import find_membership, open_room, register_socket
from tests.support.tencent import Clock

LEASE_SECONDS = 15.0
HERE = "one"


class ReconcilerFixture:
    """A hub with sockets of stored users, and its reconciler; stands in for RoomAccess."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores, self.hub_fixture, self.clock = stores, HubFixture(), Clock(0)
        self.bus, self.hub = self.hub_fixture.bus, self.hub_fixture.hub
        self.refusals: dict[str, Exception] = {}
        self.checked: list[str] = []
        lease = Lease(stores.presence, HERE, LEASE_SECONDS)
        evictions = EvictionService(stores.evictions, self.bus, HERE)
        access: Any = self
        self.reconciler = SocketReconciler(
            self.bus, self.hub, lease, stores, evictions, access, clock=self.clock
        )

    async def authorize(self, live_id: int, user_id: str) -> None:
        assert live_id == ROOM
        self.checked.append(user_id)
        if refusal := self.refusals.get(user_id):
            raise refusal

    async def compare(self) -> None:
        """Compare sockets and memberships in both directions."""
        self.clock.now += LEASE_SECONDS
        await self.reconciler.run()

    async def join(self, user_id: str) -> WriterSpy:
        return await self.hub_fixture.join(WriterSpy(user_id, number=1))

    async def open(self) -> WriterSpy:
        (user_id,) = await self.stores.create_users((0, 0))
        token, _ = await self.stores.tokens.issue(user_id)
        return await self.hub_fixture.join(WriterSpy(user_id, token_id=token_id(token)))

    async def change_token(self, writer: WriterSpy, **fields: Any) -> None:
        tokens = self.stores.database.collection("tokens")
        await tokens.update_one({"_id": writer.token_id}, {"$set": fields})


# ---- when something is compared


@pytest.mark.parametrize(
    ("healthy", "gaps", "seconds"), [(True, 0, 15), (False, 0, 5), (True, 1, 0)]
)
async def test_memberships_are_compared_once_per_lease_and_sooner_without_the_bus(
    stores: StoresFixture, healthy: bool, gaps: int, seconds: float
) -> None:
    """Thrice per lease while it is down, and at once after a gap."""
    fixture = ReconcilerFixture(stores)
    fixture.bus.healthy = healthy
    writer = await fixture.open()
    fixture.refusals[writer.user_id] = NotAMember()
    fixture.clock.now += seconds / 2
    await fixture.reconciler.run()
    assert writer.code is None
    fixture.clock.now += seconds / 2
    fixture.bus.gaps += gaps
    await fixture.reconciler.run()
    assert writer.code == CloseCode.NOT_A_MEMBER


# ---- memberships


def session(number: int = 1, process: str | None = HERE, live_id: int = ROOM) -> Member:
    return Member("", live_id, "a", 1, "viewer", 0, socket=number, process=process)


async def test_sockets_without_their_membership_are_closed_and_others_stored_as_served_here(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_access, "QUERY_SIZE", 4)
    fixture, members = ReconcilerFixture(stores), stores.database.collection("members")
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
    fixture.refusals = {
        "in another room": NotAMember(),
        "banned": AccountBanned(),
        "whose check fails": TryAgain(),
    }
    await members.insert_many([{**asdict(row), "_id": user} for user, row in sessions.items()])
    users = (*sessions, "banned", "whose check fails", "who has access")
    writers = {user: await fixture.join(user) for user in users}
    await fixture.compare()
    assert {user: writer.code for user, writer in writers.items() if writer.code} == {
        "in another room": CloseCode.NOT_A_MEMBER,
        "banned": CloseCode.PUT_OUT,
        "replaced here": CloseCode.REPLACED,
        "replaced elsewhere": CloseCode.REPLACED,
        "whose newer socket has closed": CloseCode.RESTART,
        "who has entered again": CloseCode.RESTART,
    }
    assert sorted(fixture.checked) == sorted([*fixture.refusals, "who has access"])
    served = await members.distinct("_id", {"process": HERE, "live_id": ROOM, "socket": 1})
    assert sorted(served) == ["served by none", "served elsewhere", "served here"]
    assert len(fixture.hub.members) == 5


async def test_live_end_is_delivered_before_sockets_are_closed(stores: StoresFixture) -> None:
    """Sockets may be compared before the check that would deliver the event."""
    fixture = ReconcilerFixture(stores)
    writers = [await fixture.join(user_id) for user_id in ("1", "2")]
    fixture.hub_fixture.stored.save("profile")
    fixture.hub_fixture.stored.save("live_end")
    fixture.refusals = {"1": NotLive(), "2": NotLive()}
    await fixture.compare()
    for writer in writers:
        assert writer.received_events == [("snapshot", 0), ("profile", 1), ("live_end", 2)]
        assert writer.code == CloseCode.ENDED
    assert fixture.checked == ["1"], "the end has closed the second socket"
    assert fixture.hub.channels == []


async def test_user_reconnecting_meanwhile_keeps_the_new_socket(stores: StoresFixture) -> None:
    """The close code belongs to the older socket."""
    fixture, newer = ReconcilerFixture(stores), WriterSpy("1", number=2)
    older = await fixture.join("1")
    fixture.refusals["1"] = NotAMember()
    run_before(fixture, "authorize", lambda: fixture.hub_fixture.join(newer))
    await fixture.compare()
    assert (older.code, newer.code) == (CloseCode.REPLACED, None)


async def test_member_whose_socket_is_missing_twice_is_marked_away(stores: StoresFixture) -> None:
    """The process died before opening the socket, or the answer of MongoDB was lost."""
    fixture, live_id = ReconcilerFixture(stores), await open_room(stores, BERT, ANNA)
    await register_socket(stores, BERT, live_id, HERE)
    anna, hub = WriterSpy(ANNA.user_id), fixture.hub
    anna.member_socket = await register_socket(stores, ANNA, live_id, HERE)

    async def reconcile() -> list[bool]:
        """Whether BERT and ANNA are away afterwards."""
        await fixture.compare()
        return [bool((await find_membership(stores, p)).away_at) for p in (BERT, ANNA)]

    assert await reconcile() == [False, False], "the sockets may be joining"
    hub.connect(anna)  # type: ignore[arg-type]
    assert await reconcile() == [True, False]
    hub.disconnect(anna, live_id)  # type: ignore[arg-type]
    assert await reconcile() == [True, False]


# ---- tokens


async def test_sockets_of_ended_sessions_are_closed_with_the_matching_code(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_access, "TOKEN_ROUND_SECONDS", RECONCILE_SECONDS)
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
    run_before(stores.tokens, "invalid", AsyncMock(side_effect=ConnectionError))
    with pytest.raises(ConnectionError):
        await fixture.reconciler.run()
    assert writer.code is None
    await fixture.reconciler.run()
    assert writer.code == CloseCode.TOKEN
