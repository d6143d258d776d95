"""From an order to credited gold over HTTP: payment, notification by WeChat, ledger entry."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from pymongo.database import Database

from core.limits import Rate, TokenBuckets
from runtime.process import ServerProcess
from tests.support.api import BASE, ApiFixture
from tests.support.hypothesis_profiles import repetitions
from tests.support.payments import (
    BLOCKS,
    both_providers,
    create_order,
    gold_of,
    notification_statuses,
    pay_order,
)
from tests.support.waiting import until

Db = Database[dict[str, Any]]
REPETITIONS = repetitions(1)
"""Of each kind of notification for each order; tests/services/payments/test_payment_notices.py
has more."""
CONCURRENCY = 10
UNVERIFIABLE = ("forged", "unsigned", "probe", "stale")
MISMATCHED = ("wrong_amount", "wrong_payer", "wrong_app")


@pytest.fixture(autouse=True)
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.payments.unpaid_orders.IDLE_SECONDS", 0.1)


@both_providers
async def test_paid_order_is_credited_once_for_repeated_notifications_and_delivered(
    api: ApiFixture, server: ServerProcess, db: Db
) -> None:
    provider = server.settings.pay.provider
    anna = await api.user("anna", 2)
    order_id = (await pay_order(api, await create_order(anna), "twice"))["order"]
    accepted = 204 if provider == "jsapi" else 200
    assert await notification_statuses(server) == [accepted, accepted]
    assert gold_of(db, anna) == 60
    (entry,) = db.ledger.find()
    assert (entry["_id"], entry["kind"], entry["by"]) == (
        f"recharge:{order_id}",
        "recharge",
        provider,
    )
    assert sum(line["amount"] for line in entry["lines"]) == 0
    order = db.orders.find_one({"_id": order_id})
    assert order
    assert (order["state"], order["transaction"]) == ("paid", entry["content"]["transaction"])
    (stored,) = db.inbox.find({"source": provider})
    assert (stored["outcome"], stored["times"]) == ("done", 2)
    await until(lambda: db.orders.find_one({"_id": order_id, "due_at": None}))
    if provider == "xpay":
        delivered = server.simulator.xpay.orders[order_id]  # type: ignore[union-attr]
        assert delivered["status"] == 4


@both_providers
async def test_unreported_payment_is_found_by_querying_the_provider(
    api: ApiFixture, server: ServerProcess, db: Db
) -> None:
    anna = await api.user("anna", 2)
    content = await create_order(anna)
    body = {"content": content, "outcome": "cancel"}
    result = (await api.request("POST", "/sim/phone/pay", json=body)).ok()
    assert result == {"outcome": "cancel", "order": None, "why": ""}
    order_id = (await pay_order(api, content, "never"))["order"]
    assert await notification_statuses(server) == []
    assert gold_of(db, anna) == 0
    db.orders.update_one({"_id": order_id}, [{"$set": {"due_at": "$created_at"}}])
    await until(lambda: gold_of(db, anna) == 60)
    assert db.ledger.count_documents({}) == 1


async def test_malformed_notifications_are_refused(api: ApiFixture, db: Db) -> None:
    for path in ("qlive_pay/notify/", "qlive_pay/xpay_notify/"):
        for body in (b"", b"{}", b"[", b"\xff"):
            reply = await api.request("POST", BASE + path, data=body)
            assert reply.refusal == (403, "callback_refused")
    assert (await api.request("GET", BASE + "qlive_pay/xpay_notify/")).status == 403
    assert {stored["outcome"] for stored in db.inbox.find()} == {"refused"}


# ---- in any order


@both_providers
async def test_paid_orders_are_credited_once_and_invalid_notifications_stored_and_counted(
    api: ApiFixture, server: ServerProcess, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = server.settings.pay.provider
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
    api: ApiFixture, db: Db, provider: str, unverifiable: int, mismatched: int
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
