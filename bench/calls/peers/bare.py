"""Plain Tornado handlers that run the bare commands, and those of the reads, on uvloop."""

import json
import sys
from typing import Any

import uvloop
from tornado.web import RequestHandler

from bench.calls.bare_commands import BareCommands
from bench.calls.peer_queries import PeerQueries
from bench.calls.peers.tornado_ import BASE_PATH, read_routes, serve


class BareHandler(RequestHandler):
    def initialize(self, commands: BareCommands) -> None:
        self.commands = commands
        self.authorization = self.request.headers["Authorization"]

    def live_id(self) -> int:
        return int(self.get_argument("live_id"))

    def respond(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish('{"detail":"OK"}')


class BareChangeHandler(BareHandler):
    async def post(self) -> None:
        live_id = json.loads(self.request.body)["live_id"]
        await self.commands.change(self.authorization, live_id)
        self.respond()


class BareLeaveMicHandler(BareHandler):
    async def get(self) -> None:
        await self.commands.change(self.authorization, self.live_id(), drops_stream=True)
        self.respond()


class BareEnterHandler(BareHandler):
    async def get(self) -> None:
        await self.commands.enter(self.authorization, self.live_id())
        self.respond()


class BareLeaveHandler(BareHandler):
    async def get(self) -> None:
        await self.commands.leave(self.authorization, self.live_id())
        self.respond()


class BareGiftHandler(BareHandler):
    async def get(self) -> None:
        await self.commands.give(self.authorization, self.get_argument("user_id"))
        self.respond()


async def main(uri: str, database: str) -> None:
    commands = BareCommands(uri, database)
    await commands.prepare()
    handlers = {
        **{
            f"qlive_room/{name}_micro/": BareChangeHandler for name in ("apply", "accept", "refuse")
        },
        "qlive_room/leave_micro/": BareLeaveMicHandler,
        "qlive_room/leave_room/": BareLeaveHandler,
        "get_playurl/": BareEnterHandler,
        "qlive_gift/push_gift/": BareGiftHandler,
    }
    routes: list[Any] = [
        (f"{BASE_PATH}/{path}", handler, {"commands": commands})
        for path, handler in handlers.items()
    ]
    await serve(routes + read_routes(PeerQueries(uri, database)))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:3]))
