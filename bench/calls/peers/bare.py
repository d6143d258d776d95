"""Plain Tornado handlers that run the bare commands, on uvloop."""

import asyncio
import json
import sys
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from bench.calls.bare_commands import BareCommands

BASE_PATH = "/wx/api/qlive/qlive_room"


class BareChangeHandler(RequestHandler):
    def initialize(self, commands: BareCommands, *, drops_stream: bool) -> None:
        self.commands, self.drops_stream = commands, drops_stream

    async def post(self) -> None:
        await self._change(json.loads(self.request.body)["live_id"])

    async def get(self) -> None:
        await self._change(int(self.get_argument("live_id")))

    async def _change(self, live_id: int) -> None:
        authorization = self.request.headers["Authorization"]
        await self.commands.change(authorization, live_id, drops_stream=self.drops_stream)
        self.set_header("Content-Type", "application/json")
        self.finish('{"detail":"OK"}')


async def main() -> None:
    commands = BareCommands(*sys.argv[1:3])
    await commands.prepare()
    routes: list[Any] = [
        (
            f"{BASE_PATH}/{action}_micro/",
            BareChangeHandler,
            {"commands": commands, "drops_stream": action == "leave"},
        )
        for action in ("apply", "accept", "leave")
    ]
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    server = HTTPServer(Application(routes, log_function=lambda _: None))
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
