"""Operators' endpoints: log in, set up the first login, who is logged in, log out."""

import re
from contextlib import suppress
from typing import Any

import structlog

from core.errors import QLiveError, RateLimited
from handlers.base import Handler, endpoint
from handlers.errors import RoleRequired
from handlers.models import OkResponse
from handlers.operator_base import OperatorHandler
from handlers.operators.models import (
    OPERATOR_NAME,
    FirstLoginRequest,
    LoginAttemptRequest,
    LoginOptionsResponse,
    LoginSetupRequest,
    OperatorLoginResponse,
    OperatorResponse,
    SecondFactorResponse,
)
from handlers.request_data import limit_key
from services.errors import FirstLoginRequired, LoginRefused, OperatorLocked
from services.operators.operators import Login
from services.operators.roles import Operator

log = structlog.get_logger("qlive.http")


class LoginAttemptHandler(Handler):
    """Limits attempts to log in, by address and by name there, and writes an audit entry of each.

    `done` stays false when the attempt fails, which is logged and counted as well. Neither entry
    nor log has the password, nor a name that no operator has: people type their password into that
    field. An attempt that succeeds costs nothing.
    """

    authorization_errors = (RateLimited,)
    keep_blank_values = True

    async def authorize(self) -> None:
        name = self._typed_name()
        self._name = name if re.fullmatch(OPERATOR_NAME, name) else ""
        self._address = limit_key(self.remote_ip)
        self.context.request_limits.count_operator_login(self._name, self._address)
        self._operator = name if await self.context.stores.operators.find(self._name) else ""
        self._entry = await self.context.stores.audit.begin(
            who=self._operator,
            what=f"{self.request.method} {self.label}",
            on=self._operator,
            reason="",
            parameters={},
            address=self.remote_ip[:64],
        )

    def _typed_name(self) -> str:
        """Return the typed name; "" if the body cannot be read.

        An unreadable body is answered after admission.
        """
        with suppress(QLiveError):
            return str(self.parameters().get("name", ""))
        return ""

    async def done(self) -> None:
        self.context.request_limits.give_operator_login_back(self._name, self._address)
        await self.context.stores.audit.done(self._entry, {}, {})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if isinstance(kwargs.get("exc_info", (None, None))[1], LoginRefused | OperatorLocked):
            self.context.metrics.operator_logins_refused.inc()
            log.warning("operator_login_refused", operator=self._operator, address=self._address)
        super().write_error(status_code, **kwargs)


class OpsLoginHandler(LoginAttemptHandler):
    """Log in to the operators' API."""

    @endpoint(errors=[LoginRefused, OperatorLocked, FirstLoginRequired, RoleRequired])
    async def post(self, params: LoginAttemptRequest) -> OperatorLoginResponse:
        """`code` is that of the authenticator app; it works once.

        The token ends 30 minutes after its last use, and 12 hours after the login.
        """
        login = await self.context.services.operators.operators.log_in(
            params.name, params.password, params.code
        )
        return login_response(self, login)


class OpsLoginOptionsHandler(Handler):
    """How operators may log in; `demo`: as an admin without a password, in development."""

    @endpoint(limit="anonymous")
    async def get(self) -> LoginOptionsResponse:
        is_development = self.context.settings.environment == "development"
        return LoginOptionsResponse(demo=is_development)


class OpsLoginSetupHandler(LoginAttemptHandler):
    """Get the second factor to be set up at the first login, with a one-time password."""

    @endpoint(errors=[LoginRefused])
    async def post(self, params: LoginSetupRequest) -> SecondFactorResponse:
        factor = await self.context.services.operators.operators.second_factor(
            params.name, params.password
        )
        return SecondFactorResponse.model_validate(factor)


class OpsFirstLoginHandler(LoginAttemptHandler):
    """Set password and second factor with a one-time password, and log in."""

    @endpoint(errors=[LoginRefused, RoleRequired])
    async def post(self, params: FirstLoginRequest) -> OperatorLoginResponse:
        login = await self.context.services.operators.operators.first_log_in(
            params.name, params.password, params.new_password, params.code
        )
        return login_response(self, login)


class OpsSessionHandler(OperatorHandler):
    @endpoint()
    async def get(self) -> OperatorResponse:
        """Read who is logged in."""
        return OperatorResponse(**described(self, self.operator))

    @endpoint()
    async def delete(self) -> OkResponse:
        """Log out."""
        await self.context.services.operators.operators.log_out(self.token)
        return OkResponse()


def login_response(handler: Handler, login: Login) -> OperatorLoginResponse:
    return OperatorLoginResponse(
        token=login.token, expires_at=login.expires_at, **described(handler, login.operator)
    )


def described(handler: Handler, operator: Operator) -> dict[str, Any]:
    """Return the fields of OperatorResponse.

    `application` in handlers/routes.py sets what a role may do. Raises RoleRequired for a role that
    this release does not know.
    """
    if (may := handler.settings["permissions"].get(operator.role)) is None:
        raise RoleRequired
    return {"name": operator.name, "role": operator.role, "may": may}
