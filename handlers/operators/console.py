"""Operators' endpoints for other operators, and for requests that wait for a second one of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from core.errors import NotFound
from handlers.base import endpoint
from handlers.models import CursorRequest, Page, ReasonRequest, Response
from handlers.operator_base import PAGE_SIZE, ApprovalResponse, OperatorHandler
from handlers.operators.login import OperatorName
from ledger.errors import (
    DebtExceeded,
    EntryNotFound,
    InsufficientGold,
    NotReversible,
    RequestIdReused,
)
from services.errors import OwnAccount, RequesterNotAllowed, SecondPersonRequired
from services.operators.operators import ONE_TIME_HOURS
from services.operators.roles import Role
from storage.errors import (
    AlreadyDecided,
    ApprovalNotFound,
    BlockNotFound,
    NoLongerAdmin,
    OperatorExists,
    OperatorNotFound,
    RateRequired,
    UserNotFound,
)

OF_ANOTHER = (OperatorNotFound, OwnAccount, NoLongerAdmin)


class NewOperatorRequest(ReasonRequest):
    name: OperatorName
    role: Annotated[Role, Field(examples=["viewer"])]


class OperatorChangeRequest(ReasonRequest):
    role: Role | None = None
    disabled: bool | None = None
    end_sessions: bool = False


class OperatorAccountResponse(Response):
    """`state`: `waiting` before the first login, `locked` after too many wrong codes."""

    name: str
    role: str
    state: Literal["active", "waiting", "locked", "disabled"]
    made_at: datetime | None
    last_login_at: datetime | None


class OneTimePasswordResponse(Response):
    """`password` is shown once and stored nowhere; it is valid for `hours`."""

    name: str
    password: str
    hours: int = ONE_TIME_HOURS


class OpsOperatorsHandler(OperatorHandler):
    @endpoint()
    async def get(self) -> Page[OperatorAccountResponse]:
        """All operators."""
        return Page[OperatorAccountResponse].of(await self.context.stores.operators.all())

    @endpoint(errors=[OperatorExists])
    async def post(self, params: NewOperatorRequest) -> OneTimePasswordResponse:
        """Add an operator, who logs in first with the one-time password of the response."""
        password = await self.context.services.operators.operators.add(params.name, params.role)
        self.created = (await self.context.stores.operators.get(params.name)).summary
        return OneTimePasswordResponse(name=params.name, password=password)


class OperatorTargetHandler(OperatorHandler):
    """Base of the changes of another operator."""

    async def target_state(self) -> Mapping[str, Any]:
        account = await self.context.stores.operators.find(self.path_args[0])
        return account.summary if account else {}


class OpsOperatorHandler(OperatorTargetHandler):
    """Change the role of another operator, disable them, or end their sessions.

    A role applies from their next request on; a disabled operator has no session.
    """

    @endpoint(errors=OF_ANOTHER)
    async def patch(self, name: str, params: OperatorChangeRequest) -> None:
        changes = params.model_dump(exclude={"reason"}, exclude_none=True)
        await self.context.services.operators.operators.change(name, self.operator.name, **changes)


class OpsResetHandler(OperatorTargetHandler):
    """Forget password and app of another operator, and end their sessions.

    They log in again with the one-time password of the response.
    """

    @endpoint(errors=OF_ANOTHER)
    async def post(self, name: str, params: ReasonRequest) -> OneTimePasswordResponse:
        del params  # the reason is in the audit log
        password = await self.context.services.operators.operators.reset(name, self.operator.name)
        return OneTimePasswordResponse(name=name, password=password)


class ApprovalSearchRequest(CursorRequest):
    """`waiting`: only requests that can be decided."""

    waiting: bool = False


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
            *(ApprovalNotFound, SecondPersonRequired, RequesterNotAllowed),
            *(AlreadyDecided, UserNotFound),
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
