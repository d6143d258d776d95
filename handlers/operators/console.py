"""Operators' endpoints for other operators, and for their own password and second factor."""

from collections.abc import Mapping
from typing import Any

from handlers.base import endpoint
from handlers.models import OkResponse, Page, ReasonRequest
from handlers.operator_base import OperatorHandler
from handlers.operators.login import login_response
from handlers.operators.models import (
    NewOperatorRequest,
    OneTimePasswordResponse,
    OperatorAccountResponse,
    OperatorChangeRequest,
    OperatorLoginResponse,
    OwnAccountRequest,
    SecondFactorResponse,
)
from handlers.request_data import limit_key
from services.errors import LoginRefused, OperatorLocked, OwnAccount
from services.operators.operators import second_factor
from storage.errors import NoLongerAdmin, OperatorExists, OperatorNotFound

OF_ANOTHER = (OperatorNotFound, OwnAccount, NoLongerAdmin)


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
    async def patch(self, name: str, params: OperatorChangeRequest) -> OkResponse:
        changes = params.model_dump(exclude={"reason"}, exclude_none=True)
        await self.context.services.operators.operators.change(name, self.operator.name, **changes)
        return OkResponse()


class OpsResetHandler(OperatorTargetHandler):
    """Forget password and app of another operator, and end their sessions.

    They log in again with the one-time password of the response.
    """

    @endpoint(errors=OF_ANOTHER)
    async def post(self, name: str, params: ReasonRequest) -> OneTimePasswordResponse:
        del params  # the reason is in the audit log
        password = await self.context.services.operators.operators.reset(name, self.operator.name)
        return OneTimePasswordResponse(name=name, password=password)


class OpsAccountHandler(OperatorHandler):
    audits_parameters = False

    @endpoint()
    async def get(self) -> SecondFactorResponse:
        """Make a secret for another authenticator app of the caller; it is not stored."""
        return SecondFactorResponse.model_validate(second_factor(self.operator.name))

    @endpoint(errors=[LoginRefused, OperatorLocked])
    async def patch(self, params: OwnAccountRequest) -> OperatorLoginResponse:
        """Change the caller's password or authenticator app, with the present ones.

        All sessions of the operator end; the response has a new one. Attempts count as logins.
        """
        limits, key = self.context.request_limits, (self.operator.name, limit_key(self.remote_ip))
        limits.count_operator_login(*key)
        changes = params.model_dump()
        login = await self.context.services.operators.operators.change_own(
            self.operator.name, **changes
        )
        limits.give_operator_login_back(*key)
        return login_response(self, login)
