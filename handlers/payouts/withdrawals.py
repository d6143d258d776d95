"""Withdrawals: income paid to the WeChat balance of its user."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints

from core.visible_text import visible
from handlers.base import ActiveUserHandler, endpoint
from handlers.callback_base import MerchantCallbackHandler
from handlers.models import (
    LIST_PAGE_SIZE,
    NoContentResponse,
    Number,
    PageRequest,
    Request,
    RequestId,
    Response,
    Time,
)
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
from ledger.withdrawals import Withdrawal, WithdrawalState
from services.errors import WithdrawOff
from tencent.transfers import TRANSFER, TransferClient


def _check_real_name(text: str) -> str:
    if visible(text) != text:
        raise ValueError("invisible characters are not allowed")
    return text


class NewWithdrawalRequest(Request):
    """Income to withdraw; what does not make a whole fen stays income.

    `request_id` identifies the withdrawal: repeated, the answer is the same one. `real_name`: kept
    encrypted, needed once the withdrawals of a day come to 2,000 yuan. WeChat Pay compares it with
    the name of the account.
    """

    income: Number
    request_id: RequestId
    real_name: Annotated[
        str,
        StringConstraints(max_length=50, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]*$"),
        AfterValidator(_check_real_name),
    ] = ""


class CancelWithdrawalRequest(Request):
    withdrawal_id: Annotated[str, StringConstraints(pattern=r"^W[0-9a-f]{28}$")]


class WithdrawalResponse(Response):
    """A withdrawal of `income` for `fen`; times are local time in China.

    While the user has to confirm it, `package_info` is the `package` of
    wx.requestMerchantTransfer.
    """

    withdrawal_id: Annotated[str, Field(validation_alias="id")]
    state: Annotated[WithdrawalState, Field(validation_alias="shown_state")]
    """`awaiting_user` only together with `package_info`, else `submitted`."""
    income: int
    fen: int
    paid_fen: int
    requested_at: Time
    reason: str
    """Why it was declined, in the operator's words; or a code: `cancelled` by the user, or
    `refund_case`, for the refund of an order that paid for gifts to the user."""
    fail_reason: str
    """Why WeChat Pay did not pay, in its words."""
    mch_id: str = ""
    app_id: str
    package_info: Annotated[str, Field(validation_alias="package")]

    @classmethod
    def of(cls, withdrawal: Withdrawal, transfers: TransferClient | None) -> Self:
        """Show a withdrawal of the merchant of `transfers`."""
        mch_id = transfers.mchid if transfers else ""
        return cls.model_validate(withdrawal).model_copy(update={"mch_id": mch_id})


class WithdrawResponse(WithdrawalResponse):
    """`income` is what is held, at most what was requested."""

    status: Literal["success"] = "success"
    detail: str = "OK"


class WithdrawalsResponse(Response):
    """`matured`: income that can be withdrawn now."""

    matured: int
    items: list[WithdrawalResponse]
    page: int
    has_more: bool


class TransferCallbackHandler(MerchantCallbackHandler):
    """Receive the final state of a transfer.

    Answers 204 once it is stored; WeChat Pay repeats it after any other status.
    """

    @endpoint()
    async def post(self) -> NoContentResponse:
        record = self.context.services.payouts.transfers.record
        return await self.receive_notification(TRANSFER, self.context.tencent.transfers, record)


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
        return WithdrawResponse.of(withdrawal, self.context.tencent.transfers)


class WithdrawalsHandler(ActiveUserHandler):
    """The user's withdrawals, newest first, and the income that can be withdrawn now."""

    @endpoint(limit="read")
    async def get(self, params: PageRequest) -> WithdrawalsResponse:
        matured, found, has_more = await self.context.services.payouts.withdrawals.page(
            self.user_id, params.page, LIST_PAGE_SIZE
        )
        transfers = self.context.tencent.transfers
        items = [WithdrawalResponse.of(withdrawal, transfers) for withdrawal in found]
        return WithdrawalsResponse(
            matured=matured, items=items, page=params.page, has_more=has_more
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
        return WithdrawResponse.of(withdrawal, self.context.tencent.transfers)
