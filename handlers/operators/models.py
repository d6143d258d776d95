"""Requests and responses about operators, approvals and the audit log."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from handlers.models import CursorRequest, ReasonRequest, Request, Response, SearchRequest
from services.operators.operators import ONE_TIME_HOURS
from services.operators.roles import Access, Role

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


class NewOperatorRequest(ReasonRequest):
    name: OperatorName
    role: Annotated[Role, Field(examples=["viewer"])]


class OperatorChangeRequest(ReasonRequest):
    role: Role | None = None
    disabled: bool | None = None
    end_sessions: bool = False


class AuditSearchRequest(SearchRequest):
    """`what`: one action, as in the entries."""

    what: Annotated[str, StringConstraints(max_length=100)] = ""


class ApprovalSearchRequest(CursorRequest):
    """`waiting`: only requests that can be decided."""

    waiting: bool = False


class OperatorResponse(Response):
    """An operator; `may` are the permitted operations as in the audit log: `PATCH OneUser`."""

    name: str
    role: Access
    may: list[str]


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


class AuditEntryResponse(Response):
    """`done` is false for requests that were refused or interrupted.

    `before` and `after` have the fields that the change has altered. Long values are cut.
    """

    id: str
    at: datetime
    who: str
    role: str
    address: str
    what: str
    on: str
    reason: str
    parameters: Any
    before: dict[str, Any]
    after: dict[str, Any]
    done: bool
