"""Operators' endpoints for requests that wait for a second operator."""

from collections.abc import Mapping
from typing import Any

from core.errors import NotFound
from handlers.base import endpoint
from handlers.models import Page, ReasonRequest
from handlers.operator_base import PAGE_SIZE, ApprovalResponse, OperatorHandler
from handlers.operators.models import ApprovalSearchRequest
from ledger.errors import (
    DebtExceeded,
    EntryNotFound,
    InsufficientGold,
    NotReversible,
    RequestIdReused,
)
from services.errors import RequesterNotAllowed, SecondPersonRequired
from storage.errors import (
    AlreadyDecided,
    ApprovalNotFound,
    BlockNotFound,
    RateRequired,
    UserNotFound,
)


class OpsApprovalsHandler(OperatorHandler):
    """Changes that wait or have waited for a second operator.

    Newest first.
    """

    @endpoint()
    async def get(self, params: ApprovalSearchRequest) -> Page[ApprovalResponse]:
        approvals = self.context.stores.approvals
        listed = approvals.waiting if params.waiting else approvals.page
        found, cursor = await listed(params.after, PAGE_SIZE)
        return Page[ApprovalResponse].of(found, cursor)


class ApprovalTargetHandler(OperatorHandler):
    """Base of the endpoints that decide a request."""

    async def target_state(self) -> Mapping[str, Any]:
        return await self.context.stores.approvals.summary(str(self.path_args[0]))

    async def target_details(self) -> Mapping[str, Any]:
        """Return the request.

        With it the entry is found by its user after the request is deleted.
        """
        found = await self.context.stores.approvals.summary(str(self.path_args[0]))
        return {"approval": found}


class OpsConfirmHandler(ApprovalTargetHandler):
    """Confirm the request of another operator, which carries it out, once.

    If that is refused, for example since the gold was spent, the request waits on. It is refused
    as well if the other operator was disabled meanwhile, or has lost the role.
    """

    @endpoint(
        errors=[
            *(
                ApprovalNotFound,
                SecondPersonRequired,
                RequesterNotAllowed,
                AlreadyDecided,
                UserNotFound,
            ),
            *(EntryNotFound, NotReversible, InsufficientGold, DebtExceeded, RequestIdReused),
            *(NotFound, BlockNotFound, RateRequired),
        ]
    )
    async def post(self, approval_id: str, params: ReasonRequest) -> ApprovalResponse:
        approval = await self.context.services.operators.approvals.confirm(
            approval_id, self.operator.name, params.reason
        )
        return ApprovalResponse.model_validate(approval)


class OpsDeclineHandler(ApprovalTargetHandler):
    """Decline the request of another operator, or withdraw one's own."""

    @endpoint(errors=[ApprovalNotFound, AlreadyDecided])
    async def post(self, approval_id: str, params: ReasonRequest) -> ApprovalResponse:
        approval = await self.context.services.operators.approvals.decline(
            approval_id, self.operator.name, params.reason
        )
        return ApprovalResponse.model_validate(approval)
