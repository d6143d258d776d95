"""Requests that wait for a second operator, on a real MongoDB."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.database import Database
from storage.errors import AlreadyDecided
from storage.operators.approvals import KEPT, Approval, ApprovalStore
from tests.support.storage import StoresFixture

NOW = datetime.now(UTC)
REQUEST = Approval(
    key="grant:one",
    kind="grant",
    on="10000001",
    gold=500,
    reason="compensation",
    by="olga",
    arguments={"request_id": "one"},
    made_at=NOW,
    expires_at=NOW + timedelta(days=1),
)


@pytest.fixture
def approvals(stores: StoresFixture) -> ApprovalStore:
    return stores.approvals


async def test_requests_are_listed_newest_first_in_pages_and_kept_for_their_time(
    approvals: ApprovalStore, database: Database
) -> None:
    for n in range(5):
        earlier = {"made_at": NOW - timedelta(minutes=n), "key": f"grant:{n}"}
        await approvals.request(replace(REQUEST, **earlier))
    first, cursor = await approvals.waiting("", 3)
    assert cursor
    second, end = await approvals.waiting(cursor, 3)
    assert [request.key for request in first + second] == [f"grant:{n}" for n in range(5)]
    assert end is None
    rows = await database.collection("approvals").find().to_list()
    assert {row["delete_at"] - row["made_at"] for row in rows} == {KEPT}


async def test_declined_and_expired_requests_are_set_aside(approvals: ApprovalStore) -> None:
    for state, is_kept in (("waiting", True), ("done", True), ("declined", False)):
        added = await approvals.request(replace(REQUEST, key=state))
        if state != "waiting":
            await approvals.decide(added.id, state, "pavel", "why")
            with pytest.raises(AlreadyDecided):
                await approvals.decide(added.id, "done", "olga", "again")
        await approvals.set_aside(state)
        assert (await approvals.find_key(state) is not None) == is_kept, state
    await approvals.request(replace(REQUEST, key="expired", expires_at=NOW))
    await approvals.set_aside("expired")
    assert await approvals.find_key("expired") is None
    listed, _ = await approvals.page("", 9)
    assert sorted(request.state for request in listed) == ["declined", "done", "expired", "waiting"]
