"""Sockets that the database no longer permits are closed, if nothing else has done it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from realtime.bus import UserEvicted
from realtime.close_codes import CloseCode
from services.accounts.sessions import EvictionService
from services.rooms import socket_reconciler
from services.rooms.presence import Lease
from services.rooms.socket_reconciler import INTERVAL, TOKEN_ROUND_SECONDS, SocketReconciler
from storage.accounts.tokens import EvictionStore
from storage.documents import token_id
from tests.support.hub import ROOM, HubFixture, OutboxSpy
from tests.support.storage import StoresFixture

LEASE_SECONDS = 15.0
RUNS = int(TOKEN_ROUND_SECONDS / INTERVAL)


class ReconcilerFixture:
    """A hub with sockets of stored users, who may stay in the room, and its reconciler."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores, self.hub_fixture = stores, HubFixture()
        self.code: CloseCode | None = None
        self.bus, hub = self.hub_fixture.bus, self.hub_fixture.hub
        self.lease = Lease(stores.presence, "a", LEASE_SECONDS)
        evictions = EvictionService(EvictionStore(stores.database), self.bus, "a")
        self.reconciler = SocketReconciler(
            self.bus,
            hub,
            self.lease,
            stores,  # type: ignore[arg-type]
            evictions,
            SimpleNamespace(reason_to_close=self.reason_to_close),  # type: ignore[arg-type]
        )

    async def reason_to_close(self, _live_id: int, _user_id: str) -> CloseCode | None:
        return self.code

    async def open(self) -> OutboxSpy:
        (user_id,) = await self.stores.create_users((0, 0))
        token, _ = await self.stores.tokens.issue(user_id)
        outbox = OutboxSpy(user_id, token_id=token_id(token))
        self.hub_fixture.hub.connect(outbox)  # type: ignore[arg-type]
        return await self.hub_fixture.join(outbox)

    async def change_token(self, outbox: OutboxSpy, **fields: Any) -> None:
        tokens = self.stores.database.collection("tokens")
        await tokens.update_one({"_id": outbox.token_id}, {"$set": fields})

    def pass_seconds(self, seconds: float) -> None:
        """Pretends that the memberships were last checked `seconds` earlier."""
        self.reconciler._checked_at -= seconds

    async def run(self, times: int = 1) -> None:
        for _ in range(times):
            await self.reconciler.run()

    async def check_tokens(self, times: int = RUNS) -> None:
        for _ in range(times):
            await self.reconciler._check_tokens()


async def fail(*_: object) -> None:
    raise ConnectionError


# ---- evictions


async def test_eviction_of_another_process_is_applied_in_the_next_run(
    stores: StoresFixture,
) -> None:
    fixture = ReconcilerFixture(stores)
    await fixture.run()  # a new process skips earlier evictions
    outbox = await fixture.open()
    other = ReconcilerFixture(stores)
    await other.reconciler._evictions.evict(UserEvicted(outbox.user_id, None, CloseCode.PUT_OUT))
    await fixture.run()
    assert outbox.code == CloseCode.PUT_OUT


# ---- memberships


@pytest.mark.parametrize(("healthy", "seconds"), [(True, 15), (False, 5)])
async def test_memberships_are_compared_once_per_lease_and_thrice_without_the_bus(
    stores: StoresFixture, healthy: bool, seconds: float
) -> None:
    fixture = ReconcilerFixture(stores)
    fixture.bus.healthy, fixture.code = healthy, CloseCode.NOT_A_MEMBER
    outbox = await fixture.open()
    fixture.pass_seconds(seconds / 2)
    await fixture.run()
    assert outbox.code is None
    fixture.pass_seconds(seconds / 2)
    await fixture.run()
    assert outbox.code == CloseCode.NOT_A_MEMBER


async def test_memberships_are_compared_at_once_after_a_gap_of_the_bus(
    stores: StoresFixture,
) -> None:
    fixture = ReconcilerFixture(stores)
    fixture.code = CloseCode.NOT_A_MEMBER
    outbox = await fixture.open()
    fixture.bus.gaps += 1
    await fixture.run()
    assert outbox.code == CloseCode.NOT_A_MEMBER


