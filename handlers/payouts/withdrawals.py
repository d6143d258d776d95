"""Withdrawals: income paid to the WeChat balance of its user."""

from typing import TypeVar

from handlers.base import ActiveUserHandler, endpoint
from handlers.context import Context
from handlers.models import LIST_PAGE_SIZE, NoContentResponse, PageRequest
from handlers.payouts.models import (
    CancelWithdrawalRequest,
    NewWithdrawalRequest,
    WithdrawalResponse,
    WithdrawalsResponse,
    WithdrawResponse,
)
from handlers.webhook_base import MerchantWebhookHandler
from ledger.errors import (
    IncomeNotMatured,
    NotCancellable,
    OverLimit,
    RealNameNeeded,
    RequestIdReused,
    TooLittle,
    WithdrawalNotFound,
    WithdrawalsStopped,
)
from ledger.withdrawal_requests import Payee
from ledger.withdrawals import Withdrawal
from services.errors import WithdrawOff
from tencent.transfers import TRANSFER


class TransferWebhookHandler(MerchantWebhookHandler):
    """Final states of transfers; answers 204, any other status makes WeChat Pay retry."""

    @endpoint()
    async def post(self) -> NoContentResponse:
        client = self.context.tencent.transfers
        return await self.receive_notification(
            TRANSFER,
            client.notifications if client else None,
            self.context.services.payouts.transfers.record,
        )


View = TypeVar("View", bound=WithdrawalResponse)


class WithdrawHandler(ActiveUserHandler):
    """Withdraw income, once per `request_id`; repeated, the same withdrawal as it is then.

    The user has to confirm it with wx.requestMerchantTransfer, whose success is no
    proof: the withdrawal is paid when its state is `paid`.
    """

    @endpoint(
        limit="order",
        errors=[
            *(WithdrawOff, TooLittle, IncomeNotMatured, OverLimit, RealNameNeeded),
            *(WithdrawalsStopped, RequestIdReused),
        ],
    )
    async def post(self, params: NewWithdrawalRequest) -> WithdrawResponse:
        payee = Payee(self.user_id, self.user.app_id, self.user.openid)
        withdrawal = await self.context.services.payouts.withdrawals.request(
            payee, params.income, params.request_id, params.real_name
        )
        return _view(self.context, withdrawal, WithdrawResponse)


class WithdrawalsHandler(ActiveUserHandler):
    """The user's withdrawals, newest first, and the income that can be withdrawn now."""

    @endpoint(limit="read")
    async def get(self, params: PageRequest) -> WithdrawalsResponse:
        size = LIST_PAGE_SIZE
        found = await self.context.services.payouts.withdrawals.page(
            self.user_id, params.page, size
        )
        model = WithdrawalResponse
        items = [_view(self.context, withdrawal, model) for withdrawal in found.withdrawals]
        return WithdrawalsResponse(
            matured=found.matured, items=items, page=params.page, has_more=found.has_more
        )


class CancelWithdrawalHandler(ActiveUserHandler):
    """Cancel a withdrawal that is not paid; the income is back once its state is `returned`.

    A withdrawal that WeChat Pay already has is cancelled there, unless the user confirms it first.
    """

    # Not order: earlier orders must not delay it, and it asks WeChat Pay once.
    @endpoint(limit="read", errors=[WithdrawalNotFound, NotCancellable])
    async def post(self, params: CancelWithdrawalRequest) -> WithdrawResponse:
        withdrawal = await self.context.services.payouts.withdrawals.cancel(
            self.user_id, params.withdrawal_id
        )
        return _view(self.context, withdrawal, WithdrawResponse)


def _view(context: Context, withdrawal: Withdrawal, model: type[View]) -> View:
    transfers = context.tencent.transfers
    view = model.model_validate(withdrawal)
    return view.model_copy(update={"mch_id": transfers.mchid if transfers else ""})
