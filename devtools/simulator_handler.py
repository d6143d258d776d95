"""Serves the simulator under /sim, in development only: that of this process, or another one's."""

from urllib.parse import quote, urlencode

import structlog
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from devtools.simulator.simulator import Simulator
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from handlers.base import BODY_BYTES, Handler
from handlers.context import Context
from handlers.errors import PayloadTooLarge
from handlers.request_data import texts
from tencent.errors import ServiceUnavailable

log = structlog.get_logger("qlive.simulator")

REQUEST_TIMEOUT_SECONDS = 15.0
"""A simulated outage may last longer."""


class RemoteSimulator:
    """The simulator of another process, at `address`, for phones and pages that call this one.

    The services' own APIs are called at that address: their signatures cover headers, of which
    none is forwarded.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    async def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """The simulator's answer; ServiceUnavailable if the connection fails or times out."""
        try:
            answer = await AsyncHTTPClient().fetch(
                f"{self._address}/sim{quote(request.path)}?{urlencode(request.query)}",
                method=request.method,
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
    """Forwards requests to the simulator and returns its replies byte for byte."""

    label = "Sim"

    def initialize(  # type: ignore[override]  # routed by runtime/development.py alone
        self, context: Context, simulator: Simulator | RemoteSimulator
    ) -> None:
        super().initialize(context)
        self._simulator = simulator

    async def get(self, path: str) -> None:
        if self._body_size > BODY_BYTES:
            raise PayloadTooLarge
        request = self.request
        query = texts(request.query_arguments)
        reply = await self._simulator.answer(
            SimulatorRequest(request.method or "", path, query, request.headers, bytes(self._body))
        )
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        await self.finish(reply.body or None)  # 204 has none

    post = get
