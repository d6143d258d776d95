"""Random order of valid, invalid and repeated payment notifications: one credit per order."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from pymongo.database import Database

from core.limits import Rate, TokenBuckets
from runtime.process import ServerProcess
from tests.support.api import ApiFixture
from tests.support.hypothesis_profiles import repetitions
from tests.support.payments import (
    BLOCKS,
    create_order,
    gold_of,
    notification_statuses,
    pay_order,
)

REPETITIONS = repetitions(1)
"""Of each kind of notification for each order; tests/services/payments/test_payment_notices.py
has more."""
CONCURRENCY = 10
UNVERIFIABLE = ("forged", "unsigned", "probe", "stale")
MISMATCHED = ("wrong_amount", "wrong_payer", "wrong_app")


@pytest.fixture(params=["jsapi", "xpay"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def changes(provider: str) -> dict[str, Any]:
    return {"pay": {"provider": provider}}


async def test_paid_orders_are_credited_once_and_invalid_notifications_stored_and_counted(
    api: ApiFixture,
    server: ServerProcess,
    db: Database[dict[str, Any]],
    provider: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("devtools.simulator.notifications.LATE_SECONDS", 0.01)
    server.context.refused_callback_limit = TokenBuckets(Rate(0, 0))
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    paid = [await create_order(anna, block_id) for block_id in BLOCKS]
    unpaid = await create_order(bert)
    unverifiable = [(order, kind) for order in paid for kind in UNVERIFIABLE] * REPETITIONS
    mismatched = [(order, kind) for order in (*paid, unpaid) for kind in MISMATCHED] * REPETITIONS
    genuine = [(order, kind) for order in paid for kind in ("twice", "late")] * REPETITIONS
    notifications = [*unverifiable, *mismatched, *genuine]
    random.Random(4).shuffle(notifications)
    for start in range(0, len(notifications), CONCURRENCY):
        some = notifications[start : start + CONCURRENCY]
        await asyncio.gather(*(pay_order(api, order, report) for order, report in some))
        statuses = await notification_statuses(server)
    accepted = 204 if provider == "jsapi" else 200
    received = len(paid) * 3 * REPETITIONS  # "twice" is two
    assert Counter(statuses) == {accepted: received, 403: len(unverifiable) + len(mismatched)}
    assert (gold_of(db, anna), gold_of(db, bert)) == (sum(BLOCKS.values()), 0)
    assert db.ledger.count_documents({"kind": "recharge"}) == len(paid)
    order = db.orders.find_one({"user_id": bert.id})
    assert order
    assert (order["state"], order["reported"]) == ("created", True)
    await assert_refusals(api, db, provider, len(unverifiable), len(mismatched))
    assert await server.context.services.ledger_audit.check() == []


async def assert_refusals(
    api: ApiFixture,
    db: Database[dict[str, Any]],
    provider: str,
    unverifiable: int,
    mismatched: int,
) -> None:
    """Refused notifications are stored as genuine or not, and counted by their reason."""
    refused = [*db.inbox.find({"outcome": "refused"})]
    times, by_reason = Counter[bool](), Counter[tuple[str, str]]()
    for stored in refused:
        times[stored["genuine"]] += stored["times"]
        by_reason[stored["reason"], provider] += stored["times"]
    assert times == {False: unverifiable, True: mismatched}
    reasons = {stored["reason"] for stored in refused if stored["genuine"]}
    assert reasons == {"amount", "payer", "app" if provider == "jsapi" else "product"}
    metrics = await api.metrics()
    for (reason, source), count in by_reason.items():
        series = f'qlive_callbacks_refused_total{{reason="{reason}",source="{source}"}}'
        assert metrics.pop(series) == count
    assert not [series for series in metrics if series.startswith("qlive_callbacks_refused_total")]
