"""Compares WeChat's bills with orders, refunds and withdrawals."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from ledger.bills import Difference, Movement, Source, Statement, Thing, compare
from ledger.recharge import PaymentRefused
from services.payments.payments import PaymentService
from storage.documents import BATCH_ROWS
from storage.jobs.due import JobLeaseStore
from storage.payments.bills import BillStore
from storage.payments.orders import OrderStore
from tencent.bills import BillClient, BillNotReady, UnreadableBill, read_bill
from tencent.clients import PaymentClient
from tencent.errors import ServiceUnavailable

log = structlog.get_logger("qlive.bills")

JOB_NAME = "reconcile-bills"
INTERVAL_SECONDS, LEASE_SECONDS = 3_600.0, 7_200.0
MERCHANT = Statement(("trade",), "jsapi")
TRANSFERS = Statement(("fund_basic", "fund_operation"), "transfer")
VIRTUAL = (Statement(("xpay",), "xpay"), Statement(("ios",), "xpay", is_monthly=True))


@dataclass(slots=True)
class BillService:
    """Fetches, keeps and compares bills. Every step may be repeated, so that a kill resumes.

    `last` is the result of the last run by any process: `open` differences, and the Unix time
    `checked_at` at which all daily bills were compared.
    """

    bills: BillStore
    client: BillClient
    orders: OrderStore
    payments: PaymentService
    providers: Mapping[str, PaymentClient]
    job_leases: JobLeaseStore
    statements: Sequence[Statement]
    last: dict[str, Any] = field(default_factory=dict)

    async def run_if_due(self) -> None:
        """Run if the lease is free, then load the latest stored result."""
        if await self.job_leases.acquire(JOB_NAME, LEASE_SECONDS):
            try:
                await self.run(datetime.now(UTC))
            finally:
                await self.job_leases.release(JOB_NAME, INTERVAL_SECONDS)
        self.last = await self.job_leases.last_result(JOB_NAME)

    async def run(self, now: datetime) -> None:
        """Compare the bills of the last periods, where that is not done."""
        at, waiting = now.timestamp(), False
        last = {"open": 0, "checked_at": at, **await self.job_leases.last_result(JOB_NAME)}
        await self.job_leases.store_result(JOB_NAME, {**last, "at": at})
        for statement in self.statements:
            for period in statement.periods(now):
                if not await self.bills.is_settled(_ids(statement, period)):
                    is_compared = await self._reconcile(statement, period)
                    waiting |= not (is_compared or statement.is_monthly)
        checked_at = last["checked_at"] if waiting else at
        result = {"at": at, "checked_at": checked_at, "open": await self.bills.count_open()}
        await self.job_leases.store_result(JOB_NAME, result)

    async def reconcile(self, period: str) -> list[str]:
        """Compare the bills of a day or month; what is open of it, as sentences."""
        is_month, sentences = len(period) == len("2026-11"), []
        for statement in self.statements:
            if statement.is_monthly == is_month:
                await self._reconcile(statement, period)
                ids = _ids(statement, period)
                bills = [await self.bills.bill(id_) for id_ in ids]
                late = [bill for bill in bills if bill["state"] == "waiting"]
                sentences += [f"{bill['_id']} is not there: {bill['problem']}" for bill in late]
                sentences += [_sentence(row) for row in await self.bills.open_of(ids)]
        return sentences

    async def _reconcile(self, statement: Statement, period: str) -> bool:
        """Whether all bills of the period could be compared, or cannot be read."""
        states = {}
        with self.bills.long_timeout():
            for source in statement.sources:
                id_ = f"{source}:{period}"
                states[id_] = await self._compare_bill(statement, source, period, id_)
            if "waiting" in states.values():
                return False
            if "unreadable" not in states.values():
                await self._find_missing(statement, period)
            for id_, state in states.items():
                await self.bills.save(id_, state=state)
        return True

    async def _compare_bill(
        self, statement: Statement, source: Source, period: str, id_: str
    ) -> str:
        """The state of the bill once all bills of its period are compared."""
        state, problem, rows = "done", "", list[Movement]()
        counts = Counter(rows=0, others=0, credited=0, differences=0)
        found: list[Difference] = []
        try:
            file = await self.bills.file(id_)
            if file is None and (file := await self.client.fetch(source, period)) is not None:
                await self.bills.store_file(id_, file)
            if file is None:
                state = "empty"
            else:
                rows, counts["others"] = await asyncio.to_thread(read_bill, file, source)
        except BillNotReady as why:
            state, problem = "waiting", str(why)
        except UnreadableBill as why:
            state, problem = "unreadable", str(why)
            found = [Difference("unreadable", "bill", id_, detail=problem)]
        for at in range(0, len(rows), BATCH_ROWS):
            await self._compare(statement, rows[at : at + BATCH_ROWS], id_, counts)
        await self.bills.record(found, [("bill", id_)], id_)
        if problem:
            log.warning("bill_not_compared", bill=id_, why=problem)
        await self.bills.save(
            id_,
            source=source,
            period=period,
            began_at=statement.began_at(period),
            state="waiting" if state == "waiting" else "stored",
            problem=problem,
            counts=counts,
            checked_at=datetime.now(UTC),
        )
        return state

    async def _compare(
        self, statement: Statement, rows: Sequence[Movement], bill: str, counts: Counter[str]
    ) -> None:
        """Compare some rows of a bill, and credit payments that are missing here."""
        found, compared, marked = [], list[tuple[Thing, str]](), []
        booked = await self.bills.booked(statement.provider, rows)
        for row in rows:
            here = booked.get((row.thing, row.number)) or booked.get((row.thing, row.other))
            difference = compare(row, here)
            if difference and (difference.kind, row.thing) == ("missing_here", "payment"):
                if why := await self._credit(difference.number):
                    difference = difference._replace(detail=why)
                else:
                    counts["credited"] += 1
                    booked |= await self.bills.booked(statement.provider, [row])
                    here = booked.get((row.thing, difference.number))
                    difference = compare(row, here)
            if difference:
                found.append(difference)
            if here and here.state == "done":
                marked.append(here)
            numbers = {row.number, row.other, here.number if here else ""} - {""}
            compared += [(row.thing, number) for number in numbers]
        counts.update(rows=len(rows), differences=len(found))
        await self.bills.mark(marked, bill.partition(":")[2])
        await self.bills.record(found, compared, bill)

    async def _credit(self, number: str) -> str:
        """Credit an order if its provider says that it is paid, else return why not."""
        order = await self.orders.find(number)
        if order is None or order.provider not in self.providers:
            return "order" if order is None else "no_provider"
        try:
            payment = await self.providers[order.provider].query(order)
            if payment is None:
                return "not_paid"
            await self.payments.credit(payment)
        except PaymentRefused as refused:
            await self.orders.mark_reported(number)
            return refused.reason.value
        except ServiceUnavailable as unavailable:
            return unavailable.code
        log.info("order_credited_by_bill", order=number)
        return ""

    async def _find_missing(self, statement: Statement, period: str) -> None:
        """Look for what is booked here and in no bill."""
        start, end = statement.expected(period)
        things: tuple[Thing, ...] = ("payment", "refund")
        for thing in ("transfer",) if statement == TRANSFERS else things:
            async for here in self.bills.unbilled(statement, thing, start, end):
                if difference := compare(None, here):
                    await self.bills.record([difference], [], _ids(statement, period)[-1])


def _ids(statement: Statement, period: str) -> list[str]:
    return [f"{source}:{period}" for source in statement.sources]


def _sentence(row: Mapping[str, Any]) -> str:
    """An open difference for the command line."""
    fen = f"{row['fen_there']} fen there, {row['fen_here']} fen here"
    return f"{row['kind']}: {row['thing']} {row['number']}, {fen} {row['detail']}".rstrip()
