"""The guard and the queries of the collection `withdrawals`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pymongo.errors import DuplicateKeyError

from core.errors import WriteConflict
from storage.database import Session
from storage.payouts.withdrawals import new_id
from tests.storage.test_indexes import plan_stages
from tests.support.storage import StoresFixture
from tests.support.withdrawals import ID, NOW, requested, submitted

LEASE = timedelta(minutes=1)


async def add(stores: StoresFixture, *withdrawals: object) -> None:
    async def work(tx: Session) -> None:
        for withdrawal in withdrawals:
            await stores.withdrawals.add(tx, withdrawal)  # type: ignore[arg-type]

    await stores.ledger.run_transaction(work)


async def test_a_withdrawal_is_stored_as_it_is(stores: StoresFixture) -> None:
    withdrawal = replace(submitted(), rate=Decimal("0.123"), decided_by="user", decided_at=NOW)
    await add(stores, withdrawal)
    assert await stores.withdrawals.find(ID) == withdrawal
    await stores.database.collection("withdrawals").update_one({}, {"$set": {"later": 1}})
    assert await stores.withdrawals.find(ID) == withdrawal
    assert await stores.withdrawals.find("W1") is None


async def test_a_withdrawal_is_saved_only_by_who_read_the_latest(stores: StoresFixture) -> None:
    withdrawal = requested()
    await add(stores, withdrawal)

    async def save(tx: Session) -> None:
        await stores.withdrawals.save(tx, withdrawal.approve("finn"))

    await stores.database.transaction(save)
    stored = await stores.withdrawals.find(ID)
    assert stored == replace(withdrawal.approve("finn"), version=1)
    with pytest.raises(WriteConflict):
        await stores.database.transaction(save)


async def test_a_request_id_is_stored_once_for_each_user(stores: StoresFixture) -> None:
    await add(stores, requested())
    await add(stores, replace(requested(), id="W2", user_id="bert"))
    with pytest.raises(DuplicateKeyError):
        await add(stores, replace(requested(), id="W3"))


async def test_due_withdrawals_are_leased_the_one_that_waits_longest_first(
    stores: StoresFixture,
) -> None:
    ids = [f"W{n}" for n in range(3)]
    await add(stores, *(replace(submitted(), id=id_, request_id=id_) for id_ in ids))
    rows = stores.database.collection("withdrawals")
    for n, id_ in enumerate(ids[:2]):
        at = datetime.now(UTC) - timedelta(minutes=5 - n)
        await rows.update_one({"_id": id_}, {"$set": {"due_at": at}})
    later = datetime.now(UTC) + timedelta(hours=1)
    await rows.update_one({"_id": ids[2]}, {"$set": {"due_at": later}})
    claimed = [await stores.withdrawals.claim(LEASE) for _ in range(3)]
    assert [it.id if it else None for it in claimed] == [*ids[:2], None]
    assert claimed[0]
    await stores.withdrawals.postpone(claimed[0], NOW)
    row = await rows.find_one({"_id": ids[0]})
    assert row
    assert row["due_at"] == NOW + LEASE
    await stores.withdrawals.postpone(replace(claimed[0], version=7), NOW + LEASE)
    assert await rows.find_one({"_id": ids[0]}) == row, "somebody saved it meanwhile"


@pytest.mark.parametrize(
    ("query", "order", "index"),
    [
        ({"due_at": {"$gt": NOW}}, {"due_at": 1}, "due_at"),
        ({"user_id": "anna"}, {"requested_at": -1, "_id": -1}, "user_id"),
        ({"state": "requested"}, {"requested_at": -1, "_id": -1}, "state"),
        ({"finished_at": {"$gt": NOW}}, {}, "finished_at"),
    ],
)
async def test_frequent_queries_use_an_index(
    stores: StoresFixture, query: dict[str, object], order: dict[str, int], index: str
) -> None:
    explained = await stores.database._db.command(
        {"explain": {"find": "withdrawals", "filter": query, "sort": order}}
    )
    stages = plan_stages(explained["queryPlanner"]["winningPlan"])
    assert not {"COLLSCAN", "SORT"} & {stage["stage"] for stage in stages}
    assert index in next(it["keyPattern"] for it in stages if it["stage"] == "IXSCAN")


def test_numbers_fit_wechat_pay() -> None:
    assert len(new_id()) == len(ID) <= 32
    assert new_id().isalnum()
