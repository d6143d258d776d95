"""The metrics of open withdrawals, on MongoDB and a bank in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

from storage.payouts.withdrawal_reports import WithdrawalReportStore
from tests.support.storage import CIPHER, StoresFixture
from tests.support.withdrawal_fixture import WithdrawalFixture

HOUR = 3_600.0


async def ages(fixture: WithdrawalFixture, **changes: Any) -> dict[str, float]:
    """What /metrics shows, in whole hours, after these changes of the stored withdrawals."""
    if changes:
        await fixture.database.collection("withdrawals").update_many({}, {"$set": changes})
    oldest = (await WithdrawalReportStore(fixture.database, CIPHER).open_withdrawals()).oldest
    now = datetime.now(UTC)
    return {state: (now - at).total_seconds() // HOUR for state, at in oldest.items()}


def ago(hours: int) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


async def test_the_age_of_a_withdrawal_is_the_time_in_its_state(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores)
    withdrawal = await fixture.request()
    assert await ages(fixture, requested_at=ago(72)) == {"requested": 72}
    await fixture.service.approve(withdrawal.id, "finn")
    assert await ages(fixture) == {"approved": 0}
    assert await ages(fixture, state_since=ago(2)) == {"approved": 2}
    await fixture.sweep()
    assert await ages(fixture) == {"awaiting_user": 0}
    await fixture.age(withdrawal.id, hours=24)
    assert await ages(fixture, state_since=ago(20)) == {"awaiting_user": 20}


async def test_an_approval_that_does_not_suffice_is_no_new_state(stores: StoresFixture) -> None:
    fixture = await WithdrawalFixture.create(stores, second_person_fen=500)
    withdrawal = await fixture.request()
    assert await ages(fixture, requested_at=ago(5)) == {"requested": 5}
    await fixture.service.approve(withdrawal.id, "finn")
    assert await ages(fixture) == {"requested": 5}
