"""The door to the simulator: /sim on this same server, in development only."""

from handlers.base import BODY_BYTES, Handler
from handlers.parameters import texts
from rooms.refusals import TooLarge
from tencent.simulator.wire import SimRequest


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
        request = SimRequest(
            self.request.method or "", path, query, self.request.headers, bytes(self._body)
        )
        reply = await self.parts.simulator.answer(request)
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        if reply.status == 204:
            self.clear_header("Content-Type")
        await self.finish(reply.body)
