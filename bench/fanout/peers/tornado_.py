"""Tornado as its documentation does it, `write_message` to each; on uvloop.

`settled` gives it the settings of the garbage collector that our server has.
"""

import sys
from typing import Any

import uvloop
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler

import garbage
from bench.fanout.control import EVENT, run

LISTENERS: set[WebSocketHandler] = set()


class Listener(WebSocketHandler):
    def open(self, *_args: str, **_kwargs: str) -> None:
        self.set_nodelay(True)
        LISTENERS.add(self)

    def on_message(self, message: str | bytes) -> None:
        pass

    def on_close(self) -> None:
        LISTENERS.discard(self)


def tell(_way: bytes) -> None:
    for listener in LISTENERS:
        listener.write_message(EVENT)


async def main() -> None:
    if sys.argv[1:] == ["settled"]:
        garbage.settle()
    routes: list[Any] = [("/", Listener)]
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    HTTPServer(Application(routes)).add_sockets(sockets)
    await run(sockets[0].getsockname()[1], tell)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
