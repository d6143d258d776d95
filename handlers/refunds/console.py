"""Operators' endpoints for refund cases: from the recharge over gifts to the hosts' income."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from handlers.base import endpoint
from handlers.models import CursorRequest, Page, ReasonRequest, RequestId, Response, UserId
from handlers.operator_base import PAGE_SIZE, OperatorHandler
from ledger.errors import OrderNotSettleable, RequestIdReused
from ledger.refund_cases import CaseState
from ledger.refund_plan import GiftStep, HostStep, OrderStep
from services.errors import NotRefundable, RefundChanged, RequesterNotAllowed, SecondPersonRequired
from storage.errors import (
    AlreadyDecided,
    OrderInRefund,
    OrderNotFound,
    RefundCaseNotFound,
    UserNotFound,
)

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
    """A refund case with all its steps. The user owes the `uncovered` gold, which no gift holds."""

    uncovered: int
    gifts: list[GiftStep]
    hosts: list[HostStep]


class OpsRefundsHandler(OperatorHandler):
    @endpoint()
    async def get(self, params: RefundSearchRequest) -> Page[RefundRowResponse]:
        """Refund cases, newest first."""
        found, cursor = await self.context.stores.refund_cases.page(
            params.after, PAGE_SIZE, user_id=params.user_id, state=params.state
        )
        return Page[RefundRowResponse].of(found, cursor)

    @endpoint(errors=[UserNotFound, OrderNotFound, NotRefundable, OrderInRefund, RequestIdReused])
    async def post(self, params: RefundRequest) -> RefundCaseResponse:
        """Open a refund case, which shows what it would take back, and moves nothing."""
        case = await self.context.services.refunds.open(
            params.user_id, params.orders, params.reason, params.request_id, by=self.operator.name
        )
        self.created = {"refund": case.id, "state": case.state}
        return RefundCaseResponse.model_validate(case)


class OpsRefundHandler(OperatorHandler):
    """One refund case with every step."""

    @endpoint(errors=[RefundCaseNotFound])
    async def get(self, case_id: str) -> RefundCaseResponse:
        case = await self.context.stores.refund_cases.get(case_id)
        return RefundCaseResponse.model_validate(case)


class RefundTargetHandler(OperatorHandler):
    """Base of the endpoints that decide a case."""

    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.refund_cases.fields(str(self.path_args[0]), "state")

    async def target_details(self) -> Mapping[str, Any]:
        """Return the case, so that the entry is found by its user and its orders."""
        cases = self.context.stores.refund_cases
        found = await cases.fields(str(self.path_args[0]), "user_id", "orders.number")
        return {"refund": found}


class OpsRefundConfirmHandler(RefundTargetHandler):
    """Confirm a case, which is then carried out, once; nothing of it can be taken back.

    Above `ops.second_person_gold` of one operator in 24 hours another one has to confirm. If the
    preview no longer holds, the case gets a new one to look at.
    """

    @endpoint(
        errors=[
            *(RefundCaseNotFound, UserNotFound, OrderNotFound, AlreadyDecided),
            *(SecondPersonRequired, RequesterNotAllowed, RefundChanged, NotRefundable),
        ]
    )
    async def post(self, case_id: str, params: ReasonRequest) -> RefundCaseResponse:
        case = await self.context.services.refunds.confirm(
            case_id, self.operator.name, params.reason
        )
        return RefundCaseResponse.model_validate(case)


class OpsRefundDropHandler(RefundTargetHandler):
    """Drop a case that is not confirmed; its orders may get another one."""

    @endpoint(errors=[RefundCaseNotFound, AlreadyDecided])
    async def post(self, case_id: str, params: ReasonRequest) -> RefundCaseResponse:
        case = await self.context.services.refunds.drop(case_id, self.operator.name, params.reason)
        return RefundCaseResponse.model_validate(case)


class OpsRefundSettleHandler(RefundTargetHandler):
    """End the step of an order that was refunded otherwise, or that is finally not refunded.

    Only while its provider needs a person: it is left to Apple, or has a `problem`. Its gold
    stays taken back. Above `ops.second_person_gold` of one operator in 24 hours another one than
    who has opened the case has to.
    """

    @endpoint(
        errors=[
            *(RefundCaseNotFound, OrderNotFound, OrderNotSettleable, AlreadyDecided),
            SecondPersonRequired,
        ]
    )
    async def post(self, case_id: str, params: SettleRefundRequest) -> RefundCaseResponse:
        case = await self.context.services.refunds.settle(
            case_id, params.order, self.operator.name, params.reason
        )
        return RefundCaseResponse.model_validate(case)
