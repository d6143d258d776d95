"""picows: the transport's `send` to each; on uvloop, as it asks for."""

import picows
import uvloop

from bench.fanout.control import EVENT, run

LISTENERS: set[picows.WSTransport] = set()
BYTES = EVENT.encode()


class Listener(picows.WSListener):
    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        LISTENERS.add(transport)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        LISTENERS.discard(transport)


def tell(_way: bytes) -> None:
    for transport in LISTENERS:
        transport.send(picows.WSMsgType.TEXT, BYTES)


async def main() -> None:
    server = await picows.ws_create_server(lambda _: Listener(), "127.0.0.1", 0, backlog=4096)
    await run(server.sockets[0].getsockname()[1], tell)


if __name__ == "__main__":
    uvloop.run(main())
