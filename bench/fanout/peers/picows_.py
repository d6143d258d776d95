"""picows: the transport's `send` to each socket; on uvloop, as picows recommends."""

import picows
import uvloop

from bench.fanout.control import EVENT, serve_control

LISTENERS: set[picows.WSTransport] = set()
EVENT_BYTES = EVENT.encode()


class PicowsListener(picows.WSListener):
    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        LISTENERS.add(transport)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        LISTENERS.discard(transport)


def publish(_mode: bytes) -> None:
    for transport in LISTENERS:
        transport.send(picows.WSMsgType.TEXT, EVENT_BYTES)


async def main() -> None:
    server = await picows.ws_create_server(lambda _: PicowsListener(), "127.0.0.1", 0, backlog=4096)
    await serve_control(server.sockets[0].getsockname()[1], publish)


if __name__ == "__main__":
    uvloop.run(main())
