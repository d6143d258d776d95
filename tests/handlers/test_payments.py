"""From an order to gold, over the wire: the phone pays, WeChat reports, the book is written."""

import asyncio
from typing import Any

import pytest
from pymongo.database import Database

from server import Server
from tests.phones import BASE, Phone, Street
from tests.realtime.listening import until

a_payment = pytest.mark.gen_test(timeout=30)
Db = Database[dict[str, Any]]


@pytest.fixture(params=["jsapi", "xpay"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def changes(provider: str) -> dict[str, Any]:
    return {"pay": {"provider": provider}}


async def ordered(phone: Phone) -> str:
    """The content of an order for the first block: 60 gold for 6 yuan."""
    return str((await phone.post("qlive_pay/", block_id=1)).ok()["content"])


async def paid(street: Street, content: str, report: str = "once") -> dict[str, Any]:
    asked = {"content": content, "report": report}
    said: dict[str, Any] = (await street.ask("POST", "/sim/phone/pay", json=asked)).ok()
    return said


async def reported(server: Server) -> list[int]:
    """The answers to all reports so far."""
    assert server.parts.simulator
    await server.parts.simulator.payer.quiet()  # type: ignore[union-attr]
    return list(server.parts.simulator.payer.statuses)  # type: ignore[union-attr]


def gold(db: Db, phone: Phone) -> int:
    row = db.users.find_one({"_id": phone.id})
    assert row
    return int(row["gold"])


@a_payment
async def test_what_was_paid_is_gold_once_however_often_it_is_reported(
    street: Street, server: Server, db: Db, provider: str
) -> None:
    anna = await street.person("anna", 2)
    content = await ordered(anna)
    number = (await paid(street, content, "twice"))["order"]
    assert await reported(server) == ([204, 204] if provider == "jsapi" else [200, 200])
    assert gold(db, anna) == 60
    (entry,) = db.ledger.find()
    assert (entry["_id"], entry["kind"], entry["by"]) == (
        f"recharge:{number}",
        "recharge",
        provider,
    )
    assert sum(line["amount"] for line in entry["lines"]) == 0
    order = db.orders.find_one({"_id": number})
    assert order
    assert (order["state"], order["transaction"]) == ("paid", entry["content"]["transaction"])
    (note,) = db.inbox.find({"source": provider})
    assert (note["outcome"], note["times"]) == ("done", 2)


@a_payment
async def test_a_payment_that_is_cancelled_or_not_reported_moves_nothing(
    street: Street, server: Server, db: Db
) -> None:
    anna = await street.person("anna", 2)
    content = await ordered(anna)
    asked = {"content": content, "outcome": "cancel"}
    said = (await street.ask("POST", "/sim/phone/pay", json=asked)).ok()
    assert said == {"outcome": "cancel", "order": None}
    await paid(street, content, "never")
    assert await reported(server) == []
    assert gold(db, anna) == 0


@a_payment
async def test_what_was_not_reported_is_found_by_asking(
    street: Street, server: Server, db: Db
) -> None:
    anna = await street.person("anna", 2)
    number = (await paid(street, await ordered(anna), "never"))["order"]
    db.orders.update_one({"_id": number}, {"$min": {"due_at": db.orders.find_one()["created_at"]}})
    await until(lambda: gold(db, anna) == 60, 20)
    assert db.ledger.count_documents({}) == 1
    await paid(street, "{}", "once")  # nothing that can be paid
    assert db.orders.find_one({"_id": number})["state"] == "paid"


@pytest.mark.parametrize("report", ["forged", "unsigned", "probe", "stale"])
@a_payment
async def test_a_report_that_is_not_proven_is_refused_kept_and_counted(
    street: Street, server: Server, db: Db, provider: str, report: str
) -> None:
    anna = await street.person("anna", 2)
    content = await ordered(anna)
    await paid(street, content, report)
    assert await reported(server) == [403]
    assert gold(db, anna) == 0
    (note,) = db.inbox.find({"source": provider})
    assert (note["outcome"], note["genuine"]) == ("refused", False)
    metrics = (await street.ask("GET", "/metrics")).text
    counted = f'qlive_callbacks_refused_total{{reason="{note["reason"]}",source="{provider}"}} 1.0'
    assert counted in metrics
    await paid(street, content)
    assert (await reported(server))[-1] in (200, 204)
    assert gold(db, anna) == 60, "a forgery stands in nobody's way"


@pytest.mark.parametrize(
    ("report", "reasons"),
    [
        ("wrong_amount", {"amount"}),
        ("wrong_payer", {"payer"}),
        ("wrong_app", {"app", "product"}),
    ],
)
@a_payment
async def test_a_payment_of_something_else_is_refused_kept_and_stays_so(
    street: Street, server: Server, db: Db, provider: str, report: str, reasons: set[str]
) -> None:
    anna = await street.person("anna", 2)
    await paid(street, await ordered(anna), report)
    assert await reported(server) == [403]
    assert gold(db, anna) == 0
    (note,) = db.inbox.find({"source": provider})
    assert note["outcome"] == "refused"
    assert note["reason"] in reasons
    assert db.orders.find_one()["state"] == "created"


@a_payment
async def test_reports_and_questions_at_once_credit_once(
    street: Street, server: Server, db: Db
) -> None:
    anna = await street.person("anna", 2)
    contents = [await ordered(anna) for _ in range(5)]
    await asyncio.gather(*(paid(street, content, "twice") for content in contents))
    db.orders.update_many({}, {"$min": {"due_at": db.orders.find_one()["created_at"]}})
    await reported(server)
    assert gold(db, anna) == 300
    assert db.ledger.count_documents({"kind": "recharge"}) == 5


@a_payment
async def test_what_is_no_report_is_refused(street: Street, db: Db) -> None:
    for path in ("qlive_pay/notify/", "qlive_pay/xpay_notify/"):
        for body in (b"", b"{}", b"[", b"\xff"):
            answer = await street.ask("POST", BASE + path, data=body)
            assert answer.refusal == (403, "callback_refused")
    assert (await street.ask("GET", BASE + "qlive_pay/xpay_notify/")).status == 403
    assert {note["outcome"] for note in db.inbox.find()} == {"refused"}


@a_payment
async def test_whoever_sold_the_gold_hears_that_it_is_there(
    street: Street, server: Server, db: Db, provider: str
) -> None:
    anna = await street.person("anna", 2)
    number = (await paid(street, await ordered(anna)))["order"]
    await reported(server)
    await until(lambda: db.orders.find_one({"_id": number})["due_at"] is None, 20)
    if provider == "xpay":
        bought = server.parts.simulator.xpay.orders[number]  # type: ignore[union-attr]
        assert bought["status"] == 4
    assert gold(db, anna) == 60
