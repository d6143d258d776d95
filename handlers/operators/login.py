"""Operators' endpoints: log in, set up the first login, who is logged in, log out, own account."""

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import structlog
from pydantic import Field, StringConstraints

from core.errors import QLiveError, RateLimited
from handlers.base import Handler, endpoint
from handlers.errors import RoleRequired
from handlers.models import Request, Response
from handlers.operator_base import OperatorHandler
from handlers.request_data import limit_key
from services.errors import FirstLoginRequired, LoginRefused, OperatorLocked
from services.operators.operators import Login, second_factor
from services.operators.roles import Access, Operator

OPERATOR_NAME = "[a-z][a-z0-9._-]{1,31}"
OperatorName = Annotated[
    str, StringConstraints(pattern=f"^{OPERATOR_NAME}$"), Field(examples=["anna"])
]
Password = Annotated[
    str, StringConstraints(min_length=1, max_length=128), Field(examples=["one-time"])
]
NewPassword = Annotated[
    str,
    StringConstraints(min_length=12, max_length=128),
    Field(examples=["correct horse battery"]),
]
Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$"), Field(examples=["123456"])]
log = structlog.get_logger("qlive.http")


class LoginSetupRequest(Request):
    name: OperatorName
    password: Password


class LoginAttemptRequest(LoginSetupRequest):
    """`code`: six digits of the authenticator app; without one before the first login."""

    code: Annotated[
        str, StringConstraints(pattern=r"^([0-9]{6})?$"), Field(examples=["123456"])
    ] = ""


class FirstLoginRequest(LoginSetupRequest):
    """`password` is the one-time password, `new_password` has at least 12 characters."""

    new_password: NewPassword
    code: Code


class OwnAccountRequest(Request):
    """`password` and `code` are the present ones.

    `secret`: of another authenticator app, as `GET` has answered it; `new_code` is that app's code.
    """

    password: Password
    code: Code
    new_password: NewPassword | None = None
    secret: Annotated[str, StringConstraints(pattern=r"^[A-Z2-7]{32}$")] | None = None
    new_code: Code | None = None


class OperatorResponse(Response):
    """An operator; `may` are the permitted operations as in the audit log: `PATCH OneUser`."""

    name: str
    role: Access
    may: list[str]


class OperatorLoginResponse(OperatorResponse):
    """`token` goes into `Authorization: Bearer <token>`."""

    token: str
    expires_at: datetime


class LoginOptionsResponse(Response):
    demo: bool


class SecondFactorResponse(Response):
    """Setup of an authenticator app; `qr` is a data URI of `uri` as QR code."""

    secret: str
    uri: str
    qr: str


class LoginAttemptHandler(Handler):
    """Limits attempts to log in, by address and by name there, and writes an audit entry of each.

    `done` stays false when the attempt fails, which is logged and counted as well. Neither entry
    nor log has the password, nor a name that no operator has: people type their password into that
    field. An attempt that succeeds costs nothing.
    """

    authorization_errors = (RateLimited,)
    keep_blank_values = True

    async def authorize(self) -> None:
        name = ""
        with suppress(QLiveError):  # a body that cannot be read is answered after this
            name = str(self.parameters().get("name", ""))
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

    async def done(self) -> None:
        self.context.request_limits.give_operator_login_back(self._name, self._address)
        await self.context.stores.audit.done(self._entry, {}, {})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if isinstance(kwargs.get("exc_info", (None, None))[1], LoginRefused | OperatorLocked):
            self.context.metrics.refused.operator_logins.inc()
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
    """Get the second factor to be set up at the first login, with a one-time password.

    It replaces an earlier one, and counts once a code of it logs in.
    """

    @endpoint(errors=[LoginRefused])
    async def post(self, params: LoginSetupRequest) -> SecondFactorResponse:
        factor = await self.context.services.operators.operators.second_factor(
            params.name, params.password
        )
        return SecondFactorResponse.model_validate(factor)


class OpsFirstLoginHandler(LoginAttemptHandler):
    """Set password and second factor with a one-time password, and log in.

    The one-time password ends with this.
    """

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
    async def delete(self) -> None:
        """Log out."""
        await self.context.stores.operator_sessions.end(self.token)


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