async def test_members_marked_away_while_the_lease_had_lapsed_are_stored_as_served_here(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = ReconcilerFixture(stores)
    outbox = await fixture.open()
    members = stores.database.collection("members")
    swept = {"live_id": ROOM, "epoch": "a", "gender": 1, "role": "viewer", "entered_at": 1}
    swept |= {"v": 0, "socket": 0, "process": None, "away_at": 1}
    await members.insert_one({"_id": outbox.user_id, **swept})
    await fixture.run()
    assert (await members.find_one({}))["away_at"] == 1, "nothing is due"
    fixture.lease.lapses += 1
    with monkeypatch.context() as patch:
        patch.setattr(type(stores.presence), "claim_members", fail)
        with pytest.raises(ConnectionError):
            await fixture.run()
    await fixture.run()
    row = await members.find_one({})
    assert (row["process"], row["away_at"], outbox.code) == ("a", None, None)


# ---- tokens


async def test_tokens_are_checked_while_a_membership_cannot_be_compared(
    stores: StoresFixture,
) -> None:
    fixture = ReconcilerFixture(stores)
    outbox = await fixture.open()
    await fixture.hub_fixture.join(OutboxSpy("another"))
    await fixture.change_token(outbox, revoked=True)
    fixture.pass_seconds(LEASE_SECONDS)
    fixture.reconciler._room_access = SimpleNamespace()  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        await fixture.run()
    assert outbox.code == CloseCode.TOKEN


def test_every_socket_is_checked_at_least_every_ten_minutes() -> None:
    assert 2 * TOKEN_ROUND_SECONDS < 600


async def test_sockets_of_ended_sessions_are_closed_with_the_matching_code(
    stores: StoresFixture,
) -> None:
    fixture = ReconcilerFixture(stores)
    valid, expired, gone, revoked, banned = [await fixture.open() for _ in range(5)]
    await fixture.change_token(expired, expires_at=datetime.now(UTC))
    await stores.database.collection("tokens").delete_one({"_id": gone.token_id})
    await stores.tokens.end_sessions(revoked.user_id)
    await stores.users.update(banned.user_id, banned=True)
    await stores.tokens.end_sessions(banned.user_id)
    await fixture.check_tokens()
    assert (expired.code, gone.code, revoked.code) == (CloseCode.TOKEN,) * 3
    assert (valid.code, banned.code) == (None, CloseCode.PUT_OUT)
    assert list(fixture.hub_fixture.hub.channels[0].sockets) == [valid.user_id]


async def test_socket_of_a_session_at_the_end_of_its_lifetime_is_closed(
    stores: StoresFixture,
) -> None:
    fixture = ReconcilerFixture(stores)
    outbox = await fixture.open()
    await fixture.change_token(outbox, made_at=datetime.now(UTC) - timedelta(days=180))
    await fixture.check_tokens()
    assert outbox.code == CloseCode.TOKEN


async def test_each_run_checks_an_equal_share_in_queries_of_limited_size(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_reconciler, "QUERY_SIZE", 2)
    monkeypatch.setattr(socket_reconciler, "TOKEN_ROUND_SECONDS", 2 * INTERVAL)
    fixture = ReconcilerFixture(stores)
    ids = {(await fixture.open()).token_id for _ in range(6)}
    queries: list[list[str]] = []
    invalid = stores.tokens.invalid

    async def record(token_ids: list[str]) -> dict[str, str | None]:
        queries.append(token_ids)
        return await invalid(token_ids)

    monkeypatch.setattr(type(stores.tokens), "invalid", lambda _store, token_ids: record(token_ids))
    await fixture.check_tokens(1)
    assert [len(query) for query in queries] == [2, 1]
    await fixture.check_tokens(1)
    assert {token_id for query in queries for token_id in query} == ids
    await fixture.check_tokens(1)
    assert len(queries) == 6, "the next round"


async def test_share_whose_check_failed_is_checked_again(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = ReconcilerFixture(stores)
    outbox = await fixture.open()
    await stores.tokens.end_sessions(outbox.user_id)
    with monkeypatch.context() as patch:
        patch.setattr(type(stores.tokens), "invalid", fail)
        with pytest.raises(ConnectionError):
            await fixture.check_tokens(1)
    assert outbox.code is None
    await fixture.check_tokens(1)
    assert outbox.code == CloseCode.TOKEN


async def test_process_without_sockets_checks_no_tokens(
    stores: StoresFixture, commands: list[str]
) -> None:
    await ReconcilerFixture(stores).check_tokens()
    assert commands == []
