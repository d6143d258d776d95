"""Plain Tornado handlers around the bare commands of apply, accept and leave, on uvloop."""

import asyncio
import json
import sys
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from bench.calls.bare import Bare

BASE = "/wx/api/qlive/qlive_room"


class Change(RequestHandler):
    def initialize(self, bare: Bare, *, drops: bool) -> None:
        self.bare, self.drops = bare, drops

    async def post(self) -> None:
        await self._change(json.loads(self.request.body)["live_id"])

    async def get(self) -> None:
        await self._change(int(self.get_argument("live_id")))

    async def _change(self, live_id: int) -> None:
        said = self.request.headers["Authorization"]
        await self.bare.change(said, live_id, drops=self.drops)
        self.set_header("Content-Type", "application/json")
        self.finish('{"detail":"OK"}')


async def main() -> None:
    bare = Bare(*sys.argv[1:3])
    await bare.prepare()
    routes: list[Any] = [
        (f"{BASE}/{name}_micro/", Change, {"bare": bare, "drops": name == "leave"})
        for name in ("apply", "accept", "leave")
    ]
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    server = HTTPServer(Application(routes, log_function=lambda _: None))
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
