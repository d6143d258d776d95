"""Random order of valid, invalid and repeated payment notifications: one credit per order."""

import asyncio
import random
import re
from collections import Counter
from typing import Any

import pytest
from pymongo.database import Database

from core.limits import Rate, TokenBuckets
from devtools.simulator.reports import MISMATCHED, UNVERIFIABLE
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

REPETITIONS = repetitions(20)
ORDERS = len(BLOCKS)
CONCURRENCY = 10


@pytest.fixture(params=["jsapi", "xpay"])
def changes(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"pay": {"provider": request.param}}


def refused_count(text: str) -> int:
    counts = re.findall(r"^qlive_callbacks_refused_total\{.*\} ([0-9.]+)$", text, re.MULTILINE)
    return int(sum(map(float, counts)))


@pytest.mark.gen_test(timeout=120)
async def test_paid_orders_are_credited_once_and_invalid_notifications_stored_and_counted(
    api: ApiFixture, server: ServerProcess, db: Database[dict[str, Any]]
) -> None:
    server.context.refused_callback_limit = TokenBuckets(Rate(0, 0))
    anna, bert = await api.user("anna", 2), await api.user("bert", 1)
    contents = [await create_order(anna, block_id) for block_id in BLOCKS]
    unpaid_content = await create_order(bert)
    invalid = [(content, kind) for content in contents for kind in (*UNVERIFIABLE, *MISMATCHED)]
    invalid = (invalid + [(unpaid_content, kind) for kind in MISMATCHED]) * (REPETITIONS // ORDERS)
    valid = [(content, "twice") for content in contents] * (REPETITIONS // ORDERS)
    late = [(content, "late") for content in contents]
    notifications = [*invalid, *valid]
    random.Random(4).shuffle(notifications)
    notifications = [*late, *notifications]
    for start in range(0, len(notifications), CONCURRENCY):
        await asyncio.gather(
            *(
                pay_order(api, *notification)
                for notification in notifications[start : start + CONCURRENCY]
            )
        )
        await notification_statuses(server)
    statuses = Counter(status // 100 for status in await notification_statuses(server))
    assert statuses == {2: 2 * len(valid) + len(late), 4: len(invalid)}
    assert (gold_of(db, anna), gold_of(db, bert)) == (sum(BLOCKS.values()), 0)
    assert db.ledger.count_documents({"kind": "recharge"}) == ORDERS
    refused = db.inbox.find({"outcome": "refused"})
    assert sum(stored["times"] for stored in refused) == len(invalid)
    assert refused_count((await api.request("GET", "/metrics")).text) == len(invalid)
    assert await server.context.services.ledger_audit.check() == []
