"""Sockets of sessions that ended unnoticed are closed within ten minutes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime.close_codes import CloseCode
from services import session_check
from services.session_check import INTERVAL, ROUND_SECONDS, OpenSessionCheck
from storage.tokens import token_id
from tests.support.hub import HubFixture, OutboxSpy
from tests.support.storage import StoresFixture

gen_test = pytest.mark.gen_test(timeout=20)
RUNS = int(ROUND_SECONDS / INTERVAL)


class SessionCheckFixture:
    """A hub with sockets of stored users, and the check of their sessions."""

    def __init__(self, stores: StoresFixture) -> None:
        self.stores, self.hub_fixture = stores, HubFixture()
        self.check = OpenSessionCheck(self.hub_fixture.hub, stores.tokens, stores.users)

    async def open(self) -> OutboxSpy:
        (user_id,) = await self.stores.create_users((0, 0))
        token, _ = await self.stores.tokens.issue(user_id)
        outbox = OutboxSpy(user_id, token_id=token_id(token))
        self.hub_fixture.hub.connect(outbox)  # type: ignore[arg-type]
        return await self.hub_fixture.join(outbox)

    async def change_token(self, outbox: OutboxSpy, **fields: Any) -> None:
        tokens = self.stores.database.collection("tokens")
        await tokens.update_one({"_id": outbox.token_id}, {"$set": fields})

    async def run(self, times: int = RUNS) -> None:
        for _ in range(times):
            await self.check.run()


def test_every_socket_is_checked_at_least_every_ten_minutes() -> None:
    assert 2 * ROUND_SECONDS < 600


@gen_test
async def test_sockets_of_ended_sessions_are_closed_with_the_matching_code(
    stores: StoresFixture,
) -> None:
    fixture = SessionCheckFixture(stores)
    valid, expired, gone, revoked, banned = [await fixture.open() for _ in range(5)]
    await fixture.change_token(expired, expires_at=datetime.now(UTC))
    await stores.database.collection("tokens").delete_one({"_id": gone.token_id})
    await stores.tokens.end_sessions(revoked.user_id)
    await stores.users.update(banned.user_id, banned=True)
    await stores.tokens.end_sessions(banned.user_id)
    await fixture.run()
    assert (expired.code, gone.code, revoked.code) == (CloseCode.TOKEN,) * 3
    assert (valid.code, banned.code) == (None, CloseCode.PUT_OUT)
    assert list(fixture.hub_fixture.hub.channels[0].sockets) == [valid.user_id]


@gen_test
async def test_socket_of_a_session_at_the_end_of_its_lifetime_is_closed(
    stores: StoresFixture,
) -> None:
    fixture = SessionCheckFixture(stores)
    outbox = await fixture.open()
    await fixture.change_token(outbox, made_at=datetime.now(UTC) - timedelta(days=180))
    await fixture.run()
    assert outbox.code == CloseCode.TOKEN


@gen_test
async def test_each_run_checks_an_equal_share_in_queries_of_limited_size(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_check, "QUERY_SIZE", 2)
    monkeypatch.setattr(session_check, "ROUND_SECONDS", 2 * INTERVAL)
    fixture = SessionCheckFixture(stores)
    ids = {(await fixture.open()).token_id for _ in range(6)}
    queries: list[list[str]] = []
    invalid = stores.tokens.invalid

    async def record(token_ids: list[str]) -> dict[str, str | None]:
        queries.append(token_ids)
        return await invalid(token_ids)

    monkeypatch.setattr(type(stores.tokens), "invalid", lambda _store, token_ids: record(token_ids))
    await fixture.run(1)
    assert [len(query) for query in queries] == [2, 1]
    await fixture.run(1)
    assert {token_id for query in queries for token_id in query} == ids
    await fixture.run(1)
    assert len(queries) == 6, "the next round"


@gen_test
async def test_share_whose_check_failed_is_checked_again(
    stores: StoresFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = SessionCheckFixture(stores)
    outbox = await fixture.open()
    await stores.tokens.end_sessions(outbox.user_id)

    async def fail(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(type(stores.tokens), "invalid", fail)
        with pytest.raises(ConnectionError):
            await fixture.run(1)
    assert outbox.code is None
    await fixture.run(1)
    assert outbox.code == CloseCode.TOKEN


@gen_test
async def test_process_without_sockets_checks_nothing(
    stores: StoresFixture, commands: list[str]
) -> None:
    await SessionCheckFixture(stores).run()
    assert commands == []
