"""Serves the simulator under /sim, in development only: that of this process, or another one's."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from pydantic import BaseModel, RootModel
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from devtools.simulator.requests import (
    ConfirmTransferRequest,
    PhoneLoginRequest,
    PhonePayRequest,
)
from devtools.simulator.simulator import Simulator
from devtools.simulator.wire import NO_ANSWER, SimulatorReply, SimulatorRequest
from handlers.base import MAX_BODY_BYTES, Handler, Route, endpoint
from handlers.context import Context
from handlers.errors import BadRequest, PayloadTooLarge
from handlers.openapi.schemas import PLACEHOLDERS
from handlers.request_data import texts
from services.accounts.pictures import MAX_BYTES
from tencent.errors import ServiceUnavailable

log = structlog.get_logger("qlive.simulator")

UNREACHABLE = ServiceUnavailable("simulator")
REQUEST_TIMEOUT_SECONDS = 15.0
"""A simulated outage may last longer."""

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


class SimulatorResponse(RootModel[dict[str, Any]]):
    """Answer of the simulator: strings by name, or null."""


class RemoteSimulator:
    """The simulator of another process, at `address`, for phones and pages that call this one.

    The services' own APIs are called at that address: their signatures cover headers, of which
    none is forwarded.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    async def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """Return the answer. Raises ServiceUnavailable if the connection fails or times out."""
        try:
            answer = await AsyncHTTPClient().fetch(
                f"{self._address}/sim{quote(request.path)}?{urlencode(request.query)}",
                method=request.method,
                headers={"Content-Type": request.header("Content-Type")},
                body=request.body if request.method == "POST" else None,
                request_timeout=REQUEST_TIMEOUT_SECONDS,
                raise_error=False,
            )
        except (HTTPClientError, OSError) as error:
            log.warning("simulator_unreachable", why=type(error).__name__)
            raise ServiceUnavailable("simulator") from error
        content_type = {"Content-Type": answer.headers.get("Content-Type", "")}
        return SimulatorReply(answer.code, content_type, answer.body)


class SimulatorHandler(Handler):
    """Base of the handlers of /sim."""

    label = "Sim"

    def initialize(  # type: ignore[override]  # routed by runtime/development.py alone
        self, context: Context, simulator: Simulator | RemoteSimulator, route: Route | None = None
    ) -> None:
        super().initialize(context, route)
        self._simulator = simulator

    async def handle(self, path: str, params: BaseModel) -> SimulatorResponse:
        """Return the answer to a simulator's own call. Raises BadRequest if it refuses the call."""
        body = params.model_dump_json(round_trip=True).encode()
        reply = await self._simulator.answer(SimulatorRequest("POST", path, body=body))
        content: dict[str, Any] = json.loads(reply.body)
        if reply.status == 400:
            raise BadRequest(content["detail"])
        return SimulatorResponse(content)


class PhoneLoginHandler(SimulatorHandler):
    """Log in at the simulated WeChat: the first step to a token.

    The response is a request body for POST qlive_user/ and POST qlive_user/login/; its code works
    once.
    """

    @endpoint(errors=[UNREACHABLE])
    async def post(self, params: PhoneLoginRequest) -> SimulatorResponse:
        return await self.handle("/phone/login", params)


class PhonePayHandler(SimulatorHandler):
    """Pay an order of POST qlive_pay/.

    The simulated WeChat then notifies the server, which credits the gold.
    """

    @endpoint(errors=[UNREACHABLE])
    async def post(self, params: PhonePayRequest) -> SimulatorResponse:
        return await self.handle("/phone/pay", params)


class ConfirmTransferHandler(SimulatorHandler):
    """Confirm a withdrawal as on WeChat's page.

    The simulated WeChat then notifies the server that the income is paid.
    """

    @endpoint(errors=[UNREACHABLE])
    async def post(self, params: ConfirmTransferRequest) -> SimulatorResponse:
        return await self.handle("/transfer/confirm", params)


SIMULATOR_ROUTES = (
    Route("/sim/phone/login", PhoneLoginHandler, "simulator.PhoneLogin"),
    Route("/sim/phone/pay", PhonePayHandler, "simulator.PhonePay"),
    Route("/sim/transfer/confirm", ConfirmTransferHandler, "simulator.ConfirmTransfer"),
)
"""Calls of the simulator that the OpenAPI document describes."""


class ForwardingHandler(SimulatorHandler):
    """Forwards requests to the simulator and returns its replies byte for byte."""

    body_bytes = MAX_BYTES + MAX_BODY_BYTES
    """An upload to COS, and the fields before it."""

    async def get(self, path: str) -> None:
        if self._body_size > self.body_bytes:
            raise PayloadTooLarge
        request = self.request
        query = texts(request.query_arguments)
        reply = await self._simulator.answer(
            SimulatorRequest(request.method or "", path, query, request.headers, bytes(self._body))
        )
        if reply.status == NO_ANSWER:
            self.detach().close()
            return
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        await self.finish(reply.body or None)  # 204 has none

    head = post = put = delete = get
