"""Operators' endpoints for withdrawals: queue, decisions, sums per day, report of a quarter."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from core.clock import day_of
from handlers.base import endpoint
from handlers.models import CursorRequest, Page, ReasonRequest, Request, Response
from handlers.operator_base import (
    BYTE_ORDER_MARK,
    PAGE_SIZE,
    CsvFileResponse,
    OperatorHandler,
    cell,
    csv_lines,
)
from ledger.errors import WithdrawalNotFound
from ledger.withdrawals import WithdrawalState
from services.errors import SecondPersonRequired
from storage.errors import AlreadyDecided
from storage.payouts.withdrawal_reports import DaySums, HostQuarter

DAYS_PER_PAGE = 31


class WithdrawalSearchRequest(CursorRequest):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    state: Literal[""] | WithdrawalState = ""


def _check_day(text: str) -> str:
    if text:
        date.fromisoformat(text)
    return text


class WithdrawalDaySearchRequest(Request):
    """`after`: `next` of the previous page, a day as YYYY-MM-DD; only earlier days follow."""

    after: Annotated[
        str,
        StringConstraints(pattern=r"^(20[0-9]{2}-[0-9]{2}-[0-9]{2})?$"),
        AfterValidator(_check_day),
    ] = ""


class QuarterRequest(Request):
    """`quarter`: year and quarter, as 2026Q4."""

    quarter: Annotated[
        str, StringConstraints(pattern=r"^20[0-9]{2}Q[1-4]$"), Field(examples=["2026Q4"])
    ]


class OpsWithdrawalResponse(Response):
    """A withdrawal of `income` for `fen`; `id` is its number at WeChat Pay, too.

    `approvals`: of `operators_needed` operators. `problem`: code of the last call to WeChat Pay, ""
    if it succeeded.
    """

    id: str
    user_id: str
    request_id: str
    state: WithdrawalState
    income: int
    fen: int
    paid_fen: int
    rate: Decimal
    requested_at: datetime
    operators_needed: int
    approvals: list[str]
    decided_by: str
    """Operator who declined it; `user` or `refund_case` if it was cancelled."""
    decided_at: datetime | None
    reason: str
    sent_at: datetime | None
    finished_at: datetime | None
    wechat_number: str
    fail_reason: str
    problem: str


class OpsWithdrawalsHandler(OperatorHandler):
    """Withdrawals, newest first.

    `state` requested: the queue of those that wait for an operator.
    """

    @endpoint()
    async def get(self, params: WithdrawalSearchRequest) -> Page[OpsWithdrawalResponse]:
        found, cursor = await self.context.stores.withdrawals.page(
            params.after, PAGE_SIZE, user_id=params.user_id, state=params.state
        )
        return Page[OpsWithdrawalResponse].of(found, cursor)


class WithdrawalTargetHandler(OperatorHandler):
    """Base of the endpoints that decide a withdrawal."""

    async def target_state(self) -> Mapping[str, Any]:
        found = await self.context.stores.withdrawals.find(str(self.path_args[0]))
        return {"state": found.state.value, "approvals": list(found.approvals)} if found else {}

    async def target_details(self) -> Mapping[str, Any]:
        """Return the user, by whom the entry is found, and the amount."""
        found = await self.context.stores.withdrawals.find(str(self.path_args[0]))
        return {"withdrawal": {"user_id": found.user_id, "fen": found.fen}} if found else {}


class OpsApproveWithdrawalHandler(WithdrawalTargetHandler):
    """Approve a withdrawal, which is then submitted to WeChat Pay.

    If the user's day exceeds `withdraw.second_person_fen`, two different operators have to.
    """

    @endpoint(errors=[WithdrawalNotFound, AlreadyDecided, SecondPersonRequired])
    async def post(
        self,
        withdrawal_id: str,
        params: ReasonRequest,  # noqa: ARG002 - the audit log has the reason
    ) -> OpsWithdrawalResponse:
        withdrawal = await self.context.services.payouts.withdrawals.approve(
            withdrawal_id, self.operator.name
        )
        return OpsWithdrawalResponse.model_validate(withdrawal)


class OpsDeclineWithdrawalHandler(WithdrawalTargetHandler):
    """Decline a withdrawal: its income is the user's again.

    One that is submitted is cancelled at WeChat Pay first, unless the user has confirmed it.
    The user sees the reason.
    """

    @endpoint(errors=[WithdrawalNotFound, AlreadyDecided])
    async def post(self, withdrawal_id: str, params: ReasonRequest) -> OpsWithdrawalResponse:
        withdrawal = await self.context.services.payouts.withdrawals.decline(
            withdrawal_id, self.operator.name, params.reason
        )
        return OpsWithdrawalResponse.model_validate(withdrawal)


class OpsWithdrawalDaysHandler(OperatorHandler):
    """Sums per day in China, newest first, without days on which nothing happened."""

    @endpoint()
    async def get(self, params: WithdrawalDaySearchRequest) -> Page[DaySums]:
        tomorrow = day_of(datetime.now(UTC)) + timedelta(days=1)
        before = date.fromisoformat(params.after) if params.after else tomorrow
        days, older = await self.context.stores.withdrawal_reports.days(before, DAYS_PER_PAGE)
        cursor = older.isoformat() if older else None
        return Page[DaySums].of(days, cursor)


class OpsWithdrawalReportHandler(OperatorHandler):
    """Income and payouts of each host in a quarter in China, as a CSV file, for the tax report.

    UTF-8 with a byte order mark. `'` precedes a cell that a spreadsheet program could take for a
    formula. `reversed_income` is that of all gifts reversed in the quarter, also older ones. Real
    names are in clear text, so each download is in the audit log.
    """

    audits_reads = True

    @endpoint()
    async def get(self, params: QuarterRequest) -> CsvFileResponse:
        rows = await self.context.stores.withdrawal_reports.quarter(params.quarter)
        name = f"withdrawals-{params.quarter}.csv"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        cells = ([cell(value) for value in row] for row in rows)
        return CsvFileResponse(text=BYTE_ORDER_MARK + csv_lines([HostQuarter._fields, *cells]))
