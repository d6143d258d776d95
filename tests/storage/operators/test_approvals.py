from dataclasses import replace
from datetime import UTC, datetime, timedelta

from storage.database import Database
from storage.operators.approvals import KEPT, Approval, ApprovalStore

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


async def test_requests_are_listed_newest_first_in_pages(database: Database) -> None:
    approvals = ApprovalStore(database)
    for n in range(5):
        earlier = {"made_at": NOW - timedelta(minutes=n), "key": f"grant:{n}"}
        await approvals.add(replace(REQUEST, **earlier))
    first, cursor = await approvals.page("", 3, waiting=True)
    assert cursor
    second, end = await approvals.page(cursor, 3, waiting=True)
    assert [it.key for it in first + second] == [f"grant:{n}" for n in range(5)]
    assert end is None


async def test_only_what_was_declined_or_has_expired_is_set_aside_and_stays_listed(
    database: Database,
) -> None:
    approvals = ApprovalStore(database)
    await approvals.make_indexes()
    for state, is_kept in (("waiting", True), ("done", True), ("declined", False)):
        added = await approvals.add(replace(REQUEST, key=state))
        if state != "waiting":
            await approvals.decide(added.id, state, "pavel", "why")
        await approvals.set_aside(state)
        assert (await approvals.find(state) is not None) == is_kept, state
    await approvals.add(replace(REQUEST, key="expired", expires_at=NOW))
    await approvals.set_aside("expired")
    assert await approvals.find("expired") is None
    listed, _ = await approvals.page("", 9, waiting=False)
    assert sorted(it.state for it in listed) == ["declined", "done", "expired", "waiting"]


async def test_mongodb_deletes_requests_after_their_time(database: Database) -> None:
    approvals = ApprovalStore(database)
    await approvals.make_indexes()
    await approvals.add(REQUEST)
    rows = database.collection("approvals")
    assert (await rows.index_information())["delete_at_1"]["expireAfterSeconds"] == 0
    row = await rows.find_one()
    assert row
    assert row["delete_at"] - row["made_at"] == KEPT
