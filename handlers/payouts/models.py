"""Requests and responses about withdrawals."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from core.visible_text import visible
from handlers.models import CursorRequest, Number, Request, RequestId, Response, Time
from ledger.withdrawals import WithdrawalState


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
