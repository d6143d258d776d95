"""API description of the simulator's own endpoints: a phone that logs in and pays."""

from typing import Literal

from pydantic import BaseModel

from devtools.simulator.requests import (
    ConfirmTransferRequest,
    EmptyRequest,
    PhoneLoginRequest,
    PhonePayRequest,
)
from handlers.openapi.examples import PLACEHOLDERS
from handlers.pages import Extension, ExtraEndpoint
from handlers.schemas.ops_responses import OperatorLoginResponse
from tencent.errors import ServiceUnavailable


class WechatLoginResponse(BaseModel):
    """Request body for POST qlive_user/ and POST qlive_user/login/; the code works once."""

    appId: str  # noqa: N815 - the contract's own name
    code: str
    encryptedData: str  # noqa: N815
    iv: str


class PaidResponse(BaseModel):
    """`order` is the order number; `why` the reason of a failed payment."""

    outcome: Literal["success", "cancel", "failed"]
    order: str | None
    why: str = ""


class TransferConfirmedResponse(BaseModel):
    """`bill` is the number of the bill; `why` the reason of a failed one."""

    outcome: Literal["success", "pending", "failed"]
    bill: str | None
    why: str = ""


class SimulatorErrorResponse(BaseModel):
    detail: str


INTRO = f"""
**In development every example can be executed unchanged.** Start with `POST /sim/phone/login`, then
`POST /wx/api/qlive/qlive_user/`, which returns a `token`. This page then sends it and acts as
`hongniang1`, a matchmaker; `POST /wx/api/qlive/qlive_room/matchmaker_enter/` opens a room.
(Other clients send the whole response of the first call as the body of the second, then
`Authorization: QLiveToken <token>` with every request.) For a second user, repeat both calls with
another name, for example `建国` and gender 1; the page then acts as that user.
`POST /sim/operator/login` logs in to the operators' API as an admin; this page then sends that
token to it.

The page fills in values returned by earlier calls: the code and data of a login, the `content` of
an order, the package of a withdrawal. A `user_id` of `{PLACEHOLDERS["user_id"]}` is replaced by the
last other user in a response, a `live_id` of {PLACEHOLDERS["live_id"]} by the last room.
"""

EXTENSION = Extension(
    tag="simulator",
    about="Simulated WeChat and Tencent, in development only.",
    intro=INTRO,
    endpoints=(
        ExtraEndpoint(
            "/sim/phone/login",
            "sim.phone.login",
            "Log in at the simulated WeChat: the first step to a token.",
            PhoneLoginRequest,
            WechatLoginResponse,
            {"name": "hongniang1", "gender": 2},
        ),
        ExtraEndpoint(
            "/sim/phone/pay",
            "sim.phone.pay",
            "Pay an order of POST qlive_pay/; the gold is credited at once.",
            PhonePayRequest,
            PaidResponse,
            {"content": PLACEHOLDERS["content"], "outcome": "success"},
        ),
        ExtraEndpoint(
            "/sim/transfer/confirm",
            "sim.transfer.confirm",
            "Confirm a withdrawal on WeChat's page; the money is paid at once.",
            ConfirmTransferRequest,
            TransferConfirmedResponse,
            {"package": PLACEHOLDERS["package"], "outcome": "success"},
        ),
        ExtraEndpoint(
            "/sim/operator/login",
            "sim.operator.login",
            "Log in to the operators' API as an admin.",
            EmptyRequest,
            OperatorLoginResponse,
            {},
        ),
    ),
    error=SimulatorErrorResponse,
    unavailable=ServiceUnavailable("simulator"),
)
