"""The door to the simulator: /sim on this same server, in development only."""

from typing import Any

from tornado.web import Application, RequestHandler

from handlers.base import BODY_BYTES, Handler
from handlers.parameters import texts
from rooms.refusals import TooLarge
from tencent.simulator.simulator import Simulator
from tencent.simulator.wire import SimReply, SimRequest

_BODILESS = (204, 304)


class Sim(Handler):
    """Whatever the played services answer, word for word."""

    async def get(self, path: str) -> None:
        await self._pass(path)

    async def post(self, path: str) -> None:
        await self._pass(path)

    async def _pass(self, path: str) -> None:
        assert self.parts.simulator is not None
        if self._body_size > BODY_BYTES:
            raise TooLarge
        query = texts(self.request.query_arguments)
        asked = _asked(self, path, query, bytes(self._body))
        await _say(self, await self.parts.simulator.answer(asked))


class Stage(RequestHandler):
    """The same where there is no server around it, and only workers ask, who look first."""

    def initialize(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def get(self, path: str) -> None:
        await self._pass(path)

    async def post(self, path: str) -> None:
        await self._pass(path)

    async def _pass(self, path: str) -> None:
        query = texts(self.request.query_arguments)
        asked = _asked(self, path, query, self.request.body)
        await _say(self, await self._simulator.answer(asked))


def stage(simulator: Simulator) -> Application:
    """The simulator alone, for the workers of a supervisor: they and their relays ask here."""
    given = {"simulator": simulator}
    return Application([(r"/sim(/.*)", Stage, given)], log_function=lambda _handler: None)


def _asked(handler: RequestHandler, path: str, query: dict[str, Any], body: bytes) -> SimRequest:
    request = handler.request
    return SimRequest(request.method or "", path, query, request.headers, body)


async def _say(handler: RequestHandler, reply: SimReply) -> None:
    handler.set_status(reply.status)
    for name, value in reply.headers.items():
        handler.set_header(name, value)
    if reply.status in _BODILESS:
        handler.clear_header("Content-Type")
    await handler.finish(None if reply.status in _BODILESS else reply.body)
