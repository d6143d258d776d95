"""Compares WeChat's bills with orders, refunds and withdrawals."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from config.settings import Settings
from core.errors import Unavailable
from ledger.bills import BillType, Difference, Movement, Source, compare
from ledger.errors import ReportRefused
from services.payments.payments import PaymentService
from storage.documents import BATCH_ROWS
from storage.jobs.due import LeasedJob
from storage.stores import Stores
from tencent.bills import BillClient, BillNotReady, UnreadableBill, read_bill
from tencent.clients import PaymentClient

log = structlog.get_logger("qlive.bills")

JOB_NAME = "reconcile-bills"
INTERVAL_SECONDS, LEASE_SECONDS = 3_600.0, 7_200.0
WAITING_SECONDS = 600.0
"""Interval while WeChat makes a bill, whose address may be valid for half an hour only."""
MERCHANT = BillType("trade", "jsapi", ("payment", "refund"), ("trade",))
TRANSFERS = BillType("fund", "transfer", ("transfer",), ("fund_basic", "fund_operation"))
VIRTUAL = (
    BillType("xpay", "xpay", ("payment", "refund"), ("xpay",)),
    BillType("ios", "xpay", ("payment",), ("ios",), is_monthly=True),
)


def bill_types(settings: Settings, *, uses_jsapi: bool) -> list[BillType]:
    """Return the bills of the providers and of the withdrawals that are switched on."""
    pay = settings.pay
    return [
        *([MERCHANT] if uses_jsapi else []),
        *([TRANSFERS] if uses_jsapi and settings.withdrawals_are_on else []),
        *(VIRTUAL if pay.offer_id and pay.app_key and not pay.sandbox else []),
    ]


class BillService(LeasedJob):
    """Fetches, keeps and compares bills.

    Every step may be repeated, also by several processes at once, so a killed run is resumed.

    `last` has `at`, the start of the last run, and `checked_at`, the Unix time at which no daily
    bill was late.
    """

    def __init__(
        self,
        stores: Stores,
        client: BillClient,
        payments: PaymentService,
        providers: Mapping[str, PaymentClient],
        bill_types: Sequence[BillType],
    ) -> None:
        super().__init__(
            JOB_NAME, stores.job_leases, lease=LEASE_SECONDS, interval=INTERVAL_SECONDS
        )
        self._bills = stores.bills
        self._orders = stores.orders
        self._client = client
        self._payments = payments
        self.providers = providers
        self.bill_types = bill_types
        self.open_count = 0
        """Number of open differences."""

    async def run_if_due(self) -> None:
        await super().run_if_due()
        self.open_count = await self._bills.count_open()

    async def _run_once(self) -> float | None:
        return WAITING_SECONDS if await self.run(datetime.now(UTC)) else None

    async def run(self, now: datetime) -> bool:
        """Compare the bills that do not agree yet; return whether a daily one is late."""
        at, waiting = now.timestamp(), False
        checked_at = (await self._load()).get("checked_at", at)
        await self._store(at=at, checked_at=checked_at)
        for bill_type in self.bill_types:
            for period in bill_type.periods(now):
                if not await self._bills.agrees(bill_type.bill(period)):
                    is_late = bool(await self._reconcile(bill_type, period))
                    waiting |= is_late and not bill_type.is_monthly
        await self._store(at=at, checked_at=checked_at if waiting else at)
        return waiting

    async def reconcile(self, period: str) -> list[str]:
        """Compare the bills of a day or month; return its open differences as sentences."""
        is_month, sentences = len(period) == len("2026-11"), []
        for bill_type in self.bill_types:
            if bill_type.is_monthly == is_month:
                bill = bill_type.bill(period)
                if why := await self._reconcile(bill_type, period):
                    sentences.append(f"{bill} is not there: {why}")
                for row in await self._bills.open_of(bill):
                    fen = f"{row['fen_there']} fen there, {row['fen_here']} fen here"
                    sentence = f"{row['kind']}: {row['category']} {row['number']}, {fen}"
                    sentences.append(f"{sentence} {row['detail']}".rstrip())
        return sentences

    async def _reconcile(self, bill_type: BillType, period: str) -> str:
        """Compare a bill, if it is available; return why it is not, else ""."""
        bill, at = bill_type.bill(period), datetime.now(UTC)
        state, problem, rows = "done", "", list[Movement]()
        try:
            for source in bill_type.sources:
                rows += await self._rows(source, period)
        except BillNotReady as why:
            state, problem = "waiting", str(why)
        except UnreadableBill as why:
            state, problem = "unreadable", str(why)
        if state == "done":
            for start in range(0, len(rows), BATCH_ROWS):
                await self._compare(bill_type, rows[start : start + BATCH_ROWS], period, at)
            unbilled = await self._bills.unbilled(bill_type, period)
            missing = [row for row in (compare(None, here) for here in unbilled) if row]
            await self._bills.record(missing, bill, at)
            await self._bills.close_gone(bill, at)
        else:
            log.warning("bill_not_compared", bill=bill, why=problem)
        if state == "unreadable":
            unreadable = Difference("unreadable", "bill", bill, detail=problem)
            await self._bills.record([unreadable], bill, at)
        await self._bills.save(
            bill,
            type=bill_type.name,
            period=period,
            began_at=bill_type.began_at(period),
            state=state,
            problem=problem,
            rows=len(rows),
            checked_at=at,
        )
        return problem if state == "waiting" else ""

    async def _rows(self, source: Source, period: str) -> list[Movement]:
        """Return the rows of a file, which is kept if it can be read; raise as `read_bill`."""
        id_ = f"{source}:{period}"
        kept = await self._bills.file(id_)
        file = await self._client.fetch(source, period, kept)
        if file is None:
            return []
        rows = await asyncio.to_thread(read_bill, file, source)
        if file is not kept:
            await self._bills.store_file(id_, file)
        return rows

    async def _compare(
        self, bill_type: BillType, rows: Sequence[Movement], period: str, at: datetime
    ) -> None:
        """Compare some rows of a bill, and credit payments that are missing here."""
        found, marked = [], []
        recorded = await self._bills.recorded(bill_type.provider, rows)
        for row, known in zip(rows, recorded, strict=True):
            here, difference = known, compare(row, known)
            if difference and (difference.kind, row.category) == ("missing_here", "payment"):
                why = await self._credit(difference.number)
                [here] = await self._bills.recorded(bill_type.provider, [row])
                difference = compare(row, here)
                difference = difference and difference._replace(detail=why)
            if difference and difference.category == "refund":
                order = await self._orders.find(difference.order)
                difference = difference._replace(user_id=order.user_id if order else "")
            if difference:
                found.append(difference)
            if here and "done" in (row.state, here.state):
                marked.append(here)
        await self._bills.mark(marked, period)
        await self._bills.record(found, bill_type.bill(period), at)

    async def _credit(self, number: str) -> str:
        """Credit an order if its provider says that it is paid; if not, return why."""
        order = await self._orders.find(number)
        if order is None or order.provider not in self.providers:
            return "order" if order is None else "no_provider"
        try:
            payment = await self.providers[order.provider].query(order)
            if payment is None:
                return "not_paid"
            await self._payments.credit(payment)
        except ReportRefused as refused:
            await self._orders.dispute(number)
            return refused.reason.value
        except Unavailable as unavailable:
            return unavailable.code
        log.info("order_credited_by_bill", order=number)
        return ""
