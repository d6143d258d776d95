"""From an order to credited gold over HTTP: payment, notification by WeChat, ledger entry."""

from collections import Counter
from typing import Any

import pytest
from pymongo.database import Database

from core.limits import Rate, TokenBuckets
from runtime.process import ServerProcess
from tests.support.api import BASE, ApiFixture
from tests.support.payments import (
    both_providers,
    create_order,
    gold_of,
    notification_statuses,
    pay_order,
)
from tests.support.waiting import until

Db = Database[dict[str, Any]]
UNVERIFIABLE = ("forged", "unsigned", "probe", "stale")
MISMATCHED = ("wrong_amount", "wrong_payer", "wrong_app")
MISMATCHED_APP = {"jsapi": "app", "xpay": "product"}
"""Reason of the refusal of a payment of another app, by provider."""


@pytest.fixture(autouse=True)
def frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.payments.orders.IDLE_SECONDS", 0.1)


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
    for path in ("qlive_pay/notify/", "qlive_pay/xpay_notify/", "qlive_pay/transfer_notify/"):
        for body in (b"", b"{}", b"[", b"\xff"):
            reply = await api.request("POST", BASE + path, data=body)
            assert reply.refusal == (403, "callback_refused")
    assert (await api.request("GET", BASE + "qlive_pay/xpay_notify/")).status == 403
    assert {stored["outcome"] for stored in db.inbox.find()} == {"refused"}


@both_providers
async def test_invalid_notifications_are_refused_stored_and_counted_by_their_reason(
    api: ApiFixture, server: ServerProcess, db: Db
) -> None:
    provider = server.settings.pay.provider
    server.context.refused_callback_limit = TokenBuckets(Rate(0, 0))
    anna = await api.user("anna", 2)
    content = await create_order(anna)
    for report in (*UNVERIFIABLE, *MISMATCHED):
        await pay_order(api, content, report)
    assert await notification_statuses(server) == [403] * 7
    assert (gold_of(db, anna), db.ledger.count_documents({})) == (0, 0)
    (order,) = db.orders.find()
    assert (order["state"], order["reported"]) == ("created", True)
    refused = [*db.inbox.find({"outcome": "refused"})]
    by_reason = Counter[str]()
    for stored in refused:
        by_reason[stored["reason"]] += stored["times"]
    genuine = [stored["reason"] for stored in refused if stored["genuine"]]
    assert sorted(genuine) == sorted(["amount", "payer", MISMATCHED_APP[provider]])
    assert by_reason.total() == 7
    counter = "qlive_callbacks_refused_total"
    metrics = {name: n for name, n in (await api.metrics()).items() if name.startswith(counter)}
    assert metrics == {
        f'{counter}{{reason="{reason}",source="{provider}"}}': count
        for reason, count in by_reason.items()
    }
