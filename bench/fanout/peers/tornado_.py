"""Tornado: `write_message` to each socket, as in its documentation; on uvloop.

The argument `tuned-gc` applies the startup settings of QLive's garbage collector.
"""

import sys
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from bench.fanout.control import EVENT, serve_control
from runtime import gc_tuning

HANDLERS: set[WebSocketHandler] = set()


class BroadcastHandler(WebSocketHandler):
    def open(self, *_args: str, **_kwargs: str) -> None:
        self.set_nodelay(True)
        HANDLERS.add(self)

    def on_message(self, message: str | bytes) -> None:
        pass

    def on_close(self) -> None:
        HANDLERS.discard(self)


def publish(_mode: bytes) -> None:
    for handler in HANDLERS:
        handler.write_message(EVENT)


async def main() -> None:
    if sys.argv[1:] == ["tuned-gc"]:
        gc_tuning.freeze_startup_objects()
    routes: list[Any] = [("/", BroadcastHandler)]
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    HTTPServer(Application(routes)).add_sockets(sockets)
    await serve_control(sockets[0].getsockname()[1], publish)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
