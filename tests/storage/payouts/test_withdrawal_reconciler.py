"""What check-ledger finds in withdrawals that were changed by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.transfers import TransferState
from storage.gold.ledger_reconciler import LedgerReconciler
from tests.support.storage import StoresFixture
from tests.support.withdrawal_fixture import WithdrawalFixture


async def found(fixture: WithdrawalFixture, since: datetime | None = None) -> list[tuple[str, str]]:
    problems = await LedgerReconciler(fixture.database).problems(since)
    return [(it.kind, it.what) for it in problems]


async def paid(fixture: WithdrawalFixture) -> str:
    """Id of a paid withdrawal."""
    withdrawal = await fixture.submitted()
    await fixture.notice(fixture.bank.finish(withdrawal.id, TransferState.SUCCESS))
    return withdrawal.id


@pytest.mark.parametrize("is_incremental", [False, True])
async def test_a_withdrawal_changed_by_hand_is_found(
    stores: StoresFixture, is_incremental: bool
) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1) if is_incremental else None
    fixture = await WithdrawalFixture.create(stores)
    id_ = await paid(fixture)
    held = (await fixture.request(50, "r2")).id
    assert await found(fixture, since) == []
    rows = fixture.database.collection("withdrawals")

    async def change(id_: str, **fields: Any) -> None:
        await rows.update_one({"_id": id_}, {"$set": fields})

    await change(held, income=51)
    assert await found(fixture, since) == [("held", f"held:{held}")]
    await change(held, income=50)
    await change(id_, fen=999)
    assert await found(fixture, since) == [("payout", id_)]
    await change(id_, fen=1_000, state="returned")
    assert await found(fixture, since) == [("payout", f"payout:{id_}")]
    await change(id_, state="submitted")
    assert await found(fixture, since) == [
        *(("held", f"held:{id_}"), ("payout", f"payout:{id_}")),
    ]
    await rows.delete_one({"_id": id_})
    assert await found(fixture, since) == [("payout", f"payout:{id_}")]


async def test_entries_changed_by_hand_are_found(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    id_ = await paid(fixture)
    journal = fixture.database.collection("ledger")
    entry = await journal.find_one({"kind": "payout"})
    assert entry
    await journal.delete_one({"_id": entry["_id"]})
    assert await found(fixture) == [("held", f"held:{id_}"), ("payout", id_)]
    await journal.insert_one({**entry, "content": {**entry["content"], "fen": 1}})
    assert await found(fixture) == [("payout", id_)]


async def test_totals_have_what_is_held_and_paid(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    reconciler = LedgerReconciler(fixture.database)
    assert {(await reconciler.totals())[name] for name in ("held", "withdrawn_fen")} == {0}
    await paid(fixture)
    await fixture.request(50, "r2")
    totals = await reconciler.totals()
    assert (totals["held"], totals["withdrawn_fen"], totals["income"]) == (50, 1_000, 850)
