"""Operators' endpoints for withdrawals: queue, decisions, sums per day, report of a quarter."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from core.clock import day_of
from handlers.base import endpoint
from handlers.models import Page, ReasonRequest
from handlers.operator_base import (
    BYTE_ORDER_MARK,
    PAGE_SIZE,
    CsvFileResponse,
    OperatorHandler,
    cell,
    csv_lines,
)
from handlers.payouts.models import (
    OpsWithdrawalResponse,
    QuarterRequest,
    WithdrawalDaySearchRequest,
    WithdrawalSearchRequest,
)
from ledger.errors import WithdrawalNotFound
from services.errors import SecondPersonRequired
from storage.errors import AlreadyDecided
from storage.payouts.withdrawal_reports import DaySums, HostQuarter

DAYS_PER_PAGE = 31


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
