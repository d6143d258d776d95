"""Serves the simulator under /sim, in development only."""

from dataclasses import dataclass
from typing import Any

from tornado.web import Application, RequestHandler

from devtools.simulator.relay import RemoteSimulator
from devtools.simulator.simulator import Simulator
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from handlers.base import BODY_BYTES, Handler
from handlers.context import Context
from handlers.errors import PayloadTooLarge
from handlers.request_data import texts

_BODILESS = (204, 304)


@dataclass(slots=True)
class SimulatorRef:
    """The simulator behind /sim: one in this process, or that of another server."""

    simulator: Simulator | RemoteSimulator


class SimulatorHandler(Handler):
    """Forwards requests to the simulator and returns its replies byte for byte."""

    label = "Sim"

    def initialize(  # type: ignore[override]  # routed by runtime/development.py alone
        self, context: Context, simulator_ref: SimulatorRef
    ) -> None:
        super().initialize(context)
        self._simulator_ref = simulator_ref

    async def get(self, path: str) -> None:
        await self._forward(path)

    async def post(self, path: str) -> None:
        await self._forward(path)

    async def _forward(self, path: str) -> None:
        if self._body_size > BODY_BYTES:
            raise PayloadTooLarge
        query = texts(self.request.query_arguments)
        request = simulator_request(self, path, query, bytes(self._body))
        await write_reply(self, await self._simulator_ref.simulator.answer(request))


class StandaloneSimulatorHandler(RequestHandler):
    """SimulatorHandler for a standalone application that only servers call.

    Does not check the body size: servers do before they forward a request.
    """

    def initialize(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def get(self, path: str) -> None:
        await self._forward(path)

    async def post(self, path: str) -> None:
        await self._forward(path)

    async def _forward(self, path: str) -> None:
        query = texts(self.request.query_arguments)
        request = simulator_request(self, path, query, self.request.body)
        await write_reply(self, await self._simulator.answer(request))


def simulator_application(simulator: Simulator) -> Application:
    """Tornado application of the simulator alone, which several servers call."""
    arguments = {"simulator": simulator}
    return Application(
        [(r"/sim(/.*)", StandaloneSimulatorHandler, arguments)], log_function=lambda _handler: None
    )


def simulator_request(
    handler: RequestHandler, path: str, query: dict[str, Any], body: bytes
) -> SimulatorRequest:
    request = handler.request
    return SimulatorRequest(request.method or "", path, query, request.headers, body)


async def write_reply(handler: RequestHandler, reply: SimulatorReply) -> None:
    handler.set_status(reply.status)
    for name, value in reply.headers.items():
        handler.set_header(name, value)
    if reply.status in _BODILESS:
        handler.clear_header("Content-Type")
    await handler.finish(None if reply.status in _BODILESS else reply.body)
