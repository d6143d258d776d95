"""Bills of the simulator against a real database: each difference once, each step repeatable."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from core.clock import CHINA_TZ
from handlers.payments.console import BillResponse
from services.payments.bills import JOB_NAME, BillService
from storage.errors import AlreadyDecided
from storage.payments.bills import BillStore
from tencent.bills import unpack
from tests.support.bills import DAY, MONTH, NEXT_NOON, NOON, BillFixture

EACH = [
    ("missing_here", "payment", "Q-unknown"),
    ("missing_here", "refund", "R-unknown"),
    ("missing_here", "transfer", "W-unknown"),
    ("missing_there", "payment", "Q-not-there"),
    ("missing_there", "refund", "R-not-there"),
    ("missing_there", "transfer", "W-not-there"),
    ("other_amount", "payment", "Q-amount"),
    ("other_amount", "refund", "R-amount"),
    ("other_amount", "transfer", "W-amount"),
    ("other_number", "payment", "Q-number"),
    ("other_number", "transfer", "W-number"),
    ("other_state", "payment", "Q-state"),
    ("other_state", "refund", "R-state"),
    ("other_state", "transfer", "W-state"),
]


@pytest.fixture
def bills(stores, merchant, serve, make_service_client, monkeypatch) -> BillFixture:
    monkeypatch.setattr("ledger.bills.DAYS", 2)
    monkeypatch.setattr("ledger.bills.MONTHS", 1)
    return BillFixture(stores, merchant, serve, make_service_client)


async def make_each_difference(bills: BillFixture) -> None:
    """One of each kind, beside as many that agree."""
    order = await bills.paid("Q-right", fen=1000)
    for number in ("Q-amount", "Q-number", "Q-state", "Q-not-there"):
        await bills.paid(number)
    notified = bills.refund(order, "R-notified")
    await bills.book_refund(order, notified.wechat_number)
    for number in ("R-right", "R-amount", "R-state", "R-not-there"):
        bills.refund(order, number)
        await bills.close_case(order, number)
    for number in ("W-right", "W-amount", "W-number", "W-state", "W-not-there"):
        bills.transfer(number)
        await bills.withdrawal(number, state="returned" if number == "W-state" else "paid")
    unknown = {"Q-unknown": {"订单金额": "6.00", "交易状态": "SUCCESS"}}
    columns = {"商户订单号": "Q-right", "交易状态": "REFUND", "商户退款单号": "R-unknown"}
    unknown["R-unknown"] = {**columns, "申请退款金额": "1.00", "退款状态": "PROCESSING"}
    missing = {"Q-not-there": None, "R-not-there": None}
    amounts = {"Q-amount": {"订单金额": "6.01"}, "R-amount": {"申请退款金额": "1.01"}}
    numbers = {"Q-number": {"微信订单号": "another"}}
    states = {"Q-state": {"交易状态": "REVOKED"}, "R-state": {"退款状态": "FAIL"}}
    bills.fault("trade", **unknown, **missing, **amounts, **numbers, **states)
    transfer = {"业务名称": "商家转账", "收支类型": "支出", "收支金额(元)": "3.00"}
    changes = {"W-not-there": None, "W-amount": {"收支金额(元)": "9.99"}, "W-unknown": transfer}
    changes["W-number"] = {"微信支付业务单号": "another"}
    bills.fault("fund_operation", **changes)


async def test_each_difference_is_found_once_by_processes_at_once_and_one_that_repeats(bills):
    await make_each_difference(bills)
    await asyncio.gather(*(bills.new_service().reconcile(DAY) for _ in range(4)))
    assert await bills.differences() == EACH
    sentences = await bills.service.reconcile(DAY)
    assert await bills.differences() == EACH
    assert len(sentences) == len(EACH)
    assert "other_amount: payment Q-amount, 601 fen there, 600 fen here" in sentences
    assert "missing_here: payment Q-unknown, 600 fen there, None fen here order" in sentences
    another = await bills.stores.bills.difference("other_number:payment:Q-number")
    assert (another["fen_there"], another["fen_here"], another["detail"]) == (600, 600, "another")
    for number in ("missing_here:refund:R-unknown", "other_amount:refund:R-amount"):
        assert (await bills.stores.bills.difference(number))["user_id"] == bills.user_id
    trade, fund = await bills.bill(f"trade:{DAY}"), await bills.bill(f"fund:{DAY}")
    assert [(bill["rows"], bill["state"]) for bill in (trade, fund)] == [(10, "done"), (5, "done")]


async def test_differences_close_when_a_later_bill_or_booking_has_them(bills):
    late, unknown = await bills.paid("Q-late"), await bills.paid("Q-refunded")
    bills.fault("trade", **{"Q-late": None})
    refund = bills.refund(unknown, "R-late")
    await bills.withdrawal("W-late", state="submitted")
    bills.transfer("W-late")
    await bills.service.run(NEXT_NOON)
    assert await bills.differences() == [
        ("missing_here", "refund", "R-late"),
        ("missing_here", "transfer", "W-late"),
        ("missing_there", "payment", "Q-late"),
    ]
    await bills.book_refund(unknown, refund.wechat_number)
    rows = bills.stores.database.collection("withdrawals")
    await rows.update_one({"_id": "W-late"}, {"$set": {"state": "paid"}})
    next_day = {"商户订单号": late.number, "订单金额": "6.00", "交易状态": "SUCCESS"}
    bills.simulator.pay.paid.clear()
    bills.fault("trade", **{late.number: next_day})
    for _ in range(2):  # the day before is compared before its payment is found in the next bill
        assert not await bills.service.run(NEXT_NOON + timedelta(days=1))
    assert await bills.differences() == []
    assert len(await bills.differences("agreed")) == 3
    result = await bills.stores.job_leases.last_result(JOB_NAME)
    at = (NEXT_NOON + timedelta(days=1)).timestamp()
    assert result == {"at": at, "checked_at": at}


async def test_the_number_of_open_differences_follows_a_closed_one_in_every_process(bills):
    await bills.paid("Q1")
    bills.fault("trade", Q1={"订单金额": "7.00"})
    await bills.service.reconcile(DAY)
    services = bills.service, bills.new_service()
    for is_open in (1, 0):
        for service in services:
            await service.run_if_due()  # due at first only
            assert service.open_count == is_open
        with suppress(AlreadyDecided):
            await bills.stores.bills.close("other_amount:payment:Q1", "olga", "a coupon")


async def test_a_closed_difference_stays_closed_and_one_that_returns_is_open_again(bills):
    await bills.paid("Q1")
    await bills.paid("Q2")
    bills.fault("trade", Q1={"订单金额": "7.00"}, Q2={"订单金额": "7.00"})
    await bills.service.reconcile(DAY)
    await bills.stores.bills.close("other_amount:payment:Q1", "olga", "a coupon")
    orders = bills.stores.database.collection("orders")
    for fen, state in ((700, "agreed"), (600, "open")):
        await orders.update_many({}, {"$set": {"fen": fen}})
        await bills.service.reconcile(DAY)
        assert await bills.differences(state) == [("other_amount", "payment", "Q2")]
        assert await bills.differences("settled") == [("other_amount", "payment", "Q1")]
    again = await bills.stores.bills.difference("other_amount:payment:Q2")
    assert again["closed_at"] is None


async def test_a_transfer_that_comes_back_stays_a_difference_when_its_day_is_compared_again(bills):
    next_day = (NOON + timedelta(days=1)).date().isoformat()
    await bills.withdrawal("W1")
    bills.transfer("W1")
    assert await bills.service.reconcile(DAY) == []
    back = {"业务名称": "商家转账", "收支类型": "收入", "收支金额(元)": "10.00"}
    bills.simulator.transfers.bills.clear()
    bills.fault("fund_operation", W1=back)
    for day in (next_day, DAY):
        await bills.service.reconcile(day)
        assert await bills.differences() == [("other_state", "transfer", "W1")]


async def test_what_a_bill_has_is_never_missing_there_though_it_is_booked_later(bills):
    order = await bills.order("Q1")
    payment = bills.pay(order)
    bills.service.providers = {}
    await bills.service.reconcile(DAY)
    await bills.stores.bills.close("missing_here:payment:Q1", "olga", "a late notification")
    await bills.record(payment, NEXT_NOON)
    bills.simulator.pay.paid.clear()
    await bills.service.run(NEXT_NOON + timedelta(days=1))
    assert await bills.differences() == []


@pytest.mark.parametrize(("provider", "source"), [("jsapi", "trade"), ("xpay", "xpay")])
async def test_a_payment_missing_here_is_credited_once_beside_its_notification(
    bills, provider, source
):
    order = await bills.order("Q1", provider=provider)
    payment = bills.pay(order)
    await asyncio.gather(
        bills.service.reconcile(DAY), bills.payments.credit(payment), bills.service.reconcile(DAY)
    )
    assert (await bills.stores.balance(bills.user_id)).gold == 60
    assert await bills.differences() == []
    row = await bills.stores.database.collection("orders").find_one({"_id": "Q1"})
    assert (row["state"], row["billed"]) == ("paid", DAY)


async def test_a_payment_that_its_provider_does_not_confirm_is_not_credited(bills):
    unpaid, wrong = await bills.order("Q-unpaid"), await bills.order("Q-wrong")
    bills.pay(wrong)
    bills.simulator.pay.paid[wrong.number]["payer"]["openid"] = "oSomebodyElse"
    columns = {"订单金额": "6.00", "交易状态": "SUCCESS"}
    bills.simulator.pay.orders[unpaid.number] = {"appid": "", "mchid": "", "out_trade_no": "Q"}
    bills.fault("trade", **{unpaid.number: columns})
    await bills.service.reconcile(DAY)
    assert (await bills.stores.balance(bills.user_id)).gold == 0
    rows = bills.stores.database.collection("bill_differences").find().sort("_id", 1)
    details = {row["number"]: row["detail"] async for row in rows}
    assert details == {"Q-unpaid": "pay_away", "Q-wrong": "payer"}
    bills.simulator.outage["pay"] = 503
    bills.service.providers = {}
    await bills.service.reconcile(DAY)  # the bill is stored
    assert len(await bills.differences()) == 2


@pytest.mark.parametrize(
    ("source", "fault", "state", "problem"),
    [
        ("trade", "late", "waiting", "STATEMENT_CREATING"),
        ("trade", "hash", "waiting", "hash"),
        ("xpay", "late", "waiting", "268490011"),
        ("trade", "malformed", "unreadable", ""),
        ("xpay", "malformed", "unreadable", ""),
    ],
)
async def test_a_bill_that_cannot_be_had_or_read_is_asked_for_again(
    bills, source, fault, state, problem
):
    """Nothing is missing before the bill is there; an unreadable one is a difference."""
    await bills.paid("Q1", provider="jsapi" if source == "trade" else "xpay")
    bills.fault(source, fault)
    assert await bills.service.run(NEXT_NOON) == (state == "waiting")
    bill = await bills.bill(f"{source}:{DAY}")
    assert bill["state"] == state
    assert problem in bill["problem"]
    assert await bills.stores.bills.file(bill["_id"]) is None
    differences = [("unreadable", "bill", bill["_id"])] if state == "unreadable" else []
    assert await bills.differences() == differences
    assert await bills.service.reconcile(DAY)
    bills.fault(source)
    await bills.service.run(NEXT_NOON)
    assert (await bills.bill(bill["_id"]))["state"] == "done"
    assert await bills.service.reconcile(DAY) == []


async def test_the_time_of_the_last_full_comparison_stays_while_a_bill_is_late(bills):
    bills.clock.now = NEXT_NOON.timestamp()
    await bills.service.run(NEXT_NOON)
    bills.fault("trade", "late")
    later = NEXT_NOON + timedelta(days=1)
    await bills.service.run(later)
    result = await bills.stores.job_leases.last_result(JOB_NAME)
    assert (result["at"], result["checked_at"]) == (later.timestamp(), NEXT_NOON.timestamp())


async def test_a_bill_of_a_day_without_business_is_empty(bills):
    await bills.paid("Q1")
    bills.fault("trade", Q1=None)
    assert await bills.service.reconcile(DAY)
    assert (await bills.bill(f"trade:{DAY}"))["rows"] == 0
    assert await bills.differences() == [("missing_there", "payment", "Q1")]


async def test_a_bill_that_is_sent_twice_is_compared_once(bills):
    await bills.paid("Q1")
    bills.fault("trade", "twice", Q2={"订单金额": "6.00", "交易状态": "SUCCESS"})
    await bills.service.reconcile(DAY)
    assert await bills.differences() == [("missing_here", "payment", "Q2")]


async def test_orders_of_ios_are_in_apples_bill_of_the_month_or_the_next(bills):
    for number in ("Q1", "Q2"):
        order = await bills.order(number, provider="xpay")
        await bills.stores.orders.note(number, platform="ios")
        bills.simulator.bills.ios_orders.add(number)
        await bills.record(bills.pay(order))
    bills.fault("ios", Q2=None)
    assert await bills.service.reconcile(DAY) == []
    assert await bills.service.reconcile(MONTH) == []
    [missing] = await bills.service.reconcile("2026-12")
    assert missing == "missing_there: payment Q2, None fen there, 600 fen here"


async def test_what_is_booked_at_midnight_may_be_in_either_bill(bills):
    midnight = datetime(2026, 11, 28, tzinfo=CHINA_TZ)
    for number, paid_at, booked_at in (
        ("Q-before", -1, 2),  # paid before midnight, notified after it
        ("Q-clock", 1, -1),  # our clock is behind
    ):
        bills.clock.now = (midnight + timedelta(seconds=paid_at)).timestamp()
        payment = bills.pay(await bills.order(number))
        await bills.record(payment, midnight + timedelta(seconds=booked_at))
    assert await bills.service.reconcile(DAY) == []
    assert await bills.service.reconcile("2026-11-28") == []
    rows = bills.stores.database.collection("orders").find().sort("_id", 1)
    assert [row["billed"] async for row in rows] == [DAY, "2026-11-28"]


async def test_files_are_kept_encrypted(bills):
    await bills.paid("Q1")
    await bills.service.reconcile(DAY)
    kept = await bills.stores.bills.file(f"trade:{DAY}")
    assert unpack(kept) == unpack(await bills.client.fetch("trade", DAY))
    row = await bills.stores.database.collection("bill_files").find_one({"_id": f"trade:{DAY}"})
    assert kept[2:] not in row["file"]


async def test_a_kept_file_is_fetched_again_once_wechat_has_another(bills):
    await bills.paid("Q1")
    bills.fault("trade", Q1={"订单金额": "7.00"})
    await bills.service.reconcile(DAY)
    kept = await bills.stores.bills.file(f"trade:{DAY}")
    bills.fault("trade", "late")
    assert await bills.service.reconcile(DAY), "compared again as kept"
    assert await bills.stores.bills.file(f"trade:{DAY}") == kept
    bills.fault("trade")  # corrected
    assert await bills.service.reconcile(DAY) == []
    corrected = await bills.stores.bills.file(f"trade:{DAY}")
    assert await bills.service.reconcile(DAY) == []
    assert await bills.stores.bills.file(f"trade:{DAY}") == corrected != kept


@pytest.mark.parametrize("step", ["save", "store_file", "mark", "record", "close_gone"])
async def test_a_run_that_is_killed_after_a_step_is_repeated(bills, monkeypatch, step):
    """Before each step is after the one before it; chaos kills at every command."""
    await make_each_difference(bills)
    payment = bills.pay(await bills.order("Q-lost"))
    done, calls, real = 0, 0, getattr(BillStore, step)

    async def fail(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls <= done:
            return await real(*args, **kwargs)
        await real(*args, **kwargs)
        raise KeyboardInterrupt  # no handler catches it

    monkeypatch.setattr(BillStore, step, fail)
    while True:  # the next call fails, in each run
        try:
            await bills.new_service().reconcile(DAY)
            break
        except KeyboardInterrupt:
            done, calls = done + 1, 0
            rows, _ = await bills.stores.bills.page("", 50)
            assert {BillResponse.model_validate(row).state for row in rows} <= {"done"}
    assert done
    assert await bills.differences() == EACH
    await bills.payments.credit(payment)
    assert (await bills.stores.balance(bills.user_id)).gold == 5 * 60 + 60 - 30


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 1, 2, 0)])
async def test_bills_in_any_order_and_repeated_have_the_same_open_differences(bills, order):
    days = [NOON + timedelta(days=n) for n in range(3)]
    kinds = {"missing_there": None, "other_amount": {"订单金额": "1.00"}}
    kinds["other_state"] = {"交易状态": "CLOSED"}
    changes, expected = {}, []
    for n, at in enumerate(days):
        bills.clock.now = at.timestamp()
        for kind in ("", *kinds):
            number = f"Q{n}{kind}"
            payment = bills.pay(await bills.order(number))
            await bills.record(payment, at + timedelta(hours=11 if kind else 0))
            if kind:
                changes[number] = kinds[kind]
                expected.append((kind, "payment", number))
    bills.fault("trade", **changes)
    for n in order:
        await bills.service.reconcile(days[n].date().isoformat())
    assert await bills.differences() == sorted(expected)


@pytest.mark.parametrize(("is_waiting", "minutes"), [(False, 60), (True, 10)])
async def test_the_job_runs_in_one_process_and_soon_again_while_a_bill_is_made(
    bills, monkeypatch, is_waiting, minutes
):
    runs = []

    async def run(_service, now):
        runs.append(now)
        await bills.stores.job_leases.store_result(JOB_NAME, {"at": 1.0, "checked_at": 3.0})
        return is_waiting

    monkeypatch.setattr(BillService, "run", run)
    for service in (bills.service, bills.new_service()):
        await service.run_if_due()
        assert service.last == {"at": 1.0, "checked_at": 3.0}
        assert service.open_count == 0
    assert len(runs) == 1
    assert abs(runs[0] - datetime.now(UTC)) < timedelta(minutes=5)
    lease = await bills.stores.database.collection("job_leases").find_one({"_id": JOB_NAME})
    assert abs(lease["due_at"] - runs[0] - timedelta(minutes=minutes)) < timedelta(minutes=1)
