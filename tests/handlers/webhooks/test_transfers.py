"""Notifications of WeChat Pay about transfers: one effect, whatever arrives."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from core.limits import Rate, TokenBuckets
from runtime.process import ServerProcess
from tests.support.api import BASE, ApiFixture
from tests.support.hypothesis_profiles import repetitions
from tests.support.income import (
    NO_MATURITY,
    confirm,
    income_of,
    notify_again,
    payee,
    withdraw,
    withdrawals_of,
)
from tests.support.payments import notification_statuses

REPETITIONS = repetitions(1)
"""Of each kind for each transfer; tests/services/payouts/test_transfer_notices.py has more."""
CONCURRENCY = 10
UNVERIFIABLE = ("forged", "unsigned", "probe", "stale")
MISMATCHED = ("wrong_amount", "wrong_merchant", "wrong_bill", "not_final")


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"withdraw": {**NO_MATURITY, "auto_fen": 1_000}}


@pytest.mark.gen_test(timeout=60)
async def test_notifications_repeated_late_forged_and_mismatched_have_one_effect(
    api: ApiFixture, server: ServerProcess, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtools.simulator.notifications.LATE_SECONDS", 0.01)
    server.context.refused_callback_limit = TokenBuckets(Rate(0, 0))
    host = await payee(api)
    withdrawals = [await withdraw(host, 100, f"r{n}") for n in range(2)]
    for withdrawal, outcome in zip(withdrawals, ("success", "failed"), strict=True):
        await confirm(api, withdrawal["package_info"], outcome=outcome, report="never")
    ids = [row["_id"] for row in db.withdrawals.find()]
    invalid = [(id_, kind) for id_ in ids for kind in (*UNVERIFIABLE, *MISMATCHED)]
    genuine = [(id_, kind) for id_ in ids for kind in ("once", "twice", "late")]
    notices = [*invalid, *genuine] * REPETITIONS
    random.Random(5).shuffle(notices)
    for start in range(0, len(notices), CONCURRENCY):
        some = notices[start : start + CONCURRENCY]
        await asyncio.gather(*(notify_again(api, id_, report) for id_, report in some))
        statuses = await notification_statuses(server)
    counts = Counter(status // 100 for status in statuses)
    sent = len(genuine) + len(ids)  # "twice" is two
    assert counts == {2: sent * REPETITIONS, 4: len(invalid) * REPETITIONS}
    states = {row["state"]: row["paid_fen"] for row in await withdrawals_of(host)}
    assert states == {"paid": 1_000, "returned": 0}
    assert await income_of(host) == 900
    kinds = Counter(
        row["kind"] for row in db.ledger.find({"content.withdrawal": {"$exists": True}})
    )
    assert kinds == {"payout": 1, "return": 1}
    refused = db.inbox.find({"source": "transfer", "outcome": "refused"})
    assert sum(row["times"] for row in refused) == len(invalid) * REPETITIONS
    assert await server.context.services.ledger_audit.check() == []


@pytest.mark.gen_test(timeout=20)
async def test_a_notification_without_a_signature_is_refused(api: ApiFixture, db: Any) -> None:
    reply = await api.request("POST", f"{BASE}qlive_pay/transfer_notify/", data=b"{}")
    assert reply.refusal == (403, "callback_refused")
    assert db.withdrawals.count_documents({}) == 0
