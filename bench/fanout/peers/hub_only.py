"""QLive's handshake and hub without users, rooms or a database.

Its handshakes per CPU second are compared with those of Tornado.
"""

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

from bench.fanout.control import serve_control
from handlers.websocket.handshake import is_handshake
from realtime import wire
from realtime.bus import Bus
from realtime.hub import Hub
from realtime.resume import Source, View
from realtime.socket_writer import SocketWriter
from rooms.events import NumberedEvent
from runtime import gc_tuning

USER_IDS = itertools.count(1)
EVENT_DATA = {"user_id": "12345678", "nickname": "somebody", "gender": 1, "face_url": "x" * 102}


class EmptyEventLog:
    """An empty event log: there is nothing to backfill."""

    async def log_since(self, _live_id: int, _epoch: str, _seq: int) -> list[NumberedEvent] | None:
        return None

    async def versions(self, _live_ids: Any) -> dict[int, tuple[str, int]]:
        return {}

    async def load_room(self, _live_id: int) -> View | None:
        return None


class HubHandshakeDelegate(HTTPMessageDelegate):
    """Takes over the connection like handlers/websocket/handshake.py, without authorization."""

    def __init__(self, hub: Hub, request: HTTPServerRequest) -> None:
        self._hub = hub
        self._request = request

    def headers_received(self, _start_line: object, headers: HTTPHeaders) -> None:
        assert is_handshake(self._request)
        connection = self._request.connection
        assert isinstance(connection, HTTP1Connection)
        stream = connection.detach()
        stream.set_nodelay(True)
        writer = SocketWriter(str(next(USER_IDS)), stream, backlog_bytes=262_144)
        writer.send(wire.upgrade_response(headers["Sec-WebSocket-Key"]))
        self._hub.connect(writer)
        asyncio.get_running_loop().create_task(_serve_socket(self._hub, writer, stream))


class HandshakeApplication(Application):
    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> Any:
        return HubHandshakeDelegate(self._hub, request)


async def _serve_socket(hub: Hub, writer: SocketWriter, stream: Any) -> None:
    async def no_data() -> dict[str, Any]:
        return {}

    async with hub.joining(1, writer, None) as resume:
        first_frames = await resume.read(View("a", 0, no_data))
        assert first_frames is not None  # an empty log has nothing newer
        hub.add(resume, writer, first_frames)
    parser = wire.FrameParser(16_384)
    with suppress(StreamClosedError):
        while True:
            parser.feed(await stream.read_bytes(4096, partial=True))


async def _tune_gc(hub: Hub) -> None:
    tuner = gc_tuning.GcTuner(lambda: hub.open_count)
    while True:
        tuner.run()
        await asyncio.sleep(0.5)


async def main() -> None:
    event_log = EmptyEventLog()
    source = Source(event_log, event_log.load_room)
    hub = Hub(source, source, Bus())
    gc_tuning.freeze_startup_objects()
    tuning = asyncio.create_task(_tune_gc(hub))
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    HTTPServer(HandshakeApplication(hub)).add_sockets(sockets)

    def publish(_mode: bytes) -> None:
        (channel,) = hub.channels
        hub.publish(
            1, [NumberedEvent("a", channel.last_seq + 1, 1764082800123, "profile", EVENT_DATA)]
        )

    await serve_control(sockets[0].getsockname()[1], publish)
    tuning.cancel()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
