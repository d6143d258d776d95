"""Requests and responses about refund cases."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from handlers.models import CursorRequest, ReasonRequest, RequestId, Response, UserId
from ledger.refund_cases import CaseState
from ledger.refund_plan import GiftStep, HostStep, OrderStep

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


class RefundRowResponse(Response):
    """A refund case. Of its `gold`, `unspent` was in the user's balance at the preview."""

    id: str
    user_id: str
    reason: str
    state: CaseState
    opened_by: str
    opened_at: datetime
    decided_by: str
    decision_reason: str
    decided_at: datetime | None
    closed_at: datetime | None
    fen: int
    gold: int
    unspent: int
    orders: list[OrderStep]


class RefundCaseResponse(RefundRowResponse):
    """With all its steps; `uncovered` gold is in no gift either, so that the user owes it."""

    uncovered: int
    gifts: list[GiftStep]
    hosts: list[HostStep]
