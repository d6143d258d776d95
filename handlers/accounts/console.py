"""Operators' endpoints for users: search, edit, ban, grant gold, pay off debts, end sessions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from core.errors import InvalidParameter
from handlers.base import endpoint
from handlers.models import (
    Gender,
    Gold,
    Page,
    Reason,
    ReasonRequest,
    Request,
    RequestId,
    Response,
    SearchRequest,
)
from handlers.operator_base import PAGE_SIZE, ApprovalResponse, OperatorHandler
from ledger.errors import DebtExceeded, InsufficientGold, RequestIdReused
from ledger.journal import Unit
from storage.accounts.tokens import UserSession
from storage.errors import UserNotFound

SessionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class UserSearchRequest(SearchRequest):
    """`owing`: only users who owe gold or income for a refund."""

    owing: bool = False


class UserChangeRequest(Request):
    """A ban needs a `ban_reason`, a change of `age_verified` a `reason`."""

    is_matchmaker: bool | None = None
    banned: Annotated[bool, Field(examples=[False])] | None = None
    ban_reason: Reason | None = None
    age_verified: Annotated[bool, Field(examples=[True])] | None = None
    reason: Reason | None = None


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


class OpsUserResponse(Response):
    """A user; times are UTC in RFC 3339."""

    id: Annotated[str, Field(validation_alias="user_id")]
    nickname: str
    gender: Gender | int
    age: int
    area: str
    face_url: str
    gold: int
    income: int
    owed: int
    owed_income: int
    is_matchmaker: bool
    banned: bool
    ban_reason: str
    age_verified_at: datetime | None
    continuous_time: int
    create_time: datetime
    last_login_time: datetime | None
    delete_at: datetime | None
    deleted_at: datetime | None
    """When the deletion began, which leaves the number and the balance."""


class SessionsEndedResponse(Response):
    """How many valid sessions have ended."""

    ended: int


class BalanceResponse(Response):
    gold: int
    income: int


AUDITED = ("is_matchmaker", "banned", "ban_reason", "gold", "income", "owed", "owed_income")
"""Fields that operators change."""


class OpsUsersHandler(OperatorHandler):
    """Users by user_id or nickname."""

    @endpoint()
    async def get(self, params: UserSearchRequest) -> Page[OpsUserResponse]:
        found = await self.context.stores.users.search(
            params.q, params.after, PAGE_SIZE, owing=params.owing
        )
        cursor = found[-1].user_id if len(found) == PAGE_SIZE else None
        return Page[OpsUserResponse].of(found, cursor)


class UserTargetHandler(OperatorHandler):
    """Base of the changes of one user."""

    async def target_state(self) -> Mapping[str, Any]:
        user = await self.context.stores.users.find(self.path_args[0])
        if user is None:
            return {}
        age_verified = user.age_verified_at is not None
        return {name: getattr(user, name) for name in AUDITED} | {"age_verified": age_verified}


class OpsUserHandler(UserTargetHandler):
    @endpoint(errors=[UserNotFound])
    async def get(self, user_id: str) -> OpsUserResponse:
        """Read one user."""
        user = await self.context.stores.users.get(user_id, deleted=True)
        return OpsUserResponse.model_validate(user)

    @endpoint(errors=[UserNotFound])
    async def patch(self, user_id: str, params: UserChangeRequest) -> OpsUserResponse:
        """Ban or readmit a user, make them a matchmaker, or verify that they are an adult."""
        if params.banned and not params.ban_reason:
            raise InvalidParameter({"ban_reason": "this is required"})
        changes = params.model_dump(exclude_none=True, exclude={"age_verified", "reason"})
        if params.age_verified is not None:
            if not params.reason:
                raise InvalidParameter({"reason": "this is required"})
            changes["age_verified_at"] = datetime.now(UTC) if params.age_verified else None
            changes["age_refused"] = not params.age_verified
        user = await self.context.services.rooms.removals.change_user(user_id, changes)
        return OpsUserResponse.model_validate(user)


class OpsGrantHandler(UserTargetHandler):
    """Grant gold from the house; idempotent by `request_id`.

    More than `ops.second_person_gold` of one operator in 24 hours waits for another operator.
    """

    @endpoint(errors=[UserNotFound, RequestIdReused])
    async def post(self, user_id: str, params: GrantRequest) -> BalanceResponse | ApprovalResponse:
        await self.context.stores.users.get(user_id)
        answer = await self.context.services.operators.approvals.grant(
            user_id, params.gold, params.reason, params.request_id, by=self.operator.name
        )
        return self.unless_waiting(answer, BalanceResponse)


class OpsDebtHandler(UserTargetHandler):
    """Pay off gold or income that a user owes; idempotent by `request_id`.

    More than `ops.second_person_gold` of one operator in 24 hours waits for another operator.
    """

    @endpoint(errors=[UserNotFound, InsufficientGold, RequestIdReused, DebtExceeded])
    async def post(self, user_id: str, params: SettleRequest) -> BalanceResponse | ApprovalResponse:
        await self.context.stores.users.get(user_id, deleted=True)
        answer = await self.context.services.operators.approvals.pay_off_debt(
            user_id,
            params.gold,
            params.reason,
            params.request_id,
            by=self.operator.name,
            by_house=params.paid_by == "house",
            unit=params.unit,
        )
        return self.unless_waiting(answer, BalanceResponse)


class OpsSessionsHandler(OperatorHandler):
    async def target_state(self) -> Mapping[str, Any]:
        sessions = await self.context.stores.tokens.sessions(self.path_args[0])
        return {"sessions": [session.id for session in sessions]}

    @endpoint(errors=[UserNotFound])
    async def get(self, user_id: str) -> Page[UserSession]:
        """Sessions of a user: one for each login that has not ended, newest first."""
        await self.context.stores.users.get(user_id)
        sessions = await self.context.stores.tokens.sessions(user_id)
        return Page[UserSession].of(sessions)

    @endpoint(errors=[UserNotFound])
    async def delete(self, user_id: str, params: EndSessionsRequest) -> SessionsEndedResponse:
        """End the session `id`, or all of the user's.

        Their sockets close with 4401. With the last session, IM logs the user out. Safe to repeat.
        """
        await self.context.stores.users.get(user_id)
        ended = await self.context.services.accounts.sessions.end(user_id, params.id)
        return SessionsEndedResponse(ended=ended)
