"""Request models of the operators' API."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from handlers.schemas.requests import BanMinutes, Request, RequestId, UserId, Whole
from ledger.journal import Kind, Unit
from ledger.recharge import OrderState
from ledger.refund_cases import CaseState
from ledger.withdrawals import WithdrawalState
from storage.jobs.inbox import Outcome

OPERATOR_NAME = "[a-z][a-z0-9._-]{1,31}"
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
Remark = Annotated[str, StringConstraints(max_length=200)]
ImageUrl = Annotated[str, StringConstraints(max_length=512, pattern=r"^(https?://\S+)?$")]
SessionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Gold = Annotated[Whole, Field(ge=0, le=1_000_000_000)]


def _fen(price: Any) -> Any:
    """Convert a yuan string with at most two decimals to fen."""
    if not isinstance(price, str) or not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,2})?", price):
        raise ValueError("a price is a string of yuan like 6.00")
    return int(Decimal(price) * 100)


_YUAN = {"type": "string", "pattern": r"^(?!0+(\.0+)?$)[0-9]{1,7}(\.[0-9]{1,2})?$"}
Price = Annotated[int, BeforeValidator(_fen), Field(ge=1), WithJsonSchema(_YUAN)]


Key = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,59}$")]


class LoginSetupRequest(Request):
    name: Annotated[str, StringConstraints(pattern=f"^{OPERATOR_NAME}$"), Field(examples=["anna"])]
    password: Annotated[
        str, StringConstraints(min_length=1, max_length=128), Field(examples=["one-time"])
    ]


class LoginAttemptRequest(LoginSetupRequest):
    """`code`: six digits of the authenticator app; without one before the first login."""

    code: Annotated[
        str, StringConstraints(pattern=r"^([0-9]{6})?$"), Field(examples=["123456"])
    ] = ""


class FirstLoginRequest(LoginSetupRequest):
    """`password` is the one-time password, `new_password` has at least 12 characters."""

    new_password: Annotated[
        str,
        StringConstraints(min_length=12, max_length=128),
        Field(examples=["correct horse battery"]),
    ]
    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$"), Field(examples=["123456"])]


class ReasonRequest(Request):
    reason: Reason


class CursorRequest(Request):
    after: Annotated[str, StringConstraints(max_length=200)] = ""


class SearchRequest(CursorRequest):
    q: Annotated[str, StringConstraints(max_length=100)] = ""


class UserSearchRequest(SearchRequest):
    """`owing`: only users who owe gold or income for a refund."""

    owing: bool = False


class AuditSearchRequest(SearchRequest):
    """`what`: one action, as in the entries."""

    what: Annotated[str, StringConstraints(max_length=100)] = ""


class UserChangeRequest(Request):
    is_matchmaker: bool | None = None
    banned: Annotated[bool, Field(examples=[False])] | None = None
    ban_reason: Annotated[str, StringConstraints(max_length=500)] | None = None


class EndSessionsRequest(ReasonRequest):
    """`id`: of one session; without it, all sessions of the user end."""

    id: Annotated[SessionId, Field(examples=["0" * 64])] | None = None


class GrantRequest(ReasonRequest):
    gold: Annotated[Gold, Field(ge=1)]
    request_id: RequestId


class SettleRequest(GrantRequest):
    """Payment of what a user owes, from the user's balance or by the house.

    `gold` is the amount, of income if that is the `unit`.
    """

    paid_by: Literal["user", "house"]
    unit: Unit = "gold"


class ApprovalSearchRequest(CursorRequest):
    """`waiting`: only requests that can be decided."""

    waiting: bool = False


class LiftRoomBanRequest(ReasonRequest):
    user_id: UserId


class OpsRemoveUserRequest(LiftRoomBanRequest):
    """`minutes`: how long the user is banned from the room."""

    minutes: BanMinutes = 60


class NewGiftRequest(Request):
    name: Annotated[Name, Field(examples=["满天星"])]
    gold: Gold
    image: ImageUrl = ""
    effect: Annotated[str, StringConstraints(max_length=512)] = ""


# Examples of changes equal the demo's data: executing them there changes nothing.
class GiftChangeRequest(Request):
    name: Annotated[Name, Field(examples=["玫瑰"])] | None = None
    gold: Annotated[Gold, Field(examples=[1])] | None = None
    image: ImageUrl | None = None
    effect: Annotated[str, StringConstraints(max_length=512)] | None = None


class NewBlockRequest(Request):
    gold: Annotated[Gold, Field(ge=1)]
    price: Price


class BlockChangeRequest(Request):
    gold: Annotated[Gold, Field(ge=1, examples=[60])] | None = None
    price: Price | None = None


class NewConfigRequest(Request):
    key: Key
    value: Annotated[Any, Field(examples=[1])]
    enabled: bool = True
    remark: Remark = ""


class ConfigChangeRequest(Request):
    key: Key | None = None
    value: Any = None
    enabled: bool | None = None
    remark: Annotated[Remark, Field(examples=["a try"])] | None = None


class RoomDetailRequest(Request):
    """`since` and `epoch`: `seq` and `epoch` of an earlier response; only later events are
    returned."""

    since: Annotated[Whole, Field(ge=0, le=2**53)] | None = None
    epoch: Annotated[str, StringConstraints(max_length=64)] = ""


class IdSearchRequest(CursorRequest):
    """`q`: a full user id, or the start of a number; report numbers are the longest."""

    q: Annotated[str, StringConstraints(max_length=400)] = ""


class OrderSearchRequest(IdSearchRequest):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    state: Literal["", OrderState] = ""


class LedgerSearchRequest(IdSearchRequest):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    kind: Literal["", Kind] = ""


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


class InboxSearchRequest(IdSearchRequest):
    source: Literal["", "im", "live", "jsapi", "xpay", "transfer"] = ""
    outcome: Literal["", "received", Outcome] = ""
    event: Annotated[str, StringConstraints(max_length=64)] = ""


class ReversalRequest(ReasonRequest):
    entry: Annotated[str, StringConstraints(min_length=1, max_length=200)]


OrderNumber = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{1,32}$")]


class RefundRequest(ReasonRequest):
    """`orders`: numbers of paid orders of the user, each of which is refunded whole."""

    user_id: UserId
    orders: Annotated[list[OrderNumber], Field(min_length=1, max_length=20)]
    request_id: RequestId


class SettleRefundRequest(ReasonRequest):
    """`reason`: how the order was refunded, or why it never will be."""

    order: OrderNumber


class RefundSearchRequest(CursorRequest):
    user_id: Annotated[str, StringConstraints(max_length=8)] = ""
    state: Literal["", CaseState] = ""


class RetryRequest(Request):
    id: Annotated[str, StringConstraints(min_length=1, max_length=400)]
