"""Our hub and our handshake without people, rooms or a database: what Tornado's is compared to."""

import asyncio
import itertools
import sys
from contextlib import suppress
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

import garbage
from bench.fanout.control import run
from realtime import wire
from realtime.bus import LocalBus
from realtime.fanout import Pace
from realtime.hub import Hub
from realtime.opening import Look
from realtime.outbox import Outbox
from rooms.events import Numbered

NUMBERS = itertools.count(1)
DATA = {"user_id": "12345678", "nickname": "somebody", "gender": 1, "face_url": "x" * 120}


class Empty:
    """A room of which nothing was missed."""

    async def log_since(self, _live_id: int, _epoch: str, _seq: int) -> list[Numbered] | None:
        return None

    async def versions(self, _live_ids: Any) -> dict[int, tuple[str, int]]:
        return {}


class Listener(RequestHandler):
    def initialize(self, hub: Hub) -> None:
        self.hub = hub

    async def get(self) -> None:
        key = self.request.headers["Sec-WebSocket-Key"]
        stream = self.detach()
        stream.set_nodelay(True)
        outbox = Outbox(str(next(NUMBERS)), stream, backlog_bytes=262_144)
        outbox.send(wire.upgrade(key))
        self.hub.arrive(outbox)
        asyncio.get_running_loop().create_task(_listen(self.hub, outbox, stream))


async def _listen(hub: Hub, outbox: Outbox, stream: Any) -> None:
    async def look() -> Look:
        return Look("a", 0, {})

    await hub.join(1, outbox, None, look)
    reader = wire.Reader(16_384)
    with suppress(StreamClosedError):
        while True:
            reader.feed(await stream.read_bytes(4096, partial=True))


async def _set_aside(hub: Hub) -> None:
    aside = garbage.Garbage(lambda: hub.open)
    while True:
        await aside.look()
        await asyncio.sleep(0.5)


async def main() -> None:
    hub = Hub(Empty(), LocalBus(), Pace())
    routes: list[Any] = [("/", Listener, {"hub": hub})]
    garbage.settle()
    setting_aside = asyncio.create_task(_set_aside(hub))
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    HTTPServer(Application(routes)).add_sockets(sockets)

    def tell(_way: bytes) -> None:
        (channel,) = hub.channels
        hub.tell(1, [Numbered("a", channel.told + 1, 1764082800123, "profile", DATA)])

    await run(sockets[0].getsockname()[1], tell)
    setting_aside.cancel()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
