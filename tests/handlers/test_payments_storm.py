"""Reports of one evening in any order, again and again, most of them bad: one credit per order."""

import asyncio
import random
import re
from collections import Counter
from typing import Any

import pytest
from pymongo.database import Database

from server import Server
from tencent.simulator.reports import UNPROVEN, WRONG
from tests.examples import rounds
from tests.handlers.test_payments import gold, ordered, paid, reported
from tests.phones import Street

TIMES = rounds(20)
ORDERS = 4
AT_ONCE = 10


@pytest.fixture(params=["jsapi", "xpay"])
def changes(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"pay": {"provider": request.param}}


def refused_by_metrics(text: str) -> int:
    counted = re.findall(r"^qlive_callbacks_refused_total\{.*\} ([0-9.]+)$", text, re.MULTILINE)
    return int(sum(map(float, counted)))


@pytest.mark.gen_test(timeout=120)
async def test_each_paid_order_is_credited_once_and_every_bad_report_is_kept_and_counted(
    street: Street, server: Server, db: Database[dict[str, Any]]
) -> None:
    anna, bert = await street.person("anna", 2), await street.person("bert", 1)
    contents = [await ordered(anna) for _ in range(ORDERS)]
    unpaid = await ordered(bert)
    bad = [(content, habit) for content in contents for habit in (*UNPROVEN, *WRONG)]
    bad = (bad + [(unpaid, habit) for habit in WRONG]) * (TIMES // ORDERS)
    good = [(content, "twice") for content in contents] * (TIMES // ORDERS)
    late = [(content, "late") for content in contents]
    storm = [*bad, *good]
    random.Random(4).shuffle(storm)
    storm = [*late, *storm]
    for first in range(0, len(storm), AT_ONCE):
        await asyncio.gather(*(paid(street, *one) for one in storm[first : first + AT_ONCE]))
        await reported(server)
    statuses = Counter(status // 100 for status in await reported(server))
    assert statuses == {2: 2 * len(good) + len(late), 4: len(bad)}
    assert (gold(db, anna), gold(db, bert)) == (60 * ORDERS, 0)
    assert db.ledger.count_documents({"kind": "recharge"}) == ORDERS
    kept = db.inbox.find({"outcome": "refused"})
    assert sum(note["times"] for note in kept) == len(bad)
    assert refused_by_metrics((await street.ask("GET", "/metrics")).text) == len(bad)
    assert await server.parts.books.check() == []
