"""Serves the simulator under /sim, in development only: that of this process, or another one's."""

from collections.abc import Mapping
from contextlib import closing
from urllib.parse import quote, urlencode

import structlog
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from devtools.simulator.simulator import Simulator
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from handlers.base import BODY_BYTES, Handler
from handlers.context import Context
from handlers.errors import PayloadTooLarge
from handlers.request_data import texts
from tencent.errors import ServiceUnavailable

log = structlog.get_logger("qlive.simulator")

REQUEST_TIMEOUT_SECONDS = 15.0
"""The server's own calls time out after 5 s; a simulated outage may last longer."""
_BODILESS = (204, 304)
_NOT_FORWARDED = (
    *("connection", "keep-alive", "upgrade", "expect", "te", "transfer-encoding"),
    *("content-length", "accept-encoding", "server", "date", "etag"),
)


class RemoteSimulator:
    """Forwards requests to the stateful simulator of another process, at `address`."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """The simulator's answer; ServiceUnavailable if the connection fails or times out."""
        with closing(AsyncHTTPClient(force_instance=True)) as client:
            try:
                answer = await client.fetch(self._as_http(request), raise_error=False)
            except (HTTPClientError, OSError) as error:
                log.warning("simulator_unreachable", why=type(error).__name__)
                raise ServiceUnavailable("simulator") from error
        return SimulatorReply(answer.code, _forwarded(answer.headers), answer.body)

    def _as_http(self, request: SimulatorRequest) -> HTTPRequest:
        query = "?" + urlencode(request.query) if request.query else ""
        return HTTPRequest(
            f"{self._address}/sim{quote(request.path)}{query}",
            method=request.method,
            # Includes Host, which signatures may cover.
            headers=_forwarded(request.headers),
            body=request.body if request.method == "POST" else None,
            request_timeout=REQUEST_TIMEOUT_SECONDS,
            follow_redirects=False,
            decompress_response=False,
        )


class SimulatorHandler(Handler):
    """Forwards requests to the simulator and returns its replies byte for byte."""

    label = "Sim"

    def initialize(  # type: ignore[override]  # routed by runtime/development.py alone
        self, context: Context, simulator: Simulator | RemoteSimulator
    ) -> None:
        super().initialize(context)
        self._simulator = simulator

    async def get(self, path: str) -> None:
        await self._forward(path)

    async def post(self, path: str) -> None:
        await self._forward(path)

    async def _forward(self, path: str) -> None:
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
        if reply.status in _BODILESS:
            self.clear_header("Content-Type")
        await self.finish(None if reply.status in _BODILESS else reply.body)


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_FORWARDED}
