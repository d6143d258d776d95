"""Our hub and our handshake without people, rooms or a database: what Tornado's is compared to."""

import asyncio
import itertools
import sys
from contextlib import suppress
from typing import Any

import uvloop
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application

import garbage
from bench.fanout.control import run
from handlers.socket import is_handshake
from realtime import wire
from realtime.bus import LocalBus
from realtime.fanout import Pace
from realtime.hub import Hub
from realtime.opening import Look
from realtime.outbox import Outbox
from rooms.events import Numbered

NUMBERS = itertools.count(1)
DATA = {"user_id": "12345678", "nickname": "somebody", "gender": 1, "face_url": "x" * 102}


class Empty:
    """A room of which nothing was missed."""

    async def log_since(self, _live_id: int, _epoch: str, _seq: int) -> list[Numbered] | None:
        return None

    async def versions(self, _live_ids: Any) -> dict[int, tuple[str, int]]:
        return {}


class Door(HTTPMessageDelegate):
    """As handlers/socket.py takes a connection over, but for who may come in."""

    def __init__(self, hub: Hub, request: HTTPServerRequest) -> None:
        self._hub = hub
        self._request = request

    def headers_received(self, _start_line: object, headers: HTTPHeaders) -> None:
        assert is_handshake(self._request)
        connection = self._request.connection
        assert isinstance(connection, HTTP1Connection)
        stream = connection.detach()
        stream.set_nodelay(True)
        outbox = Outbox(str(next(NUMBERS)), stream, backlog_bytes=262_144)
        outbox.send(wire.upgrade(headers["Sec-WebSocket-Key"]))
        self._hub.arrive(outbox)
        asyncio.get_running_loop().create_task(_listen(self._hub, outbox, stream))


class House(Application):
    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> Any:
        return Door(self._hub, request)


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
    garbage.settle()
    setting_aside = asyncio.create_task(_set_aside(hub))
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    HTTPServer(House(hub)).add_sockets(sockets)

    def tell(_way: bytes) -> None:
        (channel,) = hub.channels
        hub.tell(1, [Numbered("a", channel.told + 1, 1764082800123, "profile", DATA)])

    await run(sockets[0].getsockname()[1], tell)
    setting_aside.cancel()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
