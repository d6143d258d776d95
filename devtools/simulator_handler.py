"""Serves the simulator under /sim, in development only."""

from dataclasses import dataclass

from devtools.simulator.relay import RemoteSimulator
from devtools.simulator.simulator import Simulator
from devtools.simulator_application import simulator_request, write_reply
from handlers.base import BODY_BYTES, Handler
from handlers.context import Context
from handlers.errors import PayloadTooLarge
from handlers.parameters import texts


@dataclass(slots=True)
class SimulatorRef:
    """The simulator behind /sim: one in this process, or that of another server."""

    simulator: Simulator | RemoteSimulator


class SimulatorHandler(Handler):
    """Forwards requests to the simulator and returns its replies byte for byte."""

    def initialize(  # type: ignore[override]  # routed by runtime/development_pages.py alone
        self, context: Context, simulator_ref: SimulatorRef, label: str = ""
    ) -> None:
        super().initialize(context, label)
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
