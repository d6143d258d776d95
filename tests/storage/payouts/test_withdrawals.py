"""Withdrawals on a real MongoDB: their guard, claims, and what check-ledger finds in them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.transfers import TransferState
from storage.gold.ledger_reconciler import LedgerReconciler
from tests.support.storage import StoresFixture
from tests.support.withdrawal_fixture import WithdrawalFixture
from tests.support.withdrawals import ID, NOW, submitted

LEASE = timedelta(minutes=1)


async def test_a_withdrawal_is_stored_as_it_is(stores: StoresFixture) -> None:
    withdrawal = replace(submitted(), rate=Decimal("0.123"), decided_by="user", decided_at=NOW)
    await stores.withdrawals.add(withdrawal)
    assert await stores.withdrawals.find(ID) == withdrawal
    await stores.rows("withdrawals").update_one({}, {"$set": {"later": 1}})
    assert await stores.withdrawals.find(ID) == withdrawal
    assert await stores.withdrawals.find("W1") is None


async def test_due_withdrawal_that_waits_longest_is_leased_first(stores: StoresFixture) -> None:
    ids = [f"W{n}" for n in range(3)]
    for id_ in ids:
        await stores.withdrawals.add(replace(submitted(), id=id_, request_id=id_))
    rows = stores.rows("withdrawals")
    for id_, minutes in zip(ids, (-5, -4, 60), strict=True):
        at = datetime.now(UTC) + timedelta(minutes=minutes)
        await rows.update_one({"_id": id_}, {"$set": {"due_at": at}})
    claimed = [await stores.withdrawals.claim(LEASE) for _ in range(3)]
    assert [withdrawal.id if withdrawal else None for withdrawal in claimed] == [*ids[:2], None]
    assert claimed[0]
    await stores.withdrawals.postpone(claimed[0])
    row = await rows.find_one({"_id": ids[0]})
    assert row
    assert row["due_at"] - datetime.now(UTC) > 59 * LEASE
    await stores.withdrawals.postpone(replace(claimed[0], version=7))
    assert await rows.find_one({"_id": ids[0]}) == row, "it was saved meanwhile"


# ---- changes by hand


async def found(fixture: WithdrawalFixture, since: datetime | None = None) -> list[tuple[str, str]]:
    problems = await LedgerReconciler(fixture.database).problems(since)
    return [(problem.kind, problem.what) for problem in problems]


async def paid(fixture: WithdrawalFixture) -> str:
    """Id of a paid withdrawal."""
    withdrawal = await fixture.submitted()
    await fixture.notification(fixture.bank.finish(withdrawal.id, TransferState.SUCCESS))
    return withdrawal.id


@pytest.mark.parametrize("is_incremental", [False, True])
async def test_withdrawal_changed_by_hand_is_found(
    payouts: WithdrawalFixture, is_incremental: bool
) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1) if is_incremental else None
    id_ = await paid(payouts)
    held = (await payouts.request(50, "r2")).id
    assert await found(payouts, since) == []
    rows = payouts.database.collection("withdrawals")

    async def change(id_: str, **fields: Any) -> None:
        await rows.update_one({"_id": id_}, {"$set": fields})

    await change(held, income=51)
    assert await found(payouts, since) == [("held", f"held:{held}")]
    await change(held, income=50)
    await change(id_, fen=999)
    assert await found(payouts, since) == [("payout", id_)]
    await change(id_, fen=1_000, state="returned")
    assert await found(payouts, since) == [("payout", f"payout:{id_}")]
    await change(id_, state="submitted")
    both = [("held", f"held:{id_}"), ("payout", f"payout:{id_}")]
    assert await found(payouts, since) == both
    await rows.delete_one({"_id": id_})
    assert await found(payouts, since) == [("payout", f"payout:{id_}")]


async def test_entries_changed_by_hand_are_found_and_totals_are_sums(
    payouts: WithdrawalFixture,
) -> None:
    id_ = await paid(payouts)
    await payouts.request(50, "r2")
    totals = await LedgerReconciler(payouts.database).totals()
    assert (totals["held"], totals["withdrawn_fen"], totals["income"]) == (50, 1_000, 850)
    journal = payouts.database.collection("ledger")
    entry = await journal.find_one({"kind": "payout"})
    assert entry
    await journal.delete_one({"_id": entry["_id"]})
    assert await found(payouts) == [("held", f"held:{id_}"), ("payout", id_)]
    await journal.insert_one({**entry, "content": {**entry["content"], "fen": 1}})
    assert await found(payouts) == [("payout", id_)]
